"""Crop surface, crop seasons, greenhouses and parcels: hand-worked values, other libraries, known truth."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from shapely.geometry import box

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.agriculture.crop_surface import estimate_crop_surface
from ceiba.classification.agriculture.frames import build_frame, draw_segments
from ceiba.classification.agriculture.greenhouses import (
    choose_threshold,
    local_deviation,
    map_candidates,
    plastic_index,
)
from ceiba.classification.agriculture.monitoring import monthly_means, season_against_years, season_of_months
from ceiba.classification.agriculture.parcels import check_parcels
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend

LEGEND = load_legend("mexico_8")


def grid(shape, resolution_m=10):
    return GeoBox.from_bbox((4e6, 1.2e6 - shape[0] * resolution_m, 4e6 + shape[1] * resolution_m, 1.2e6), "EPSG:6372", shape=shape)


def fields(seed=0, shape=(300, 400)):
    """True crops in blocks, and a map with errors that takes a fifth too much."""
    random = np.random.default_rng(seed)
    chance = np.repeat(np.repeat(random.random((15, 20)) ** 2, 20, 0), 20, 1)
    truth = np.repeat(np.repeat(random.random((60, 80)), 5, 0), 5, 1) < chance
    mapped = np.where(random.random(shape) < 0.12, random.random(shape) < 0.6, truth)
    return truth, wrap_xr(mapped.astype("float32"), grid(shape))


# ---- crop surface ----


def test_frame_holds_all_land_once_and_deals_strata():
    truth, mapped = fields()
    mapped[:30, :40] = np.nan
    frame = build_frame(mapped, side_px=20)
    assert len(frame.segments) == 15 * 20 - 2  # one and a half by two segments have no data: two whole ones
    area = pixel_areas(mapped.odc.geobox).values
    assert frame.segments["area_ha"].sum() == pytest.approx(area[np.isfinite(mapped.values)].sum())
    assert frame.segments["mapped_ha"].sum() == pytest.approx(np.nansum(area * mapped.values))
    assert (frame.segments.groupby("stratum")["share"].max().diff().dropna() > 0).all()
    drawn = draw_segments(frame, 40, seed=3)
    assert len(drawn) == 40 and drawn["segment"].is_unique
    assert drawn.equals(draw_segments(frame, 40, seed=3)) and not drawn.equals(draw_segments(frame, 40, seed=4))
    assert (drawn.groupby("stratum").size() >= frame.sizes.clip(upper=3)).all()
    for number, settings, message in ((2, {}, "allowed are"), (40, {"side_px": 0}, "at least 1"), (40, {"limits": (0.5, 0.2)}, "ascend")):
        with pytest.raises(InputError, match=message):
            draw_segments(build_frame(mapped, **{"side_px": 20} | settings), number, seed=0)


def test_regression_estimator_by_hand():
    """Four visited of ten segments: slope 2, means 2 and 5, all segments mapped at 3 on average.

    10 * (5 + 2 * (3 - 2)) = 70; residuals 0 but for the second and third, +-0.5.
    """
    segments = pd.DataFrame({"stratum": 0, "mapped_ha": [1, 2, 2, 3, 3, 3, 4, 4, 4, 4.0]})
    visited = pd.DataFrame({"stratum": 0, "mapped_ha": [1, 2, 2, 3.0], "found_ha": [3, 5.5, 4.5, 7.0]})
    found = estimate_crop_surface(segments, visited)
    assert found.slopes == {0: pytest.approx(2)} and found.area_ha == pytest.approx(70)
    assert found.expansion_ha == pytest.approx(50) and found.mapped_ha == pytest.approx(30)
    # 100 * (1 - 0.4) / 4 * 0.5 / 3, times Student's t of two degrees of freedom squared (4.302653)
    assert found.half_width_ha == pytest.approx(4.302653 * np.sqrt(100 * 0.6 / 4 * 0.5 / 3), rel=1e-5)
    separate = estimate_crop_surface(segments, visited, method="separate")
    assert separate.area_ha == pytest.approx(70)
    assert separate.half_width_ha == pytest.approx(4.302653 * np.sqrt(100 * 0.6 / 4 * 0.5 / 2), rel=1e-5)


def test_one_stratum_equals_a_prediction_of_least_squares():
    random = np.random.default_rng(1)
    segments = pd.DataFrame({"stratum": 0, "mapped_ha": random.random(200) * 20})
    visited = segments.iloc[:30].assign(found_ha=lambda t: 1.3 * t["mapped_ha"] + random.normal(size=30) + 2)
    fit = sm.OLS(visited["found_ha"], sm.add_constant(visited["mapped_ha"])).fit()
    expected = 200 * fit.predict([[1, segments["mapped_ha"].mean()]])[0]
    assert estimate_crop_surface(segments, visited, method="separate").area_ha == pytest.approx(expected)


@pytest.mark.parametrize("method", ["combined", "separate"])
def test_intervals_hold_the_true_crop_surface(method):
    truth, mapped = fields()
    frame = build_frame(mapped, side_px=20)
    real = build_frame(mapped.copy(data=truth.astype("float32")), side_px=20).segments["mapped_ha"]
    total, held, narrower, errors = real.sum(), [], [], []
    for seed in range(80):
        visited = draw_segments(frame, 60, seed=seed)
        visited["found_ha"] = real.to_numpy()[visited["segment"]]
        found = estimate_crop_surface(frame.segments, visited, method=method)
        held.append(abs(found.area_ha - total) <= found.half_width_ha)
        errors.append(found.area_ha - total)
        narrower.append(found.efficiency)
    assert 0.87 <= np.mean(held) <= 0.99
    # The map takes too much by far more than the estimator errs on average.
    assert abs(np.mean(errors)) < 0.02 * total < abs(frame.segments["mapped_ha"].sum() - total)
    assert np.median(narrower) > 1.5


def test_field_tables_that_cannot_tell_are_refused():
    segments = pd.DataFrame({"stratum": [0] * 5 + [1] * 5, "mapped_ha": np.arange(10.0)})
    visited = pd.DataFrame({"stratum": [0, 0, 1], "mapped_ha": [1.0, 2, 6], "found_ha": [1.0, 2, 6]})
    for table, message in (
        (visited, r"strata \[1\] have fewer than two"),
        (visited[visited["stratum"] == 0], r"not visited: \[1\]"),
        (visited.drop(columns="found_ha"), "lacks columns found_ha"),
        (visited.assign(found_ha=[1, np.nan, 2]), "first is row 1"),
        (visited.assign(found_ha=[1, -1, 2]), "negative"),
    ):
        with pytest.raises(InputError, match=message):
            estimate_crop_surface(segments, table)


# ---- seasons ----


def test_a_season_beside_earlier_ones_by_hand():
    """Earlier 0.4, 0.5, 0.6: mean 0.5, deviation 0.1; 0.3 is 2 deviations below and the lowest of all: condition 0."""
    values = [[0.4, 0.4], [0.5, np.nan], [0.6, np.nan], [0.3, 0.5]]
    index = xr.DataArray(values, dims=("year", "x"), coords={"year": [2016, 2017, 2018, 2019]})
    found = season_against_years(index, 2019)
    first = {name: float(found[name][0]) for name in found}
    assert (first["lowest"], first["mean"], first["highest"]) == pytest.approx((0.4, 0.5, 0.6))
    assert (first["difference"], first["z_score"], first["condition"], first["years"]) == pytest.approx((-0.2, -2, 0, 3))
    assert np.isnan(found["z_score"][1]) and float(found["condition"][1]) == pytest.approx(100)
    # Within 0.4 and 0.6 a value of 0.45 has a condition of a quarter.
    middle = season_against_years(index.copy(data=np.where(index == 0.3, 0.45, index)), 2019)
    assert float(middle["condition"][0]) == pytest.approx(25)
    with pytest.raises(InputError, match="at least one earlier year"):
        season_against_years(index, 2016)


def test_a_season_is_not_judged_by_months_that_only_other_years_have():
    """June is as ever, July unseen: no difference. The mean of the earlier season is 0.5, and 0.2 would be 0.3 below it."""
    values = [[[0.2, 0.4], [0.8, 0.6]], [[0.2, 0.5], [np.nan, 0.9]]]
    index = xr.DataArray(values, dims=("year", "month", "x"), coords={"year": [2019, 2020], "month": [6, 7]})
    found = season_of_months(index, 2020, 6, 7)
    # The second pixel: 0.1 and 0.3 above the one earlier year, both months the highest of all.
    assert found["difference"].values == pytest.approx([0, 0.2]) and found["mean"].values == pytest.approx([0.2, 0.5])
    assert found["years"].values.tolist() == [1, 1] and float(found["condition"][1]) == pytest.approx(100)
    assert float(season_of_months(index, 2020, 6, 6)["difference"][1]) == pytest.approx(0.1)


def test_monthly_means_equal_those_of_pandas():
    random = np.random.default_rng(0)
    times = pd.date_range("2018-01-05", "2019-12-20", freq="9D")
    values = np.where(random.random((len(times), 3)) < 0.2, np.nan, random.random((len(times), 3)))
    found = monthly_means(xr.DataArray(values, dims=("time", "x"), coords={"time": times}))
    expected = pd.DataFrame(values, index=times).groupby([times.year, times.month]).mean()
    for year, month in expected.index:
        assert found.sel(year=year, month=month).values == pytest.approx(expected.loc[(year, month)].to_numpy(), rel=1e-5, nan_ok=True)


# ---- greenhouses ----


def test_plastic_index_by_hand():
    """100 * 0.25 / (1 - (0.25 + 0.27 + 0.38) / 3) = 35.714; a leaf of 0.03, 0.06, 0.45 has 3.659."""
    plastic = plastic_index(*(xr.DataArray([each]) for each in (0.25, 0.27, 0.38)))
    leaf = plastic_index(*(xr.DataArray([each]) for each in (0.03, 0.06, 0.45)))
    assert float(plastic[0]) == pytest.approx(35.714, abs=1e-3) and float(leaf[0]) == pytest.approx(3.659, abs=1e-3)
    assert np.isnan(plastic_index(*(xr.DataArray([each]) for each in (1.0, 1.0, 1.0))))


def test_texture_equals_the_deviation_of_the_window():
    values = np.random.default_rng(0).random((12, 14))
    values[3, 3] = np.nan
    found = local_deviation(xr.DataArray(values, dims=("y", "x")), window_px=5).values
    assert found[6, 7] == pytest.approx(values[4:9, 5:10].std()) and found[0, 0] == pytest.approx(values[:3, :3].std())
    assert found[5, 5] == pytest.approx(np.nanstd(values[3:8, 3:8])) and np.isnan(found[3, 3])
    with pytest.raises(InputError, match="odd number"):
        local_deviation(xr.DataArray(values, dims=("y", "x")), window_px=4)


def test_planted_greenhouses_are_found_and_small_ones_and_towns_are_not():
    random, shape = np.random.default_rng(1), (80, 90)
    ground = {"blue": 0.05, "green": 0.08, "red": 0.09, "nir": 0.28}
    plastic = {"blue": 0.24, "green": 0.26, "red": 0.27, "nir": 0.36}
    planted, town = np.zeros(shape, bool), np.zeros(shape, bool)
    planted[10:22, 10:30] = planted[50:58, 60:70] = True
    town[30:45, 5:25] = True
    lone = np.zeros(shape, bool)
    lone[70:72, 5:7] = True
    bands = {}
    for name in ground:
        values = np.where(planted | lone, plastic[name], ground[name]) + random.normal(scale=0.008, size=shape)
        roofs = np.where(random.random(shape) < 0.5, plastic[name], 0.07)
        bands[name] = np.where(town, roofs, values)
    bands = xr.Dataset({name: wrap_xr(values.astype("float32"), grid(shape)) for name, values in bands.items()})
    index = plastic_index(bands["blue"], bands["green"], bands["nir"]).values
    threshold, accuracy = choose_threshold(index[~town], (planted | lone)[~town])
    assert 10 < threshold < 30 and accuracy == pytest.approx(1)
    found = map_candidates(bands, least_index=threshold, largest_ndvi=0.4, largest_texture=0.06, window_px=3, minimum_ha=0.1)
    mapped = found["candidate"].values == 2
    inside = mapped[planted].mean()
    assert inside > 0.6 and not mapped[lone].any() and mapped[town].mean() < 0.1 and not mapped[~planted & ~town].any()
    nowhere = map_candidates(
        bands, least_index=threshold, largest_ndvi=0.4, largest_texture=0.06, cropland=bands["blue"] < 0
    )
    assert not (nowhere["candidate"].values == 2).any()
    with pytest.raises(InputError, match="needs both kinds"):
        choose_threshold(index.ravel(), np.ones(index.size, bool))


# ---- parcels ----


def parcel_map():
    """Left half cropland for sure, right half forest, a doubtful strip between."""
    share = np.zeros((2, 40, 60), "float32")
    share[0, :, :30], share[0, :, 30:40], share[0, :, 40:] = 0.9, 0.5, 0.05
    share[1] = 1 - share[0]
    share[:, 30:, :10] = np.nan
    codes = [LEGEND.code("Croplands"), LEGEND.code("Temperate forest")]
    return xr.concat([wrap_xr(each, grid((40, 60))) for each in share], xr.IndexVariable("class", codes))


def parcels(rows):
    left, top = 4e6, 1.2e6
    shapes = [box(left + 10 * a, top - 10 * d, left + 10 * b, top - 10 * c) for _, _, (a, b, c, d) in rows]
    return gpd.GeoDataFrame({"parcel": [r[0] for r in rows], "registered": [r[1] for r in rows]}, geometry=shapes, crs="EPSG:6372")


def test_parcels_are_confirmed_doubted_or_contradicted():
    register = parcels(
        [
            ("p1", "Croplands", (2, 12, 2, 12)), ("p2", "Croplands", (31, 39, 2, 12)), ("p3", "Croplands", (42, 52, 2, 12)),
            ("p4", "Bosque Templado", (42, 52, 2, 12)), ("p5", "Croplands", (0, 8, 32, 39)), ("p6", "Croplands", (200, 210, 0, 9)),
        ]
    )  # fmt: skip
    found = check_parcels(register, parcel_map(), LEGEND).set_index("parcel")
    assert found["verdict"].to_dict() == {
        "p1": "confirmed", "p2": "doubtful", "p3": "other", "p4": "confirmed", "p5": "unseen", "p6": "unseen",
    }  # fmt: skip
    assert found.loc["p3", "likely_code"] == LEGEND.code("Temperate forest")
    assert found.loc["p3", "likely_probability"] == pytest.approx(0.95) and found.loc["p1", "pixels"] == 100
    assert found.loc["p3", "registered_probability"] == pytest.approx(0.05)
    # Reprojected parcels are the same; narrowed by a pixel they lose their edge.
    elsewhere = check_parcels(register.to_crs(4326), parcel_map(), LEGEND).set_index("parcel")
    assert elsewhere["verdict"].equals(found["verdict"])
    assert check_parcels(register, parcel_map(), LEGEND, edge_m=10).set_index("parcel").loc["p1", "pixels"] == 64


def test_registers_that_cannot_be_checked_are_refused():
    good = parcels([("p1", "Croplands", (2, 12, 2, 12))])
    for register, settings, error, message in (
        (good.drop(columns="registered"), {}, InputError, "lacks columns registered"),
        (good.set_crs(None, allow_override=True), {}, InputError, "no coordinate reference system"),
        (pd.concat([good, good]), {}, InputError, "stand twice in the register: p1"),
        (good.assign(registered="Ricefield"), {}, LegendError, "'Ricefield'"),
        (good, {"other_below": 0.8}, InputError, "must lie below"),
    ):
        with pytest.raises(error, match=message):
            check_parcels(register, parcel_map(), LEGEND, **settings)
