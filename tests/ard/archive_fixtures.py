"""Scenes of the simulated area as single COGs, with a file server and a STAC API on loopback: fixtures, by import."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from loopback import ASSETS, COLLECTION, PATIENCE, FaultyServer, make_item, serve_stac, write_cog
from odc.geo.geom import box

ROOT = Path(__file__).resolve().parents[2]
SEED = 7
SCENES = 4
SCENE_PRODUCTS = ("s2_l2a_scenes", "clear_observations", "geomedian_10m", "geomedian_20m")


@pytest.fixture(scope="session")
def simulated_cogs(tmp_path_factory):
    """Scenes of the simulated area in 2019: ``(folder of COGs, {name: time}, folder of the same scenes as a local archive)``."""
    from ceiba.simulation.files import write_json, write_raster
    from ceiba.simulation.layout import CRS, grid_transform
    from ceiba.simulation.scenes import plan_scenes, sentinel_2_scene, sky_of
    from ceiba.simulation.world import make_world

    world = make_world(SEED)
    plans = [plan for plan in plan_scenes(SEED, "sentinel_2") if plan.time.year == 2019 and not plan.missing][:SCENES]
    cogs, local, times = tmp_path_factory.mktemp("cogs"), tmp_path_factory.mktemp("local"), {}
    names = {"blue": "B02_10m", "green": "B03_10m", "red": "B04_10m", "nir": "B08_10m"}
    names_20m = {name: asset for name, asset in ASSETS.items() if name not in names and name != "quality"}
    for plan in plans:
        fine, coarse = sentinel_2_scene(world, plan, sky_of(SEED, plan))
        for size, bands, assets in ((10, fine, names), (20, coarse, names_20m)):
            for name, asset in assets.items():
                values = np.asarray(bands[name]).astype("uint8" if asset == "SCL_20m" else "uint16")
                write_cog(cogs / plan.name / f"{asset}.tif", values, crs=CRS, transform=grid_transform(size))
            write_raster(local / plan.name / f"{size}m.tif", bands, resolution_m=size, nodata=0)
        times[plan.name] = f"{plan.time:%Y-%m-%dT%H:%M:%SZ}"
        described = {"name": plan.name, "time": times[plan.name], "sensor": "sentinel_2_l2a", "platform": "sentinel-2a"}
        write_json(local / plan.name / "scene.json", described)
    return cogs, times, local


@pytest.fixture
def files(simulated_cogs):
    """The file server over the COGs."""
    server = FaultyServer(simulated_cogs[0])
    yield server
    server.stop()


@pytest.fixture
def items(simulated_cogs, files):
    """STAC items of the scenes, with addresses of the file server."""
    from ceiba.simulation.layout import BOUNDS, CRS

    cogs, times, _ = simulated_cogs
    outline = list(box(*BOUNDS, CRS).to_crs("EPSG:4326").exterior.coords)
    footprint = [[float(x), float(y)] for x, y in outline]
    return [
        make_item(name, time, files.url, cogs, footprint, cloud_cover=10.0 * (number + 1))
        for number, (name, time) in enumerate(times.items())
    ]


@pytest.fixture
def describe_provider():
    """A function that writes ``providers.yml`` of a store, ``describe(store, url, **changes)``."""
    return write_provider


def write_provider(store: Path, url: str, **changes) -> None:
    collections = {COLLECTION: {"sensors": {"sentinel-2a": "sentinel_2_l2a"}, "assets": ASSETS}}
    entry = {
        "title": {"es": "Bucle local", "en": "Loopback"}, "kind": "stac", "url": url, "access": {"kind": "open"},
        "collections": collections, "patience": PATIENCE,
    }  # fmt: skip
    store.mkdir(parents=True, exist_ok=True)
    (store / "providers.yml").write_text(yaml.safe_dump({"loopback": entry | changes}))


@pytest.fixture
def add_area():
    """A function that adds an area over one tile of the simulated country, ``add(store, name="stac", archive=None)``."""
    return add_network_area


def add_network_area(store: Path, name: str = "stac", archive: Path | None = None) -> str:
    catalog = yaml.safe_load((ROOT / "catalogs" / "mexico.yml").read_text("utf-8"))
    catalog["sources"]["earth_search"]["args"] = {"provider": "loopback"}
    if archive:
        catalog["sources"]["scene_archive"]["args"] = {"urlpath": str(archive)}
    place = {
        "title": {"es": name, "en": name}, "stages": ["ard", "mosaics"], "crs": "EPSG:6372", "years": [2019, 2019],
        "bounds": [4_000_000, 1_197_440, 4_002_560, 1_200_000],
    }  # fmt: skip
    area = {"title": {"es": name, "en": name}, "catalog": "catalog.yml", "places": {name: place}}
    folder = store / "areas" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "area.yml").write_text(yaml.safe_dump(area))
    (folder / "catalog.yml").write_text(yaml.safe_dump(catalog))
    return name


@pytest.fixture
def empty_cube(store):
    """The session's store, with no scene of these tests in its cube, before and after."""
    from ceiba import cube as index

    def archive_all() -> None:
        cube = index.connect()
        found = [dataset.id for name in SCENE_PRODUCTS for dataset in index.find_datasets(cube, name)]
        cube.index.datasets.archive(found)
        shutil.rmtree(store / "downloads", ignore_errors=True)

    archive_all()
    yield store
    archive_all()
    (store / "providers.yml").unlink(missing_ok=True)


@pytest.fixture
def stac(items, empty_cube, tmp_path, describe_provider):
    """A STAC API over the items, described in the store's ``providers.yml``; gives its address."""
    with serve_stac(items, tmp_path) as url:
        describe_provider(empty_cube, url)
        yield url


@pytest.fixture
def begin(add_area, empty_cube):
    """A function that begins the fetching of an area, ``begin(**parameters)``."""
    import ceiba

    def begin_task(name: str = "stac", archive: Path | None = None, **given):
        parameters = {
            "tile": "", "first_year": 0, "last_year": 0, "sources": ["earth_search"], "max_cloud_cover": 100.0, "max_gb": 0.0,
            "max_processing_units": 0.0, "mode": "auto", "connections": 3,
        }  # fmt: skip
        return ceiba.begin("01_ard/01_fetch_scenes", area=add_area(empty_cube, name, archive), **(parameters | given))

    return begin_task


