"""Smoothing of class probabilities against hand-worked values and a literal computation."""

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit, logit

from ceiba.classification.maps.smoothing import halo_px, smooth_probabilities
from ceiba.errors import InputError


def as_probabilities(first):
    first = np.asarray(first, dtype="float64")
    return xr.DataArray(np.stack([first, 1 - first]), dims=("class", "y", "x"), coords={"class": [1, 2]})


def draw(seed=0, shape=(25, 32), classes=4):
    share = np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), shape)
    return xr.DataArray(np.moveaxis(share, -1, 0), dims=("class", "y", "x"), coords={"class": np.arange(1, classes + 1)})


def literal(probabilities, window, share, smoothness):
    """The formulas as they are written, pixel by pixel."""
    values = probabilities.values
    out = np.empty_like(values)
    reach = window // 2
    odds = logit(np.clip(values, 1e-4, 1 - 1e-4))
    for k in range(values.shape[0]):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                near = odds[k, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].ravel()
                chosen = np.sort(near)[::-1][: int(np.ceil(near.size * share))]
                v = chosen.var(ddof=1)
                out[k, y, x] = expit((v * odds[k, y, x] + smoothness * chosen.mean()) / (v + smoothness))
    return out / out.sum(axis=0)


@pytest.mark.parametrize(("window", "share", "smoothness"), [(3, 1.0, 5.0), (5, 0.5, 20.0), (7, 0.3, 1.0)])
def test_smoothing_equals_the_formulas(window, share, smoothness):
    given = draw()
    found = smooth_probabilities(given, window_px=window, share=share, smoothness=smoothness)
    assert found.values == pytest.approx(literal(given, window, share, smoothness), abs=2e-5)


def test_one_pixel_by_hand():
    """Eight neighbors at 0.9 and a center of 0.3, all counted, smoothness 1.

    Log-odds 2.19722 eight times and -0.84730 once: mean 1.85894, variance 1.02988; posterior of the center
    (1.02988 * -0.84730 + 1.85894) / 2.02988 = 0.48590, probability 0.61914.
    """
    first = np.full((3, 3), 0.9)
    first[1, 1] = 0.3
    found = smooth_probabilities(as_probabilities(first), window_px=3, share=1.0, smoothness=1.0)
    assert found.values[:, 1, 1] == pytest.approx([0.61914, 0.38086], abs=1e-4)


def test_a_lone_pixel_goes_and_an_edge_stays():
    field = np.full((21, 21), 0.95)
    field[:, 11:] = 0.05
    field[5, 4] = 0.2
    found = smooth_probabilities(as_probabilities(field))
    mapped = found.values.argmax(axis=0)
    assert mapped[5, 4] == 0
    assert (mapped[:, :11] == 0).all() and (mapped[:, 11:] == 1).all()


def test_no_data_stays_and_enters_nothing():
    given = draw()
    given[:, 3:6, 3:6] = np.nan
    found = smooth_probabilities(given, window_px=3)
    assert np.isnan(found.values[:, 3:6, 3:6]).all()
    seen = np.isfinite(found.values).all(axis=0)
    assert seen.sum() == seen.size - 9
    assert found.values[:, seen].sum(axis=0) == pytest.approx(1, abs=1e-5)


def test_tiles_with_a_halo_give_what_the_whole_gives():
    given = draw(shape=(40, 50))
    whole = smooth_probabilities(given, window_px=7)
    halo = halo_px(7)
    for y in range(0, 40, 20):
        for x in range(0, 50, 25):
            top, left = max(0, y - halo), max(0, x - halo)
            part = smooth_probabilities(given[:, top : y + 20 + halo, left : x + 25 + halo], window_px=7)
            inner = part.values[:, y - top : y - top + 20, x - left : x - left + 25]
            assert np.array_equal(inner, whole.values[:, y : y + 20, x : x + 25])


def test_smoothness_by_class_and_bad_settings():
    given = draw()
    by_class = smooth_probabilities(given, smoothness={1: 20, 2: 20, 3: 20, 4: 20})
    assert np.array_equal(by_class.values, smooth_probabilities(given, smoothness=20).values)
    assert np.array_equal(smooth_probabilities(given, window_px=1).values, given.values.astype("float32"))
    for settings, message in (
        ({"window_px": 4}, "odd"), ({"share": 0}, "above 0"), ({"smoothness": -1}, "negative"),
        ({"smoothness": {1: 2}}, r"no smoothness for classes \[2, 3, 4\]"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            smooth_probabilities(given, **settings)
