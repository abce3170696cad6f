"""Folders of Landsat scenes into the cube: both levels, both collections, small and real."""

import os
import sys
from pathlib import Path

import boto3
import numpy as np
import pytest
import rasterio
import s3fs
import xarray as xr
from moto.server import ThreadedMotoServer

from ceiba.ard.landsat import LandsatFolderSource
from ceiba.ard.quality import clear_pixels, count_classes
from ceiba.ard.sensors import find_sensor
from ceiba.ard.surface import told_of_corrections
from ceiba.errors import CatalogError, InputError

sys.path.insert(0, str(Path(__file__).parent))
from landsat_scenes import write_scene  # noqa: E402

UTM14, ORIGIN = "EPSG:32614", (490_000, 2_150_000)
BOUNDS = (490_000, 2_150_000 - 1800, 490_000 + 1800, 2_150_000)
SCALE, OFFSET = 2.75e-5, -0.2
KIND = find_sensor("landsat_8_l2_c2").quality
L1_C1 = "LE07_L1TP_026047_20151205_20161010_01_T1"
L1_C2 = "LC08_L1TP_026047_20151205_20200908_02_T1"
L2_C2 = "LC08_L2SP_026047_20151205_20200908_02_T1"
L2_C1 = "LC08_L1TP_026047_20151205_20170401_01_T1"


def level_1_numbers(dtype: str, suffix: str = "B{}.TIF", bands=range(2, 8)) -> dict[str, np.ndarray]:
    """A ramp of numbers, the first row fill, in one band a fill pixel and a saturated one more."""
    top = np.iinfo(dtype).max
    ramp = np.linspace(0.11, 0.6, 60 * 60).reshape(60, 60) * top
    files = {}
    for band in bands:
        numbers = (ramp * (0.8 + band / 40)).astype(dtype)
        numbers[0] = 0
        files[suffix.format(band)] = numbers
    first = files[suffix.format(bands[0])]
    first[5, 5], first[6, 6] = 0, top
    return files


def test_collection_2_level_1_becomes_surface_reflectance(tmp_path, add_landsat_area, index_scenes, read_scene):
    files = level_1_numbers("uint16")
    quality = np.full((60, 60), 21824, "uint16")
    quality[0], quality[30, 30], quality[31, 31] = 1, 22280, 23888
    write_scene(tmp_path / "scenes" / L1_C2, L1_C2, files | {"QA_PIXEL.TIF": quality}, crs=UTM14, origin=ORIGIN)
    area = add_landsat_area("l1c2", BOUNDS, UTM14, urlpath=str(tmp_path / "scenes"), method="dos")
    inventory, failures = index_scenes(area)
    assert failures == [] and inventory["sensor"].tolist() == ["landsat_8_l1_c2"]
    document, bands = read_scene(inventory["dataset_id"][0])
    properties = document["properties"]
    assert properties["ceiba:reflectance"] == {"scale": SCALE, "offset": OFFSET, "nodata": 0}
    assert properties["ceiba:atmosphere_method"] == "dos" and properties["ceiba:terrain_corrected"] is False
    assert properties["ceiba:fill_count"] == 61  # the first row, and the pixel that one band lacks
    assert properties["ceiba:saturated_count"] == {
        "blue": 1, "green": 0, "red": 0, "nir": 0, "swir_1": 0, "swir_2": 0
    }  # fmt: skip
    assert properties["ceiba:quality_source"] == "QA_PIXEL" and properties["ceiba:clouds_masked"] is True
    assert properties["view:sun_elevation"] == 30.0 and properties["landsat:wrs_path"] == "026"
    for name, band in bands.items():
        if name != "quality":
            assert (band[0] == 0).all() and band[5, 5] == 0  # one band's fill drops the pixel in all
    assert bands["blue"][6, 6] == 0 and bands["red"][6, 6] != 0  # saturation only its own band
    assert bands["quality"][5, 5] == 1 and bands["quality"][30, 30] == 22280 and bands["quality"][1, 1] == 21824
    # TOA by hand at one pixel, (2e-5 * DN - 0.1) / sin(30); DOS takes one number off the whole band
    red = files["B4.TIF"].astype(float)
    toa = (2e-5 * red - 0.1) / 0.5
    surface = bands["red"] * SCALE + OFFSET
    valid = bands["red"] != 0
    assert np.ptp((toa - surface)[valid]) < 3 * SCALE and (toa - surface)[valid].mean() > 0


def test_what_the_corrections_say_becomes_plain_values_of_the_document():
    attributes = {"atmosphere_method": "6s", "aot_550": np.float64(0.25), "topography_c": "x", "units": "1"}
    told = told_of_corrections(attributes)
    assert told == {"ceiba:atmosphere_method": "6s", "ceiba:aot_550": 0.25, "ceiba:topography_c": "x"}
    assert type(told["ceiba:aot_550"]) is float
    assert "ceiba:aot_550" not in told_of_corrections({"aot_550": float("nan")})


def test_reflectance_as_from_above_at_ingest(tmp_path, add_landsat_area, index_scenes, read_scene):
    write_scene(tmp_path / "s", L1_C2, level_1_numbers("uint16"), crs=UTM14, origin=ORIGIN)
    found = {}
    for brdf in (False, True):
        arguments = {"urlpath": str(tmp_path / "s"), "method": "dos", "brdf": brdf}
        inventory, failures = index_scenes(add_landsat_area(f"brdf_{brdf}".lower(), BOUNDS, UTM14, **arguments))
        assert failures == []
        found[brdf] = read_scene(inventory["dataset_id"][0])
    assert "ceiba:brdf_method" not in found[False][0]["properties"]
    assert found[True][0]["properties"]["ceiba:brdf_method"] == "c-factor"
    # The place is 4 km from the center of the frame of the MTL file: 0.4 degree from nadir changes less than 1 %.
    red, as_seen = (found[brdf][1]["red"] * SCALE + OFFSET for brdf in (True, False))
    valid = (found[True][1]["red"] != 0) & (as_seen > 0.05)
    ratio = (red / as_seen)[valid]
    assert 0.99 < ratio.min() <= ratio.max() < 1.01 and np.median(np.abs(ratio - 1)) > 1e-5


def test_level_2_of_collection_2_keeps_its_numbers(tmp_path, add_landsat_area, index_scenes, read_scene):
    files = {f"SR_B{band}.TIF": np.full((60, 60), 9000 + band, "uint16") for band in range(2, 8)}
    files["SR_B2.TIF"][3, 3] = 0
    quality = np.full((60, 60), 21824, "uint16")
    write_scene(tmp_path / "s", L2_C2, files | {"QA_PIXEL.TIF": quality}, crs=UTM14, origin=ORIGIN, level=2)
    # The same acquisition as Level 1 is not counted twice.
    write_scene(tmp_path / "s", L1_C2, level_1_numbers("uint16"), crs=UTM14, origin=ORIGIN)
    area = add_landsat_area("l2c2", BOUNDS, UTM14, urlpath=str(tmp_path / "s"))
    inventory, failures = index_scenes(area)
    assert failures == [] and inventory["scene"].tolist() == [L2_C2]
    document, bands = read_scene(inventory["dataset_id"][0])
    assert (bands["red"][5, 5], bands["swir_2"][5, 5], bands["nir"][3, 3], bands["quality"][3, 3]) == (9004, 9007, 0, 1)
    assert document["properties"]["ceiba:sensor"] == "landsat_8_l2_c2"


def test_level_2_of_collection_1_is_told_in_the_numbers_of_collection_2(
    tmp_path, add_landsat_area, index_scenes, read_scene
):
    # Its MTL file is that of Level 1; 16-bit integers of 1e-4, -9999 no data, 20000 saturated.
    files = {f"sr_band{band}.tif": np.full((60, 60), 500 * band, "int16") for band in range(2, 8)}
    files["sr_band3.tif"][0], files["sr_band4.tif"][9, 9], files["sr_band5.tif"][8, 8] = -9999, 20000, -100
    quality = np.full((60, 60), 322, "uint16")  # clear, as LSDS-1368, table 7-3, has it for Landsat 8
    quality[1, 1] = 352  # cloud of low confidence
    files |= {"pixel_qa.tif": quality, "B4.TIF": np.full((60, 60), 9, "uint16")}
    write_scene(tmp_path / "s", L2_C1, files, crs=UTM14, origin=ORIGIN, collection=1)
    area = add_landsat_area("l2c1", BOUNDS, UTM14, urlpath=str(tmp_path / "s"))
    inventory, failures = index_scenes(area)
    assert failures == [] and inventory["sensor"].tolist() == ["landsat_8_l2_c1"]
    document, bands = read_scene(inventory["dataset_id"][0])
    assert document["properties"]["ceiba:reflectance"] == {"scale": SCALE, "offset": OFFSET, "nodata": 0}
    assert bands["red"][5, 5] * SCALE + OFFSET == pytest.approx(0.2, abs=SCALE / 2)
    assert bands["nir"][8, 8] * SCALE + OFFSET == pytest.approx(-0.01, abs=SCALE / 2)
    assert (bands["nir"][0] == 0).all() and (bands["quality"][0] == 1).all()
    assert bands["red"][9, 9] == 0 and document["properties"]["ceiba:saturated_count"]["red"] == 1
    clear = clear_pixels(xr.DataArray(bands["quality"], dims=("y", "x")), KIND).values
    assert not clear[1, 1] and clear[2, 2] and int(clear.sum()) == 3600 - 60 - 1


def test_lower_case_names_of_collection_1_and_a_grown_cloud(tmp_path, add_landsat_area, index_scenes, read_scene):
    files = level_1_numbers("uint8", "b{}.tif", bands=(1, 2, 3, 4, 5, 7))
    quality = np.full((60, 60), 672, "uint16")
    quality[30, 30] = 752
    write_scene(
        tmp_path / "s", L1_C1, files | {"bqa.tif": quality}, crs=UTM14, origin=ORIGIN, collection=1, number=7,
        reflectance=False,
    )  # fmt: skip
    area = add_landsat_area("l1c1", BOUNDS, UTM14, urlpath=str(tmp_path / "s"), sun="pixel", grow_cloud_m=60)
    inventory, failures = index_scenes(area)
    assert failures == [] and inventory["sensor"].tolist() == ["landsat_7_l1_c1"]
    document, bands = read_scene(inventory["dataset_id"][0])
    assert document["properties"]["ceiba:quality_source"] == "BQA"
    counts = count_classes(xr.DataArray(bands["quality"], dims=("y", "x")), KIND)
    assert (counts["cloud"], counts["dilated_cloud"]) == (1, 12)  # 13 whole points within 2 of the origin


def test_a_scene_that_lacks_a_file_or_is_damaged_is_refused_by_name(tmp_path, add_landsat_area, index_scenes):
    files = level_1_numbers("uint16")
    names = [L1_C2.replace("20151205", day) for day in ("20151201", "20151202", "20151203", "20151204")]
    for position, name in enumerate(names):
        folder = write_scene(tmp_path / "s" / name, name, files, crs=UTM14, origin=ORIGIN)
        metadata = folder / f"{name}_MTL.txt"
        metadata.write_text(metadata.read_text().replace("2015-12-05", f"2015-12-0{position + 1}"))
    (tmp_path / "s" / names[0] / f"{names[0]}_B5.TIF").unlink()
    (tmp_path / "s" / names[1] / f"{names[1]}_MTL.txt").write_text("GROUP = LANDSAT_METADATA_FILE\n")
    damaged = tmp_path / "s" / names[2] / f"{names[2]}_B6.TIF"
    damaged.write_bytes(damaged.read_bytes()[:900])
    area = add_landsat_area("bad_landsat", BOUNDS, UTM14, urlpath=str(tmp_path / "s"), method="dos")
    inventory, failures = index_scenes(area)
    assert (inventory["status"] == "indexed").sum() == 1
    text = "\n".join(failures)
    assert f"lacks band b5 of {names[0]}; it has b2, b3" in text
    assert f"{names[1]}_MTL.txt ends before its END" in text and f"{names[2]}_B6.TIF cannot be read" in text


def test_an_option_that_does_not_exist_is_an_error():
    with pytest.raises(CatalogError, match="'center'.*scene, pixel"):
        LandsatFolderSource(urlpath="x", sun="center")


def test_heights_elsewhere_are_an_error(tmp_path, add_landsat_area, index_scenes):
    write_scene(tmp_path / "s", L1_C2, level_1_numbers("uint16"), crs=UTM14, origin=ORIGIN)
    with rasterio.open(
        tmp_path / "s" / "heights.tif", "w", driver="GTiff", height=20, width=20, count=1, dtype="int16", nodata=-9999,
        crs=UTM14, transform=rasterio.Affine(30, 0, 600_000, 0, -30, 2_000_000),
    ) as file:  # fmt: skip
        file.write(np.ones((20, 20), "int16"), 1)
    area = add_landsat_area("heights", BOUNDS, UTM14, urlpath=str(tmp_path / "s"), elevation="heights.tif")
    with pytest.raises(InputError, match="heights.tif do not cover"):
        index_scenes(area)


def test_scenes_in_a_bucket_are_read_from_there(tmp_path, monkeypatch, add_landsat_area, index_scenes, read_scene):
    write_scene(tmp_path / "s", L1_C2, level_1_numbers("uint16"), crs=UTM14, origin=ORIGIN)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING"):
            monkeypatch.setenv(name, os.environ.get(name, ""))  # set by the library, taken back after the test
        s3fs.S3FileSystem.clear_instance_cache()
        client = boto3.client("s3")
        client.create_bucket(Bucket="usgs")
        for path in (tmp_path / "s").iterdir():
            client.upload_file(str(path), "usgs", f"c2/2015/{path.name}")
        area = add_landsat_area("bucket", BOUNDS, UTM14, urlpath="s3://usgs/c2", method="dos")
        inventory, failures = index_scenes(area)
        assert failures == [] and inventory["scene"].tolist() == [L1_C2]
        assert (read_scene(inventory["dataset_id"][0])[1]["red"] != 0).sum() == 3600 - 61
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["scene_without_band", "no_folder"])
def test_an_archive_without_scenes_says_so(tmp_path, add_landsat_area, index_scenes, name):
    if name == "scene_without_band":
        (tmp_path / "s").mkdir()
    area = add_landsat_area(name, BOUNDS, UTM14, urlpath=str(tmp_path / "s"))
    with pytest.raises(InputError, match="holds no scene|does not exist"):
        index_scenes(area)


def assert_6s_is_told(properties: dict, profile: str, ground: str) -> None:
    """Method, aerosol and assumptions of "auto", the default, stand in a scene's document."""
    assert properties["ceiba:atmosphere_method"] == "6s"
    assert 0 <= properties["ceiba:aot_550"] <= 1.6
    told = properties["ceiba:atmosphere_assumptions"]
    assert f"gases: {profile}" in told and ground in told and "optical depth: " in told


def test_caqueta_goes_through_the_whole_chain(sample_folder, add_landsat_area, index_scenes, read_scene):
    folder = sample_folder / "eo/landsat7_l1_caqueta_colombia"
    area = add_landsat_area("caqueta", (561_015, 158_775, 585_165, 176_355), "EPSG:32618", urlpath=str(folder))
    inventory, failures = index_scenes(area)
    assert failures == [] and inventory["sensor"].tolist() == ["landsat_7_l1_c1"]
    document, bands = read_scene(inventory["dataset_id"][0])
    quality = xr.DataArray(bands["quality"], dims=("y", "x"))
    counts = count_classes(quality, KIND)
    observed = quality.size - counts["fill"]
    shares = {"clear": int(clear_pixels(quality, KIND).sum()), "cloud": counts["cloud"], "shadow": counts["cloud_shadow"]}
    assert counts["fill"] / quality.size == pytest.approx(0.473, abs=5e-4)
    assert {name: round(100 * count / observed, 1) for name, count in shares.items()} == {
        "clear": 52.2, "cloud": 43.7, "shadow": 4.1
    }  # fmt: skip
    properties = document["properties"]
    assert_6s_is_told(properties, "tropical", "all ground at 0 m")
    assert properties["ceiba:fill_count"] == counts["fill"] == 223_041
    # Pixels with the greatest number, 255, as counted in the files themselves.
    assert properties["ceiba:saturated_count"] == {
        "blue": 926, "green": 403, "red": 880, "nir": 8, "swir_1": 0, "swir_2": 0
    }  # fmt: skip
    # The gaps of SLC-off are no data in every band, and nothing else is.
    gaps = bands["quality"] == 1
    for name, count in properties["ceiba:saturated_count"].items():
        assert (bands[name][gaps] == 0).all()
        assert (bands[name][~gaps] == 0).sum() == pytest.approx(count, abs=0.001 * observed)
    # Clear forest of the Amazon: dark in red, bright in near infrared.
    clear = clear_pixels(quality, KIND).values
    red, nir = (np.median(bands[name][clear & (bands[name] > 0)]) * SCALE + OFFSET for name in ("red", "nir"))
    assert 0.0 < red < 0.06 and 0.2 < nir < 0.45


def test_para_goes_through_the_whole_chain_with_its_terrain(sample_folder, add_landsat_area, index_scenes, read_scene):
    folder = sample_folder / "eo/landsat5_l1_para_brazil_1988"
    bounds = (619_395, -419_505, 628_005, -410_205)
    area = add_landsat_area("para", bounds, "EPSG:32622", urlpath=str(folder), elevation="srtm_dem_30m.tif")
    inventory, failures = index_scenes(area)
    assert failures == [] and inventory["sensor"].tolist() == ["landsat_5_l1_c1"]
    document, bands = read_scene(inventory["dataset_id"][0])
    properties = document["properties"]
    assert properties["ceiba:quality_source"] == "none" and properties["ceiba:clouds_masked"] is False
    assert properties["ceiba:terrain_corrected"] is True
    assert_6s_is_told(properties, "tropical", "heights by pixel")
    assert properties["ceiba:topography_method"] == "c-correction"
    assert properties["ceiba:fill_count"] == 0 and set(properties["ceiba:saturated_count"].values()) == {0}
    assert set(np.unique(bands["quality"])) == {64}
    nir = bands["nir"] * SCALE + OFFSET
    assert 0.15 < np.median(nir) < 0.4 and (bands["nir"] == 0).mean() < 0.01


def test_momotombo_level_1_comes_near_the_surface_reflectance_of_usgs(
    sample_folder, add_landsat_area, index_scenes, read_scene
):
    folder = sample_folder / "eo/landsat8_l1_l2_momotombo_nicaragua"
    bounds = (543_975, 1_368_975, 558_015, 1_378_995)
    found = {}
    for level in ("L1TP", "L2SP"):
        area = add_landsat_area(f"momotombo_{level.lower()}", bounds, "EPSG:32616", urlpath=str(folder / level))
        inventory, failures = index_scenes(area)
        assert failures == []
        found[level] = read_scene(inventory["dataset_id"][0])[1]
    for name in ("nir", "swir_1", "swir_2"):
        ours, theirs = (found[level][name] * SCALE + OFFSET for level in ("L1TP", "L2SP"))
        valid = found["L2SP"][name] > 0
        assert np.median(ours[:-1, 1:][valid]) == pytest.approx(np.median(theirs[valid]), abs=0.02)
