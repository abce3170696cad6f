"""The WOfS tree against the result of its authors' program, and the annual frequency by hand."""

import numpy as np
import pytest
import xarray as xr

from ceiba.errors import InputError
from ceiba.mosaics.water import WOFS_BANDS, annual_water, wofs_water

CLEAR_FMASK = (1, 4, 5)


def as_series(**counts: list[float]) -> xr.Dataset:
    """One pixel, one value a date, given as counts (reflectance times 10 000)."""
    return xr.Dataset(
        {name: (("time", "y", "x"), np.array(values, float)[:, None, None] / 1e4) for name, values in counts.items()}
    )


def test_equals_the_reference_on_every_valid_pixel(sample_folder):
    folder = sample_folder / "eo" / "wofs_reference_dea"
    with (
        xr.open_dataset(folder / "sample_c3_sr.nc", mask_and_scale=False) as scene,
        xr.open_dataset(folder / "sample_wofl.nc", mask_and_scale=False) as expected,
    ):
        scene, expected = scene.load(), expected.water.load()
    bands = xr.Dataset({name: scene[f"nbart_{name}"] for name in WOFS_BANDS})
    bands = bands.where((bands != -999) & bands.notnull()) / 1e4
    bits = expected.values
    valid = (bits & 1 == 0) & bands.to_array().notnull().all("variable").values
    clear = valid & np.isin(bits, [0, 128])
    assert (valid.sum(), clear.sum()) == (507, 407)
    np.testing.assert_array_equal(wofs_water(bands).values[valid] == 1, bits[valid] & 128 == 128)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # (blue green red nir swir_1 swir_2), the branch of the published tree, water or dry
        ((300, 500, 300, 200, 100, 80), 1),  # NDI52 <= -0.01, dark TM7, NDI43 <= 0.61: node 6
        ((300, 500, 100, 500, 100, 80), 0),  # NDI43 = 0.67: node 7
        ((2500, 500, 300, 200, 100, 80), 0),  # bright TM1: node 3
        ((1500, 1900, 1800, 1000, 1000, 800), 1),  # TM1 > 1400.5, NDI43 < -0.01: node 10
        ((1500, 1900, 1800, 2000, 1000, 800), 0),  # node 11
        ((379, 700, 600, 500, 650, 500), 1),  # NDI72 = -0.17, TM1 <= 379: node 14
        ((380, 700, 600, 500, 650, 500), 0),  # node 15
        ((900, 1400, 600, 700, 500, 400), 1),  # NDI72 = -0.56, NDI43 = 0.08: node 17
        ((473, 1400, 600, 1200, 500, 400), 1),  # NDI43 = 0.33, TM1 <= 473: node 19
        ((474, 1400, 600, 1200, 500, 400), 0),  # node 20
        ((340, 300, 300, 300, 330, 100), 0),  # NDI52 = 0.048, TM1 > 334.5: node 23
        ((300, 300, 300, 1100, 330, 100), 0),  # NDI43 = 0.57: node 25
        ((300, 300, 300, 300, 330, 100), 1),  # NDI52 <= 0.12: node 27
        ((129, 300, 300, 300, 400, 100), 1),  # NDI52 = 0.14, dark TM3, TM1 <= 129.5: node 31
        ((130, 300, 300, 300, 400, 100), 0),  # node 32
        ((300, 300, 400, 300, 400, 100), 1),  # TM3 > 364.5, TM1 <= 300.5: node 33
        ((301, 300, 400, 300, 400, 100), 0),  # node 34
        ((100, 300, 300, 300, 700, 100), 0),  # NDI52 = 0.4: node 36
        ((250, 300, 300, 300, 540, 100), 0),  # NDI52 = 0.29, TM1 > 249.5: node 38
        ((100, 300, 300, 900, 540, 100), 0),  # NDI43 = 0.5: node 40
        ((100, 300, 400, 300, 540, 100), 0),  # TM3 > 364.5: node 42
        ((129, 300, 300, 300, 540, 100), 1),  # node 44
        ((130, 300, 300, 300, 540, 100), 0),  # node 45
    ],
)
def test_every_leaf_of_the_tree(counts, expected):
    series = as_series(**{name: [count] for name, count in zip(WOFS_BANDS, counts, strict=True)})
    assert wofs_water(series.astype(np.float32)).item() == expected


def test_a_missing_band_value_is_no_data():
    for name in WOFS_BANDS:
        counts = dict.fromkeys(WOFS_BANDS, [300.0]) | {name: [np.nan]}
        assert np.isnan(wofs_water(as_series(**counts)).item())


def test_annual_frequency_by_the_tree():
    water, dry = (300, 500, 300, 200, 100, 80), (300, 500, 100, 500, 100, 80)
    dates = [water, dry, water, tuple([np.nan] * 6), water]
    counts = {name: [date[i] for date in dates] for i, name in enumerate(WOFS_BANDS)}
    result = annual_water(as_series(**counts))
    assert result.water_frequency.item() == pytest.approx(3 / 4)
    assert result.clear_count.item() == 4
    assert (result.attrs["method"], result.attrs["missing_bands"]) == ("wofs", "")
    assert result.water_frequency.attrs["units"] == "1"


def test_annual_frequency_without_short_wave_infrared_says_so():
    series = as_series(green=[700, 700, np.nan, 500], nir=[300, 900, 100, 500])
    result = annual_water(series)
    assert result.water_frequency.item() == pytest.approx(1 / 3)  # NDWI 0.4, -0.125, none, 0
    assert result.attrs["method"] == "ndwi"
    assert result.attrs["missing_bands"] == "blue, red, swir_1, swir_2"
    assert np.isnan(annual_water(series, min_observations=4).water_frequency.item())
    assert annual_water(series, min_observations=4).clear_count.item() == 3


def test_refuses_what_cannot_show_water():
    with pytest.raises(InputError, match="missing: swir_2"):
        wofs_water(as_series(**dict.fromkeys(WOFS_BANDS[:-1], [1.0])))
    with pytest.raises(InputError, match="at least green and nir"):
        annual_water(as_series(red=[1.0], nir=[1.0]))
    with pytest.raises(InputError, match="none in this period"):
        annual_water(as_series(green=[], nir=[]))
