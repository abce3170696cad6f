import numpy as np
import pytest
import xarray as xr

from ceiba.change.breaks.layers import (
    LANDSAT_NAMES,
    METHODS,
    break_layers,
    is_short,
    watched_share,
    yearly_breaks,
)
from ceiba.change.breaks.segments import find_segments
from ceiba.errors import InputError

BREAK = np.datetime64("2012-03-10")
OPTIONS = {"names": LANDSAT_NAMES, "start": "2012-01-01", "harmonics": 1, "trend": False, "false_alerts": 0.001}


@pytest.fixture(scope="module")
def scenes():
    """Stored numbers of two rows: the first loses its green on a day of 2012, the second stays; a cloud on every fifth date."""
    random = np.random.default_rng(6)
    times = np.arange("2008-01-02", "2014-12-31", 16, dtype="datetime64[D]")
    means = {"green": 0.06, "red": 0.05, "nir": 0.35, "swir_1": 0.18, "swir_2": 0.08}
    after = {"green": 0.10, "red": 0.14, "nir": 0.22, "swir_1": 0.30, "swir_2": 0.24}
    changed = (times >= BREAK)[:, None, None] & np.array([True, False])[None, :, None]
    bands = {}
    for name, mean in means.items():
        values = np.where(changed, after[name], mean) + random.normal(scale=0.006, size=(len(times), 2, 3))
        numbers = np.rint((values + 0.2) / 0.0000275).astype(np.uint16)
        bands[name] = (("time", "y", "x"), numbers, {"scale": 0.0000275, "offset": -0.2, "nodata": 0})
    coords = {"time": times.astype("datetime64[ns]"), "y": [45.0, 15.0], "x": [15.0, 45.0, 75.0]}
    clear = xr.DataArray(np.ones((len(times), 2, 3), bool), dims=("time", "y", "x"), coords=coords)
    clear[::5] = False
    return xr.Dataset(bands, coords=coords), clear


@pytest.mark.parametrize("method", METHODS)
def test_break_has_its_day_and_its_change_of_ndvi(scenes, method):
    layers = break_layers(*scenes, method=method, **OPTIONS)
    assert layers.break_count.values.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert (layers.break_year.values == [[2012] * 3, [0] * 3]).all()
    days = layers.break_day.values[0] - int(BREAK.astype(int))
    assert ((days >= 0) & (days <= (32 if method == "ccdc" else 150))).all()
    assert (layers.break_day.values[1] == -1).all()
    # (0.35 - 0.05) / 0.40 = 0.75 becomes (0.22 - 0.14) / 0.36 = 0.222
    assert layers.ndvi_change.values[0] == pytest.approx(0.222 - 0.75, abs=0.04)
    assert np.isnan(layers.ndvi_change.values[1]).all()
    assert (layers.evidence.values[0] >= 1).all() and (layers.evidence.values[1] < 1).all()
    assert (layers.observations.values == int(scenes[1].sum("time")[0, 0])).all()


def test_layers_keep_their_place_and_do_not_depend_on_the_strip(scenes, monkeypatch):
    whole = break_layers(*scenes, method="ccdc", **OPTIONS)
    monkeypatch.setattr("ceiba.change.breaks.layers.STRIP_BYTES", 1)
    xr.testing.assert_identical(whole, break_layers(*scenes, method="ccdc", **OPTIONS))
    assert whole.y.values.tolist() == [45.0, 15.0] and whole.break_day.dims == ("y", "x")


def test_nothing_clear_is_no_answer(scenes):
    bands, clear = scenes
    for method in METHODS:
        layers = break_layers(bands, clear & False, method=method, **OPTIONS)
        assert np.isnan(layers.evidence.values).all() and not layers.break_count.values.any()
        assert not layers.observations.values.any()


def test_breaks_of_a_year_by_day(scenes):
    bands, clear = scenes
    reflectance = xr.Dataset({name: bands[name] * 0.0000275 - 0.2 for name in bands}).where(clear)
    yearly = yearly_breaks(find_segments(reflectance), range(2011, 2014))
    assert not yearly.day_of_year.sel(year=[2011, 2013]).values.any()
    first = yearly.day_of_year.sel(year=2012).values
    assert ((first[0] >= 70) & (first[0] <= 102)).all() and not first[1].any()  # 10 March is day 70 of 2012
    # sqrt(0.04^2 + 0.09^2 + 0.13^2 + 0.12^2 + 0.16^2)
    assert yearly.magnitude.sel(year=2012).values[0] == pytest.approx(0.2581, abs=0.02)
    assert np.isnan(yearly.magnitude.sel(year=2012).values[1]).all()


def test_unknown_method_is_named(scenes):
    with pytest.raises(InputError, match="there are ccdc, monitor"):
        break_layers(*scenes, method="bfast", **OPTIONS)


def test_share_of_the_days_on_which_a_break_is_told():
    times = np.datetime64("2010-01-01") + np.arange(0, 40 * 30, 30)
    seen = xr.DataArray(
        np.ones((40, 1, 3), bool), dims=("time", "y", "x"), coords={"time": times.astype("datetime64[ns]")}
    )
    seen[::2, 0, 1] = False  # twenty are left, of twenty-four needed
    seen[1:25:3, 0, 2] = False
    share = watched_share(seen, method="ccdc").values[0]
    # dates are days 0 to 1170; a year in is day 365, and six are behind the 34th date, day 990
    assert share[0] == pytest.approx((990 - 365) / 1170)
    assert share[1] == 0
    # of dates 0, 2, 3, 5, 6, ..., 23, 24, 25, ... the twelfth is the 17th, day 510
    assert share[2] == pytest.approx((990 - 510) / 1170)
    watched = watched_share(seen, method="monitor", start="2012-01-01")  # day 730
    assert watched.values[0] == pytest.approx([(1170 - 730) / 1170] * 3)


def test_series_too_short_for_its_method_is_known_as_such():
    days = np.arange(np.datetime64("2018-01-01"), np.datetime64("2021-01-01"), 10)
    layers = xr.Dataset({"watched_share": (("y", "x"), [[0.6, 0.3]])})
    assert is_short(layers, days, method="ccdc", start="") and is_short(
        layers, days, method="monitor", start="2020-01-01"
    )
    layers = layers + 0.1
    assert not is_short(layers, days, method="ccdc", start="")
    assert not is_short(layers, days, method="monitor", start="2021-01-01")
    assert is_short(layers * [0, 0], days, method="monitor", start="2021-01-01")  # nothing has a model
