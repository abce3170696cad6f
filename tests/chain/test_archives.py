"""Scenes that cannot be used: each a clear error that names the file, while the rest goes on."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ceiba
import ceiba.catalog
from ceiba import ard
from ceiba.ard.archives import FolderArchiveSource
from ceiba.errors import InputError, SceneError
from ceiba.grids import Period, find_area
from ceiba.sources import Selection, load_block

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import COUNT, INDEX, make_ard  # noqa: E402


@pytest.fixture
def archive(tmp_path, write_archive):
    return write_archive(tmp_path / "archive")


def begin_index(area):
    notebook, parameters = INDEX
    return ceiba.begin(notebook, area=area, **parameters)


def rewrite(path: Path, **changes):
    """Write a GeoTIFF again with another profile or without its last band."""
    bands = changes.pop("bands", None)
    with rasterio.open(path) as file:
        values, profile, names = file.read(), file.profile, file.descriptions
    keep = bands or len(names)
    path.unlink()
    with rasterio.open(path, "w", **(profile | {"count": keep} | changes)) as file:
        file.write(values[:keep])
        for number, name in enumerate(names[:keep], 1):
            file.set_band_description(number, name)


def test_bad_scenes_are_refused_by_name_and_the_rest_is_indexed(store, archive, add_tiny_area):
    scenes = sorted(path.name for path in archive.iterdir())
    corrupt, no_quality, wrong_crs, good = scenes
    file = archive / corrupt / "10m.tif"
    file.write_bytes(file.read_bytes()[:600])
    rewrite(archive / no_quality / "10m.tif", bands=4)
    rewrite(archive / wrong_crs / "20m.tif", crs="EPSG:3035")
    area = add_tiny_area(store, archive, "bad_scenes")
    inventory, failures = ard.index_archive(begin_index(area))
    assert inventory.set_index("scene")["status"].to_dict() == {
        corrupt: "refused", no_quality: "refused", wrong_crs: "refused", good: "indexed"
    }  # fmt: skip
    text = "\n".join(failures)
    assert f"{corrupt}/10m.tif cannot be read" in text
    assert f"{no_quality}/10m.tif lacks its quality band" in text
    assert f"{wrong_crs} (20 m) lies outside" in text and "EPSG:3035" in text


def test_an_archive_without_any_usable_scene_says_so(store, tmp_path, add_tiny_area, write_archive):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no scene"):
        ard.index_archive(begin_index(add_tiny_area(store, tmp_path / "empty", "empty_archive")))
    lost = write_archive(tmp_path / "lost", dates=("2019-01-10",))
    shutil.rmtree(lost / "tiny_20190110")
    (lost / "tiny_20190110").mkdir()
    (lost / "tiny_20190110" / "scene.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(InputError, match="scene.json does not describe a scene"):
        ard.index_archive(begin_index(add_tiny_area(store, lost, "lost_archive")))


def test_an_area_without_scenes_says_what_to_run(store, tmp_path, add_tiny_area):
    area = add_tiny_area(store, tmp_path, "no_scenes")
    folder = store / "areas" / area / "area.yml"
    folder.write_text(folder.read_text().replace("2000000", "2500000").replace("2000320", "2500320"))
    notebook, parameters = COUNT
    with pytest.raises(InputError, match="no s2_l2a_scenes for tile no_scenes/no_scenes, 2019"):
        ceiba.begin(notebook, area=area, **parameters)


def test_a_source_without_an_address_names_the_catalogue(store):
    with pytest.raises(InputError, match="mexico.yml"):
        ard.list_scenes(begin_index("mexico"), ["scene_archive"])
    with pytest.raises(InputError, match="earth_search.*sample.yml"):
        ard.list_scenes(begin_index("sample"), ["earth_search"])


def test_a_file_that_breaks_after_indexing_is_named(store, archive, add_tiny_area):
    area = add_tiny_area(store, archive, "breaks_later")
    task = begin_index(area)
    ard.index_archive(task)
    notebook, parameters = COUNT
    task = ceiba.begin(notebook, area=area, **parameters)
    path = Path(task.datasets("s2_l2a_scenes")[1].uri.removeprefix("file://")).parent / "10m.tif"
    whole = path.read_bytes()
    path.write_bytes(b"not a raster")
    try:
        with pytest.raises(InputError, match="10m.tif"):
            ard.count_clear(task, clear_classes=parameters["clear_classes"], min_clear_share=0.0, resolution_m=10)
    finally:
        path.write_bytes(whole)


def test_counts_are_those_of_the_quality_bands(store, archive, add_tiny_area):
    area = add_tiny_area(store, archive, "counted")
    assert make_ard(area) == []
    counts = ceiba.catalog.open("clear_observations", area=area, time="2019")
    # Column c is cloudy in scene s where c % 3 == s % 3: of four scenes, columns 0, 3, .. lose two, the others one.
    expected = np.where(np.arange(32) % 3 == 0, 2, 3)
    assert np.array_equal(counts["clear_count"].values, np.broadcast_to(expected, (32, 32)))
    assert (counts["observation_count"] == 4).all()
    # Opened lazily, nothing is read before a block is used, and then the same.
    place, source = find_area(area).place("ard"), ceiba.catalog.find_source(find_area(area), "clear_observations")
    selection = Selection(find_area(area), place, place.whole, Period(2019, 2019), scope="area", lazy=True)
    lazy = source.load(selection, source.find(selection))
    assert lazy["clear_count"].chunks is not None
    part = {"y": slice(5, 20), "x": slice(3, 32)}
    xr.testing.assert_identical(load_block(lazy.isel(part)), counts.isel(part))


def test_granules_of_one_overpass_are_counted_once(own_store, archive, add_tiny_area):
    first = sorted(archive.iterdir())[0]
    twin = shutil.copytree(first, first.with_name(f"{first.name}_twin"))
    described = json.loads((twin / "scene.json").read_text())
    later = described["time"].replace(":00Z", ":24Z")
    (twin / "scene.json").write_text(json.dumps(described | {"name": twin.name, "time": later}))
    area = add_tiny_area(own_store, archive, "one_overpass")
    assert make_ard(area) == []
    counts = ceiba.catalog.open("clear_observations", area=area, time="2019")
    expected = np.where(np.arange(32) % 3 == 0, 2, 3)
    assert np.array_equal(counts["clear_count"].values, np.broadcast_to(expected, (32, 32)))
    assert (counts["observation_count"] == 4).all()


def test_scenes_below_the_share_are_rejected(store, archive, add_tiny_area):
    area = add_tiny_area(store, archive, "rejected")
    make_ard(area)
    notebook, parameters = COUNT
    task = ceiba.begin(notebook, area=area, **(parameters | {"min_clear_share": 0.9}))
    with pytest.raises(InputError, match="none of 4 scenes is clear over more than 90%"):
        ard.count_clear(task, clear_classes=parameters["clear_classes"], min_clear_share=0.9, resolution_m=10)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_any_scene_json_is_a_scene_or_a_scene_error(tmp_path, content):
    folder = tmp_path / "fuzz" / "scene"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scene.json").write_bytes(content)
    for scene in FolderArchiveSource(urlpath=str(tmp_path / "fuzz")).list_scenes():
        assert isinstance(scene, SceneError)


def test_a_class_that_does_not_exist_is_an_error_not_a_number():
    sensor = ard.find_sensor("sentinel_2_l2a")
    import xarray as xr

    quality = xr.DataArray([0, 3, 4, 5, 6, 7, 8, 9])
    mask = ard.clear_mask(quality, sensor.quality_classes, clear=["vegetation", "water"])
    assert mask.values.tolist() == [False, False, True, False, True, False, False, False]
    with pytest.raises(SceneError, match="vegetacion.*vegetation"):
        ard.clear_mask(quality, sensor.quality_classes, clear=["vegetacion"])


def test_landsat_bits_follow_the_product_guide():
    import xarray as xr

    from ceiba.ard.sensors import clear_mask_of_bits

    # USGS Collection 2 guide, table of QA_PIXEL values: 21824 clear, 21952 water, 22280 high-confidence cloud, 23888 shadow, 1 fill.
    quality = xr.DataArray(np.array([21824, 21952, 22280, 23888, 1], dtype="uint16"))
    sensor = ard.find_sensor("landsat_8_l2_c2")
    clear = clear_mask_of_bits(quality, sensor.quality_classes, unwanted=sensor.unwanted)
    assert clear.values.tolist() == [True, True, False, False, False]
