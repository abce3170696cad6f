"""Quality bands by name: published values, real bands, masks in meters."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ceiba.ard.quality import (
    clear_pixels,
    confidence,
    count_classes,
    enough_observations,
    grow_mask,
    has_class,
    quality_of_fill,
    translate_quality,
)
from ceiba.ard.sensors import find_sensor, load_sensors
from ceiba.errors import SceneError

QA_PIXEL = find_sensor("landsat_8_l2_c2").quality
PIXEL_QA = find_sensor("landsat_7_l2_c1").archive_quality["pixel_qa"]
BQA = find_sensor("landsat_7_l1_c1").archive_quality["BQA"]
SCL = find_sensor("sentinel_2_l2a").quality


def band(*values) -> xr.DataArray:
    return xr.DataArray(np.array([values], dtype="uint16"), dims=("y", "x"))


def names_of(value: int, kind) -> set[str]:
    return {name for name in kind.classes if bool(has_class(band(value), kind, name))}


def test_values_of_the_usgs_tables():
    # LSDS-1619, table 6-3, QA_PIXEL of Landsat 8: value and what it is
    assert names_of(21824, QA_PIXEL) == {"clear"}
    assert names_of(21952, QA_PIXEL) == {"clear", "water"}
    assert names_of(22280, QA_PIXEL) == {"cloud"} and confidence(band(22280), QA_PIXEL, "cloud_confidence").item() == 3
    assert names_of(23888, QA_PIXEL) == {"clear", "cloud_shadow"}
    # LSDS-1370, table 6-3, pixel_qa of Landsat 4 to 7: 66 and 130 clear, 72 shadow, 96, 160 and 224 cloud by confidence
    assert names_of(66, PIXEL_QA) == {"clear"} and names_of(72, PIXEL_QA) == {"cloud_shadow"}
    assert [confidence(band(value), PIXEL_QA, "cloud_confidence").item() for value in (96, 160, 224)] == [1, 2, 3]
    # Collection 1 BQA of Landsat 4 to 7: 672 clear, 752 cloud of high confidence, 676 clear with 1 to 2 bands saturated
    assert names_of(672, BQA) == set() and names_of(752, BQA) == {"cloud"}
    assert confidence(band(676), BQA, "saturation").item() == 1


def test_other_kinds_are_told_as_qa_pixel_by_name():
    told = translate_quality(band(1, 66, 68, 72, 80, 96, 224), PIXEL_QA, QA_PIXEL)
    assert told.dtype == "uint16"
    names = [names_of(value, QA_PIXEL) for value in told.values[0]]
    assert names == [
        {"fill"}, {"clear"}, {"clear", "water"}, {"clear", "cloud_shadow"}, {"clear", "snow"}, {"cloud"}, {"cloud"}
    ]  # fmt: skip
    assert confidence(told, QA_PIXEL, "cloud_confidence").values.tolist() == [[0, 1, 1, 1, 1, 1, 3]]
    clear = clear_pixels(told, QA_PIXEL)
    assert clear.values.tolist() == [[False, True, True, False, False, False, False]]
    # terrain occlusion of Landsat 8 (bit 10) and dropped pixels (bit 1 of BQA) were not seen
    assert names_of(translate_quality(band(1346), PIXEL_QA, QA_PIXEL).item(), QA_PIXEL) == {"fill"}
    assert names_of(translate_quality(band(2), BQA, QA_PIXEL).item(), QA_PIXEL) == {"fill"}
    # BQA: shadow, snow and cirrus only by confidence: 928 has high shadow confidence, 1696 high snow, 6816 high cirrus
    told = translate_quality(band(672, 752, 928, 1696, 6816), BQA, QA_PIXEL)
    assert [names_of(value, QA_PIXEL) for value in told.values[0]] == [
        {"clear"}, {"cloud"}, {"clear", "cloud_shadow"}, {"clear", "snow"}, {"clear", "cirrus"}
    ]  # fmt: skip
    with pytest.raises(SceneError, match="only kinds of bits"):
        translate_quality(band(4), SCL, QA_PIXEL)


@given(st.integers(0, 2**16 - 1))
def test_a_told_value_is_clear_only_where_its_own_kind_says_so(value):
    for kind in (PIXEL_QA, BQA):
        told = translate_quality(band(value), kind, QA_PIXEL)
        if bool(clear_pixels(told, QA_PIXEL)):
            assert bool(clear_pixels(band(value), kind))


def test_caqueta_counts_are_those_published_with_it(sample_folder):
    folder = sample_folder / "eo/landsat7_l1_caqueta_colombia"
    for own, kind, expected in (
        ("pixel_qa", PIXEL_QA, {"clear": 0.522, "cloud": 0.437, "cloud_shadow": 0.041}),
        ("bqa", BQA, {"cloud": 0.309}),
    ):
        values = rasterio.open(folder / f"LE07_L1TP_007059_20161209_20170130_01_T1_{own}.tif").read(1)
        quality = translate_quality(xr.DataArray(values, dims=("y", "x")), kind, QA_PIXEL)
        counts = count_classes(quality, QA_PIXEL)
        assert counts["fill"] / values.size == pytest.approx(0.473, abs=5e-4)
        counts["clear"] = int(clear_pixels(quality, QA_PIXEL).sum())
        for name, share in expected.items():
            assert counts[name] / (values.size - counts["fill"]) == pytest.approx(share, abs=5e-4), (own, name)


def test_masks_grow_by_meters_not_pixels():
    mask = xr.DataArray(np.zeros((21, 21), bool), dims=("y", "x"))
    mask[10, 10] = True
    # Points with whole coordinates within 3 of the origin: 29 (Gauss's circle problem)
    assert int(grow_mask(mask, distance_m=90, resolution_m=30).sum()) == 29
    assert int(grow_mask(mask, distance_m=30, resolution_m=10).sum()) == 29
    assert int(grow_mask(mask, distance_m=15, resolution_m=5).sum()) == 29
    assert int(grow_mask(mask, distance_m=29, resolution_m=30).sum()) == 1
    two = xr.concat([mask, xr.zeros_like(mask)], "time")
    assert grow_mask(two, distance_m=90, resolution_m=30).sum(("y", "x")).values.tolist() == [29, 0]
    with pytest.raises(SceneError, match="-1 m"):
        grow_mask(mask, distance_m=-1, resolution_m=30)


def test_only_the_class_named_is_grown():
    scene = xr.DataArray(np.full((1, 9), 4, "uint16"), dims=("y", "x"))
    scene[0, 2], scene[0, 6] = SCL.classes["cloud_high"], SCL.classes["cloud_shadow"]
    clear = clear_pixels(scene, SCL, grow_m={"cloud_high": 20}, resolution_m=20)
    assert clear.values.tolist() == [[True, False, False, False, True, True, False, True, True]]
    with pytest.raises(SceneError, match="resolution_m"):
        clear_pixels(scene, SCL, grow_m={"cloud_high": 20})
    with pytest.raises(SceneError, match="'clouds'"):
        clear_pixels(scene, SCL, grow_m={"clouds": 20}, resolution_m=20)


def test_scenes_without_a_quality_band_have_fill():
    quality = quality_of_fill(xr.DataArray([[True, False]], dims=("y", "x")), QA_PIXEL)
    assert quality.values.tolist() == [[1, 64]] and quality.dtype == "uint16"
    assert clear_pixels(quality, QA_PIXEL).values.tolist() == [[False, True]]


def test_a_minimum_of_observations():
    counts = xr.DataArray([0, 2, 3, 7])
    assert enough_observations(counts, minimum=3).values.tolist() == [False, False, True, True]
    with pytest.raises(SceneError, match="minimum of 0"):
        enough_observations(counts, minimum=0)


def test_every_kind_names_only_classes_that_it_has():
    for sensor in load_sensors().values():
        for kind in (sensor.quality, *sensor.archive_quality.values()):
            assert {*kind.clear, *kind.unwanted, *kind.counts_as} <= set(kind.classes), kind.name
