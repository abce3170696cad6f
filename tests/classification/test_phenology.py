"""Harmonics of a year: NumPy's least squares, planted curves, and dates that cannot tell."""

import numpy as np
import pytest

from ceiba.classification.features.phenology import ROWS, fit_harmonics, year_angles


def dates(*days):
    return np.array(days, "datetime64[s]")


def random_dates(count, seed=0, years=2):
    random = np.random.default_rng(seed)
    return np.datetime64("2019-01-01", "s") + random.choice(365 * years, count, replace=False) * np.timedelta64(86400, "s")


def columns(times):
    angle = year_angles(times)
    return np.stack([np.ones(len(times)), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)


def test_angles_of_known_days():
    """Noon of 2 July is the middle of 365 days, midnight of 2 July that of 366."""
    found = year_angles(dates("2019-01-01", "2019-07-02T12:00", "2020-07-02", "2019-12-31T23:59:59"))
    np.testing.assert_allclose(found, [0, np.pi, np.pi, 2 * np.pi], atol=1e-6)


def test_equals_least_squares_of_numpy_with_gaps():
    random = np.random.default_rng(1)
    times = random_dates(46)
    values = (0.5 + 0.2 * random.normal(size=(46, 200))).astype("float32")
    values[random.random(values.shape) < 0.5] = np.nan
    values[3, :5] = np.inf
    found = dict(zip(ROWS, fit_harmonics(values, times), strict=True))
    for pixel in range(values.shape[1]):
        seen = np.isfinite(values[:, pixel])
        design, series = columns(times)[seen], values[seen, pixel].astype(float)
        (level, cosine, sine, cosine_2, sine_2), squares, *_ = np.linalg.lstsq(design, series, rcond=None)
        expected = {
            "level": level, "cosine_1": cosine, "sine_1": sine, "amplitude_1": np.hypot(cosine, sine),
            "amplitude_2": np.hypot(cosine_2, sine_2), "phase_1": np.arctan2(sine, cosine),
            "phase_2": np.arctan2(sine_2, cosine_2), "residual": np.sqrt(squares[0] / (seen.sum() - 5)),
        }  # fmt: skip
        for name, value in expected.items():
            assert found[name][pixel] == pytest.approx(value, abs=2e-6), (name, pixel)


def test_planted_curve_is_found():
    """0.5 + 0.2 cos(a - pi/2) is highest a quarter of the year after its start, on day 92."""
    times = random_dates(30, seed=2)
    angle = year_angles(times)
    values = np.stack([0.5 + 0.2 * np.cos(angle - np.pi / 2), 0.3 + 0.1 * np.cos(2 * (angle - 1)), 0.4 + 0 * angle], axis=1)
    found = dict(zip(ROWS, fit_harmonics(values.astype("float32"), times), strict=True))
    np.testing.assert_allclose(found["level"], [0.5, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(found["amplitude_1"], [0.2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found["amplitude_2"], [0, 0.1, 0], atol=1e-6)
    assert found["phase_1"][0] == pytest.approx(np.pi / 2, abs=1e-5)
    assert found["phase_2"][1] == pytest.approx(2, abs=1e-5)
    assert found["peak_day"][0] == 92
    assert found["peak_day"][1] in (1 + round(365 / (2 * np.pi)), 1 + round(365 / (2 * np.pi) + 182.5))
    assert np.isnan(found["peak_day"][2])
    assert (found["residual"] < 1e-6).all()


def test_noise_moves_the_amplitude_as_theory_says():
    """The error of a coefficient over dates all around the year is sigma sqrt(2 / n)."""
    random = np.random.default_rng(3)
    times = np.datetime64("2019-01-01", "s") + np.arange(73) * np.timedelta64(5 * 86400, "s")
    values = 0.5 + 0.2 * np.sin(year_angles(times))[:, None] + random.normal(0, 0.05, (73, 4000))
    found = dict(zip(ROWS, fit_harmonics(values.astype("float32"), times), strict=True))
    assert found["sine_1"].mean() == pytest.approx(0.2, abs=5e-4)
    assert found["sine_1"].std() == pytest.approx(0.05 * np.sqrt(2 / 73), rel=0.05)
    assert np.sqrt(np.mean(found["residual"] ** 2)) == pytest.approx(0.05, rel=0.01)


def test_dates_that_cannot_tell_give_nothing():
    few = random_dates(7)
    assert np.isnan(fit_harmonics(np.ones((7, 3), "float32"), few)).all()
    month = np.datetime64("2019-03-01", "s") + np.arange(30) * np.timedelta64(86400, "s")
    assert np.isnan(fit_harmonics(np.ones((30, 3), "float32"), month)).all()
    twice = np.repeat(dates("2019-03-01", "2019-07-01", "2019-11-01"), 4)
    assert np.isnan(fit_harmonics(np.ones((12, 3), "float32"), twice)).all()
    assert np.isnan(fit_harmonics(np.full((40, 2), np.nan, "float32"), random_dates(40))).all()
