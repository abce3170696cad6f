"""Metadata of ESA's Sentinel-2 products."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.ard.encoding import processing_baseline, resolve_encoding
from ceiba.ard.safe_metadata import read_safe, read_sun
from ceiba.ard.sensors import Encoding, find_sensor
from ceiba.errors import SceneError

OFFSETS = "".join(f'<{{key}} band_id="{band}">-1000</{{key}}>' for band in range(13))
TEXT = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>2022-02-03T16:25:21.024Z</PRODUCT_START_TIME>
<PRODUCT_URI>S2B_MSIL{level}_20220203T162521_N{baseline}_R040_T15QXU_20220203T200612.SAFE</PRODUCT_URI>
<PROCESSING_BASELINE>{dotted}</PROCESSING_BASELINE>
</Product_Info><Product_Image_Characteristics>
<{quantity} unit="none">10000</{quantity}>
{offsets}
</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_User_Product>
"""


def metadata(level: str, dotted: str) -> bytes:
    key, quantity = {"1C": ("RADIO_ADD_OFFSET", "QUANTIFICATION_VALUE"), "2A": ("BOA_ADD_OFFSET", "BOA_QUANTIFICATION_VALUE")}[level]
    offsets = OFFSETS.format(key=key) if dotted >= "04.00" else ""
    return TEXT.format(
        level=level, dotted=dotted, baseline=dotted.replace(".", ""), quantity=quantity, offsets=offsets
    ).encode()


@pytest.mark.parametrize(("level", "sensor"), [("1C", "sentinel_2_l1c"), ("2A", "sentinel_2_l2a")])
@pytest.mark.parametrize(("baseline", "offset"), [("03.01", 0.0), ("04.00", -0.1), ("05.11", -0.1)])
def test_the_file_says_the_offset(level, sensor, baseline, offset):
    properties = read_safe(metadata(level, baseline))
    assert processing_baseline(properties) == baseline
    assert resolve_encoding(find_sensor(sensor), properties) == Encoding(0.0001, offset, 0)


def test_another_file_is_an_error():
    with pytest.raises(SceneError, match=r"X.xml says no PROCESSING_BASELINE, PRODUCT_URI"):
        read_safe(b"<a><b>1</b></a>", name="X.xml")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_is_metadata_or_a_scene_error(data):
    text = metadata("2A", "04.00")
    start = data.draw(st.integers(0, len(text)))
    damaged = text[:start] + data.draw(st.binary(max_size=12)) + text[start + data.draw(st.integers(0, 40)) :]
    try:
        resolve_encoding(find_sensor("sentinel_2_l2a"), read_safe(damaged))
    except SceneError:
        pass


SUN = b"""<n1:Level-1C_Tile_ID xmlns:n1="x"><n1:Geometric_Info><Tile_Angles><Sun_Angles_Grid><Zenith/></Sun_Angles_Grid>
<Mean_Sun_Angle><ZENITH_ANGLE unit="deg">38.2519</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">152.7</AZIMUTH_ANGLE></Mean_Sun_Angle>
</Tile_Angles></n1:Geometric_Info></n1:Level-1C_Tile_ID>"""


def test_a_granule_says_where_the_sun_stood():
    assert read_sun(SUN) == (38.2519, 152.7)
    with pytest.raises(SceneError, match=r"TL.xml says no Mean_Sun_Angle"):
        read_sun(b"<a/>", name="TL.xml")
    with pytest.raises(SceneError, match="above the horizon"):
        read_sun(SUN.replace(b"38.2519", b"98"))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_granule_has_a_sun_or_is_a_scene_error(data):
    start = data.draw(st.integers(0, len(SUN)))
    damaged = SUN[:start] + data.draw(st.binary(max_size=12)) + SUN[start + data.draw(st.integers(0, 40)) :]
    try:
        zenith, azimuth = read_sun(damaged)
    except SceneError:
        return
    assert 0 <= zenith < 90 and 0 <= azimuth < 360
