"""Where things are: the project's own files, the store of products, the database."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from ceiba.errors import StoreError


@functools.cache
def project_root() -> Path:
    """Folder that holds ``notebooks/`` and ``catalogs/``: ``CEIBA_ROOT``, or the checkout the library was installed from."""
    given = os.environ.get("CEIBA_ROOT")
    root = Path(given) if given else Path(__file__).resolve().parents[2]
    if not (root / "catalogs").is_dir():
        raise StoreError(
            f"{root} has no catalogs/ folder; set CEIBA_ROOT to a checkout of Ceiba, or install the library with "
            "'pip install --no-deps -e lib' from one"
        )
    return root


@dataclass(frozen=True)
class Config:
    """Settings of one run, read from the environment.

    Attributes
    ----------
    store
        Folder or fsspec address (``s3://bucket/prefix``) of the products (``CEIBA_STORE``).
    local
        Folder for what must lie on a local disk: database, sample cache, locks. The store itself where that is a folder.
    db_url
        PostgreSQL address (``CEIBA_DB_URL``), or empty for the embedded server below ``local``.
    """

    store: str
    local: Path
    db_url: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether products lie in an object store."""
        return "://" in self.store

    @classmethod
    def from_environment(cls) -> "Config":
        """Read ``CEIBA_STORE``, ``CEIBA_LOCAL`` and ``CEIBA_DB_URL``; raises :class:`StoreError` on a store that git would track."""
        store = os.environ.get("CEIBA_STORE") or str(default_store())
        remote = "://" in store
        if remote and not store.startswith(("s3://", "gs://", "az://")):
            raise StoreError(
                f"CEIBA_STORE={store}: allowed are a folder, or an address that begins with s3://, gs:// or az://"
            )
        folder = default_store() if remote else Path(store).expanduser().resolve()
        local = Path(os.environ.get("CEIBA_LOCAL") or folder)
        refuse_tracked_folder(local)
        return cls(
            store=store.rstrip("/") if remote else str(folder), local=local, db_url=os.environ.get("CEIBA_DB_URL", "")
        )


def default_store() -> Path:
    """Where products go when nothing is configured.

    As root it is ``/var/lib/ceiba``: the embedded PostgreSQL then runs as a system user of its own and opens the folders
    above its data for reading, which must not happen to a home folder.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/ceiba")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "ceiba"


def refuse_tracked_folder(folder: Path) -> None:
    """Raise :class:`StoreError` where ``folder`` lies inside a git work tree: products must never be committed by accident."""
    for parent in (folder, *folder.parents):
        if (parent / ".git").exists():
            raise StoreError(
                f"the store {folder} lies inside the git repository {parent}; choose a folder outside it (CEIBA_STORE)"
            )


def tell_gdal_the_endpoint() -> None:
    """Give GDAL the S3 endpoint of ``AWS_ENDPOINT_URL``, which fsspec and boto3 know but GDAL does not."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    scheme, _, host = endpoint.partition("://")
    if host:
        os.environ["AWS_S3_ENDPOINT"] = host.rstrip("/")
        os.environ["AWS_HTTPS"] = "YES" if scheme == "https" else "NO"
        # Bucket names as a part of the host name exist at Amazon only.
        os.environ["AWS_VIRTUAL_HOSTING"] = "FALSE"


def tell_gdal_patience() -> None:
    """Have GDAL give a silent server up and ask a busy one again, as scenes by reference need; what is set already stays."""
    settings = {
        "GDAL_HTTP_CONNECTTIMEOUT": "15",
        "GDAL_HTTP_TIMEOUT": "60",
        "GDAL_HTTP_MAX_RETRY": "4",
        "GDAL_HTTP_RETRY_DELAY": "1",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
