"""Files from archives on the network: asked for in parts, continued where they broke off, checked before they count."""

import hashlib
import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.config
import botocore.exceptions
import requests

from ceiba.errors import InputError, SceneError, StoreError, TransferError
from ceiba.providers import Access, Patience, forget_token, sign_address

log = logging.getLogger(__name__)

CHUNK_BYTES = 32 * 1024  # what is lost where a connection breaks
PART = ".part"
# Answers of a server that is busy or starting; all other refusals are final.
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
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
        with _open(href, access, patience, first=0, last=length - 1) as answer:
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
    with _open(href, access, patience, first=have, version=version) as answer:
        if answer.is_past_end:
            if answer.size_bytes != have:
                _forget_part(part)
                raise TransferError(f"{have} bytes lie here, the file has {answer.size_bytes}")
            return
        start = answer.first if answer.is_part else 0
        if start not in (0, have):
            raise TransferError(f"asked for the bytes from {have}, the server sent those from {start}")
        try:
            _version_file(part).write_text(json.dumps({"version": answer.version}), "utf-8")
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                file.truncate()
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


def shorten(href: str) -> str:
    """An address without its query, which may hold a token."""
    return href.partition("?")[0]


# ---- the two protocols ----


class _HttpAnswer:
    """An answer of a web server, open until its ``with`` ends."""

    def __init__(self, response: requests.Response, first: int):
        self._response = response
        headers = response.headers
        self.is_past_end = response.status_code == 416
        self.is_part = response.status_code == 206
        self.first, self.size_bytes = 0, _as_count(headers.get("Content-Length"))
        if self.is_part:
            span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            told = _as_count(span.partition("-")[0])
            self.first = first if told is None else told
            self.size_bytes = _as_count(total)
        elif self.is_past_end:
            self.size_bytes = _as_count(headers.get("Content-Range", "").rpartition("/")[2])
        elif headers.get("Content-Encoding"):
            self.size_bytes = None  # the length is that of the packed bytes
        etag = headers.get("ETag", "")
        # A weak mark stands for files that are alike, not equal.
        self.version = "" if etag.startswith("W/") else etag
        self.version = self.version or headers.get("Last-Modified", "")

    def __enter__(self) -> "_HttpAnswer":
        return self

    def __exit__(self, *_) -> None:
        self._response.close()

    def chunks(self) -> Iterator[bytes]:
        """The bytes, as they come; raises :class:`TransferError` where they break off."""
        try:
            yield from self._response.iter_content(CHUNK_BYTES)
        except requests.RequestException as error:
            raise TransferError(f"the connection broke: {error}") from error


class _S3Answer:
    """An object of a bucket, or a part of it."""

    def __init__(self, answer: dict, first: int):
        self._body = answer["Body"]
        self.is_past_end = False
        span = answer.get("ContentRange", "")
        self.is_part = bool(span)
        self.first = first
        self.size_bytes = _as_count(span.rpartition("/")[2]) if span else _as_count(answer.get("ContentLength"))
        self.version = answer.get("ETag", "")

    def __enter__(self) -> "_S3Answer":
        return self

    def __exit__(self, *_) -> None:
        self._body.close()

    def chunks(self) -> Iterator[bytes]:
        """The bytes, as they come; raises :class:`TransferError` where they break off."""
        try:
            yield from self._body.iter_chunks(CHUNK_BYTES)
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise TransferError(f"the connection broke: {error}") from error


def _open(
    href: str, access: Access, patience: Patience, *, first: int = 0, last: int | None = None, version: str = ""
) -> _HttpAnswer | _S3Answer:
    """Ask for the bytes from ``first``; ``version`` makes a changed file come whole."""
    scheme = urlsplit(href).scheme
    span = f"bytes={first}-{'' if last is None else last}" if first or last is not None else ""
    if scheme == "s3":
        return _open_s3(href, access, patience, span, first, version)
    if scheme in ("http", "https"):
        return _open_http(href, patience, span, first, version)
    raise SceneError(f"{shorten(href)}: addresses begin with http://, https:// or s3://")


def _open_http(href: str, patience: Patience, span: str, first: int, version: str) -> _HttpAnswer:
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": span} if span else {}
    headers |= {"If-Range": version} if span and version else {}
    try:
        response = _session().get(sign_address(href), headers=headers, stream=True, timeout=patience.timeout_s)
    except requests.RequestException as error:
        # Reasons of requests hold the whole address, and that may hold a token.
        raise TransferError(f"no answer ({type(error).__name__})") from error
    except InputError as error:
        raise TransferError(str(error)) from error
    status = response.status_code
    if status in (200, 206) or (status == 416 and first):
        return _HttpAnswer(response, first)
    response.close()
    if status in PASSING_STATUS or (status in (401, 403) and forget_token(href)):
        error = TransferError(f"the server answered {status} {response.reason}")
        error.retry_after_s = _as_count(response.headers.get("Retry-After")) or 0.0
        raise error
    raise SceneError(f"{shorten(href)} is refused: {status} {response.reason}")


def _open_s3(href: str, access: Access, patience: Patience, span: str, first: int, version: str) -> _S3Answer:
    parts = urlsplit(href)
    request = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
    request |= {"Range": span} if span else {}
    request |= {"IfMatch": version} if version else {}
    request |= {"RequestPayer": "requester"} if access.requester_pays else {}
    try:
        return _S3Answer(_s3_client(access, patience.timeout_s).get_object(**request), first)
    except botocore.exceptions.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 412:  # another version lies there now: all of it
            return _open_s3(href, access, patience, "", 0, "")
        if status in PASSING_STATUS:
            raise TransferError(f"the bucket answered {status}") from error
        raise SceneError(f"{href} is refused: {error}; are the keys in {_key_names(access)} right?") from error
    except botocore.exceptions.NoCredentialsError as error:
        raise SceneError(f"{href} needs keys: set {_key_names(access)}") from error
    except (botocore.exceptions.BotoCoreError, OSError) as error:
        raise TransferError(f"no answer ({type(error).__name__})") from error


def _key_names(access: Access) -> str:
    return f"{access.key_variable or 'AWS_ACCESS_KEY_ID'} and {access.secret_variable or 'AWS_SECRET_ACCESS_KEY'}"


_threads = threading.local()


def _session() -> requests.Session:
    if not hasattr(_threads, "session"):
        _threads.session = requests.Session()
    return _threads.session


def _s3_client(access: Access, timeout_s: float):
    key = (access, timeout_s, os.environ.get("AWS_ENDPOINT_URL", ""))
    clients = _threads.__dict__.setdefault("clients", {})
    if key not in clients:
        clients[key] = boto3.session.Session().client(
            "s3",
            endpoint_url=access.endpoint or None,
            region_name=access.region or None,
            aws_access_key_id=os.environ.get(access.key_variable) if access.key_variable else None,
            aws_secret_access_key=os.environ.get(access.secret_variable) if access.secret_variable else None,
            config=botocore.config.Config(
                connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1}
            ),
        )
    return clients[key]


def _as_count(text: object) -> int | None:
    try:
        count = int(str(text))
    except ValueError:
        return None
    return count if count >= 0 else None

