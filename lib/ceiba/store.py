"""Datasets on disk or in an object store: written beside their place, moved in whole, then indexed."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import fsspec
import yaml
from botocore.exceptions import BotoCoreError

from ceiba import cube as index
from ceiba.checksums import hash_file
from ceiba.config import Config
from ceiba.errors import StoreError
from ceiba.locks import exclusive, exclusive_if_free
from ceiba.products import DOCUMENT_NAME, document_bytes, read_document

log = logging.getLogger(__name__)

CHECKSUMS_NAME = "checksums.sha256"
PARTIAL = ".partial"


def boundary(name: str) -> None:
    """Mark a moment at which the process may be killed without harm; the tests kill it at each of them."""
    log.debug("write boundary: %s", name)


@dataclass(frozen=True)
class Stored:
    """A dataset in the store: its id and the address of its document."""

    dataset_id: UUID
    uri: str


def save_dataset(
    dataset_id: UUID,
    relative: str,
    write: Callable[[Path], Mapping],
    *,
    find_replaced: Callable[[], Iterable[UUID]] = tuple,
) -> Stored:
    """Write a dataset, move it into place and index it; a dataset that is in place already is only indexed.

    Parameters
    ----------
    dataset_id
        Deterministic id; names the folder.
    relative
        Folder below the store without the id, ``products/ndvi/1.0.0/simulated/x000y000/2019``.
    write
        Writes the files into the folder it is given and returns the EO3 document.
    find_replaced
        Called last, gives the ids of the datasets that this one replaces; they are archived.

    Raises
    ------
    StoreError
        Where the files cannot be written (no space, no permission); nothing is left behind.
    """
    config = Config.from_environment()
    with exclusive(config.local / "locks" / "datasets" / f"{dataset_id}.lock"):
        place = f"{relative}/{dataset_id}"
        if config.is_remote:
            uri, document = _save_remote(config, dataset_id, place, write)
        else:
            uri, document = _save_local(Path(config.store) / place, write)
        boundary("before index")
        index.index_document(index.connect(), document, uri, replaces=find_replaced())
        boundary("after index")
    (config.local / "locks" / "datasets" / f"{dataset_id}.lock").unlink(missing_ok=True)
    return Stored(dataset_id, uri)


def _save_local(final: Path, write: Callable[[Path], Mapping]) -> tuple[str, Mapping]:
    if (final / DOCUMENT_NAME).exists():
        return (final / DOCUMENT_NAME).as_uri(), read_document(final / DOCUMENT_NAME)
    partial = final.with_name(final.name + PARTIAL)
    document = _fill_folder(partial, write)
    boundary("before move")
    os.rename(partial, final)
    _sync(final.parent)
    boundary("after move")
    return (final / DOCUMENT_NAME).as_uri(), document


def _save_remote(config: Config, dataset_id: UUID, place: str, write: Callable[[Path], Mapping]) -> tuple[str, Mapping]:
    """The document is uploaded last: in an object store it, not a move, makes the dataset whole."""
    filesystem, root = fsspec.core.url_to_fs(config.store)
    uri = f"{config.store}/{place}/{DOCUMENT_NAME}"
    partial = config.local / "work" / f"{dataset_id}{PARTIAL}"
    document = _fill_folder(partial, write)
    try:
        for path in sorted(partial.iterdir(), key=lambda path: path.name == DOCUMENT_NAME):
            boundary(f"before upload of {path.name}")
            filesystem.put_file(str(path), f"{root}/{place}/{path.name}")
    except (OSError, BotoCoreError) as error:
        raise StoreError(f"{place} cannot be uploaded to {config.store}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return uri, document


def _fill_folder(partial: Path, write: Callable[[Path], Mapping]) -> Mapping:
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        boundary("folder made")
        document = write(partial)
        boundary("data written")
        lines = [f"{hash_file(path)}  {path.name}" for path in sorted(partial.iterdir())]
        (partial / CHECKSUMS_NAME).write_text("\n".join(lines) + "\n", "utf-8")
        (partial / DOCUMENT_NAME).write_bytes(document_bytes(document))
        for path in (*partial.iterdir(), partial):
            _sync(path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StoreError(
            f"{partial.parent} cannot be written: {error}; free space or set CEIBA_STORE to another place"
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return document


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that a power cut cannot leave an indexed dataset empty."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def adopt(dataset_id: UUID, relative: str, *, find_replaced: Callable[[], Iterable[UUID]] = tuple) -> bool:
    """Index a dataset that a killed run moved into place and could not index; says whether there was one."""
    config = Config.from_environment()
    uri = f"{config.store}/{relative}/{dataset_id}/{DOCUMENT_NAME}"
    if config.is_remote:
        filesystem, path = fsspec.core.url_to_fs(uri)
        try:
            if not filesystem.exists(path):
                return False
            document = yaml.safe_load(filesystem.cat_file(path))
        except (OSError, BotoCoreError) as error:
            raise StoreError(f"{uri} cannot be looked up: {error}") from error
    else:
        if not Path(uri).exists():
            return False
        document = read_document(Path(uri))
        uri = Path(uri).as_uri()
    index.index_document(index.connect(), document, uri, replaces=find_replaced())
    log.info("indexed %s, which an interrupted run had left in the store", uri)
    return True


def sweep() -> int:
    """Remove what killed runs left half-written, unless its writer still lives; returns the number of folders removed."""
    config = Config.from_environment()
    folders = (
        [config.local / "work"]
        if config.is_remote
        else [Path(config.store) / "products", Path(config.store) / "scenes"]
    )
    removed = 0
    for partial in (path for folder in folders if folder.exists() for path in folder.rglob(f"*{PARTIAL}")):
        with exclusive_if_free(
            config.local / "locks" / "datasets" / f"{partial.name.removesuffix(PARTIAL)}.lock"
        ) as free:
            if free:
                log.warning("removing half-written %s of an interrupted run", partial)
                shutil.rmtree(partial, ignore_errors=True)
                removed += 1
    return removed


def verify(uri: str) -> list[str]:
    """Problems of a stored dataset: files missing or changed since they were written; empty where all is well."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    folder = path.rsplit("/", 1)[0]
    if not filesystem.exists(path):
        return [f"{uri}: the document is missing"]
    problems = []
    for line in filesystem.cat_file(f"{folder}/{CHECKSUMS_NAME}").decode().splitlines():
        sha256, _, name = line.partition("  ")
        if not filesystem.exists(f"{folder}/{name}"):
            problems.append(f"{folder}/{name}: missing")
        elif hashlib.sha256(filesystem.cat_file(f"{folder}/{name}")).hexdigest() != sha256:
            problems.append(f"{folder}/{name}: content differs from its checksum")
    return problems
