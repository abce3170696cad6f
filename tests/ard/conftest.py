"""Scenes as archives give them, written for the tests."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

import ceiba


@pytest.fixture
def begin_index():
    """A function that begins the task that brings an area's archive into the cube, ``begin(area)``."""

    def begin(area: str):
        return ceiba.begin("01_ard/01_index_scenes", area=area, tile="", first_year=0, last_year=0)

    return begin


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
