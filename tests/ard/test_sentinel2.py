"""SAFE folders of Sentinel-2 into the cube and the mosaics: both levels, both baselines, simulated scenes."""

import io
import os
import sys
from pathlib import Path

import boto3
import numpy as np
import pytest
import rasterio
import s3fs
import xarray as xr
import yaml
from moto.server import ThreadedMotoServer

import ceiba
from ceiba import ard
from ceiba import cube as index
from ceiba.ard.sentinel2 import Sentinel2FolderSource
from ceiba.config import project_root
from ceiba.errors import CatalogError, SceneError
from ceiba.mosaics.geomedian import geomedian
from ceiba.mosaics.streaming import geomedian_of_stack
from ceiba.simulation import layout
from ceiba.simulation.layout import block_mean
from ceiba.simulation.spectra import BANDS
from ceiba.simulation.world import ground_reflectance, make_world

sys.path.insert(0, str(Path(__file__).parent))
from safe_scenes import plans_of, write_level_1c, write_level_2a  # noqa: E402

CLEAR = ["vegetation", "not_vegetated", "water", "unclassified"]
DRIVER = "ceiba.ard.sentinel2.Sentinel2FolderSource"
LITTLE_CLOUD = "20180420"
FINE = ["blue", "green", "red", "nir"]


@pytest.fixture(scope="module")
def world():
    return make_world(7)


@pytest.fixture(scope="module")
def little_cloud(world):
    return next(plan for plan in plans_of(world, 2018) if f"{plan.time:%Y%m%d}" == LITTLE_CLOUD)


def add_area(store, name, urlpath, **arguments):
    """An area on the simulated ground with one tile and year, whose archive is the SAFE folders at ``urlpath``."""
    catalog = yaml.safe_load((project_root() / "catalogs" / "mexico.yml").read_text("utf-8"))
    catalog["sources"]["scene_archive"] |= {"driver": DRIVER, "args": {"urlpath": str(urlpath), **arguments}}
    title = {"es": name, "en": name}
    place = {
        "title": title, "stages": ["ard", "mosaics"], "crs": layout.CRS, "bounds": list(layout.BOUNDS), "years": [2018, 2018],
    }  # fmt: skip
    folder = store / "areas" / name
    folder.mkdir(parents=True)
    (folder / "area.yml").write_text(yaml.safe_dump({"title": title, "catalog": "catalog.yml", "places": {name: place}}))
    (folder / "catalog.yml").write_text(yaml.safe_dump(catalog))
    return name


def read_scene(dataset_id):
    dataset = index.get_dataset(index.connect(), dataset_id)
    bands = {}
    for size in (10, 20):
        with rasterio.open(f"{dataset.uri.rsplit('/', 1)[0]}/{size}m.tif") as file:
            bands |= dict(zip(file.descriptions, file.read(), strict=True))
    return dataset.metadata_doc, bands


def begin_mosaic(area, grow_cloud_m=0.0):
    """Count the clear observations of an area, and begin its mosaic."""
    task = ceiba.begin(
        "01_ard/02_count_clear_observations", area=area, tile="", year=0, clear_classes=CLEAR, min_clear_share=0.0,
        misregistered="shift", grow_cloud_m=grow_cloud_m,
    )  # fmt: skip
    counts, scenes = ard.count_clear(
        task, clear_classes=CLEAR, min_clear_share=0.0, resolution_m=10, grow_cloud_m=grow_cloud_m
    )
    table = io.BytesIO()
    scenes.to_parquet(table, index=False)
    task.write({"clear_observations": (counts, {"scenes.parquet": table.getvalue()})})
    return ceiba.begin("02_mosaics/01_make_geomedian", area=area, tile="", year=0, min_observations=1, threads=1), counts


@pytest.mark.parametrize(("baseline", "offset"), [("02.07", 0.0), ("04.00", -0.1)])
def test_level_2a_is_stored_as_it_is(store, tmp_path, index_scenes, world, little_cloud, baseline, offset):
    _, numbers = write_level_2a(tmp_path, world, little_cloud, baseline=baseline)
    inventory, failures = index_scenes(add_area(store, f"l2a_{baseline[:2]}", tmp_path))
    assert failures == [] and inventory["sensor"].tolist() == ["sentinel_2_l2a"]
    document, bands = read_scene(inventory["dataset_id"][0])
    for size in (10, 20):
        for name, values in numbers[size].items():
            np.testing.assert_array_equal(bands[name], values)
    properties = document["properties"]
    assert properties["ceiba:reflectance"] == {"scale": 1e-4, "offset": offset, "nodata": 0}
    assert properties["s2:processing_baseline"] == baseline and properties["s2:mgrs_tile"] == "14QNG"
    assert properties["eo:platform"] == "sentinel-2a" and properties["ceiba:quality_source"] == "SCL"


def test_clouds_grow_alike_in_the_counts_and_the_mosaics(own_store, tmp_path, index_scenes, world):
    for plan in plans_of(world, 2018)[:2]:
        write_level_2a(tmp_path, world, plan)
    area = add_area(own_store, "grown", tmp_path)
    index_scenes(area)
    clear = {}
    for grow_cloud_m in (0.0, 60.0):
        task, counts = begin_mosaic(area, grow_cloud_m)
        mask = ard.open_clear(task, measurements=["red"], resolution_m=10)[1]
        np.testing.assert_array_equal(mask.sum("time"), counts["clear_count"])
        clear[grow_cloud_m] = float(mask.mean())
    assert clear[60.0] < 0.9 * clear[0.0]


def stack_in_memory(folder) -> np.ndarray:
    """Clear reflectance [1] of the SAFE folders of an archive, dims ``(time, band, y, x)``, as the driver reads them."""
    stack = []
    for scene in Sentinel2FolderSource(urlpath=str(folder)).list_scenes():
        bands, encoding = scene.read()[10].bands, scene.encoding()
        numbers = np.stack([bands[name] for name in FINE])
        seen = np.isin(bands["quality"], (4, 5, 6, 7)) & (numbers != 0).all(axis=0)
        stack.append(np.where(seen, numbers * encoding.scale + encoding.offset, np.nan))
    return np.stack(stack)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["2a", "1c"])
def test_medians_of_mixed_baselines_are_those_of_one(own_store, tmp_path, index_scenes, world, level):
    """From SAFE folders to the mosaic, beside one baseline in memory: at most 1 count (1e-4) apart."""
    write = write_level_2a if level == "2a" else write_level_1c
    for number, plan in enumerate(plans_of(world, 2018)[:4]):
        write(tmp_path / "one", world, plan)
        write(tmp_path / "both", world, plan, baseline=["02.07", "04.00"][number % 2])
    area = add_area(own_store, f"both_{level}", tmp_path / "both")
    inventory, failures = index_scenes(area)
    assert failures == [] and len(inventory) == 4
    task, _ = begin_mosaic(area)
    bands, clear = ard.open_clear(task, measurements=FINE, resolution_m=10)
    assert 0.2 < clear.values.mean() < 0.9
    attrs = bands.red.attrs
    found = (bands.where(clear & (bands != attrs["nodata"])) * attrs["scale"] + attrs["offset"]).to_array().values
    one = stack_in_memory(tmp_path / "one")
    seen = np.isfinite(one[:, 0]).any(axis=0)
    np.testing.assert_array_equal(seen, np.isfinite(found[0]).any(axis=0))
    apart = np.abs(np.nanmedian(found[:, :, seen], axis=1) - np.nanmedian(one[:, :, seen], axis=0))
    print(f"level {level}: medians of both baselines differ by {apart.max() * 10_000:.3f} counts at most")
    assert apart.max() <= 1e-4 + 1e-9
    mosaic = geomedian_of_stack(ard.open_stack(task, measurements=FINE, resolution_m=10))
    dims = ("time", "y", "x")
    expected = geomedian(xr.Dataset({name: (dims, one[:, at].astype("float32")) for at, name in enumerate(FINE)}))
    for name in FINE:
        assert np.abs(mosaic[name].values - expected[name].values)[seen].max() <= 1e-4
    np.testing.assert_array_equal(mosaic["count"].values, np.isfinite(one[:, 0]).sum(axis=0))


def test_level_1c_becomes_surface_reflectance_and_classes(store, tmp_path, index_scenes, world, little_cloud):
    _, numbers, truth = write_level_1c(tmp_path, world, little_cloud, baseline="04.00")
    inventory, failures = index_scenes(add_area(store, "l1c", tmp_path, cloud_pixel_m=20))
    assert failures == [] and inventory["sensor"].tolist() == ["sentinel_2_l1c"]
    document, bands = read_scene(inventory["dataset_id"][0])
    properties = document["properties"]
    assert properties["ceiba:atmosphere_method"] == "6s" and "dark vegetation" in properties["ceiba:atmosphere_assumptions"]
    assert properties["ceiba:quality_source"] == "s2cloudless" and properties["ceiba:cloud_pixel_m"] == 20
    assert "s2cloudless above 0.4" in properties["ceiba:quality_classes"] and properties["ceiba:terrain_corrected"] is False
    assert properties["ceiba:reflectance"] == {"scale": 1e-4, "offset": -0.1, "nodata": 0}
    assert 0 <= properties["ceiba:aot_550"] < 0.6
    # Nothing but 6S lies between the ground of the simulation and the scene: it comes back, in the sun and far from clouds.
    date = little_cloud.time.date()
    zenith, azimuth = 90 - properties["view:sun_elevation"], properties["view:sun_azimuth"]
    ground = ground_reflectance(world, date, sun_zenith_deg=zenith, sun_azimuth_deg=azimuth)
    open_sky = (bands["quality"] == 7) & (truth.cloud_depth == 0) & (truth.cirrus_depth == 0) & (truth.shadow == 0)
    for name in ("blue", "green", "red", "nir"):
        surface = bands[name] * 1e-4 - 0.1
        error = (surface - ground[BANDS.index(name)])[open_sky & (bands[name] != 0)]
        before = (numbers[10][name] * 1e-4 - 0.1 - ground[BANDS.index(name)])[open_sky]
        print(f"{name}: RMSE {np.sqrt((error**2).mean()):.4f}, at the top of the atmosphere {np.sqrt((before**2).mean()):.4f}")
        assert np.sqrt((error**2).mean()) < 0.015
    assert (bands["quality"][::2, ::2] == bands["quality_20m"]).mean() > 0.99
    assert not (bands["quality"][truth.beyond] != 0).any() and (bands["red"][truth.beyond] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("cloud_pixel_m", [20, 60])
def test_the_mask_agrees_with_the_planted_clouds(store, tmp_path, index_scenes, world, cloud_pixel_m):
    plans = [plan for plan in plans_of(world, 2018) if plan.cirrus_cover == 0][:4]
    truths = {}
    for plan in plans:
        safe, _, truth = write_level_1c(tmp_path, world, plan)
        truths[safe.stem] = truth
    inventory, failures = index_scenes(add_area(store, f"clouds_{cloud_pixel_m}", tmp_path, cloud_pixel_m=cloud_pixel_m))
    assert failures == []
    found = {"thick": [], "open": []}
    for name, dataset_id in zip(inventory["scene"], inventory["dataset_id"], strict=True):
        quality, truth = read_scene(dataset_id)[1]["quality_20m"], truths[name]
        depth, seen = block_mean(truth.cloud_depth, 2), quality != 0
        masked = np.isin(quality, (8, 9))
        found["thick"].append(masked[seen & (depth > 3)])
        found["open"].append(~masked[seen & (depth == 0)])
    shares = {name: float(np.concatenate(parts).mean()) for name, parts in found.items()}
    print(f"{cloud_pixel_m} m: {shares['thick']:.1%} of cloud over optical depth 3 masked, {shares['open']:.1%} of open sky kept")
    assert shares["thick"] > 0.9
    assert shares["open"] > 0.3  # 110 m around each of many small clouds take much


def test_the_higher_level_and_baseline_of_an_acquisition_is_used(tmp_path, world, little_cloud):
    write_level_1c(tmp_path, world, little_cloud)
    write_level_2a(tmp_path, world, little_cloud, baseline="02.07")
    write_level_2a(tmp_path, world, little_cloud, baseline="05.00")
    (scene,) = Sentinel2FolderSource(urlpath=str(tmp_path)).list_scenes()
    assert (scene.sensor.name, scene.properties["s2:processing_baseline"]) == ("sentinel_2_l2a", "05.00")


def test_what_is_missing_or_damaged_is_named(tmp_path, world, little_cloud):
    safe, _ = write_level_2a(tmp_path / "a", world, little_cloud)
    (band,) = safe.rglob("*_B03_10m.jp2")
    band.unlink()
    (scene,) = Sentinel2FolderSource(urlpath=str(tmp_path / "a")).list_scenes()
    with pytest.raises(SceneError, match=r"lacks B03_10m of S2A_MSIL2A.*it has B02_10m, B03_20m"):
        scene.read()
    safe, *_ = write_level_1c(tmp_path / "b", world, little_cloud)
    (band,) = safe.rglob("*_B11.jp2")
    band.write_bytes(band.read_bytes()[:200])
    (scene,) = Sentinel2FolderSource(urlpath=str(tmp_path / "b")).list_scenes()
    with pytest.raises(SceneError, match=r"B11\.jp2 cannot be read"):
        scene.read()
    (safe / "MTD_MSIL1C.xml").rename(safe / "S2A_OPER_MTD_SAFL1C.xml")
    (error,) = Sentinel2FolderSource(urlpath=str(tmp_path / "b")).list_scenes()
    assert isinstance(error, SceneError) and "before December 2016" in str(error)
    for wrong in ({"cloud_pixel_m": 30}, {"method": "magic"}):
        with pytest.raises(CatalogError, match="allowed are"):
            Sentinel2FolderSource(urlpath="x", **wrong)


def test_safe_folders_in_a_bucket_are_read_from_there(tmp_path, monkeypatch, store, index_scenes, world, little_cloud):
    safe, numbers = write_level_2a(tmp_path, world, little_cloud)
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
        client.create_bucket(Bucket="esa")
        for path in (path for path in safe.rglob("*") if path.is_file()):
            client.upload_file(str(path), "esa", f"l2/{path.relative_to(tmp_path)}")
        inventory, failures = index_scenes(add_area(store, "bucket_safe", "s3://esa/l2"))
        assert failures == []
        np.testing.assert_array_equal(read_scene(inventory["dataset_id"][0])[1]["red"], numbers[10]["red"])
    finally:
        server.stop()
