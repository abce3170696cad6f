"""A design and its estimates as people see them."""

import numpy as np
import pandas as pd
import pytest
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification import figures
from ceiba.classification.accuracy import areas, assessment, design_tables, designs, responses
from ceiba.errors import InputError
from ceiba.legends import load_legend

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=20)
LEGEND = load_legend("mato_grosso")


def test_a_plan_names_its_strata_and_draws_what_it_says():
    strata = pd.DataFrame(
        {
            "stratum": [1, 2 + 256, 2 + designs.BUFFER],
            "pixels": [9_000, 900, 100],
            "area_ha": [360.0, 36.0, 4.0],
        }
    )
    plan = design_tables.plan_sample(strata, 120, allocation="olofsson", fewest=20, expected_accuracy=0.5)
    assert plan["samples"].sum() == 120
    assert plan["samples"].iloc[2] == 20
    rule = design_tables.plan_sample(strata, 0, allocation="conabio", fewest=5, expected_accuracy=0.5)
    # 67.24 / (1 + 66.24 / pixels): 66.7, 62.6 and 40.4, rounded up.
    assert rule["samples"].tolist() == [67, 63, 41]
    table = design_tables.plan_table(plan, LEGEND, ["Municipio Centro"])
    assert "Municipio Centro" in table.iloc[1, 0]
    assert table.iloc[2, 0].endswith("buffer")
    # By hand: 0.9^2 x 0.25 / n1 + 0.09^2 x 0.25 / n2 + 0.01^2 x 0.25 / 20.
    n1, n2, n3 = plan["samples"]
    wanted = 1.959964 * np.sqrt(0.25 * (0.81 / n1 + 0.0081 / n2 + 0.0001 / n3))
    assert design_tables.expected_half_width(plan, 0.5) == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(InputError, match="no allocation 'best'; there are conabio, equal"):
        design_tables.plan_sample(strata, 120, allocation="best", fewest=20, expected_accuracy=0.5)


def test_from_design_to_areas_of_regions():
    """Truth known pixel by pixel: answers to a drawn design give areas of both halves that cover it and sum to it."""
    rng = np.random.default_rng(9)
    truth = rng.choice([1, 2], size=GEOBOX.shape, p=[0.3, 0.7]).astype("uint8")
    cover = wrap_xr(np.where(rng.random(GEOBOX.shape) < 0.15, 3 - truth, truth).astype("uint8"), GEOBOX)
    strata = designs.count_strata(designs.read_strips(cover))
    sample = designs.draw_sample(designs.read_strips(cover), strata, {1: 150, 2: 150}, seed=3)
    row = ((GEOBOX.boundingbox.top - sample["y"]) // 20).astype(int)
    column = ((sample["x"] - GEOBOX.boundingbox.left) // 20).astype(int)
    answers = pd.DataFrame(
        {
            "sample_id": sample["sample_id"],
            "year": 2019,
            "interpreter": "ana",
            "label_1": truth[row, column],
        }
    )
    table = responses.prepare_reference(answers, LEGEND, design=sample)
    zones = np.ones(GEOBOX.shape, dtype="int32")
    zones[:, 20:] = 2
    found = assessment.assess_regions(table, cover, LEGEND, 2019, zones, ["west", "east", "nowhere"])
    assert list(found) == ["west", "east"]
    for name, part in (("west", truth[:, :20]), ("east", truth[:, 20:])):
        first = found[name].classes.iloc[0]
        assert first["area_lower_ha"] <= (part == 1).sum() * 0.04 <= first["area_upper_ha"]
        assert found[name].classes["area_ha"].sum() == pytest.approx(found[name].total_ha)
    whole = assessment.assess_map(table, cover, LEGEND, 2019)
    assert whole.overall.lower <= (cover.values == truth).mean() <= whole.overall.upper
    shown = design_tables.region_accuracy_table(found, LEGEND)
    assert len(shown) == 4
    told = shown.iloc[:, -1].tolist()  # once a region
    assert told[0].startswith(f"{found['west'].overall.value:.0%} (") and told[1] == told[3] == ""
    stored = design_tables.estimates_table({"": whole} | found)
    assert stored["region"].tolist() == ["", "", "west", "west", "east", "east"]
    any_label = responses.prepare_reference(
        answers.assign(label_2=(3 - truth)[row, column]), LEGEND, design=sample, rule="any"
    )
    assert assessment.assess_map(any_label, cover, LEGEND, 2019).overall.value == 1
    with pytest.raises(InputError, match="1 samples are not in the design; the first is s999999"):
        lost = answers.assign(sample_id=["s999999", *answers["sample_id"][1:]], code=1).drop(columns="label_1")
        responses.prepare_reference(lost, LEGEND, design=sample)
    with pytest.raises(InputError, match="the rule 'any'"):
        responses.prepare_reference(answers, LEGEND, rule="any")
    with pytest.raises(InputError, match="the design has 300 samples twice; the first is s000001"):
        responses.prepare_reference(answers, LEGEND, design=pd.concat([sample, sample]))
    codes = answers.rename(columns={"label_1": "code"}).drop(columns="interpreter")
    with pytest.raises(InputError, match="2 samples have two labels of a year; the first is s000001"):
        responses.prepare_reference(pd.concat([codes, codes[:2]]), LEGEND, design=sample)
    # A label of another year stays one of that year, whatever year the design is of.
    older = responses.prepare_reference(codes.assign(year=2001), LEGEND, design=sample.assign(year=2019))
    assert assessment.assess_map(older, cover, LEGEND, 2019) is None


def test_a_stratum_that_nobody_read_is_named_and_left_out():
    """Three strata of 100 ha in all; the third, mapped as 3, has no answers: areas are those of the other two."""
    codes = np.ones(GEOBOX.shape, dtype="uint8")
    codes[:, 25:45], codes[:, 45:] = 2, 3
    cover = wrap_xr(codes, GEOBOX)
    strata = designs.count_strata(designs.read_strips(cover))
    sample = designs.draw_sample(designs.read_strips(cover), strata, {1: 40, 2: 40, 3: 5}, seed=1)
    answers = sample[["sample_id"]].assign(year=2019, interpreter="ana", label_1=sample["map_code"].astype("float64"))
    answers.loc[sample["map_code"] == 3, ["label_1", "interpreter"]] = [np.nan, ""]
    table = responses.prepare_reference(answers, LEGEND, design=sample)
    found = assessment.assess_map(table, cover, LEGEND, 2019, design=sample)
    assert found.unsampled == ("3",)
    assert found.coverage == pytest.approx(0.9)
    assert found.classes["area_ha"].sum() == pytest.approx(0.9 * strata["area_ha"].sum())
    words = design_tables.describe_design(table, found, LEGEND, sample)
    assert "80 / 85" in words and "3 Soya" in words and "90.0%" in words
    shown = figures.corrected_area_table(found, areas.class_areas(cover, LEGEND), LEGEND)
    assert shown.iloc[2, 1] == 0 and shown.iloc[2, 3] == "-"
    # All 40 right is not certain: Jeffreys' lower limit is 0.9396.
    assert shown.iloc[0, 4].startswith("100% (94%")
    # An older sample with strata of its own is not of this design, whatever its points are called.
    other = table.assign(stratum="all", stratum_pixels=2_500, stratum_ha=100.0)
    whole = assessment.assess_map(other, cover, LEGEND, 2019, design=sample)
    assert (whole.unsampled, whole.coverage) == ((), 1)
    assert whole.classes["area_ha"].sum() == pytest.approx(strata["area_ha"].sum())
    assert "/" not in design_tables.describe_design(other, whole, LEGEND, sample)
    random = responses.prepare_reference(answers.join(sample[["longitude", "latitude"]]), LEGEND)
    assert "Without a design" in design_tables.describe_design(random, found, LEGEND, None)


def test_designs_without_samples_in_a_stratum_are_refused():
    strata = pd.DataFrame({"stratum": [1, 2], "pixels": [9_000, 10], "area_ha": [360.0, 0.4]})
    options = {"expected_accuracy": 0.75}
    with pytest.raises(InputError, match="strata 2 would get fewer than 2 samples.*it is 0"):
        design_tables.plan_sample(strata, 50, allocation="proportional", fewest=0, **options)
    with pytest.raises(InputError, match="strata 1, 2 would get fewer than 2"):
        design_tables.plan_sample(strata, 0, allocation="equal", fewest=0, **options)
