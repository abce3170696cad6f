"""Class change by joint posteriors: against every path counted out, by hand, and on planted change."""

import itertools

import numpy as np
import pytest
import xarray as xr

from ceiba.change.classes import series
from ceiba.change.classes.hidden_states import best_paths, expect_transitions, smooth_pixels
from ceiba.change.classes.scores import score_change_years
from ceiba.change.classes.series import change_model, class_change, smooth_series
from ceiba.change.classes.transitions import TransitionRules, load_rules
from ceiba.errors import InputError, ParameterError
from ceiba.legends import load_legend

YEARS = (2015, 2016, 2017, 2018, 2019)


def count_out(likelihood, start, moves):
    """Posterior of every possible path, by its definition."""
    years, classes = likelihood.shape
    paths = list(itertools.product(range(classes), repeat=years))
    chances = []
    for path in paths:
        chance = start[path[0]] * likelihood[0, path[0]]
        for year in range(1, years):
            chance *= moves[year - 1, path[year - 1], path[year]] * likelihood[year, path[year]]
        chances.append(chance)
    return np.array(paths), np.array(chances) / sum(chances), sum(chances)


@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_every_path_counted_out(seed):
    rng = np.random.default_rng(seed)
    years, classes = 4, 3
    start = rng.dirichlet(np.ones(classes))
    moves = rng.dirichlet(np.ones(classes), (years - 1, classes))
    moves[:, 2, 0] = 0.0
    moves /= moves.sum(axis=2, keepdims=True)
    likelihood = rng.random((years, classes))
    paths, chances, total = count_out(likelihood, start, moves)
    marginals, stays = np.empty((1, years, classes)), np.empty((1, classes))
    steps, pairs = np.empty((1, years - 1)), np.empty((1, 2), dtype="int64")
    smooth_pixels(likelihood[None], start, moves, marginals, stays, steps, pairs)
    for year, code in itertools.product(range(years), range(classes)):
        assert marginals[0, year, code] == pytest.approx(chances[paths[:, year] == code].sum())
    for code in range(classes):
        assert stays[0, code] == pytest.approx(chances[(paths == code).all(axis=1)].sum())
    for step in range(years - 1):
        assert steps[0, step] == pytest.approx(chances[paths[:, step] != paths[:, step + 1]].sum())
    step = int(np.argmax(steps[0]))
    pair_chances = {
        (a, b): chances[(paths[:, step] == a) & (paths[:, step + 1] == b)].sum()
        for a, b in itertools.permutations(range(classes), 2)
    }
    assert tuple(pairs[0]) == max(pair_chances, key=pair_chances.get)
    path = np.empty((1, years), dtype="int64")
    with np.errstate(divide="ignore"):
        best_paths(np.log(likelihood)[None], np.log(start), np.log(moves), path)
    assert path[0].tolist() == paths[np.argmax(chances)].tolist()
    starts, counts = np.zeros(classes), np.zeros_like(moves)
    assert expect_transitions(likelihood[None], start, moves, starts, counts) == pytest.approx(np.log(total))
    assert starts == pytest.approx(marginals[0, 0])
    assert counts[1, 0, 1] == pytest.approx(chances[(paths[:, 1] == 0) & (paths[:, 2] == 1)].sum())


def stack(values, codes):
    """Probabilities of years, dims (year, pixel, class), as images of one row."""
    return [
        xr.DataArray(year.T[:, None, :].astype("float32"), dims=("class", "y", "x"), coords={"class": codes})
        for year in values
    ]


def two_classes(stay=0.9):
    rates = np.array([[stay, 1 - stay], [1 - stay, stay]])
    return TransitionRules(np.array([1, 2]), np.array(["a", "b"], dtype=object), np.array([[0, 1], [1, 0]]), rates)


def test_two_dates_by_hand():
    """P(1, 1) ~ 0.8 x 0.4 x 0.9, P(1, 2) ~ 0.8 x 0.6 x 0.1, P(2, 1) ~ 0.2 x 0.4 x 0.1, P(2, 2) ~ 0.2 x 0.6 x 0.9."""
    images = stack(np.array([[[0.8, 0.2]], [[0.4, 0.6]]]), [1, 2])
    model = change_model(
        images, (2018, 2020), two_classes(), class_prior=np.array([0.5, 0.5]), evidence=1, iterations=0
    )
    assert np.allclose(model.moves[0], np.linalg.matrix_power([[0.9, 0.1], [0.1, 0.9]], 2))
    model = change_model(
        images, (2018, 2019), two_classes(), class_prior=np.array([0.5, 0.5]), evidence=1, iterations=0
    )
    found = class_change(images, model)
    chances = np.array([0.288, 0.048, 0.008, 0.108])
    assert found["change_probability"].item() == pytest.approx((0.048 + 0.008) / chances.sum(), rel=1e-6)
    assert found["from_class"].item() == found["to_class"].item() == 1 and found["change_year"].item() == 0
    bold = class_change(images, model, threshold=0.1)
    assert (bold["from_class"].item(), bold["to_class"].item(), bold["change_year"].item()) == (1, 2, 2019)
    smoothed = smooth_series(images, model)
    assert smoothed.values[:, 0, 0, 0] == pytest.approx([0.336 / 0.452, 0.296 / 0.452], rel=1e-6)


def test_years_that_err_alike_speak_once_and_independent_years_each():
    """Two equal years with 0.6 for the rare class (prior 0.2) and transitions that never happen: alike, the odds of its prior
    enter once, 0.6^2 : 0.4^2; independent, (0.6 / 0.2)^2 x 0.2 : (0.4 / 0.8)^2 x 0.8 = 9 : 1."""
    images = stack(np.array([[[0.4, 0.6]]] * 2), [1, 2])
    never = two_classes(1.0)
    for independence, odds in ((0.0, 2.25), (1.0, 9.0)):
        prior = np.array([0.8, 0.2])
        model = change_model(
            images, (2018, 2019), never, class_prior=prior, independence=independence, evidence=1, iterations=0
        )
        smoothed = smooth_series(images, model).values[0, :, 0, 0]
        assert smoothed[1] / smoothed[0] == pytest.approx(odds, rel=1e-5)


def simulate(seed=0, pixels=4000, share=0.05, sure=6.0):
    """Five years of a calibrated classifier (two classes, log-odds of noise ``sure``), changes 1 to 2 in a random year."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.where(rng.random(pixels) < 0.7, 0, 1)[None], len(YEARS), axis=0)
    change_year = np.zeros(pixels, dtype=int)
    changing = np.flatnonzero((truth[0] == 0) & (rng.random(pixels) < share / 0.7))
    for pixel in changing:
        step = rng.integers(1, len(YEARS))
        truth[step:, pixel] = 1
        change_year[pixel] = YEARS[step]
    # Gaussian evidence of unit variance and means -1 and 1: the log-odds are exact.
    evidence = rng.normal(size=truth.shape) * np.sqrt(2 / sure) + np.where(truth == 1, 1.0, -1.0)
    share_two = truth.mean()
    odds = np.exp(sure * evidence) * share_two / (1 - share_two)
    two = odds / (1 + odds)
    return stack(np.stack([1 - two, two], axis=-1), [1, 2]), truth, change_year


def test_change_of_a_noisy_series_is_found_dated_and_counted():
    images, truth, change_year = simulate()
    model = change_model(images, YEARS, two_classes(0.99), independence=1.0, evidence=1.0)
    found = class_change(images, model)
    scores = score_change_years(change_year, found["change_year"].values[0]).set_index("tolerance_years")
    maps = np.stack([image.argmax("class").values[0] for image in images])
    step = maps[1:] != maps[:-1]
    subtracted = np.where(step.any(axis=0), np.array(YEARS[1:])[np.argmax(step, axis=0)], 0)
    plain = score_change_years(change_year, subtracted).set_index("tolerance_years")
    assert scores.loc[2, "users_accuracy"] > 0.9 > 0.5 > plain.loc[2, "users_accuracy"]
    assert scores.loc[2, "producers_accuracy"] > 0.75
    # One change in two hundred and seventy pixel-years: the estimated rate, not the rules' one in a hundred.
    yearly = (change_year > 0).sum() / (truth[:-1] == 0).sum()
    assert model.moves[0, 0, 1] == pytest.approx(yearly, rel=0.25)
    assert model.moves[0, 1, 0] < 0.004
    # Probabilities mean what they say.
    sure = found["change_probability"].values[0]
    middle = (sure > 0.2) & (sure < 0.8)
    assert np.mean(change_year[middle] > 0) == pytest.approx(sure[middle].mean(), abs=0.2)
    assert sure.sum() == pytest.approx((change_year > 0).sum(), rel=0.15)


def test_forbidden_transitions_never_appear_and_missing_years_are_bridged():
    legend = load_legend("mexico_8")
    rules = load_rules(legend)
    rng = np.random.default_rng(1)
    values = rng.dirichlet(np.full(8, 0.3), (len(YEARS), 300))
    values[2, :50] = np.nan
    values[:, 50:60] = np.nan
    images = stack(values, rules.codes)
    model = change_model(images, YEARS, rules, iterations=5)
    # What takes some years can first be seen after as many.
    forbidden = [rules.forbidden(year - YEARS[0]) for year in YEARS[1:]]
    assert all((moves[never] == 0).all() for moves, never in zip(model.moves, forbidden, strict=True))
    assert np.allclose(model.moves.sum(axis=2), 1)
    found = class_change(images, model)
    path = found["path"].values[:, 0]
    place = np.zeros(256, dtype=int)
    place[rules.codes] = np.arange(8)
    kept = np.r_[0:50, 60:300]
    for step, never in enumerate(forbidden):
        assert not never[place[path[step, kept]], place[path[step + 1, kept]]].any()
    pair = place[found["from_class"].values[0, kept]], place[found["to_class"].values[0, kept]]
    assert not forbidden[-1][pair].any()
    assert (found["from_class"].values[0, 50:60] == 0).all() and (path[:, 50:60] == 0).all()
    assert np.isnan(found["change_probability"].values[0, 50:60]).all() and (path[2, :50] > 0).all()
    changed = found["change_year"].values[0] > 0
    assert (changed == (found["from_class"] != found["to_class"]).values[0]).all()
    assert np.allclose(smooth_series(images, model).sum("class").values[:, 0, kept], 1, atol=1e-5)


def test_a_forest_grows_back_after_as_many_years_as_it_takes():
    """Cropland becomes open forest in five years at least (the table): the sixth map may show it, the fifth may not."""
    rules = load_rules(load_legend("colombia_17"))
    groups = rules.groups.tolist()
    field, forest = groups.index("cropland"), groups.index("open_forest")
    assert rules.fewest_years[field, forest] == 5
    years = tuple(range(2010, 2020))
    values = np.full((len(years), 2, len(groups)), 0.01)
    for pixel, grown in enumerate((2, 5)):
        values[:grown, pixel, field] = 0.9
        values[grown:, pixel, forest] = 0.9
    values /= values.sum(axis=2, keepdims=True)
    images = stack(values, rules.codes)
    prior = np.full(len(groups), 1 / len(groups))
    found = class_change(images, change_model(images, years, rules, class_prior=prior, iterations=0))
    early, late = found["path"].values[:, 0].T
    assert (late == np.repeat(rules.codes[[field, forest]], 5)).all()
    assert found["change_year"].values[0, 1] == 2015
    seen = early == rules.codes[forest]
    assert not (seen[1:5] & (early[:4] == rules.codes[field])).any(), "two years are too few"


def test_prior_is_taken_off_by_the_years_that_a_pixel_has():
    """With one year of three a pixel is divided by the prior once, as its classifier asks (by hand: 0.2 / 0.1 against 0.8 / 0.9)."""
    values = np.full((1, 3, 2), np.nan)
    values[0, 1] = 0.2, 0.8
    found = series._likelihoods(values, np.array([0.1, 0.9]), 0.5, 1.0)
    assert found[0, 1] == pytest.approx([1, (0.8 / 0.9) / (0.2 / 0.1)])
    assert (found[0, [0, 2]] == 1).all()
    values[0, :] = 0.2, 0.8
    twice = series._likelihoods(values, np.array([0.1, 0.9]), 0.5, 1.0)
    assert twice[0, 1] == pytest.approx([1, (0.8 / 0.9 ** (2 / 3)) / (0.2 / 0.1 ** (2 / 3))])


def test_an_impossible_series_is_no_data():
    values = np.zeros((2, 1, 2))
    values[0, 0, 0] = values[1, 0, 1] = 1.0
    images = [
        xr.DataArray(year[:, None], dims=("class", "y", "x"), coords={"class": [1, 2]})
        for year in values.transpose(0, 2, 1)
    ]
    model = series.ChangeModel(
        np.array([1, 2]), (2018, 2019), np.array([0.5, 0.5]), np.array([0.0, 0.0]), np.eye(2)[None]
    )
    found = class_change(images, model)
    assert np.isnan(found["change_probability"]).all() and not found["from_class"].any() and not found["to_class"].any()


def test_scores_by_hand():
    """Five changes, four found, of which one in the year, one a year late, one three years early, one where there was none."""
    truth = np.array([2015, 2016, 2018, 2017, 2019, 0, 0])
    found = np.array([2015, 2017, 2015, 0, 0, 2016, 0])
    table = score_change_years(truth, found).set_index("tolerance_years")
    assert table["users_accuracy"].tolist() == [0.25, 0.5, 0.5]
    assert table["producers_accuracy"].tolist() == [0.2, 0.4, 0.4]
    assert table.loc[1, "f1"] == pytest.approx(4 / 9)
    with pytest.raises(InputError, match="shape"):
        score_change_years(truth, found[1:])


def test_what_does_not_fit_together_is_named():
    images = stack(np.full((2, 3, 2), 0.5), [1, 2])
    rules = two_classes()
    with pytest.raises(InputError, match="ascending order"):
        change_model(images, (2019, 2018), rules)
    with pytest.raises(InputError, match="3 years need as many"):
        change_model(images, (2017, 2018, 2019), rules)
    with pytest.raises(InputError, match="of classes"):
        change_model([images[0], images[1].assign_coords({"class": [1, 3]})], (2018, 2019), rules)
    with pytest.raises(InputError, match="no pixel has class probabilities"):
        change_model([image * np.nan for image in images], (2018, 2019), rules)
    with pytest.raises(InputError, match="class prior"):
        change_model(images, (2018, 2019), rules, class_prior=np.ones(3))
    with pytest.raises(ParameterError, match="weight_of_rules"):
        change_model(images, (2018, 2019), rules, weight_of_rules=0)
    with pytest.raises(ParameterError, match="evidence is 0"):
        change_model(images, (2018, 2019), rules, evidence=0)
    with pytest.raises(ParameterError, match="independence is 2"):
        change_model(images, (2018, 2019), rules, independence=2)
    with pytest.raises(ParameterError, match="threshold is 1"):
        class_change(images, change_model(images, (2018, 2019), rules), threshold=1)
