"""Mosaics of stacks on disk are those of the same scenes in memory, whatever the blocks and threads."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from ceiba.ard.stacks import SceneStack
from ceiba.errors import InputError
from ceiba.mosaics import streaming
from ceiba.mosaics.composites import ndvi_bands
from ceiba.mosaics.geomedian import geomedian
from ceiba.rasters import write_cog

GRID = GeoBox((300, 400), Affine(30, 0, 500_010, 0, -30, 1_300_020), "EPSG:32616")
BANDS = ["green", "red", "nir", "swir_1"]
SMALL = 500_000  # bytes a block: 128 pixels square


@pytest.fixture
def stack(write_scene):
    """Seven dates, two of them over a part of the grid only."""
    scenes = [write_scene(seed, time=f"2019-03-{seed:02d}T16:00:00Z")[0] for seed in range(1, 6)]
    scenes += [
        write_scene(seed, time=f"2019-03-{seed:02d}T16:00:00Z", geobox=GRID[40:200, 100:220])[0] for seed in (6, 7)
    ]
    return SceneStack(scenes, measurements=BANDS, geobox=GRID)


def bits(mosaic) -> dict[str, bytes]:
    return {str(name): band.values.tobytes() for name, band in mosaic.data_vars.items()}


@pytest.mark.parametrize(("block_bytes", "threads"), [(streaming.BLOCK_BYTES, 1), (SMALL, 1), (SMALL, 3)])
def test_blocks_and_threads_do_not_change_a_bit(stack, block_bytes, threads):
    expected = geomedian(*stack.read().as_dataset(), min_observations=3)
    found = streaming.geomedian_of_stack(stack, min_observations=3, threads=threads, block_bytes=block_bytes)
    assert bits(found) == bits(expected)
    assert found.odc.geobox == GRID
    assert {band.attrs["units"] for band in found.data_vars.values()} == {"1"}


def test_without_deviations_the_rest_is_the_same(stack):
    full = streaming.geomedian_of_stack(stack)
    short = streaming.geomedian_of_stack(stack, deviations=False)
    assert list(short.data_vars) == [*BANDS, "count"]
    assert bits(short) == {name: content for name, content in bits(full).items() if name in short}


def test_a_large_mosaic_waits_in_a_file_and_can_be_written(stack, tmp_path, monkeypatch):
    expected = streaming.geomedian_of_stack(stack)
    monkeypatch.setattr(streaming, "IN_MEMORY_BYTES", 0)
    found = streaming.geomedian_of_stack(stack, folder=tmp_path / "work", block_bytes=SMALL)
    assert all(band.chunks is not None for band in found.data_vars.values())
    assert bits(found.compute()) == bits(expected)
    write_cog(tmp_path / "nir.tif", found["nir"], GRID, dtype="float32", nodata=float("nan"))
    with rasterio.open(tmp_path / "nir.tif") as file:
        np.testing.assert_array_equal(file.read(1), expected["nir"].values)


def test_what_a_killed_process_left_is_removed(stack, tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, own = tmp_path / f"mosaic-{ended.pid}-abc", tmp_path / f"mosaic-{os.getpid()}-abc"
    left.mkdir()
    own.mkdir()
    monkeypatch.setattr(streaming, "IN_MEMORY_BYTES", 0)
    streaming.geomedian_of_stack(stack, folder=tmp_path)
    assert own.exists() and not left.exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_reductions_of_blocks_are_those_of_the_whole(write_scene, threads):
    scenes = [write_scene(seed, time=f"2019-{seed:02d}-10T16:00:00Z")[0] for seed in range(1, 6)]
    stack = SceneStack(scenes, measurements=["red", "nir"], geobox=GRID)
    expected = ndvi_bands(*stack.read().as_dataset(), min_observations=2)
    found = streaming.reduce_stack(
        stack, lambda *block: ndvi_bands(*block, min_observations=2), threads=threads, block_bytes=SMALL
    )
    assert bits(found) == bits(expected)
    assert {name: band.dtype for name, band in found.data_vars.items()} == {
        name: band.dtype for name, band in expected.data_vars.items()
    }
    assert found["ndvi_peak_day"].attrs["units"] == expected["ndvi_peak_day"].attrs["units"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_file_that_breaks_is_named_and_nothing_is_left(stack, tmp_path, monkeypatch, threads):
    (tmp_path / "scene_3" / "30m.tif").write_bytes(b"II*\0")
    monkeypatch.setattr(streaming, "IN_MEMORY_BYTES", 0)
    with pytest.raises(InputError, match=r"scene_3/30m\.tif cannot be read"):
        streaming.geomedian_of_stack(stack, folder=tmp_path / "work", threads=threads)
