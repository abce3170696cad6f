"""Assessment of a map by its reference samples: classes, parts of the country, designs told by tables."""

import re

import numpy as np
import pandas as pd
import pytest
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification.accuracy.assessment import assess_map, estimate_accuracy, estimate_by_part, sample_of_table
from ceiba.classification.accuracy.estimators import probability_sample
from ceiba.classification.figures import corrected_area_table
from ceiba.errors import InputError
from ceiba.legends import load_legend

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=20)
LEGEND = load_legend("mato_grosso")


def points(rng, count):
    rows, columns = rng.integers(0, 50, count), rng.integers(0, 50, count)
    x, y = GEOBOX.affine * (columns + 0.5, rows + 0.5)
    longitude, latitude = GEOBOX.crs.transformer_to_crs("EPSG:4326")(x, y)
    return rows, columns, pd.DataFrame({"longitude": longitude, "latitude": latitude, "year": 2019})


def test_a_map_is_assessed_by_its_own_points_and_its_interval_covers_the_truth():
    rng = np.random.default_rng(4)
    truth = rng.choice([1, 2], size=GEOBOX.shape, p=[0.3, 0.7]).astype("uint8")
    codes = np.where(rng.random(GEOBOX.shape) < 0.2, 3 - truth, truth).astype("uint8")
    land_cover = wrap_xr(codes, GEOBOX)
    right = (codes == truth).mean()
    inside = 0
    for _ in range(30):
        rows, columns, table = points(rng, 120)
        found = assess_map(table.assign(code=truth[rows, columns]), land_cover, LEGEND, 2019)
        inside += found.overall.lower <= right <= found.overall.upper
    assert inside >= 26
    assert found.classes["area_ha"].sum() == pytest.approx(100, rel=0.05)
    assert found.samples == 120


def test_too_few_samples_on_the_map_tell_nothing():
    rows, columns, table = points(np.random.default_rng(5), 40)
    land_cover = wrap_xr(np.ones(GEOBOX.shape, dtype="uint8"), GEOBOX)
    assert assess_map(table.assign(code=1), land_cover, LEGEND, 2018) is None
    assert assess_map(table.assign(code=1, longitude=0.0), land_cover, LEGEND, 2019) is None
    assert assess_map(table.assign(code=1), land_cover, LEGEND, 2019).overall.value == 1


def test_a_class_that_only_map_or_only_reference_has_is_legal():
    """Hand-worked: strata of 100 ha a sample; 1 is mapped and never found, 3 found and never mapped."""
    mapped, reference = np.array([1, 1, 2, 2, 2, 2]), np.array([3, 3, 2, 2, 2, 3])
    sample = probability_sample(mapped.tolist(), {1: 20, 2: 40}, stratum_areas={1: 200.0, 2: 400.0})
    rows = estimate_accuracy(mapped, reference, sample, codes=[1, 2, 3, 7]).classes.set_index("code")
    assert rows["area_ha"].to_dict() == pytest.approx({1: 0, 2: 300, 3: 300, 7: 0})
    assert rows.loc[1, "users_accuracy"] == 0
    assert np.isnan(rows.loc[1, "producers_accuracy"])
    assert rows.loc[1, "f1"] == 0
    assert rows.loc[3, "producers_accuracy"] == 0
    assert np.isnan(rows.loc[3, "users_accuracy"])
    assert rows.loc[7, ["users_accuracy", "producers_accuracy", "f1"]].isna().all()
    assert rows.loc[7, "area_upper_ha"] > 0
    with pytest.raises(InputError, match=r"\[3\], which are not among \[1, 2\]"):
        estimate_accuracy(mapped, reference, sample, codes=[1, 2])


def test_parts_of_the_country_sum_to_the_whole_and_cover_their_truth():
    """Domains of one sample: a known population of 40,000 pixels, two states; areas of the states add up exactly."""
    rng = np.random.default_rng(8)
    truth = rng.choice([1, 2], size=40_000, p=[0.2, 0.8])
    mapped = np.where(rng.random(40_000) < 0.1, 3 - truth, truth)
    state = np.where(np.arange(40_000) < 12_000, "north", "south")
    wanted = ((truth == 1) & (state == "north")).sum()
    sizes = {code: int((mapped == code).sum()) for code in (1, 2)}
    inside = 0
    for _ in range(30):
        drawn = np.concatenate([rng.choice(np.flatnonzero(mapped == code), 150, replace=False) for code in (1, 2)])
        sample = probability_sample(mapped[drawn].tolist(), sizes)
        found = estimate_by_part(mapped[drawn], truth[drawn], sample, state[drawn])
        whole = estimate_accuracy(mapped[drawn], truth[drawn], sample).classes["area_ha"]
        assert sum(part.classes["area_ha"] for part in found.values()).tolist() == pytest.approx(whole.tolist())
        row = found["north"].classes.iloc[0]
        inside += row["area_lower_ha"] <= wanted <= row["area_upper_ha"]
    assert inside / 30 >= 0.85
    known = estimate_by_part(
        mapped[drawn], truth[drawn], sample, state[drawn], part_areas_ha={"north": 12_000, "south": 28_000}
    )
    assert known["north"].classes["area_ha"].sum() == pytest.approx(12_000)
    assert known["north"].classes["share"].sum() == pytest.approx(1)
    with pytest.raises(InputError, match="no area is known of south"):
        estimate_by_part(mapped[drawn], truth[drawn], sample, state[drawn], part_areas_ha={"north": 12_000})


def test_a_table_tells_its_design():
    table = pd.DataFrame({"stratum": ["a", "a", "b"], "stratum_pixels": [9, 9, 1], "stratum_ha": [90.0, 90.0, 30.0]})
    found = sample_of_table(table.assign(pixel_ha=[9.0, 11.0, 30.0]))
    assert found.areas.tolist() == pytest.approx([40.5, 49.5, 30])
    assert found.total_area == 120
    with pytest.raises(InputError, match="lacks the column stratum_pixels"):
        sample_of_table(table.drop(columns="stratum_pixels"))
    with pytest.raises(InputError, match="stratum_pixels is missing or not positive"):
        sample_of_table(table.assign(stratum_pixels=[9, np.nan, 1]))
    with pytest.raises(InputError, match=r"stratum_ha differs within strata \['a'\]"):
        sample_of_table(table.assign(stratum_ha=[90.0, 91.0, 30.0]))


def test_a_table_promises_no_certainty_where_all_of_few_samples_are_right():
    """Four forest points all right: the half-width of the papers is 0, yet true accuracies down to about a half give as many often."""
    codes = np.array([1] * 4 + [2] * 36)
    found = estimate_accuracy(codes, np.where(np.arange(40) == 39, 1, codes), probability_sample(["all"] * 40, {"all": 1e6}))
    mapped = pd.DataFrame({"code": [1, 2], "area_ha": [10.0, 90.0]})
    table = corrected_area_table(found, mapped, LEGEND)
    users = table["Exactitud del usuario | User's accuracy"]
    assert re.fullmatch(r"100% \((3|4|5|6)\d% - 100%\)", users[0]) and re.fullmatch(r"97% \(8\d% - (99|100)%\)", users[1])
