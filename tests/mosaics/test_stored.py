"""How observations are read: encodings that are complete, masks that fit, blocks that do not show."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import xarray as xr

from ceiba.errors import InputError
from ceiba.mosaics.composites import composite
from ceiba.mosaics.reducers import ndvi_of_period
from ceiba.mosaics.stored import STRIP_PX, as_lanes, check_grid, read_encoding, reduce_blocks
from ceiba.mosaics.water import annual_water


def as_band(dtype: str = "uint16", **attrs) -> xr.DataArray:
    return xr.DataArray(np.ones((2, 3, 4), dtype), dims=("time", "y", "x"), attrs=attrs)


def test_encoding_of_integers_and_floats():
    assert read_encoding("red", as_band(nodata=0, scale=1e-4, offset=-0.1)) == (0, 1e-4, -0.1)
    nodata, scale, offset = read_encoding("red", as_band("float32"))
    assert np.isnan(nodata) and (scale, offset) == (1, 0)


@pytest.mark.parametrize(
    ("band", "message"),
    [
        (as_band(nodata=0), "'red' lacks the attributes scale, offset"),
        (as_band(nodata=-999, scale=1, offset=0), "nodata -999 of band 'red' cannot occur in uint16"),
        (as_band("bool"), "is bool; it needs integers or floats"),
        (as_band().isel(time=0), r"dims \('y', 'x'\); it needs \(time, y, x\)"),
        (as_band().isel(time=slice(0)), "no observation in this period"),
    ],
)
def test_what_cannot_be_read_is_told(band, message):
    with pytest.raises(InputError, match=message):
        read_encoding("red", band)


def test_a_mask_fits_or_is_refused():
    band = as_band()
    check_grid(band == 1, band)
    with pytest.raises(InputError, match="give both on one grid"):
        check_grid((band == 1).isel(x=slice(2)), band)
    with pytest.raises(InputError, match="the clear mask is uint16; give booleans"):
        check_grid(band, band)


def test_blocks_hold_all_dates_of_few_pixels():
    random = np.random.default_rng(0).random((7, 30, 40)).astype(np.float32)
    shapes = []

    def compute(values: np.ndarray) -> np.ndarray:
        shapes.append(values.shape)
        return values.sum(axis=0)[np.newaxis]

    lazy = xr.DataArray(random, dims=("time", "y", "x")).chunk({"time": 2, "y": 11, "x": 16})
    result = reduce_blocks(compute, [lazy], rows=1)
    assert result.shape == (1, 30, 40) and not shapes
    np.testing.assert_array_equal(result.compute(), random.sum(axis=0)[np.newaxis])
    assert {(7, 11, 16), (7, 8, 8)} <= set(shapes) and max(map(np.prod, shapes)) == 7 * 11 * 16


def test_arrays_in_memory_are_worked_on_in_strips():
    values = np.random.default_rng(0).random((3, 700, 1100)).astype(np.float32)
    shapes = []

    def compute(block: np.ndarray) -> np.ndarray:
        shapes.append(block.shape)
        return block.max(axis=0)[np.newaxis]

    result = reduce_blocks(compute, [xr.DataArray(values, dims=("time", "y", "x"))], rows=1)
    np.testing.assert_array_equal(result[0], values.max(axis=0))
    assert len(shapes) > 1 and max(rows * columns for _, rows, columns in shapes) <= STRIP_PX


@pytest.mark.parametrize("work", ["ndvi", "water", "medoid", "median", "max_ndvi"])
def test_no_more_than_a_block_of_a_year_is_worked_on(work):
    shape = (20, 1200, 1201)
    bands = xr.Dataset(
        {
            name: (("time", "y", "x"), np.full(shape, 900, np.uint16), {"nodata": 0, "scale": 1e-4, "offset": 0.0})
            for name in ("green", "red", "nir")
        },
        coords={"time": np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(9, "D")},
    )
    clear = xr.DataArray(np.ones(shape, bool), dims=("time", "y", "x"), coords={"time": bands.time})
    run = {"ndvi": ndvi_of_period, "water": annual_water}.get(work, partial(composite, method=work))
    run(bands.isel(y=slice(2)), clear.isel(y=slice(2)))  # compiled before it is measured
    tracemalloc.start()
    result = run(bands, clear)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    block = STRIP_PX * 20 * (3 * 2 + 1)
    outputs = 3 * result.nbytes  # as float32, in their own types, and on the way
    assert peak < 2 * block + outputs, f"{peak / 1e6:.0f} MB for a block of {block / 1e6:.0f} MB"


def test_lanes_are_filled_up():
    assert as_lanes(np.zeros((3, 5, 5)), 32).shape == (3, 32)
    assert as_lanes(np.zeros((3, 8, 8)), 32).shape == (3, 64)
