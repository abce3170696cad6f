import numpy as np
import pandas as pd
import pytest
import xarray as xr
from nrt.monitor.mosum import MoSum
from nrt.utils_efp import _mosum_ols_test_crit
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.regression.recursive_ls import RecursiveLS
from statsmodels.stats.sandwich_covariance import S_hac_simple

from ceiba.change.breaks import monitoring
from ceiba.change.breaks.monitoring import CRITICAL_VALUES, monitor_series, monitoring_design
from ceiba.errors import InputError
from ceiba.simulation.break_series import KINDS, simulate_breaks

START = "2010-01-01"


def draw(seed, *, pixels=(3, 4), drop=0.0, unstable=0.0):
    """An index with a season every 16 days, 2005 to 2012, a drop in mid-2011 and another mean before 2007."""
    random = np.random.default_rng(seed)
    times = pd.date_range("2005-01-01", "2012-12-31", freq="16D")
    season = 0.6 + 0.15 * np.cos(2 * np.pi * times.dayofyear.to_numpy() / 365.25)
    values = season[:, None, None] + random.normal(scale=0.04, size=(len(times), *pixels))
    values[times >= "2011-06-01"] -= drop
    values[times < "2007-01-01"] -= unstable
    values[random.random(values.shape) < 0.4] = np.nan
    return xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times, "y": range(pixels[0]), "x": range(pixels[1])}
    )


def nrt_alerts(values, harmonics):
    history = values.sel(time=slice(None, "2009-12-31"))
    monitor = MoSum(trend=True, harmonic_order=harmonics, sensitivity=0.05, h=0.25)
    monitor.fit(history, method="OLS")
    for time in values.time.values[values.time.values >= np.datetime64(START)]:
        monitor.monitor(values.sel(time=time).values, pd.Timestamp(time).to_pydatetime())
    return monitor.detection_date


@pytest.mark.parametrize("drop", [0.0, 0.1, 0.3])
def test_alerts_are_those_of_nrt(drop):
    values = draw(7, drop=drop)
    found = monitor_series(values, start=START, harmonics=2, trend=True, stable_history=False, independent=True)
    theirs = nrt_alerts(values, 2)
    own = np.where(found.alert_day > 0, found.alert_day, 0)
    # nrt counts the day in the calendar year, we in years of 365.2425 days: a few alerts move by a date
    assert (own > 0).mean() == pytest.approx((theirs > 0).mean(), abs=0.1)
    both = (own > 0) & (theirs > 0)
    assert np.median(abs(own - theirs.astype(int))[both]) == 0 if both.any() else drop == 0.0
    if drop == 0.3:
        assert both.all()


def literal_alert(days, values, first_day, harmonics, critical):
    """bfastmonitor word for word: least squares by numpy, and a loop over the moving sums."""
    years = days / 365.2425
    columns = [np.ones_like(years), years - 40]
    columns += [f(2 * np.pi * k * years) for k in range(1, harmonics + 1) for f in (np.cos, np.sin)]
    design, seen = np.stack(columns, axis=1), np.isfinite(values)
    days, design, values = days[seen], design[seen], values[seen]
    size = int((days < first_day).sum())
    beta = np.linalg.lstsq(design[:size], values[:size], rcond=None)[0]
    residuals = values - design @ beta
    sigma = np.sqrt((residuals[:size] ** 2).sum() / (size - design.shape[1]))
    length = int(0.25 * size)
    ratios = []
    for last in range(size, len(values)):
        moving = residuals[last - length + 1 : last + 1].sum() / (sigma * np.sqrt(size))
        time = (last + 1) / size
        ratios.append(abs(moving) / (critical * np.sqrt(2 * (1 if time <= np.e else np.log(time)))))
    crossed = np.flatnonzero(np.array(ratios) > 1)
    day = days[size + crossed[0]] if len(crossed) else None
    return day, max(ratios), np.median(residuals[size:])


def test_alerts_are_those_of_a_literal_implementation():
    values = draw(8, drop=0.08)
    found = monitor_series(values, start=START, trend=True, stable_history=False, independent=True)
    days = values.time.values.astype("datetime64[D]").astype(int)
    first_day = int(np.datetime64(START, "D").astype(int))
    for y, x in np.ndindex(3, 4):
        day, ratio, magnitude = literal_alert(days, values.values[:, y, x], first_day, 3, 1.3418)
        own = int(found.alert_day[y, x])
        assert (own if own > 0 else None) == day
        assert float(found.crossing[y, x]) == pytest.approx(ratio, rel=1e-5)
        assert float(found.magnitude[y, x]) == pytest.approx(magnitude, rel=1e-4)


def test_critical_values_are_those_of_strucchange():
    for window, levels in CRITICAL_VALUES.items():
        for level, value in levels.items():
            assert value == pytest.approx(
                _mosum_ols_test_crit(level, h=1 if window == 1 else window, period=10), abs=1e-4
            )


@pytest.mark.parametrize(("level", "published"), [(0.10, 0.850), (0.05, 0.948), (0.01, 1.143)])
def test_critical_values_of_recursive_residuals(level, published):
    # Brown, Durbin and Evans 1975, section 2.3
    assert monitoring._rec_cusum_critical(level) == pytest.approx(published, abs=1e-3)


def test_recursive_residuals_are_those_of_statsmodels():
    values = draw(10, unstable=0.2, pixels=(1, 1)).sel(time=slice(None, "2009-12-31"))
    days = values.time.values.astype("datetime64[D]").astype(int)
    design = monitoring_design(days, harmonics=1, trend=False)
    series = values.values[:, 0, 0]
    rows = np.flatnonzero(np.isfinite(series))
    backward = RecursiveLS(series[rows][::-1], design[rows][::-1]).fit().resid_recursive[3:]
    walk = np.cumsum(backward) / (backward.std(ddof=1) * np.sqrt(len(backward)))
    limit = 0.9479 * (1 + 2 * np.arange(1, len(backward) + 1) / len(backward))
    crossed = np.flatnonzero(abs(walk) > limit)
    expected = len(rows) - 3 - crossed[0] if len(crossed) else 0
    assert expected > 0
    assert days[rows[expected]] > int(np.datetime64("2006-01-01", "D").astype(int))
    assert monitoring.stable_start(design, rows, series[rows], len(rows), 0.9479) == expected


def test_false_alerts_are_as_rare_as_asked():
    random = np.random.default_rng(1)
    times = pd.date_range("2005-01-01", "2014-12-31", freq="16D")
    values = xr.DataArray(random.normal(size=(len(times), 2000)), dims=("time", "sample"), coords={"time": times})
    options = {"start": START, "harmonics": 1, "stable_history": False}
    alerts = float((monitor_series(values, **options, independent=True).alert_day > 0).mean())
    assert alerts < 0.06  # the boundary is for ten times the history; twice is less than that
    assert alerts > 0.005
    # a trend is continued, and what it is unsure of is no news
    sloped = [monitor_series(values, **options, trend=True, independent=given) for given in (True, False)]
    published, own = (float((found.alert_day > 0).mean()) for found in sloped)
    assert published > 0.2 and own < 0.06


def test_false_alerts_stay_rare_where_years_differ():
    series = simulate_breaks(samples=480, seed=77)
    light = series.scenes[["red", "nir"]]
    ndvi = (light["nir"] - light["red"]) / (light["nir"] + light["red"])
    unbroken = np.isin(series.kinds, KINDS[:3])
    shares = {}
    for start in ("2008-01-01", "2012-01-01"):  # behind four and eight years
        for given in (True, False):
            found = monitor_series(ndvi, start=start, false_alerts=0.01, independent=given)
            shares[start, given] = float((found.alert_day > 0).values[unbroken].mean())
    assert shares["2008-01-01", False] < 0.08 and shares["2012-01-01", False] < 0.05
    for start in ("2008-01-01", "2012-01-01"):
        assert shares[start, True] > 2 * shares[start, False]


def test_moving_sums_are_measured_as_linear_algebra_statsmodels_and_scipy_do():
    random = np.random.default_rng(12)
    times = pd.date_range("2006-01-01", "2011-12-31", freq="8D")  # even dates, so that lags are gaps
    noise = random.normal(scale=0.04, size=(3, len(times)))
    smooth = np.stack([np.convolve(row, np.ones(8) / 8, "same") for row in noise])
    values = xr.DataArray(
        0.6 + noise + 2 * smooth + np.array([0, 0.02, 0.05])[:, None] * (times >= "2010-06-01"),
        dims=("sample", "time"), coords={"time": times},
    )  # fmt: skip
    found = monitor_series(values, start=START, harmonics=1, trend=True, stable_history=False)
    days = times.values.astype("datetime64[D]").astype(int)
    design = monitoring_design(days, harmonics=1, trend=True)
    size, length = int((times < START).sum()), int((times < START).sum() * 0.25)
    memory = 365.2425 / 2
    for at in range(3):
        series = values.values[at]
        solve = np.linalg.pinv(design[:size])
        residuals = series - design @ (solve @ series[:size])
        lags = int(memory // 8)
        weights = 1 - 8 * np.arange(lags + 1) / memory
        total = S_hac_simple(residuals[:size, None], nlags=lags, weights_func=lambda _, given=weights: given)[0, 0]
        share = memory / (days[size - 1] - days[0])
        variance = total / (1 - share) / (size - 5)
        crossings = []
        for last in range(size, len(series)):
            parts = np.zeros(len(series))
            parts[last - length + 1 : last + 1] = 1
            # the moving sum as a sum over all values of the series: what is predicted comes from the history alone
            parts[:size] -= (parts @ design) @ solve
            moving = parts @ series
            mean = np.zeros(len(series))
            mean[last - length + 1 : last + 1] = 1
            mean[:size] -= length / size
            distance = norm.isf(student.sf(abs(moving) / np.sqrt(variance * (parts**2).sum()), 1.5 / share))
            time = (last + 1) / size
            unit = np.sqrt(2 * size * (1 if time <= np.e else np.log(time)))
            crossings.append(distance * np.sqrt((mean**2).sum()) / unit / 1.3418)
        assert total > (residuals[:size] ** 2).sum()
        assert float(found.crossing[at]) == pytest.approx(max(crossings), rel=0.01)  # Wallace's normal distance


def test_blocks_and_lazy_data_change_nothing():
    values = draw(3, drop=0.2)
    whole = monitor_series(values, start=START)
    blocks = monitor_series(values.chunk(x=2), start=START, block_bytes=8 * values.sizes["time"] * 5)
    xr.testing.assert_identical(whole, blocks)


def test_no_history_is_no_answer():
    values = draw(5)
    values[:, 0, 0] = np.nan
    values[values.time < np.datetime64("2009-02-01"), 0, 1] = np.nan
    found = monitor_series(values, start=START, harmonics=1)
    assert np.isnan(found.crossing.values[0, 1]) and int(found.history_count[0, 1]) > 6  # less than a year
    assert int(found.alert_day[0, 0]) == monitoring.NO_DAY
    assert np.isnan(found.magnitude.values[0, 0])
    assert int(found.history_count[0, 0]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"harmonics": 4}, "1, 2 or 3"), ({"window": 0.3}, "windows of 0.25"), ({"false_alerts": 0.2}, "shares of 0.05")],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        monitor_series(draw(1), start=START, **options)
