"""Sample data by name: where a sample comes from on this machine, checked by its SHA-256.

Origins are tried in the order of ``catalogs/samples.yml``: the folder named by ``CEIBA_SAMPLES``, an installed package,
a public address. What is made by a program (the simulated area) is made once and kept.
"""

import functools
import hashlib
import importlib
import importlib.util
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch
import yaml

from ceiba.checksums import hash_file, hash_folder
from ceiba.config import Config, project_root
from ceiba.errors import InputError
from ceiba.locks import exclusive

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """A sample found on this machine.

    Attributes
    ----------
    folder
        Folder the sample's files lie in, or None where each file has its own path.
    files
        File name to path, for samples of single files.
    origin
        "folder", "package", "address" or "made".
    sha256
        Fingerprint of the content from this origin.
    title
        Words for the report, ``{"es": ..., "en": ...}``.
    """

    name: str
    title: Mapping[str, str]
    origin: str
    sha256: str
    folder: Path | None = None
    files: Mapping[str, Path] = None

    def path(self, relative: str = "") -> Path:
        """Path of a file or folder of the sample; raises :class:`InputError` where it does not exist."""
        if self.files and relative in self.files:
            return self.files[relative]
        path = (self.folder / relative) if self.folder else None
        if path is None or not path.exists():
            known = ", ".join(self.files) if self.files else str(self.folder)
            raise InputError(f"sample {self.name!r} has no {relative!r}; it holds {known}")
        return path


def load_registry() -> dict[str, dict]:
    """The sample registry, ``catalogs/samples.yml``."""
    return yaml.safe_load((project_root() / "catalogs" / "samples.yml").read_text("utf-8"))


def find_sample(name: str) -> Sample:
    """The sample ``name`` from the first origin that has it; raises :class:`InputError` saying where it was looked for."""
    return _find_sample(name, os.environ.get("CEIBA_SAMPLES", ""), str(Config.from_environment().local))


def is_reachable(name: str) -> bool:
    """Whether :func:`find_sample` would succeed; what a program makes counts as reachable."""
    if "made_by" in load_registry().get(name, {}):
        return True
    try:
        find_sample(name)
    except InputError as error:
        log.warning("%s", error)
        return False
    return True


@functools.cache
def _find_sample(name: str, samples_folder: str, local: str) -> Sample:
    registry = load_registry()
    if name not in registry:
        raise InputError(f"no sample {name!r}; there are {', '.join(registry)}")
    entry = registry[name]
    if "made_by" in entry:
        return _make_sample(name, entry, Path(local))
    if "folder" in entry:
        folder = Path(samples_folder) / entry["folder"]["path"] if samples_folder else None
        if folder and folder.is_dir():
            return Sample(name, entry["title"], "folder", hash_folder(folder), folder=folder)
        raise InputError(_not_found(name, samples_folder))
    files, hashes, origin = {}, [], ""
    for file_name, origins in entry["files"].items():
        path, sha256, origin = _find_file(name, file_name, origins, samples_folder, Path(local))
        files[file_name] = path
        hashes.append(f"{file_name} {sha256}")
    fingerprint = hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
    return Sample(name, entry["title"], origin, fingerprint, files=files)


def _find_file(name: str, file_name: str, origins: Mapping, samples_folder: str, local: Path) -> tuple[Path, str, str]:
    if "folder" in origins and samples_folder:
        path = Path(samples_folder) / origins["folder"]["path"]
        if path.exists():
            return _checked(name, path, origins["folder"]["sha256"]), origins["folder"]["sha256"], "folder"
    if "package" in origins:
        found = importlib.util.find_spec(origins["package"]["name"])
        if found and found.submodule_search_locations:
            path = Path(found.submodule_search_locations[0]) / origins["package"]["path"]
            if path.exists():
                return _checked(name, path, origins["package"]["sha256"]), origins["package"]["sha256"], "package"
    if "address" in origins:
        address = origins["address"]
        try:
            path = pooch.retrieve(
                address["url"], known_hash=address["sha256"], fname=file_name, path=local / "samples" / name
            )
        except (OSError, ValueError) as error:
            raise InputError(f"{_not_found(name, samples_folder)}; {address['url']} failed: {error}") from error
        return Path(path), address["sha256"], "address"
    raise InputError(_not_found(name, samples_folder))


def _not_found(name: str, samples_folder: str) -> str:
    where = f"CEIBA_SAMPLES={samples_folder} does not hold it" if samples_folder else "CEIBA_SAMPLES is not set"
    return f"sample {name!r} is not on this machine: {where}, and no package or address offers it"


def _checked(name: str, path: Path, sha256: str) -> Path:
    found = hash_file(path)
    if found != sha256:
        raise InputError(
            f"sample {name!r}: {path.name} has SHA-256 {found}, the registry says {sha256}; the file was changed"
        )
    return path


def _make_sample(name: str, entry: Mapping, local: Path) -> Sample:
    """Make the sample by the program that the registry names, once for each state of that program."""
    module_name, _, function_name = entry["made_by"].partition(":")
    module = importlib.import_module(module_name)
    sources = sorted(Path(module.__file__).parent.glob("*.py"))
    sources += [project_root() / "catalogs" / path for path in getattr(module, "CATALOG_FILES", ())]
    sha256 = hashlib.sha256("\n".join(hash_file(path) for path in sources).encode()).hexdigest()
    folder = local / "samples" / f"{name}-{sha256[:12]}"
    with exclusive(local / "locks" / f"sample-{name}.lock"):
        if not folder.exists():
            log.info("making sample %s in %s", name, folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            getattr(module, function_name)(folder)
    return Sample(name, entry["title"], "made", sha256, folder=folder)
