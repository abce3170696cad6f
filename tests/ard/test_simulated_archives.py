"""Archives of simulated scenes from files to mosaic: both processing baselines, and a scene out of place."""

import io
import json

import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from rasterio.transform import Affine

import ceiba
from ceiba import ard
from ceiba import cube as index
from ceiba.ard.encoding import scene_encoding
from ceiba.config import project_root
from ceiba.errors import InputError
from ceiba.mosaics.geomedian import geomedian
from ceiba.simulation import layout
from ceiba.simulation.area import write_position_reference, write_scenes
from ceiba.simulation.world import make_world

# A scene of 2018 with little cloud, all of it inside the swath.
LITTLE_CLOUD = "s2a_20180420"
CLEAR = ["vegetation", "not_vegetated", "water", "unclassified"]


@pytest.fixture(scope="module")
def world():
    return make_world(7)


def add_area(store, catalogs, name, archive, reference=None):
    """An area on the simulated ground with one tile and one year, whose scenes are those of ``archive``."""
    catalog = yaml.safe_load((catalogs / "mexico.yml").read_text("utf-8"))
    catalog["sources"]["scene_archive"]["args"] = {"urlpath": str(archive)}
    if reference:
        catalog["sources"]["position_reference"]["args"] = {"urlpath": str(reference)}
    place = {
        "title": {"es": name, "en": name}, "stages": ["ard", "mosaics"], "crs": layout.CRS,
        "bounds": list(layout.BOUNDS), "years": [2018, 2018],
    }  # fmt: skip
    folder = store / "areas" / name
    folder.mkdir(parents=True)
    area = {"title": {"es": name, "en": name}, "catalog": "catalog.yml", "places": {name: place}}
    (folder / "area.yml").write_text(yaml.safe_dump(area))
    (folder / "catalog.yml").write_text(yaml.safe_dump(catalog))
    return name


@pytest.fixture(scope="module")
def catalogs():
    return project_root() / "catalogs"


def index_scenes(area):
    task = ceiba.begin(
        "01_ard/01_fetch_scenes", area=area, tile="", first_year=0, last_year=0, sources=["scene_archive"],
        max_cloud_cover=80.0, max_gb=20.0, max_processing_units=0.0, mode="auto", connections=4,
    )  # fmt: skip
    inventory, failures = ard.index_archive(task)
    assert failures == []
    return inventory


def begin_count(area, misregistered="shift"):
    return ceiba.begin(
        "01_ard/02_count_clear_observations", area=area, tile="", year=0, clear_classes=CLEAR, min_clear_share=0.0,
        misregistered=misregistered, grow_cloud_m=0.0,
    )  # fmt: skip


def count(task, misregistered="shift"):
    return ard.count_clear(task, clear_classes=CLEAR, min_clear_share=0.0, resolution_m=10, misregistered=misregistered)


@pytest.mark.slow
def test_a_mosaic_of_both_baselines_is_that_of_one(own_store, tmp_path, world, catalogs):
    mosaics = {}
    for name, baselines in (("one", ["02.07"]), ("both", ["02.07", "04.00"])):
        write_scenes(tmp_path / name, world, "sentinel_2", baselines=baselines, years=[2018])
        described = [json.loads(path.read_text()) for path in (tmp_path / name).rglob("scene.json")]
        assert {scene["properties"]["s2:processing_baseline"] for scene in described} == set(baselines)
        inventory = index_scenes(add_area(own_store, catalogs, name, tmp_path / name / "scenes"))
        stack = []
        for dataset_id in inventory.sort_values("scene")["dataset_id"]:
            dataset = index.get_dataset(index.connect(), dataset_id)
            encoding = scene_encoding(dataset)
            with rasterio.open(dataset.uri.rsplit("/", 1)[0] + "/10m.tif") as file:
                counts, quality = file.read([1, 2, 3, 4]), file.read(5)
            clear = np.isin(quality, (4, 5, 6, 7))
            stack.append(np.where(clear, counts * encoding.scale + encoding.offset, np.nan).astype(np.float32))
        mosaics[name] = np.stack(stack)
    seen = np.isfinite(mosaics["one"]).any(axis=0)
    medians = {name: np.nanmedian(np.where(seen, stack, 0), axis=0) for name, stack in mosaics.items()}
    difference = np.abs(medians["one"] - medians["both"])[seen]
    print(f"medians of both baselines differ by {difference.max() * 10_000:.2f} DN at most")
    assert difference.max() <= 1e-4 + 1e-7
    results = {}
    for name, stack in mosaics.items():
        dims = ("time", "y", "x")
        bands = xr.Dataset({band: (dims, stack[:, place]) for place, band in enumerate(("blue", "green", "red", "nir"))})
        results[name] = geomedian(bands)
    for band in ("blue", "green", "red", "nir"):
        np.testing.assert_allclose(results["both"][band], results["one"][band], atol=1e-4)


def displace(folder, right_m, up_m):
    """Give the files of a scene a wrong place."""
    for path in folder.glob("*.tif"):
        with rasterio.open(path) as file:
            values, profile, names = file.read(), file.profile, file.descriptions
        profile["transform"] = Affine.translation(right_m, up_m) * profile["transform"]
        path.unlink()
        with rasterio.open(path, "w", **profile) as file:
            file.write(values)
            file.descriptions = names


@pytest.mark.slow
def test_a_scene_out_of_place_is_moved_back_or_refused(own_store, tmp_path, world, catalogs):
    write_scenes(tmp_path, world, "sentinel_2", years=[2018])
    write_position_reference(tmp_path, world)
    clear_scene = tmp_path / "scenes" / "sentinel_2" / LITTLE_CLOUD
    with rasterio.open(clear_scene / "10m.tif") as file:
        truth = dict(zip(file.descriptions, file.read(), strict=True))
    displace(clear_scene, 30, -20)
    area = add_area(own_store, catalogs, "displaced", tmp_path / "scenes", tmp_path / "position_reference" / "red.tif")
    index_scenes(area)

    task = begin_count(area)
    moved, scenes = count(task)
    told = scenes["position"].value_counts().to_dict()
    print(f"one of {len(scenes)} scenes out of place: {told}")
    assert told["shifted"] == 1
    assert set(told) <= {"in_place", "unknown", "shifted"}
    assert told["in_place"] >= 10
    shifted = scenes[scenes["position"] == "shifted"]
    assert shifted["accepted"].all()
    assert shifted["shift_x_m"].iloc[0] == pytest.approx(30, abs=1)
    assert shifted["shift_y_m"].iloc[0] == pytest.approx(-20, abs=1)

    # What the mosaic reads lies where the scene should have been.
    table = io.BytesIO()
    scenes.to_parquet(table, index=False)
    task.write({"clear_observations": (moved, {"scenes.parquet": table.getvalue()})})
    mosaic = ceiba.begin("02_mosaics/01_make_geomedian", area=area, tile="", year=0, min_observations=1, threads=1)
    bands, clear = ard.open_clear(mosaic, measurements=["red"], resolution_m=10)
    date = int(np.argmin(np.abs(bands.time.values - np.datetime64(shifted["time"].iloc[0][:19]))))
    red, seen = bands["red"].values[date].astype(float), clear.values[date]
    assert seen.mean() > 0.4
    assert np.isin(truth["quality"][seen], (4, 5, 6, 7)).all()
    assert np.median(np.abs(red - truth["red"])[seen]) < 10
    assert np.median(np.abs(np.roll(red, (2, 3), (0, 1)) - truth["red"])[seen]) > 50
    np.testing.assert_array_equal(clear.sum("time"), moved["clear_count"])

    refused, scenes = count(begin_count(area, "refuse"), "refuse")
    assert (scenes["position"] == "refused").sum() == 1
    assert not scenes.loc[scenes["position"] == "refused", "accepted"].any()
    assert "at most 5.0 m is allowed" in scenes.loc[scenes["position"] == "refused", "position_note"].iloc[0]
    assert float(refused["clear_count"].mean()) < float(moved["clear_count"].mean()) - 0.4
    with pytest.raises(InputError, match="'refuse' or 'shift'"):
        count(begin_count(area, "keep"), "keep")
