"""What a number means is told by each item, and checked on its dark pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba import cube as index
from ceiba.ard.encoding import check_encoding, processing_baseline, resolve_encoding, scene_encoding
from ceiba.ard.sensors import Encoding, find_sensor
from ceiba.errors import SceneError

S2 = find_sensor("sentinel_2_l2a")
OLD, NEW = Encoding(0.0001, 0.0, 0), Encoding(0.0001, -0.1, 0)
RASTER_BAND = {"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, OLD),
        ({"s2:processing_baseline": "03.01"}, OLD),
        ({"s2:processing_baseline": "04.00"}, NEW),
        ({"s2:processing_baseline": "05.11"}, NEW),
        ({"sentinel:processing_baseline": "0400"}, NEW),
        # Copernicus Data Space
        ({"processing:version": "05.10"}, NEW),
        ({"s2:product_uri": "S2B_MSIL2A_20250302T095029_N0511_R079_T33UXP_20250302T104753.SAFE"}, NEW),
        ({"s2:product_uri": "S2A_MSIL2A_20190302T095029_N0211_R079_T33UXP_20190302T104753.SAFE"}, OLD),
        # Earth Search: the flag is the truth where raster:bands says -0.1 all the same (Element84/earth-search, issue 9)
        ({"s2:processing_baseline": "04.00", "earthsearch:boa_offset_applied": True}, OLD),
        (
            {
                "s2:processing_baseline": "05.09",
                "earthsearch:boa_offset_applied": True,
                "raster:bands": {"red": [RASTER_BAND], "nir": [RASTER_BAND]},
            },
            OLD,
        ),
        ({"s2:processing_baseline": "04.00", "earthsearch:boa_offset_applied": False}, NEW),
        ({"raster:bands": [RASTER_BAND]}, NEW),
        ({"s2:processing_baseline": "04.00", "raster:bands": [RASTER_BAND | {"offset": 0}]}, OLD),
        ({"raster:scale": 0.0001, "raster:offset": -0.1}, NEW),
        # SAFE folders: (DN + offset) / quantification value
        ({"BOA_ADD_OFFSET": [-1000] * 12, "BOA_QUANTIFICATION_VALUE": "10000"}, NEW),
        ({"RADIO_ADD_OFFSET": {"0": "-1000", "1": "-1000"}, "QUANTIFICATION_VALUE": 10000}, NEW),
        ({"BOA_ADD_OFFSET": 0, "PROCESSING_BASELINE": "04.00"}, OLD),
    ],
)
def test_the_offset_is_the_items_own(properties, expected):
    assert resolve_encoding(S2, properties) == expected


def test_landsat_items_keep_their_own_scale_whatever_they_call_a_version():
    landsat = find_sensor("landsat_8_l2_c2")
    assert resolve_encoding(landsat, {"processing:version": "05.00"}) == Encoding(2.75e-5, -0.2, 0)
    stac = {"raster:bands": [{"scale": 2.75e-05, "offset": -0.2, "nodata": 0}]}
    assert resolve_encoding(landsat, stac) == Encoding(2.75e-5, -0.2, 0)
    # Collection 1 stores 16-bit integers of 1e-4 with -9999 (LSDS-1368)
    assert resolve_encoding(find_sensor("landsat_8_l2_c1"), {}) == Encoding(1e-4, 0.0, -9999)


def test_bands_that_disagree_are_refused():
    with pytest.raises(SceneError, match="-0.1, 0.0"):
        resolve_encoding(S2, {"raster:bands": {"red": [RASTER_BAND], "nir": [RASTER_BAND | {"offset": 0}]}})
    with pytest.raises(SceneError, match="no number"):
        resolve_encoding(S2, {"raster:bands": [RASTER_BAND | {"offset": "minus"}]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["scale", "offset", "nodata", "red"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            "raster:bands raster:offset BOA_ADD_OFFSET QUANTIFICATION_VALUE s2:processing_baseline "
            "earthsearch:boa_offset_applied title".split()
        ),
        JSON,
        max_size=4,
    )
)
def test_any_properties_give_an_encoding_or_a_scene_error(properties):
    try:
        encoding = resolve_encoding(S2, properties)
    except SceneError:
        return
    assert np.isfinite([encoding.scale, encoding.offset]).all()
    processing_baseline(properties)


def scene_numbers(offset_counts: int, dark: int = 150) -> dict[str, np.ndarray]:
    """Vegetation and some water: the darkest hundredth of red reflects ``dark`` counts."""
    random = np.random.default_rng(5)
    red = random.normal(500, 60, (80, 80)).round()
    red[:2] = dark
    nir = random.normal(3000, 300, (80, 80)).round()
    return {name: (band + offset_counts).astype("uint16") for name, band in (("red", red), ("nir", nir))}


def test_an_offset_taken_off_twice_is_refused():
    with pytest.raises(SceneError, match=r"S2B_X: baseline 05.09.*-0.1.*-0.085.*removed already"):
        check_encoding("S2B_X", S2, NEW, scene_numbers(0), baseline="05.09")
    check_encoding("S2B_X", S2, NEW, scene_numbers(1000), baseline="05.09")


def test_an_offset_left_in_is_refused():
    with pytest.raises(SceneError, match=r"S2B_X: baseline 05.09.*\+ 0.*0.115.*offset -0.1 of its baseline"):
        check_encoding("S2B_X", S2, OLD, scene_numbers(1000), baseline="05.09")
    check_encoding("S2B_X", S2, OLD, scene_numbers(0), baseline="05.09")
    # before 04.00 there is no offset to be left in: a bright scene is a bright scene
    check_encoding("S2B_X", S2, OLD, scene_numbers(1000), baseline="03.01")


def test_a_desert_or_a_cloud_is_no_offset():
    check_encoding("S2B_X", S2, OLD, scene_numbers(2000, dark=400), baseline="05.09")
    clear = np.zeros((80, 80), bool)
    check_encoding("S2B_X", S2, OLD, scene_numbers(1000), baseline="05.09", clear=clear)


def test_documents_without_an_encoding_mean_the_default_of_their_sensor():
    product = SimpleNamespace(name="landsat_scenes")
    old = SimpleNamespace(metadata_doc={"properties": {}}, product=product)
    assert scene_encoding(old) == Encoding(2.75e-5, -0.2, 0)
    told = SimpleNamespace(metadata_doc={"properties": {"ceiba:sensor": "sentinel_2_l2a"}}, product=product)
    assert scene_encoding(told) == OLD
    own = {"ceiba:sensor": "sentinel_2_l2a", "ceiba:reflectance": {"scale": 1e-4, "offset": -0.1, "nodata": 0}}
    assert scene_encoding(SimpleNamespace(metadata_doc={"properties": own}, product=product)) == NEW
    bad = {"ceiba:reflectance": {"scale": 1e-4}}
    with pytest.raises(SceneError, match="scale, offset and nodata"):
        scene_encoding(SimpleNamespace(metadata_doc={"properties": bad}, product=product))


def test_scenes_of_both_baselines_have_the_median_of_one(
    own_store, tmp_path, write_archive, add_tiny_area, index_scenes, raise_counts
):
    medians = {}
    for name, baseline in (("one_baseline", "02.14"), ("two_baselines", "04.00")):
        archive = write_archive(tmp_path / name)
        for position, folder in enumerate(sorted(archive.iterdir())):
            if position >= 2 and baseline == "04.00":
                raise_counts(folder, 1000, **{"s2:processing_baseline": baseline})
        area = add_tiny_area(own_store, archive, name)
        inventory, failures = index_scenes(area)
        assert failures == []
        stack = []
        for dataset_id in inventory["dataset_id"]:
            dataset = index.get_dataset(index.connect(), dataset_id)
            encoding = scene_encoding(dataset)
            with rasterio.open(dataset.uri.rsplit("/", 1)[0] + "/10m.tif") as file:
                stack.append(file.read([1, 2, 3, 4]) * encoding.scale + encoding.offset)
        medians[name] = np.median(stack, axis=0)
    assert np.abs(medians["one_baseline"] - medians["two_baselines"]).max() <= 1e-4 + 1e-12
    assert medians["two_baselines"][3].mean() == pytest.approx(0.3, abs=0.002)


def test_a_scene_stored_otherwise_than_declared_is_refused_by_name(
    own_store, tmp_path, write_archive, add_tiny_area, index_scenes, raise_counts
):
    archive = write_archive(tmp_path / "wrong")
    first, second, *_ = sorted(archive.iterdir())
    raise_counts(first, 0, **{"s2:processing_baseline": "04.00"})
    raise_counts(second, 700, **{"s2:processing_baseline": "04.00", "earthsearch:boa_offset_applied": True})
    inventory, failures = index_scenes(add_tiny_area(own_store, archive, "wrong_offset"))
    assert inventory["status"].tolist() == ["refused", "refused", "indexed", "indexed"]
    assert "removed already" in failures[0] and first.name in failures[0]
    assert "still in the numbers" in failures[1] and "baseline 04.00" in failures[1]
