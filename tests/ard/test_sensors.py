"""Sensors by name, and one of 5 m that shows that nothing takes 10 or 30 m for granted."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine

import ceiba.catalog
from ceiba import cube as index
from ceiba.ard.encoding import scene_encoding
from ceiba.ard.quality import clear_pixels
from ceiba.ard.sensors import find_sensor, load_sensors, read_sensors, sensor_of_product, sensor_of_scene
from ceiba.errors import SceneError
from ceiba.mosaics.geomedian import geomedian
from ceiba.products import find_definition

BANDS = {"blue", "green", "red", "red_edge_1", "red_edge_2", "red_edge_3", "nir", "nir_narrow", "swir_1", "swir_2"}
OF_THE_SKY = {"coastal_aerosol", "water_vapor", "cirrus"}  # for masks, in no product
TINY_CRS, TINY_ORIGIN, TINY_SIZE_M = "EPSG:6372", (2_000_000, 1_000_000), 320  # as in tests/conftest.py


def test_every_sensor_fits_its_product():
    for sensor in load_sensors().values():
        measured = {band.name for band in find_definition(sensor.product).measurements}
        held = {name for bands in sensor.bands.values() for name in bands}
        assert held == measured, sensor.name
        more = {name for bands in sensor.more_bands.values() for name in bands}
        assert {name.removesuffix("_20m") for name in held | more if not name.startswith("quality")} <= BANDS | OF_THE_SKY
        assert not held & OF_THE_SKY
        assert set(sensor.esun) in (set(), set(sensor.reflectance_bands()))


@pytest.mark.parametrize("collection", [1, 2])
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize(("number", "red"), [(5, "3"), (7, "3"), (8, "4"), (9, "4")])
def test_landsat_of_both_levels_and_collections(number, red, level, collection):
    if number == 9 and collection == 1:
        with pytest.raises(SceneError, match="landsat-9.*collection 1"):
            sensor_of_scene(platform="landsat-9", level=level, collection=1)
        return
    sensor = sensor_of_scene(platform=f"landsat-{number}", level=level, collection=collection)
    prefix = {(1, 1): "B", (1, 2): "B", (2, 1): "sr_band", (2, 2): "SR_B"}[level, collection]
    assert sensor.bands[30]["red"] == prefix + red
    # Whatever the archive's, the cube's is that of Collection 2 (LSDS-1619).
    assert (sensor.scale, sensor.offset, sensor.nodata) == (2.75e-5, -0.2, 0)
    assert sensor.quality.name == "qa_pixel"
    if level == 1:
        assert sensor.saturated == (65535 if number >= 8 else 255)


@pytest.mark.parametrize("platform", ["sentinel-2a", "sentinel-2b", "sentinel-2c"])
def test_sentinel_2_of_both_levels(platform):
    assert sensor_of_scene(platform=platform, level=2).name == "sentinel_2_l2a"
    assert sensor_of_scene(platform=platform, level=1).name == "sentinel_2_l1c"


def test_one_sensor_stands_for_a_product():
    assert sensor_of_product("landsat_scenes").name == "landsat_8_l2_c2"
    assert sensor_of_product("s2_l2a_scenes").name == "sentinel_2_l2a"


def test_an_entry_like_none_or_like_itself_is_an_error(tmp_path):
    for entry, message in (("a: {like: b}", "'a' is like 'b'"), ("a: {like: c}\n  c: {like: a}", "is like")):
        (tmp_path / "sensors.yml").write_text(f"sensors:\n  {entry}\nquality: {{}}\n")
        with pytest.raises(SceneError, match=message):
            read_sensors(tmp_path / "sensors.yml")


def test_scenes_of_5_m_go_through_the_chain(own_store, tmp_path, add_tiny_area, index_scenes):
    sensor = find_sensor("rapideye_l3a")
    pixels = TINY_SIZE_M // 5
    names = list(sensor.bands[5])
    written = []
    for day in (1, 2, 3):
        random = np.random.default_rng(day)
        folder = tmp_path / "archive" / f"rapideye_{day}"
        folder.mkdir(parents=True)
        described = {"name": folder.name, "time": f"2013-02-0{day}T17:30:00Z", "sensor": sensor.name, "platform": "rapideye-1"}
        (folder / "scene.json").write_text(json.dumps(described))
        bands = {name: random.integers(300, 900, (pixels, pixels)).astype("uint16") for name in names}
        bands["quality"] = np.full((pixels, pixels), 1 << sensor.quality_classes["clear"], "uint16")
        bands["quality"][20, 20] = 1 << sensor.quality_classes["cloud"]
        written.append(bands)
        with rasterio.open(
            folder / "5m.tif", "w", driver="GTiff", width=pixels, height=pixels, count=len(names), dtype="uint16", nodata=0,
            crs=TINY_CRS, transform=Affine(5, 0, TINY_ORIGIN[0], 0, -5, TINY_ORIGIN[1]),
        ) as file:  # fmt: skip
            for number, name in enumerate(names, 1):
                file.write(bands[name], number)
                file.set_band_description(number, name)
    area = add_tiny_area(own_store, tmp_path / "archive", "five_meters", years=(2013, 2013))
    inventory, failures = index_scenes(area)
    assert failures == [] and set(inventory["sensor"]) == {"rapideye_l3a"}
    stack = ceiba.catalog.open("rapideye_scenes", area=area, time="2013", resolution_m=5)
    assert stack["red"].shape == (3, pixels, pixels)
    assert np.array_equal(stack["red_edge_1"].values, [bands["red_edge_1"] for bands in written])
    assert sensor.quality_band(5) == "quality"
    # 15 m around a cloud are 3 pixels of 5 m: 29 points within 3 of the origin
    clear = clear_pixels(stack["quality"], sensor.quality, grow_m={"cloud": 15}, resolution_m=5)
    assert (~clear).sum(("y", "x")).values.tolist() == [29, 29, 29]
    encoding = scene_encoding(index.get_dataset(index.connect(), inventory["dataset_id"][0]))
    assert (encoding.scale, encoding.offset, encoding.nodata) == (1e-4, 0.0, 0)
    # as many bands as other tests have: for each number of them the geomedian is compiled once
    bands = stack[["blue", "green", "red", "red_edge_1"]]
    for band in bands.data_vars.values():
        band.attrs |= encoding.to_properties()
    mosaic = geomedian(bands, clear)
    assert mosaic["red"].shape == (pixels, pixels) and int((mosaic["count"] == 0).sum()) == 29
    assert 0.03 < float(mosaic["red_edge_1"].min()) and float(mosaic["red_edge_1"].max()) < 0.09
