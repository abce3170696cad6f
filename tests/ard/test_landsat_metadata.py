"""MTL files of both collections, as text and JSON, whole and damaged."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.ard.landsat_metadata import LandsatMetadata, read_mtl
from ceiba.errors import SceneError

sys.path.insert(0, str(Path(__file__).parent))
from landsat_scenes import mtl_groups, mtl_json, mtl_text  # noqa: E402

NAME = "LC08_L1TP_026047_20151205_20200908_02_T1"


@pytest.mark.parametrize("collection", [1, 2])
def test_both_collections_say_the_same(collection):
    metadata = read_mtl(mtl_text(mtl_groups(collection=collection, name=NAME)))
    assert (metadata.name, metadata.platform, metadata.level, metadata.collection) == (NAME, "landsat-8", 1, collection)
    assert metadata.time == datetime(2015, 12, 5, 16, 6, 6, 877338, tzinfo=UTC)
    assert (metadata.sun_elevation_deg, metadata.earth_sun_distance_au) == (30.0, 0.985478)
    assert metadata.reflectance["4"] == (2e-5, -0.1) and metadata.radiance["7"] == (0.5, -1.5)
    assert metadata.saturated["2"] == 65535 and metadata.surface_reflectance == {}
    assert metadata.center == pytest.approx((-99.15, 19.45))


def test_padding_json_and_line_ends_change_nothing():
    groups = mtl_groups(name=NAME)
    text = mtl_text(groups)
    expected = read_mtl(text)
    assert read_mtl(mtl_text(groups, pad_to=65_535)) == expected
    assert read_mtl(text.ljust(65_535)) == expected
    assert read_mtl(text.replace(b"\n", b"\r\n")) == expected
    assert read_mtl(text.decode()) == expected
    assert read_mtl(mtl_json(groups)) == expected


def test_level_2_tells_its_own_scale_from_that_of_level_1():
    metadata = read_mtl(mtl_text(mtl_groups(level=2, name=NAME.replace("L1TP", "L2SP"))))
    assert metadata.level == 2
    assert metadata.surface_reflectance["4"] == (2.75e-5, -0.2) and metadata.reflectance["4"] == (2e-5, -0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"SUN_ELEVATION = 30.0", b"SUN_ELEVATION = -4.0", "night scene"),
        (b"SUN_ELEVATION = 30.0", b"SUN_ELEVATION = high", "SUN_ELEVATION is 'high'"),
        (b"    SUN_ELEVATION = 30.0\n", b"", "says no SUN_ELEVATION in IMAGE_ATTRIBUTES"),
        (b"    REFLECTANCE_ADD_BAND_4 = -0.1\n", b"", "do not pair for band 4"),
        (b"DATE_ACQUIRED = 2015-12-05", b"DATE_ACQUIRED = 2015-13-05", "are no time"),
        (b'"L1TP"', b'"L3"', "level 'L3'"),
        (b"\nEND\n", b"", "ends before its END"),
        (b"    WRS_PATH = 26", b"    WRS_PATH 26", "line .*'WRS_PATH 26' is no"),
        (b"END_GROUP = IMAGE_ATTRIBUTES", b"END_GROUP = OTHER", "was not the one begun"),
        (b"GROUP = LANDSAT_METADATA_FILE", b"GROUP = SENTINEL", "unexpected group 'SENTINEL'"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(old, new, message):
    text = mtl_text(mtl_groups(name=NAME))
    assert old in text
    with pytest.raises(SceneError, match=message) as error:
        read_mtl(text.replace(old, new, 1), name="X_MTL.txt")
    assert "X_MTL.txt" in str(error.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_metadata_or_a_scene_error(content):
    with pytest.raises(SceneError):
        read_mtl(content)


TEXTS = [
    mtl_text(mtl_groups(collection=1, name=NAME)),
    mtl_text(mtl_groups(level=2, name=NAME)),
    mtl_json(mtl_groups(name=NAME)),
]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_any_damage_is_metadata_or_a_scene_error(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 60)))
    damaged = text[:start] + data.draw(st.binary(max_size=12)) + text[end:]
    try:
        assert isinstance(read_mtl(damaged), LandsatMetadata)
    except SceneError:
        pass


def test_real_files_are_read(sample_folder):
    eo = sample_folder / "eo"
    caqueta = read_mtl((eo / "landsat7_l1_caqueta_colombia/LE07_L1TP_007059_20161209_20170130_01_T1_MTL.txt").read_bytes())
    assert (caqueta.platform, caqueta.level, caqueta.collection) == ("landsat-7", 1, 1)
    assert caqueta.reflectance["1"] == (1.7671e-3, -0.011046) and caqueta.saturated["1"] == 255
    # Padded with zeros to 65,535 bytes, from before the collections, without reflectance coefficients or distance.
    para = read_mtl((eo / "landsat5_l1_para_brazil_1988/LT52240631988227CUB02_MTL.txt").read_bytes())
    assert (para.name, para.platform, para.level, para.collection) == ("LT52240631988227CUB02", "landsat-5", 1, 1)
    assert para.reflectance == {} and para.earth_sun_distance_au is None and para.sun_elevation_deg == 49.75588889
    folder = eo / "landsat8_l1_l2_momotombo_nicaragua"
    surface = read_mtl((folder / "L2SP/LC08_L2SP_017051_20151205_20200908_02_T1_MTL.txt").read_bytes())
    assert (surface.name, surface.level) == ("LC08_L2SP_017051_20151205_20200908_02_T1", 2)
    assert surface.surface_reflectance["4"] == (2.75e-5, -0.2)
    peer = read_mtl((eo / "landsat8_toa_reference_rio_toa/LC81390452014295LGN00_MTL.json").read_bytes())
    assert (peer.name, peer.sun_elevation_deg) == ("LC81390452014295LGN00", 52.12893938)
