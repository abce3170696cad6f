"""Scenes as archives give them, written for the tests."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml

import ceiba
from ceiba import ard
from ceiba import cube as index

sys.path.insert(0, str(Path(__file__).parent))
from archive_fixtures import *  # noqa: E402, F403 - a STAC API and its files on loopback

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def index_scenes():
    """A function that brings an area's archive into the cube, ``index_scenes(area)``: inventory and failures."""

    def index_all(area: str):
        task = ceiba.begin(
            "01_ard/01_fetch_scenes", area=area, tile="", first_year=0, last_year=0, sources=["scene_archive"],
            max_cloud_cover=80.0, max_gb=20.0, max_processing_units=0.0, mode="auto", connections=4,
        )  # fmt: skip
        return ard.index_archive(task)

    return index_all


@pytest.fixture
def raise_counts():
    """A function that makes a scene of baseline 04.00 of an older one, ``raise_counts(folder, counts, **properties)``."""
    return raise_counts_of


def raise_counts_of(folder: Path, counts: int, **properties) -> None:
    """Add ``counts`` to every pixel with a value of all reflectance bands, and ``properties`` to ``scene.json``."""
    described = json.loads((folder / "scene.json").read_text())
    (folder / "scene.json").write_text(json.dumps(described | {"properties": properties}))
    for path in folder.glob("*m.tif"):
        with rasterio.open(path) as file:
            values, profile, names = file.read(), file.profile, file.descriptions
        path.unlink()
        with rasterio.open(path, "w", **profile) as file:
            for number, name in enumerate(names, 1):
                band = values[number - 1]
                file.write(band if name.startswith("quality") else np.where(band == 0, 0, band + counts), number)
                file.set_band_description(number, name)


@pytest.fixture
def add_landsat_area(store):
    """A function that adds an area whose archive is a folder of Landsat scenes, ``add(name, bounds, crs, **arguments)``."""

    def add(name: str, bounds: tuple[float, float, float, float], crs: str, **arguments) -> str:
        catalog = yaml.safe_load((ROOT / "catalogs" / "mexico.yml").read_text("utf-8"))
        driver = "ceiba.ard.landsat.LandsatFolderSource"
        catalog["sources"]["scene_archive"] |= {"driver": driver, "args": arguments}
        title = {"es": name, "en": name}
        place = {"title": title, "stages": ["ard"], "crs": crs, "bounds": list(bounds), "years": [1985, 2025]}
        folder = store / "areas" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "area.yml").write_text(
            yaml.safe_dump({"title": title, "catalog": "catalog.yml", "places": {name: place}})
        )
        (folder / "catalog.yml").write_text(yaml.safe_dump(catalog))
        return name

    return add


@pytest.fixture
def read_scene():
    """A function that gives a scene of the cube by its id: document and bands, ``read(dataset_id)``."""

    def read(dataset_id: str) -> tuple[dict, dict[str, np.ndarray]]:
        dataset = index.get_dataset(index.connect(), dataset_id)
        with rasterio.open(f"{dataset.uri.rsplit('/', 1)[0]}/30m.tif") as file:
            return dataset.metadata_doc, dict(zip(file.descriptions, file.read(), strict=True))

    return read
