"""Segments: tiles against the whole, planted fields, and features of objects by hand."""

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from ceiba.classification.maps.prediction import map_land_cover
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.classification.objects.prediction import object_features, predict_objects
from ceiba.classification.objects.segmentation import METHODS, segment_objects, tile_window
from ceiba.errors import InputError
from ceiba.legends import load_legend


def make_image(seed=0, shape=(110, 130), noise=0.15):
    """Fields of three bands with noise, and the number of the field."""
    random = np.random.default_rng(seed)
    seeds = np.zeros(shape, dtype=int)
    spots = random.choice(shape[0] * shape[1], 60, replace=False)
    seeds.ravel()[spots] = np.arange(1, 61)
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    field = seeds[tuple(nearest)]
    means = random.normal(size=(61, 3))
    image = (means[field] + random.normal(scale=noise, size=(*shape, 3))).astype("float32")
    image[30:33, 60:64] = np.nan
    return xr.Dataset({name: (("y", "x"), image[..., i]) for i, name in enumerate("abc")}), field


@pytest.mark.parametrize("method", list(METHODS))
def test_a_tile_has_the_segments_of_the_whole_pixel_for_pixel_and_number_for_number(method):
    image, _ = make_image()
    settings = {"method": method, "cell_px": 16, "pixels_a_segment": 30}
    whole = segment_objects(image, **settings)
    for top, left, height, width in ((0, 0, 50, 60), (50, 60, 60, 70), (37, 41, 20, 9)):
        rows, columns = tile_window((slice(top, top + height), slice(left, left + width)), whole.shape, cell_px=16)
        part = segment_objects(image.isel(y=rows, x=columns), origin=(rows.start, columns.start), **settings)
        inner = part.values[top - rows.start :, left - columns.start :][:height, :width]
        assert np.array_equal(inner, whole.values[top : top + height, left : left + width])


@pytest.mark.parametrize("method", list(METHODS))
def test_segments_follow_planted_fields_and_are_in_one_piece(method):
    image, field = make_image()
    found = segment_objects(image, method=method, cell_px=64, pixels_a_segment=40).values
    assert np.array_equal(found == 0, np.isnan(image["a"].values))
    names, place = np.unique(found, return_inverse=True)
    place = place.reshape(found.shape)
    # Each segment gives all its pixels to the field that most of them lie in.
    counts = np.zeros((len(names), 61), dtype=int)
    np.add.at(counts, (place.ravel(), field.ravel()), 1)
    assert counts[1:].max(axis=1).sum() / counts[1:].sum() > 0.93
    assert 60 <= len(names) <= 1500
    for name in names[1:40]:
        assert ndimage.label(found == name)[1] == 1


def test_an_offset_within_the_lattice_is_respected():
    image, _ = make_image(1)
    whole = segment_objects(image, method="slic", cell_px=16, pixels_a_segment=30, origin=(5, 11))
    rows, columns = np.s_[11:], np.s_[5:]
    part = segment_objects(image.isel(y=rows, x=columns), method="slic", cell_px=16, pixels_a_segment=30, origin=(16, 16))
    assert np.array_equal(part.values[32:, 32:], whole.values[43:, 37:])


def test_object_features_by_hand():
    """Values 1, 3 and 8 of segment 7: mean 4, squared deviations 9, 1 and 16, deviation sqrt(26 / 3)."""
    segments = xr.DataArray([[7, 7, 9], [7, 7, 0]], dims=("y", "x"))
    features = xr.Dataset({"a": (("y", "x"), [[1.0, 3.0, 5.0], [8.0, np.nan, 6.0]], {"units": "1"})})
    found = object_features(features, segments)
    assert found["segment"].values.tolist() == [7, 9]
    assert found["a"].values == pytest.approx([4.0, 5.0])
    assert found["a_sd"].values == pytest.approx([np.sqrt(26 / 3), 0.0])
    assert found["a"].attrs["units"] == "1"


def test_objects_and_pixels_share_one_form():
    image, field = make_image(noise=0.9)
    legend = load_legend("mexico_8")
    random = np.random.default_rng(2)
    truth = field % 3 + 1
    centers = np.stack([[np.nanmean(image[name].values[truth == code]) for name in "abc"] for code in (1, 2, 3)])
    codes = np.repeat([1, 2, 3], 60)
    samples = (centers[codes - 1] + random.normal(size=(180, 3))).astype("float32")
    trees = fit_classifier("extra_trees", samples, codes, seed=0, options={"trees": 15})
    model = LandCoverModel(trees, ("a", "b", "c"), legend.name, legend.fingerprint, Softening(1.0, 0.02))
    segments = segment_objects(image, method="region_merging", cell_px=64)
    for by in ("probabilities", "features", "majority"):
        share = predict_objects(model, image, legend, segments, by=by)
        assert share.dims == ("class", "y", "x") and share.dtype == "float32"
        seen = segments.values > 0
        assert share.values[:, seen].sum(axis=0) == pytest.approx(1, abs=1e-5) and np.isnan(share.values[:, ~seen]).all()
        mapped = map_land_cover(share)["land_cover"].values
        number = segments.values[seen]
        assert len(set(zip(number.tolist(), mapped[seen].tolist(), strict=True))) == len(set(number.tolist()))
    with pytest.raises(InputError, match="allowed are probabilities"):
        predict_objects(model, image, legend, segments, by="chance")
    with pytest.raises(InputError, match="segments have shape"):
        predict_objects(model, image, legend, segments[1:])


def test_bad_settings():
    image, _ = make_image()
    for settings, message in (
        ({"method": "watershed"}, "there are slic"), ({"pixels_a_segment": 1}, "give 2 or more"),
        ({"cell_px": 4}, "larger cells"), ({"origin": (-1, 0)}, "counted from 0"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            segment_objects(image, **settings)
