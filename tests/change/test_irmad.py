"""IR-MAD against a peer's committed result, and its behaviour on images that are hard."""

import numpy as np
import pytest
import rasterio

from ceiba.change.two_dates.irmad import irmad
from ceiba.change.two_dates.normalization import orthogonal_regression
from ceiba.errors import InputError, ParameterError


def read(path):
    with rasterio.open(path) as source:
        return source.read().astype("float64")


@pytest.fixture(scope="module")
def guainia(sample_folder):
    folder = sample_folder / "eo" / "landsat_irmad_guainia_colombia"
    target, reference = read(folder / "target.tif"), read(folder / "ref_adjusted2target.tif")
    empty = (target == 0).any(axis=0) | (reference == 0).any(axis=0)
    expected = read(folder / "expected" / "target_norm_prealigned.tif")
    return np.where(empty, np.nan, reference), np.where(empty, np.nan, target), expected


def test_published_normalisation_of_guainia(guainia):
    """Figures of the sample folder's README: iterations, correlations, no-change pixels, slopes and intercepts."""
    reference, target, expected = guainia
    found = irmad(reference, target, max_iterations=30, tolerance=0.01)
    assert (found.iterations, found.converged) == (11, True)
    assert found.correlations == pytest.approx([0.9930, 0.9138, 0.7888, 0.5900], abs=1e-4)
    same = found.no_change > 0.95
    assert int(same.sum()) == 662
    lines = [orthogonal_regression(reference[band][same], target[band][same]) for band in range(4)]
    assert [round(slope, 4) for slope, _ in lines] == [0.2924, 0.2693, 0.2439, 0.2667]
    assert [round(intercept, 2) for _, intercept in lines] == [-2105.66, -1926.48, -1542.47, -1901.14]
    # The expected file is cut to whole numbers; most of its pixels are this line.
    seen = np.isfinite(target[0]) & (expected > 0).all(axis=0)
    for band, (slope, intercept) in enumerate(lines):
        assert np.median(np.abs(slope * target[band][seen] + intercept - expected[band][seen])) <= 1


def scene(seed=0, bands=3, size=60):
    rng = np.random.default_rng(seed)
    shade = rng.normal(size=(size, size))
    return np.stack(
        [(band + 1) * shade + rng.normal(scale=0.3, size=shape) for band, shape in enumerate([shade.shape] * bands)]
    )


def test_gain_and_offset_are_no_change_and_planted_change_is_found():
    before = scene()
    after = 2.5 * before + 100 + np.random.default_rng(1).normal(scale=0.05, size=before.shape)
    after[:, 10:14, 20:24] += np.array([4.0, -6.0, 5.0])[:, None, None]
    before[0, 0, 0] = np.nan
    found = irmad(before, after)
    planted = np.zeros(before.shape[1:], dtype=bool)
    planted[10:14, 20:24] = True
    assert np.isnan(found.no_change[0, 0]) and np.isnan(found.variates[:, 0, 0]).all()
    assert (found.no_change[planted] < 1e-6).all()
    # Reweighting narrows the core it calls unchanged, so probabilities are too small, but the order is right.
    assert found.statistic[planted].min() > np.nanmax(found.statistic[~planted])


def test_affine_invariance():
    """Nielsen 2007: any linear mixing of the bands leaves the statistic as it is."""
    before, after = scene(2), scene(2) + np.random.default_rng(3).normal(scale=0.2, size=(3, 60, 60))
    mixing = np.array([[1.0, 0.4, 0.0], [0.0, 2.0, 0.3], [0.5, 0.0, 1.0]])
    plain = irmad(before, after)
    mixed = irmad(np.einsum("ij,jyx->iyx", mixing, before), after)
    assert np.allclose(plain.statistic, mixed.statistic, rtol=1e-6)


def test_identical_and_constant_images_are_no_change():
    before = scene()
    assert (irmad(before, before.copy()).no_change > 0.999).all()
    before[2] = 5.0
    assert np.isfinite(irmad(before, scene(9)).no_change).all()


def test_collinear_and_constant_bands_add_no_pair_and_change_nothing():
    before = scene(4)
    after = 1.5 * before + np.random.default_rng(5).normal(scale=0.2, size=before.shape)
    plain = irmad(before, after)
    more = irmad(np.concatenate([before, before[:1] - 2 * before[1:2]]), np.concatenate([after, after[:1] * 0 + 7]))
    assert len(more.correlations) == 3
    assert np.allclose(plain.statistic, more.statistic, rtol=1e-5)
    with pytest.raises(InputError, match="no band of the second image varies"):
        irmad(before, np.ones_like(before))


def test_change_in_a_band_that_varies_nowhere_else_is_not_forgotten():
    before = scene(4)
    before[2] = 1.0
    after = before + np.random.default_rng(5).normal(scale=0.2, size=before.shape) * np.array([1, 1, 0])[:, None, None]
    after[2, :2, :2] += 5.0
    before[2, 50:, 50:] += np.random.default_rng(6).normal(scale=1e-3, size=(10, 10))
    assert np.argsort(irmad(before, after).statistic.ravel())[-4:].max() < 122


def test_masked_pixels_take_no_part_and_float32_files_do():
    before = scene(6)
    after = before + np.random.default_rng(7).normal(scale=0.2, size=before.shape)
    mask = np.ones(before.shape[1:], dtype=bool)
    mask[:10] = False
    cut = irmad(before[:, 10:], after[:, 10:])
    spoiled = before.copy()
    spoiled[:, :10] = 1e6
    masked = irmad(spoiled.astype("float32"), after.astype("float32"), mask=mask)
    assert np.isnan(masked.statistic[:10]).all()
    assert np.allclose(masked.statistic[10:], cut.statistic, rtol=1e-3, atol=1e-3)
    with pytest.raises(InputError, match="the mask has shape"):
        irmad(before, after, mask=mask[1:])


def test_too_few_pixels_and_other_shapes_are_refused():
    with pytest.raises(InputError, match="too few for 3 bands"):
        irmad(scene(size=5), scene(size=5))
    with pytest.raises(InputError, match="same dims"):
        irmad(scene(), scene(bands=2))
    for options in ({"max_iterations": 0}, {"ridge": -0.1}):
        with pytest.raises(ParameterError, match="at least 1 and 0"):
            irmad(scene(), scene(1), **options)
    with pytest.raises(InputError, match="do not fix a line"):
        orthogonal_regression(np.ones(2), np.ones(2))
