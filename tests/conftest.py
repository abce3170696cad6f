"""Fixtures that every test may use."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine

ROOT = Path(__file__).resolve().parents[1]

_specification = importlib.util.spec_from_file_location("gallery", Path(__file__).with_name("gallery.py"))
gallery_module = importlib.util.module_from_spec(_specification)
sys.modules["gallery"] = gallery_module
_specification.loader.exec_module(gallery_module)
# Fixtures of the session, so that dashboards and React-2-EO share one store and one server.
gallery_environment = gallery_module.gallery_environment
gallery = gallery_module.gallery
server_url = gallery_module.server_url

TINY_CRS = "EPSG:6372"
TINY_ORIGIN = (2_000_000, 1_000_000)
TINY_SIZE_M = 320


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """Folder with the real sample data, or a skip that says why."""
    folder = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real sample data not found: CEIBA_SAMPLES is unset and {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def local_gateway():
    """A Dask Gateway on loopback: ``environment`` for processes, ``settings`` for ``dask.config.set``."""
    if sys.platform == "win32":
        pytest.skip("dask-gateway-server runs on Linux and macOS only")
    specification = importlib.util.spec_from_file_location(
        "start_gateway", ROOT / "environments" / "local" / "start_gateway.py"
    )
    module = importlib.util.module_from_spec(specification)
    sys.modules["start_gateway"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    # A closed client closes again when it is collected, and raises. Python 3.11 can crash when pytest shows
    # that while a module is being compiled, even after the last test: so this is not undone.
    client = importlib.import_module("dask_gateway").Gateway
    if "__del__" in vars(client):
        del client.__del__
    with module.run_gateway() as gateway:
        yield gateway


@contextmanager
def open_folder():
    """A temporary folder outside pytest's own, which each new session closes to the database server's system user."""
    folder = Path(tempfile.mkdtemp(prefix="ceiba-tests-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def store_environment() -> Iterator[dict[str, str]]:
    """Settings of a store of the test session, with its own embedded PostgreSQL."""
    with open_folder() as folder:
        reports = str(folder / "reports")
        yield {"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": "", "CEIBA_REPORTS": reports}


@pytest.fixture
def store(store_environment, monkeypatch) -> Path:
    """The session's store, set in the environment; returns its folder."""
    for name, value in store_environment.items():
        monkeypatch.setenv(name, value)
    return Path(store_environment["CEIBA_STORE"])


@pytest.fixture(scope="session")
def new_database() -> Iterator[Path]:
    """The folder of a new store's database, with tables and products and no server at work."""
    with open_folder() as folder:
        own = {"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": ""}
        connect = "from ceiba import cube; cube.connect()"
        subprocess.run([sys.executable, "-c", connect], env=os.environ | own, check=True, timeout=300)
        yield folder / "store" / "database"


@pytest.fixture
def own_store(bare_store, new_database) -> Path:
    """A store of one test alone, with its own embedded PostgreSQL, which is set up but empty."""
    bare_store.mkdir()
    # with its owner and rights, without which PostgreSQL does not start
    subprocess.run(["cp", "-a", str(new_database), str(bare_store / "database")], check=True)
    return bare_store


@pytest.fixture
def bare_store(monkeypatch) -> Iterator[Path]:
    """A store of one test alone, of which there is not even the folder."""
    with open_folder() as folder:
        for name, value in {"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": ""}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CEIBA_REPORTS", str(folder / "reports"))
        yield folder / "store"


@pytest.fixture(scope="session")
def write_archive():
    """A function that writes a tiny archive of Sentinel-2-like scenes, ``write(folder, dates)``."""
    return write_tiny_archive


@pytest.fixture
def add_tiny_area():
    """A function that adds a tiny area of one tile to a store, ``add(store, archive, name="tiny")``."""
    return add_tiny_area_to


def write_tiny_archive(folder: Path, dates=("2019-01-10", "2019-03-10", "2019-05-10", "2019-07-10")) -> Path:
    """Scenes of 32 x 32 pixels at 10 m (16 x 16 at 20 m), a third of each cloudy; returns the archive folder."""
    bands = {
        10: ("blue", "green", "red", "nir", "quality"),
        20: ("green_20m", "red_20m", "nir_narrow", "swir_1", "quality_20m"),
    }
    levels = {
        "blue": 400,
        "green": 600,
        "red": 500,
        "nir": 3000,
        "green_20m": 600,
        "red_20m": 500,
        "nir_narrow": 3100,
        "swir_1": 1500,
    }
    for position, date in enumerate(dates):
        random = np.random.default_rng(position)
        scene = folder / f"tiny_{date.replace('-', '')}"
        scene.mkdir(parents=True)
        described = {
            "name": scene.name,
            "time": f"{date}T16:30:00Z",
            "sensor": "sentinel_2_l2a",
            "platform": "sentinel-2a",
        }
        (scene / "scene.json").write_text(json.dumps(described))
        for size, names in bands.items():
            pixels = TINY_SIZE_M // size
            quality = np.where(np.arange(pixels) % 3 == position % 3, 9, 4).astype("uint16")
            with rasterio.open(
                scene / f"{size}m.tif",
                "w",
                driver="GTiff",
                width=pixels,
                height=pixels,
                count=len(names),
                dtype="uint16",
                nodata=0,
                crs=TINY_CRS,
                transform=Affine(size, 0, TINY_ORIGIN[0], 0, -size, TINY_ORIGIN[1]),
            ) as file:
                for number, name in enumerate(names, 1):
                    noise = random.integers(-80, 80, (pixels, pixels))
                    values = (
                        np.broadcast_to(quality, (pixels, pixels))
                        if name.startswith("quality")
                        else levels[name] + noise
                    )
                    file.write(values.astype("uint16"), number)
                    file.set_band_description(number, name)
    return folder


def add_tiny_area_to(store: Path, archive: Path, name: str = "tiny", years: tuple[int, int] = (2019, 2019)) -> str:
    """An area of one tile whose scene archive is ``archive``; returns its name."""
    catalog = yaml.safe_load((ROOT / "catalogs" / "mexico.yml").read_text("utf-8"))
    catalog["sources"]["scene_archive"]["args"] = {"urlpath": str(archive)}
    left, top = TINY_ORIGIN
    place = {
        "title": {"es": name, "en": name},
        "stages": ["ard", "mosaics", "change"],
        "lacks": ["landsat_scenes"],
        "crs": TINY_CRS,
        "bounds": [left, top - TINY_SIZE_M, left + TINY_SIZE_M, top],
        "years": list(years),
    }
    area = {"title": {"es": name, "en": name}, "catalog": "catalog.yml", "places": {name: place}}
    folder = store / "areas" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "area.yml").write_text(yaml.safe_dump(area))
    (folder / "catalog.yml").write_text(yaml.safe_dump(catalog))
    return name


@pytest.fixture
def debian_postgresql(tmp_path) -> Iterator[str]:
    """Address of a PostgreSQL of the operating system, started for the test on a socket of its own."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("no PostgreSQL of the operating system: apt-get install postgresql")
    with open_folder() as folder:
        as_user = []
        if os.geteuid() == 0:
            as_user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(folder, "postgres")

        def call(program: str, *arguments: str) -> None:
            subprocess.run([*as_user, str(binaries[-1] / program), *arguments], check=True, stdout=subprocess.DEVNULL)

        call("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "postgres")
        options = f"-c listen_addresses='' -k {folder}"
        call("pg_ctl", "-D", str(folder / "data"), "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")


STACK_BANDS = ("blue", "green", "red", "nir", "swir_1", "swir_2")
STACK_GRID = ((300, 400), Affine(30, 0, 500_010, 0, -30, 1_300_020), "EPSG:32616")


@pytest.fixture
def write_scene(tmp_path):
    """A function that writes a Landsat scene and gives its dataset, ``write(seed, time=..., geobox=..., sensor=...)``.

    It returns the dataset, the numbers of its bands (band, y, x) and its quality band: a tenth fill, the rest clear or cloud.
    """
    from datacube.index.abstract import default_metadata_type_docs
    from datacube.index.eo3 import prep_eo3
    from datacube.model import Dataset, Product, metadata_from_doc
    from odc.geo.geobox import GeoBox

    from ceiba.products import eo3_document, find_definition

    eo3 = metadata_from_doc(next(doc for doc in default_metadata_type_docs() if doc["name"] == "eo3"))

    def write(
        seed: int, *, time="2019-03-05T16:00:00Z", geobox=None, sensor="landsat_8_l2_c2", platform="landsat-8", **properties
    ):
        geobox = geobox or GeoBox(*STACK_GRID)
        random = np.random.default_rng(seed)
        values = random.integers(7000, 20000, (6, *geobox.shape)).astype(np.uint16)
        values[:, random.random(geobox.shape) < 0.1] = 0
        quality = random.choice([21824, 22280], size=geobox.shape).astype(np.uint16)
        quality[values[0] == 0] = 1
        folder = tmp_path / f"scene_{seed}"
        folder.mkdir()
        profile = {"driver": "GTiff", "height": geobox.height, "width": geobox.width, "count": 7, "dtype": "uint16"}
        profile |= {"crs": str(geobox.crs), "transform": geobox.affine, "nodata": 0, "tiled": True}
        with rasterio.open(folder / "30m.tif", "w", **profile) as file:
            file.write(np.concatenate([values, quality[np.newaxis]]))
        definition, names = find_definition("landsat_scenes"), [*STACK_BANDS, "quality"]
        document = eo3_document(
            dataset_id=uuid.UUID(int=seed),
            definition=definition,
            region_code=f"scene_{seed}",
            period=(time, time),
            geobox=geobox,
            measurements=dict.fromkeys(names, "30m.tif"),
            accessories={},
            lineage={},
            measurement_grids={name: ("default", number) for number, name in enumerate(names, 1)},
            properties={"eo:platform": platform, "ceiba:sensor": sensor} | properties,
        )
        product = Product(eo3, definition.to_odc())
        return Dataset(product, prep_eo3(document), uri=(folder / "dataset.odc-metadata.yaml").as_uri()), values, quality

    return write
