"""Metadata of ESA's Sentinel-2 products."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.ard.encoding import processing_baseline, resolve_encoding
from ceiba.ard.safe_metadata import read_safe
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
