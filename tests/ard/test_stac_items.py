"""Items of STAC APIs as scenes: whatever an API sends is a scene or an error that names the item."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from ceiba.ard.offers import COPY, REFERENCE, Offer, choose_newest, is_unused, read_item
from ceiba.ard.references import why_copied
from ceiba.errors import CatalogError, SceneError
from ceiba.providers import load_providers, read_provider, sign_address

SHA = "1220" + "ab" * 32
STRIP = "S2A_OPER_MSI_L2A_DS_EPAE_20190304T221415_S20190304T162205_N02.11"


def make_item(provider: str = "earth_search", collection: str = "sentinel-2-l2a", **properties) -> dict:
    rule = next(each for each in load_providers()[provider].collections if each.name == collection)
    assets = {
        key: {"href": f"https://host/{key}.tif", "type": "image/tiff; application=geotiff; profile=cloud-optimized"}
        for key in set(rule.assets.values())
    }
    outline = box(-90, 20, -89, 21).__geo_interface__
    told = {
        "datetime": "2019-03-04T16:32:10.123Z", "platform": "sentinel-2a", "eo:cloud_cover": 12.5, "grid:code": "MGRS-16QBH",
        "s2:processing_baseline": "02.11", "s2:datastrip_id": STRIP, "updated": "2020-05-01T00:00:00Z",
    }  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": "S2A_16QBH_20190304_0_L2A", "geometry": dict(outline),
        "properties": told | properties, "assets": assets,
    }  # fmt: skip


def read(item: dict, provider: str = "earth_search", collection: str = "sentinel-2-l2a") -> Offer:
    found = load_providers()[provider]
    return read_item(item, found, next(each for each in found.collections if each.name == collection))


def test_an_item_tells_sensor_time_cloud_and_files():
    offer = read(make_item())
    assert (offer.sensor.name, offer.time, offer.cloud_cover) == ("sentinel_2_l2a", "2019-03-04T16:32:10Z", 12.5)
    assert offer.acquisition == "16QBH_sentinel-2a_20190304T162205"  # tile, platform, sensing start of the data strip
    bands = {band.name: band.href for band in offer.bands}
    assert bands["nir_narrow"] == "https://host/nir08.tif" and bands["green"] == bands["green_20m"]
    assert len(offer.files) == 7 and math.isnan(offer.size_bytes) and offer.is_identified


def test_offsets_come_with_each_item():
    assert read(make_item()).encoding.offset == 0
    newer = make_item(**{"s2:processing_baseline": "04.00"})
    assert read(newer).encoding.offset == -0.1
    # Earth Search: the offset is still declared where it was removed already.
    newer["properties"]["earthsearch:boa_offset_applied"] = True
    for asset in newer["assets"].values():
        asset["raster:bands"] = [{"scale": 0.0001, "offset": -0.1, "nodata": 0}]
    assert read(newer).encoding.offset == 0
    declared = make_item(**{"s2:processing_baseline": ""})
    for asset in declared["assets"].values():
        asset["raster:scale"], asset["raster:offset"] = 0.0001, -0.1  # STAC 1.1
    assert read(declared).encoding.offset == -0.1
    # The same numbers with another meaning are another scene.
    assert read(newer).dataset_id(REFERENCE) != read(make_item(**{"s2:processing_baseline": "04.00"})).dataset_id(REFERENCE)


def test_landsat_of_the_usgs_is_read_from_its_bucket():
    item = make_item("usgs_landsat", "landsat-c2l2-sr", platform="LANDSAT_8", **{
        "landsat:wrs_path": "020", "landsat:wrs_row": "046", "grid:code": None, "s2:datastrip_id": None})  # fmt: skip
    with pytest.raises(SceneError, match="no alternate address 's3'"):
        read(item, "usgs_landsat", "landsat-c2l2-sr")
    for key, asset in item["assets"].items():
        asset["alternate"] = {"s3": {"href": f"s3://usgs-landsat/x/{key}.TIF"}}
    offer = read(item, "usgs_landsat", "landsat-c2l2-sr")
    assert offer.sensor.name == "landsat_8_l2_c2" and offer.acquisition == "WRS2-020046_landsat-8_20190304"
    assert all(band.href.startswith("s3://usgs-landsat/") for band in offer.bands)
    assert "paid" in why_copied(offer)
    # LSDS-1619: surface reflectance of Collection 2 is number * 0.0000275 - 0.2
    assert (offer.encoding.scale, offer.encoding.offset) == (0.0000275, -0.2)


def test_platforms_that_a_collection_is_not_used_for_are_passed_over_and_unknown_ones_are_not():
    landsat = next(each for each in load_providers()["usgs_landsat"].collections if each.name == "landsat-c2l2-sr")
    assert is_unused(make_item(platform="LANDSAT_4"), landsat)
    for platform in ("LANDSAT_8", "sputnik", None):
        assert not is_unused(make_item(platform=platform), landsat)
    assert not is_unused({"properties": None}, landsat) and not is_unused([], landsat)


@pytest.mark.parametrize("change, told", [
    ({"id": None}, "no id"), ({"properties": None}, "no properties"), ({"assets": []}, "lacks the assets"),
    ({"geometry": None}, "geometry"), ({"geometry": {"type": "Point", "coordinates": [0, 0]}}, "no polygon"),
    ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, math.nan], [1, 1], [0, 0]]]}}, "geometry"),
])  # fmt: skip
def test_what_an_item_lacks_is_named(change, told):
    with pytest.raises(SceneError, match=told):
        read(make_item() | change)


@pytest.mark.parametrize("name, value, told", [
    ("datetime", None, "datetime is None"), ("datetime", "yesterday", "yesterday"), ("platform", "sputnik", "sentinel-2a"),
])  # fmt: skip
def test_what_its_properties_lack_is_named(name, value, told):
    with pytest.raises(SceneError, match=told):
        read(make_item(**{name: value}))


@pytest.mark.parametrize("href", ["/etc/passwd", "file:///etc/passwd", "", None, 7, "../x.tif"])
def test_an_item_cannot_name_a_file_of_this_machine(href):
    item = make_item()
    item["assets"]["blue"]["href"] = href
    with pytest.raises(SceneError, match="the address of asset blue"):
        read(item)


def test_odd_fields_are_taken_for_missing():
    odd = make_item(**{"eo:cloud_cover": "much", "proj:epsg": None, "proj:code": "WGS 84", "updated": 7, "proj:shape": "x"})
    for asset in odd["assets"].values():
        asset |= {"file:size": -1, "file:checksum": 12, "proj:shape": [0], "proj:transform": None, "type": None}
    offer = read(odd)
    assert math.isnan(offer.cloud_cover) and offer.crs == "" and not offer.is_identified
    assert {band.size_bytes for band in offer.bands} == {None}
    assert why_copied(offer) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    ("id",), ("type",), ("geometry",), ("geometry", "type"), ("geometry", "coordinates"), ("properties",), ("assets",),
    ("properties", "datetime"), ("properties", "platform"), ("properties", "eo:cloud_cover"), ("properties", "grid:code"),
    ("properties", "s2:processing_baseline"), ("properties", "s2:datastrip_id"), ("properties", "updated"),
    ("properties", "proj:epsg"), ("properties", "proj:code"), ("properties", "raster:bands"), ("properties", "landsat:wrs_path"),
    ("assets", "blue"), ("assets", "blue", "href"), ("assets", "blue", "type"), ("assets", "blue", "file:size"),
    ("assets", "blue", "file:checksum"), ("assets", "blue", "raster:bands"), ("assets", "blue", "bands"), ("assets", "scl"),
    ("assets", "blue", "raster:scale"), ("assets", "blue", "proj:shape"), ("assets", "blue", "alternate"),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), JSON | st.just("(gone)")), min_size=1, max_size=4))
def test_any_item_is_an_offer_or_a_scene_error(changes):
    item = make_item()
    for path, value in changes:
        parent = item
        for key in path[:-1]:
            parent = parent.get(key) if isinstance(parent, dict) else None
        if isinstance(parent, dict):
            parent.pop(path[-1], None) if value == "(gone)" else parent.update({path[-1]: copy.deepcopy(value)})
    try:
        offer = read(item)
    except SceneError:
        return
    assert offer.name and offer.bands and offer.encoding.scale > 0
    assert offer.dataset_id(COPY) != offer.dataset_id(REFERENCE)
    assert math.isnan(offer.cloud_cover) or 0 <= offer.cloud_cover <= 100


@given(JSON)
def test_anything_at_all_is_no_crash(value):
    with pytest.raises(SceneError):
        read(value)


def test_the_newest_processing_stands_for_an_acquisition():
    old, new = read(make_item()), read(make_item(**{"s2:processing_baseline": "05.00"}) | {"id": "reprocessed"})
    other = read(make_item(**{"s2:datastrip_id": STRIP.replace("T162205", "T162605")}) | {"id": "second_strip"})
    chosen, left_out = choose_newest([old, new, other])
    assert [offer.name for offer in chosen] == ["reprocessed", "second_strip"]
    assert left_out == [(old, new)]
    assert choose_newest([new, old])[0] == [new]


def test_identity_is_of_item_addresses_and_change_not_of_tokens():
    first = read(make_item())
    signed = make_item()
    for asset in signed["assets"].values():
        asset["href"] += "?sig=secret"
    assert read(signed).dataset_id(COPY) == first.dataset_id(COPY)
    assert "expires" in why_copied(read(signed))
    assert read(make_item(updated="2021-01-01T00:00:00Z")).dataset_id(COPY) != first.dataset_id(COPY)
    with_sums = make_item()
    for asset in with_sums["assets"].values():
        asset["file:checksum"] = SHA
    later = copy.deepcopy(with_sums)
    later["properties"]["updated"] = "2021-01-01T00:00:00Z"  # the same files
    assert read(with_sums).dataset_id(COPY) == read(later).dataset_id(COPY)


def test_providers_are_checked():
    providers = load_providers()
    assert {"earth_search", "planetary_computer", "usgs_landsat", "copernicus_data_space"} <= set(providers)
    for provider in providers.values():
        assert provider.url.startswith("https://") and provider.collections
    good = {"title": {"en": "x"}, "kind": "stac", "url": "https://host", "collections": {"c": {"sensors": {}, "assets": {}}}}
    assert read_provider("x", good).patience.attempts > 1
    for change, told in [
        ({"kind": "ftp"}, "kind is one of"), ({"url": ""}, "missing url"), ({"colections": {}}, "unknown colections"),
        ({"access": {"kind": "magic"}}, "that of access"), ({"collections": {"c": {}}}, "sensors"),
        ({"patience": {"attempt": 3}}, "attempt"),
    ]:  # fmt: skip
        with pytest.raises(CatalogError, match=told):
            read_provider("x", good | change)


def test_addresses_of_others_are_not_signed():
    for href in ("https://host/a.tif", "s3://bucket/a.tif", "file:///a.tif", "/a.tif", "https://blob.core.windows.net.evil.org/x"):
        assert sign_address(href) == href
