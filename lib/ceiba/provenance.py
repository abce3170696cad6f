"""What is recorded of a run: code, environment, inputs, parameters, time and memory."""

import functools
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ceiba.checksums import hash_file
from ceiba.config import project_root

PACKAGES = ("datacube", "xarray", "numpy", "scikit-learn", "keras", "jax", "librosa", "pgmpy", "rasterio", "papermill")


@functools.cache
def code_state() -> dict[str, object]:
    """Git commit of the checkout, whether it has changes, and the SHA-256 of the lock."""
    root = project_root()

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ""  # an image without git or a checkout: the lock and the versions still tell what ran
        return done.stdout.strip()

    lock = root / "environments" / "requirements.txt"
    return {
        "git_commit": git("rev-parse", "HEAD") or "unknown",
        "git_changes": bool(git("status", "--porcelain")),
        "lock_sha256": hash_file(lock) if lock.exists() else "unknown",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def now() -> str:
    """The present moment as ISO 8601 text, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_record(path: Path, record: Mapping[str, object]) -> None:
    """Write a run record as JSON, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(dict(code_state()) | dict(record), indent=2, default=str), "utf-8")
    partial.replace(path)
