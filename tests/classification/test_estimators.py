"""Estimators against published examples, hand-worked values, an independent linearisation and whole populations."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from ceiba.classification.accuracy.areas import estimate_areas
from ceiba.classification.accuracy.assessment import estimate_accuracy
from ceiba.classification.accuracy.estimators import estimate_ratios, probability_sample
from ceiba.classification.accuracy.intervals import ratio_interval, strata_interval
from ceiba.classification.accuracy.validation import wilson_interval
from ceiba.errors import InputError

# The numerical example of Stehman 2014, table 2: 10 samples in each of four strata.
STRATA = "AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDDDDDDDDD"
MAPPED = "AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD"
FOUND = "AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB"
SIZES = {"A": 40_000, "B": 30_000, "C": 20_000, "D": 10_000}


# The same data by the R package mapac (aa_stratified), without the finite-population correction: classes A to D in rows.
MAPAC = {
    "users_accuracy": [0.7419355, 0.5744681, 0.5000000, 0.7000000],
    "users_se": [0.1645627, 0.1248023, 0.2151657, 0.1527525],
    "producers_accuracy": [0.6571429, 0.7941176, 0.3000000, 0.6363636],
    "producers_se": [0.1477318, 0.1165671, 0.1504438, 0.1623242],
    "f1": [0.6969697, 0.6666667, 0.3750000, 0.6666667],
    "share": [0.35, 0.34, 0.20, 0.11],
}
MAPAC_AREA_SE, MAPAC_OVERALL_SE = [0.08225975, 0.07586538, 0.06429101, 0.03073181], 0.08465617


def limits_of(found):
    return [found.lower[0], found.upper[0]]


def linearised_by_hand(y, x, strata, sizes):
    """Stehman 2014, equation 28, term by term: variances and covariance of y and x in each stratum."""
    weights = {name: size / (strata == name).sum() for name, size in sizes.items()}
    top, bottom = (sum(weights[name] * value[strata == name].sum() for name in sizes) for value in (y, x))
    ratio, variance = top / bottom, 0.0
    for name, size in sizes.items():
        count = (strata == name).sum()
        covariance = np.cov(y[strata == name], x[strata == name])
        spread = covariance[0, 0] + ratio**2 * covariance[1, 1] - 2 * ratio * covariance[0, 1]
        variance += size**2 * (1 - count / size) * spread / count
    return ratio, np.sqrt(variance) / bottom


def test_the_numerical_example_of_stehman_2014():
    """User's accuracy of B by hand: (4000 + 21000 + 2000) / (12000 + 27000 + 8000) = 27 / 47; the others alike."""
    strata, mapped, found = (np.array(list(text)) for text in (STRATA, MAPPED, FOUND))
    answer = estimate_accuracy(mapped, found, probability_sample(STRATA, SIZES), interval="normal")
    rows = answer.classes.set_index("code")
    assert answer.overall.value == pytest.approx(0.63)
    assert rows["share"].to_dict() == pytest.approx({"A": 0.35, "B": 0.34, "C": 0.20, "D": 0.11})
    assert rows.loc["B", "users_accuracy"] == pytest.approx(27 / 47)
    assert rows.loc["B", "producers_accuracy"] == pytest.approx(27 / 34)
    assert rows.loc["B", "f1"] == pytest.approx(54 / 81)
    assert answer.matrix.loc["B", "C"] == pytest.approx(0.08)
    assert answer.matrix.to_numpy().sum() == pytest.approx(1)
    errors = [answer.overall.standard_error, answer.matrix_se.loc["B", "C"]]
    errors += rows.loc["B", ["users_se", "producers_se", "f1_se"]].tolist()
    is_b, of_b = (mapped == "B").astype(float), (found == "B").astype(float)
    by_hand = [
        linearised_by_hand(y.astype(float), x, strata, SIZES)[1]
        for y, x in (
            (mapped == found, np.ones(40)),
            ((mapped == "B") & (found == "C"), np.ones(40)),
            (is_b * of_b, is_b),
            (is_b * of_b, of_b),
            (2 * is_b * of_b, is_b + of_b),
        )
    ]
    assert errors == pytest.approx(by_hand)
    # As the article prints them: areas of A and C, overall, user's and producer's accuracy of B.
    printed = [rows.loc["A", "area_se_ha"] / 1e5, rows.loc["C", "area_se_ha"] / 1e5, errors[0], errors[2], errors[3]]
    assert np.round(printed, 3).tolist() == [0.082, 0.064, 0.085, 0.125, 0.117]


def test_equals_the_r_package_mapac_on_the_example_of_stehman_2014():
    """A million times the pixels: the finite-population correction, which the package leaves out, vanishes.

    Its standard errors of F1 (0.110, 0.094, 0.132, 0.113) take user's and producer's accuracy for independent; ours do not.
    """
    strata, mapped, found = (np.array(list(text)) for text in (STRATA, MAPPED, FOUND))
    sample = probability_sample(strata, {name: size * 1e6 for name, size in SIZES.items()})
    answer = estimate_accuracy(mapped, found, sample)
    for name, values in MAPAC.items():
        assert answer.classes[name].to_numpy() == pytest.approx(values, abs=1e-7), name
    assert answer.classes["area_se_ha"].to_numpy() / 1e11 == pytest.approx(MAPAC_AREA_SE, abs=1e-8)
    assert answer.overall.standard_error == pytest.approx(MAPAC_OVERALL_SE, abs=1e-8)
    wanted = [[0.23, 0.04, 0.04, 0], [0.12, 0.27, 0.08, 0], [0, 0.02, 0.06, 0.04], [0, 0.01, 0.02, 0.07]]
    assert answer.matrix.to_numpy() == pytest.approx(np.array(wanted))


def test_equals_olofsson_2014_where_the_strata_are_the_map_classes():
    """Its worked example sample by sample: overall 0.9465 ± 0.0185, producer's half-widths by the paper's equation 7."""
    counts = pd.DataFrame(
        [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]], index=range(4), columns=range(4)
    )
    sizes = {0: 200_000, 1: 150_000, 2: 3_200_000, 3: 6_450_000}
    mapped, found = (
        np.concatenate([np.full(n, value[axis]) for value, n in np.ndenumerate(counts.to_numpy())]) for axis in (0, 1)
    )
    other = estimate_areas(counts, sizes)
    sample = probability_sample(
        mapped.tolist(), sizes, stratum_areas={code: size * 0.09 for code, size in sizes.items()}
    )
    answer = estimate_accuracy(mapped, found, sample, interval="normal")
    assert (answer.overall.value, answer.overall.half_width) == pytest.approx((0.9465, 0.0185), abs=1e-4)
    rows = answer.classes
    assert rows["area_ha"].round(0).tolist() == [21_158, 11_686, 285_770, 581_386]
    for name in ("users_accuracy", "producers_accuracy"):
        assert rows[name].to_numpy() == pytest.approx(other.classes[name].to_numpy())
    # The finite-population correction, which Olofsson leaves out, is 1e-3 at most here.
    for name in ("users_half_width", "producers_half_width"):
        assert rows[name].to_numpy() == pytest.approx(other.classes[name].to_numpy(), rel=2e-3)
    assert rows["area_half_width_ha"].to_numpy() == pytest.approx([6_158, 3_756, 15_510, 16_282], rel=2e-3)


def test_over_all_samples_of_a_small_population_estimate_and_variance_are_unbiased():
    """All 3 x 6 samples of 2 from strata of 3 and 4: their mean is the truth, the mean variance the true variance."""
    values = [np.array([1.0, 0, 1]), np.array([1.0, 0, 0, 0])]
    answers, variances = [], []
    for first, second in itertools.product(itertools.combinations(range(3), 2), itertools.combinations(range(4), 2)):
        drawn = np.concatenate([values[0][list(first)], values[1][list(second)]])
        found = estimate_ratios(drawn, np.ones(4), probability_sample("aabb", {"a": 3, "b": 4}))
        answers.append(found.value[0])
        variances.append(found.standard_error[0] ** 2)
    assert np.mean(answers) == pytest.approx(3 / 7)
    assert np.mean(variances) == pytest.approx(np.var(answers))


def test_polygons_of_unequal_area_by_hand():
    """Combined ratio: 3 of 6 polygons of 2, 4 and 6 ha, the first two right: 6/12; deviations 1, 2 and -3 ha.

    Standard error: sqrt((1 - 3/6) x 3 / 2 x (1 + 4 + 9)) / 12 = 0.27003. With 1 - f and s2 as Cochran 1977, equation 6.13.
    """
    areas, right = np.array([2.0, 4, 6]), np.array([1.0, 1, 0])
    sample = probability_sample("ppp", {"p": 6}, unit_areas=areas, total_area=30.0)
    found = estimate_ratios(right, np.ones(3), sample)
    assert found.value[0] == pytest.approx(0.5)
    assert found.standard_error[0] == pytest.approx(np.sqrt(0.5 * 1.5 * 14) / 12)
    assert sample.areas.sum() == 30
    separate = probability_sample("ppq", {"p": 4, "q": 2}, unit_areas=areas, stratum_areas={"p": 18.0, "q": 12.0})
    assert separate.areas.tolist() == pytest.approx([6, 12, 12])
    with pytest.raises(InputError, match="units of unequal area need"):
        probability_sample("ppp", {"p": 6}, unit_areas=areas)
    with pytest.raises(InputError, match="as many positive unit areas"):
        probability_sample("ppp", {"p": 6}, unit_areas=areas - 2, total_area=30.0)


def test_post_stratification_by_hand():
    """5 of 100, post-strata of 60 (values 1, 0, 1) and 40 (values 0, 1): 60 x 2/3 + 40 x 1/2 = 60.

    Variance of the total: (1 - 5/100) x 5/4 x ((60/3)^2 x 2/3 + (40/2)^2 x 1/2).
    """
    sample = probability_sample(["all"] * 5, {"all": 100}, post_strata="nnnss", post_areas={"n": 60.0, "s": 40.0})
    found = estimate_ratios(np.array([1.0, 0, 1, 0, 1]), np.ones(5), sample)
    assert found.value[0] == pytest.approx(0.6)
    wanted = np.sqrt(0.95 * 1.25 * (400 * 2 / 3 + 400 / 2)) / 100
    assert found.standard_error[0] == pytest.approx(wanted)
    with pytest.raises(InputError, match="without post_strata"):
        probability_sample("a", {"a": 1}, post_areas={"n": 60.0})


def test_strata_with_one_sample_or_none_are_named_and_never_certain():
    sample = probability_sample("aaab", {"a": 60, "b": 30, "c": 10})
    assert (sample.single, sample.unsampled, sample.coverage) == (("b",), ("c",), pytest.approx(0.9))
    found = estimate_ratios(np.array([1.0, 1, 1, 0]), np.ones(4), sample)
    assert found.value[0] == pytest.approx(2 / 3)
    # The single sample's residual from the mean of all, 0 - 2/3: 30 x 2/3 x sqrt(1 - 1/30) of 90.
    assert found.standard_error[0] == pytest.approx(20 * np.sqrt(29 / 30) / 90)
    whole = estimate_ratios(np.array([1.0, 0]), np.ones(2), probability_sample("aa", {"a": 2}))
    assert (whole.lower[0], whole.upper[0]) == pytest.approx((0.5, 0.5))


def test_wrong_samples_are_refused_by_name():
    with pytest.raises(InputError, match="strata without a size or area: z; known are a"):
        probability_sample("az", {"a": 5})
    with pytest.raises(InputError, match=r"a \(2 samples of 1 units\)"):
        probability_sample("aa", {"a": 1})
    with pytest.raises(InputError, match="the sample is empty"):
        probability_sample("", {"a": 1})
    with pytest.raises(InputError, match=r"no area is known of \['b'\]"):
        probability_sample("ab", {"a": 5, "b": 5}, stratum_areas={"a": 2.0})
    with pytest.raises(InputError, match="no interval 'bayes'; there are strata, wilson, logit, normal"):
        estimate_ratios(np.ones(1), np.ones(1), probability_sample("a", {"a": 5}), interval="bayes")


def test_intervals_of_a_simple_random_sample_are_the_textbook_ones():
    """9 of 10: Wilson's 0.596 to 0.982 (Brown, Cai and DasGupta 2001's formula); logit by hand; all right 0.722 to 1."""
    share, variance = np.array([0.9]), np.array([0.9 * 0.1 / 10])
    assert np.ravel(ratio_interval(share, variance, np.array([10.0]))) == pytest.approx([0.5958, 0.9821], abs=1e-4)
    assert np.ravel(ratio_interval(share, variance, np.array([10.0]))) == pytest.approx(wilson_interval(9, 10))
    half = 1.959964 * np.sqrt(0.009) / 0.09
    low, high = (1 / (1 + np.exp(-(np.log(9) + sign * half))) for sign in (-1, 1))
    assert np.ravel(ratio_interval(share, variance, np.array([10.0]), method="logit")) == pytest.approx([low, high])
    for method in ("wilson", "logit"):
        perfect = ratio_interval(np.array([1.0]), np.array([0.0]), np.array([10.0]), method=method)
        assert np.ravel(perfect) == pytest.approx([10 / (10 + 1.959964**2), 1])
    missing = ratio_interval(np.array([np.nan]), np.array([0.0]), np.array([0.0]), method="normal")
    assert np.isnan(np.ravel(missing)).all()


def test_the_interval_from_strata_is_jeffreys_in_one_stratum():
    """3 of 20, Jeffreys 0.0441 to 0.3486 (beta quantiles of scipy.stats); F1 of 3 right, 17 wrong is 2 p / (1 + p)."""
    alone = probability_sample("a" * 20, {"a": 1e12})
    right = np.repeat([1.0, 0], [3, 17])
    limits = beta.ppf([0.025, 0.975], 3.5, 17.5)
    assert limits_of(estimate_ratios(right, np.ones(20), alone)) == pytest.approx(limits)
    assert limits == pytest.approx([0.0441, 0.3486], abs=1e-4)
    f1 = estimate_ratios(2 * right, 1 + right, alone, weight=2.0)
    assert limits_of(f1) == pytest.approx(2 * limits / (1 + limits))
    # None right: an F1 of 0, whose upper limit still counts twice what might have been right.
    none = estimate_ratios(np.zeros(20), np.ones(20), alone, weight=2.0)
    share = beta.ppf(0.975, 0.5, 20.5)
    assert limits_of(none) == pytest.approx([0, 2 * share / (1 + share)])
    # All wrong but nothing unseen: measured whole, the limits are the value.
    whole = estimate_ratios(right, np.ones(20), probability_sample("a" * 20, {"a": 20}))
    assert limits_of(whole) == pytest.approx([0.15, 0.15])


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_the_interval_from_several_strata_is_that_of_draws_from_the_posterior(weight):
    """Against 200,000 draws of Dirichlet shares: counts of four strata, half a sample shared by the area of the rest."""
    rng = np.random.default_rng(5)
    right, wrong = np.array([0, 40, 3, 9]), np.array([2, 0, 7, 30])
    count, area = np.array([400, 50, 60, 45]), np.array([8.0, 0.4, 1.0, 0.6])
    rest = [area * (1 - value / count) for value in (right, wrong)]
    shapes = [value + 0.5 * part / part.sum() for value, part in zip((right, wrong), rest, strict=True)]
    shapes.append(count - right - wrong)
    draws = [rng.gamma(np.maximum(shape, 1e-9), size=(200_000, 4)) for shape in shapes]
    first, second = (draws[part] / sum(draws) @ area for part in (0, 1))
    limits = np.quantile(weight * first / (weight * first + second), [0.025, 0.975])
    found = strata_interval(
        (right / count)[:, None], (wrong / count)[:, None], count, area, np.array([weight]),
        right_possible=np.ones((4, 1)) > 0, wrong_possible=np.ones((4, 1)) > 0,
    )  # fmt: skip
    assert np.ravel(found) == pytest.approx(limits, abs=0.004)


def test_what_is_impossible_in_a_stratum_adds_nothing():
    """A share of area: none of 300 in a stratum of 0.9, 40 of 50 in one of 0.1; where none can be, 0.1 times Jeffreys."""
    sample = probability_sample("a" * 300 + "b" * 50, {"a": 9e8, "b": 1e8})
    values = np.repeat([0.0, 1, 0], [300, 40, 10])
    found = estimate_ratios(values, np.ones(350), sample)
    assert found.lower[0] < 0.08 < 0.08 + 0.9 * beta.ppf(0.9, 0.5, 300) < found.upper[0]
    # All of 15 right in a small stratum, none elsewhere: the share may be smaller too.
    small = probability_sample("a" * 300 + "b" * 15, {"a": 9.9e8, "b": 1e7})
    all_right = estimate_ratios(np.repeat([0.0, 1], [300, 15]), np.ones(315), small)
    assert 0.01 * beta.ppf(0.025, 15.5, 0.5) < all_right.lower[0] < 0.0095
    possible = np.repeat([False, True], [300, 50])[:, None]
    less = estimate_ratios(values, np.ones(350), sample, right_possible=possible)
    assert limits_of(less) == pytest.approx(0.1 * beta.ppf([0.025, 0.975], 40.5, 10.5), abs=2e-4)


def test_the_interval_from_strata_covers_rare_omission_where_the_normal_one_does_not():
    """Change of 1 %, a fifth of it missed, in 1 of 400 pixels of a large stratum: 500 designs of 400 + 100 samples."""
    rng = np.random.default_rng(3)
    sizes = {"stable": 400_000, "change": 4_000}
    truth = (1_000 + 3_000) / 404_000
    strata = np.repeat(list(sizes), [400, 100])
    sample = probability_sample(strata, sizes)
    inside = {"normal": 0, "strata": 0}
    for missed, right in zip(rng.binomial(400, 0.0025, 500), rng.binomial(100, 0.75, 500), strict=True):
        values = (np.arange(500) < missed) | (np.arange(500) >= 500 - right)
        for method in inside:
            found = estimate_ratios(values.astype("float64"), np.ones(500), sample, interval=method)
            inside[method] += found.lower[0] <= truth <= found.upper[0]
    assert inside["normal"] < 375
    assert 465 <= inside["strata"] <= 493
