"""Files from archives on the network: asked for in parts, continued where they broke off, checked before they count."""

import hashlib
import json
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ceiba.ard.answers import open_answer, shorten
from ceiba.errors import StoreError, TransferError
from ceiba.providers import Access, Patience

log = logging.getLogger(__name__)

PART = ".part"
# Multihash codes of the multiformats table: a checksum in STAC says its algorithm in its first bytes.
MULTIHASH = {0x11: ("sha1", 20), 0x12: ("sha256", 32), 0x13: ("sha512", 64), 0x20: ("sha384", 48), 0xD5: ("md5", 16)}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Beginning:
    """First bytes of a remote file.

    Attributes
    ----------
    size_bytes
        Size of the whole file, None where the server does not tell.
    version
        The server's mark of this version of the file (ETag or time of change), empty where there is none.
    in_parts
        Whether the server gives parts of a file.
    """

    content: bytes
    size_bytes: int | None
    version: str
    in_parts: bool


def read_multihash(text: str) -> tuple[str, str] | None:
    """Algorithm and digest of a multihash in hexadecimal text (STAC ``file:checksum``), None where it is no known one.

    The code of the algorithm and the length of the digest, both varints, stand before the digest (multiformats, multihash).
    """
    try:
        raw = bytes.fromhex(text.strip())
    except (ValueError, AttributeError):
        return None
    code, rest = _read_varint(raw)
    length, digest = _read_varint(rest)
    name, size = MULTIHASH.get(code, ("", -1))
    return (name, digest.hex()) if length == size == len(digest) else None


def _read_varint(raw: bytes) -> tuple[int, bytes]:
    value = 0
    for position, byte in enumerate(raw[:4]):
        value |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return value, raw[position + 1 :]
    return -1, b""


def retry(call: Callable[[], Answer], what: str, patience: Patience) -> Answer:
    """Call until there is an answer, with pauses that grow and are drawn at random, so that clients do not return together.

    Only :class:`TransferError` is tried again; the last one is raised. A pause lies between half and the whole of
    ``base_delay_s * 2 ** attempt`` ("equal jitter", Brooker 2015, AWS Architecture Blog) or is what the server asked for,
    at most ``max_delay_s`` [s].
    """
    for attempt in range(patience.attempts):
        try:
            return call()
        except TransferError as error:
            if attempt + 1 == patience.attempts:
                raise TransferError(f"{what}: {error} (attempt {attempt + 1} of {patience.attempts}, the last)") from error
            asked_s = getattr(error, "retry_after_s", 0.0)
            pause_s = patience.base_delay_s * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            log.warning("%s: %s; attempt %d of %d", what, error, attempt + 1, patience.attempts)
            time.sleep(min(max(pause_s, asked_s), patience.max_delay_s))
    raise TransferError(f"{what}: no attempt was allowed; attempts is {patience.attempts}")


def read_beginning(href: str, length: int, *, access: Access, patience: Patience) -> Beginning:
    """First ``length`` bytes of a remote file, its size and version; raises :class:`TransferError` or :class:`SceneError`."""

    def read() -> Beginning:
        with open_answer(href, access, patience, first=0, last=length - 1) as answer:
            content = b""
            for chunk in answer.chunks():
                content += chunk
                if len(content) >= length:
                    break
            wanted = length if answer.size_bytes is None else min(length, answer.size_bytes)
            if len(content) < wanted:
                raise TransferError(f"the server sent {len(content)} of {wanted} bytes")
            return Beginning(content[:length], answer.size_bytes, answer.version, answer.is_part)

    return retry(read, shorten(href), patience)


def download(
    href: str,
    target: Path,
    *,
    access: Access,
    patience: Patience,
    size_bytes: int | None = None,
    checksum: str = "",
    arrived: Callable[[int], None] = lambda count: None,
) -> Path:
    """Bring a file to ``target``, whole and checked, or not at all; a file that is there already is not fetched again.

    Parameters
    ----------
    href
        Address, ``http://``, ``https://`` or ``s3://``, without a token.
    size_bytes, checksum
        What the archive says of the file; the checksum is a multihash (STAC ``file:checksum``).
    arrived
        Called with the number of bytes [1] of each chunk, for a progress bar.

    Raises
    ------
    TransferError
        The file did not arrive, not whole, or not as its checksum says, in any of the attempts. What arrived of it stays
        beside the target and is continued next time, unless its checksum was wrong.
    SceneError
        The archive refuses the file for good.
    StoreError
        The file cannot be written here.
    """
    if target.exists() and _is_whole(target, size_bytes, checksum):
        return target
    part = target.with_name(target.name + PART)
    target.parent.mkdir(parents=True, exist_ok=True)

    def fetch() -> Path:
        _continue_part(href, part, access, patience, checksum, arrived)
        problem = _find_problem(part, size_bytes, checksum)
        if problem:
            _forget_part(part)
            raise TransferError(problem)
        try:
            os.replace(part, target)
            _version_file(part).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error}") from error
        return target

    return retry(fetch, shorten(href), patience)


def _continue_part(
    href: str, part: Path, access: Access, patience: Patience, checksum: str, arrived: Callable[[int], None]
) -> None:
    """Append what is missing of a file to its part; the part begins anew where the file at the server is another one."""
    have = part.stat().st_size if part.exists() else 0
    version = _read_version(part) if have else ""
    if not version and read_multihash(checksum) is None:
        have = 0  # nothing would tell that what lies here and what lies there are the same file
    with open_answer(href, access, patience, first=have, version=version) as answer:
        if answer.is_past_end:
            if answer.size_bytes != have:
                _forget_part(part)
                raise TransferError(f"{have} bytes lie here, the file has {answer.size_bytes}")
            return
        start = answer.first if answer.is_part else 0
        if start not in (0, have):
            raise TransferError(f"asked for the bytes from {have}, the server sent those from {start}")
        try:
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                file.truncate()
                # Only now: bytes of another version must never lie under this mark, whenever the process is killed.
                _version_file(part).write_text(json.dumps({"version": answer.version}), "utf-8")
                for chunk in answer.chunks():
                    file.write(chunk)
                    arrived(len(chunk))
        except OSError as error:
            raise StoreError(
                f"{part} cannot be written: {error}; free space or set CEIBA_STORE to another place"
            ) from error
    size = part.stat().st_size
    if answer.size_bytes is not None and size != answer.size_bytes:
        raise TransferError(f"{size} of {answer.size_bytes} bytes arrived")


def _find_problem(path: Path, size_bytes: int | None, checksum: str) -> str:
    size = path.stat().st_size
    if size_bytes is not None and size != size_bytes:
        return f"the file has {size} bytes, the archive says {size_bytes}"
    expected = read_multihash(checksum)
    if expected is None:
        return ""
    name, digest = expected
    with path.open("rb") as file:
        found = hashlib.file_digest(file, name).hexdigest()
    return "" if found == digest else f"the {name} of the file is {found}, the archive says {digest}"


def _is_whole(path: Path, size_bytes: int | None, checksum: str) -> bool:
    return not _find_problem(path, size_bytes, checksum)


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_version(part: Path) -> str:
    try:
        return str(json.loads(_version_file(part).read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _forget_part(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
