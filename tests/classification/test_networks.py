"""Networks: slopes and answers of other libraries, students that follow their teachers, series told apart by time."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neural_network import MLPClassifier

from ceiba.classification.models import networks, series_networks
from ceiba.classification.models.classifiers import DEFAULTS, SERIES, fit_classifier, read_classifier
from ceiba.classification.models.distillation import draw_between
from ceiba.errors import InputError

DATES, BANDS = 12, 2


def draw_pulses(samples, seed):
    """Series whose class is the date of a pulse: no mean, minimum or maximum tells them apart."""
    random = np.random.default_rng(seed)
    codes = random.choice([4, 9], samples)
    series = random.normal(scale=0.3, size=(samples, BANDS, DATES))
    dates = np.where(codes == 4, 2, 8) + random.integers(-1, 2, samples)
    series[np.arange(samples), 1, dates] += 2
    return series.reshape(samples, -1).astype("float32"), codes


def draw_rings(samples, seed):
    random = np.random.default_rng(seed)
    features = random.normal(size=(samples, 4)).astype("float32") * [1, 1, 50, 1] + np.array([0, 0, 4000, 0])
    return features.astype("float32"), np.where(np.hypot(features[:, 0], features[:, 1]) > 1.2, 8, 2)


def test_a_network_answers_as_scikit_learn_does():
    features, codes = draw_rings(300, 0)
    theirs = MLPClassifier((9, 5), max_iter=20, random_state=0, batch_size=50)
    with pytest.warns(UserWarning, match="iterations"):
        theirs.fit(np.float64(features), np.where(features[:, 3] > 1, 9, codes))
    ours = networks.Network(
        theirs.classes_, tuple(map(np.float32, theirs.coefs_)), tuple(map(np.float32, theirs.intercepts_))
    )
    assert ours.predict_proba(features) == pytest.approx(theirs.predict_proba(features), abs=1e-4)


def test_slopes_are_those_of_small_steps():
    random = np.random.default_rng(1)
    parts = [random.normal(size=size) for size in ((3, 4), (4,), (4, 2), (2,))]
    rows, targets = random.normal(size=(6, 3)), random.dirichlet([1, 1], 6)

    def loss():
        values = np.maximum(rows @ parts[0] + parts[1], 0) @ parts[2] + parts[3]
        return -(targets * np.log(softmax(values, axis=1))).sum(axis=1).mean()

    for part, slope in zip(parts, networks._slopes(parts, rows, targets), strict=True):
        for place in np.ndindex(part.shape):
            part[place] += 1e-5
            above = loss()
            part[place] -= 2e-5
            below = loss()
            part[place] += 1e-5
            assert slope[place] == pytest.approx((above - below) / 2e-5, abs=1e-6)


def test_points_in_between_lie_on_the_way_to_a_neighbor():
    """By hand: of 0, 1 and 10 the nearest of 0 is 1, of 1 is 0 and of 10 is 1."""
    rows = np.array([[0.0], [1.0], [10.0]], dtype="float32")
    points = draw_between(rows, np.random.default_rng(0), copies=50, neighbors=1, jitter=0.0).reshape(50, 3)
    assert (points.min(axis=0) >= [0, 0, 1]).all() and (points.max(axis=0) <= [1, 1, 10]).all()
    assert points.std(axis=0) == pytest.approx([12**-0.5, 12**-0.5, 9 * 12**-0.5], rel=0.25)


def test_a_student_follows_its_teacher_where_nobody_labelled():
    features, codes = draw_rings(1500, 2)
    new, truth = draw_rings(2000, 3)
    teacher = fit_classifier("extra_trees", features, codes, seed=0, options={"trees": 60})
    options = {"trees": 60, "hidden": (32,), "steps": 1500, "trust": 1.0, "jitter": 0.05}
    student = fit_classifier("distilled", features, codes, seed=0, options=options)
    taught, told = student.predict_proba(new), teacher.predict_proba(new)
    assert np.abs(taught - told).mean() < 0.08
    right = [(model.classes[share.argmax(axis=1)] == truth).mean() for model, share in ((student, taught), (teacher, told))]
    assert right[0] > right[1] - 0.01 and right[0] > 0.93


@pytest.mark.parametrize("kind", SERIES)
def test_series_are_told_apart_by_time(kind):
    features, codes = draw_pulses(240, 4)
    new, truth = draw_pulses(120, 5)
    own = {"filters": 8, "epochs": 10} if kind == "tempcnn" else {"width": 32, "epochs": 30}
    options = {"dates": DATES, "batch": 40, "rate": 0.01, "dense": 16} | own
    model = fit_classifier(kind, features, codes, seed=1, options=options)
    share = model.predict_proba(new)
    assert share.dtype == np.float32 and share.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (model.classes[share.argmax(axis=1)] == truth).mean() > 0.95
    assert np.array_equal(read_classifier(model.to_bytes()).predict_proba(new), share)
    assert model.predict_proba(new[:0]).shape == (0, 2)
    with pytest.raises(InputError, match="a divisor of 24 features, got 7"):
        fit_classifier(kind, features, codes, seed=1, options={"dates": 7})


def test_a_seed_decides_a_network_for_series():
    features, codes = draw_pulses(80, 6)
    options = {"dates": DATES, "epochs": 1, "batch": 40, "width": 8, "heads": 2, "dense": 4}
    first, again = (fit_classifier("lighttae", features, codes, seed=1, options=options).to_bytes() for _ in range(2))
    assert first == again


def test_light_attention_is_the_published_one():
    """The formulas of Garnot & Landrieu, written out in numpy on the weights of the network."""
    options = DEFAULTS["lighttae"] | {"dates": 5, "width": 8, "heads": 2, "keys": 3, "dense": 4}
    network = series_networks.build_network("lighttae", BANDS, 3, options)
    values = network.get_weights()
    series = np.random.default_rng(7).normal(size=(4, 5, BANDS)).astype("float32")
    spread, offset, gain, shift, to_key, key_offset, query = values[:7]
    seen = series @ spread + offset
    seen = (seen - seen.mean(axis=-1, keepdims=True)) / np.sqrt(seen.var(axis=-1, keepdims=True) + 1e-3) * gain + shift
    seen = seen + series_networks.encode_positions(5, 4, 2)
    keys = (seen @ to_key + key_offset).reshape(4, 5, 2, 3)
    share = softmax((keys * query).sum(axis=-1) / np.sqrt(3), axis=1)
    heads = np.stack([(share[:, :, head, None] * seen[:, :, 4 * head : 4 * head + 4]).sum(axis=1) for head in range(2)], axis=1)
    weight, start, scale, move, _, variance = values[7:13]
    joined = heads.reshape(4, 8) @ weight + start
    joined = np.maximum(joined / np.sqrt(variance + 1e-3) * scale + move, 0)
    assert np.asarray(network(series)) == pytest.approx(joined @ values[13] + values[14], abs=1e-4)


def test_positions_are_sines_and_cosines():
    """By hand: sin 0 = 0, cos 0 = 1, sin 1 = 0.8415, cos 1 = 0.5403; each head is given the same."""
    assert series_networks.encode_positions(2, 2, 2) == pytest.approx(np.array([[0, 1, 0, 1], [0.8415, 0.5403] * 2]), abs=1e-4)


def test_an_ensemble_is_the_mean_of_its_members_who_see_the_changes_of_a_series():
    features, codes = draw_pulses(160, 8)
    new, _ = draw_pulses(40, 9)
    model = fit_classifier("ensemble", features, codes, seed=0, options={"members": ("svm", "random_forest"), "dates": DATES})
    changed = [np.hstack([rows, np.diff(rows[:, :DATES]), np.diff(rows[:, DATES:])]) for rows in (features, new)]
    members = [fit_classifier(kind, changed[0], codes, seed=0).predict_proba(changed[1]) for kind in ("svm", "random_forest")]
    assert model.predict_proba(new) == pytest.approx((members[0] + members[1]) / 2, abs=1e-6)
    assert np.array_equal(read_classifier(model.to_bytes()).predict_proba(new), model.predict_proba(new))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("distilled", {"teacher": "distilled"}, "no teacher 'distilled'; there are"),
        ("ensemble", {"members": (("svm",),)}, "members of an ensemble are kinds"),
        ("ensemble", {"dates": 7}, "series of 7 dates do not make 24 features"),
    ],
)
def test_options_that_make_no_sense_are_named(kind, options, message):
    with pytest.raises(InputError, match=message):
        fit_classifier(kind, *draw_pulses(40, 0), seed=0, options=options)
