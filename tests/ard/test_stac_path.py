"""The STAC path: search, plan, index and mosaic against a STAC API on loopback, whatever the servers do in between."""

import json
import logging
import math
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from loopback import ASSETS, serve_stac

import ceiba
from ceiba import ard
from ceiba import cube as index
from ceiba import store as storage
from ceiba.ard.answers import CHUNK_BYTES
from ceiba.ard.fetching import _Budget
from ceiba.ard.offers import COPY, REFERENCE
from ceiba.errors import CatalogError, InputError, ParameterError
from ceiba.grids import Period
from ceiba.mosaics.geomedian import geomedian
from ceiba.providers import hide_tokens, load_providers, sign_address
from ceiba.sources import Selection

CLEAR = ["vegetation", "not_vegetated", "water", "unclassified"]
BANDS = ["blue", "green", "red", "nir"]


def fetch(task, **options):
    steps = ard.plan_fetch(ard.list_scenes(task, ["earth_search"]), **options)
    return ard.fetch_scenes(task, steps, mode=options.get("mode", "auto"), max_gb=options.get("max_gb", 0.0))


def scenes_of(area: str) -> list:
    return index.find_datasets(index.connect(), "s2_l2a_scenes")


def mosaic(area: str):
    """Geomedian at 10 m of an area, by the functions that the notebooks call."""
    import io

    task = ceiba.begin(
        "01_ard/02_count_clear_observations", area=area, tile="", year=0, clear_classes=CLEAR, min_clear_share=0.0,
        misregistered="shift", grow_cloud_m=0.0,
    )  # fmt: skip
    counts, scenes = ard.count_clear(task, clear_classes=CLEAR, min_clear_share=0.0, resolution_m=10)
    table = io.BytesIO()
    scenes.to_parquet(table, index=False)
    task.write({"clear_observations": (counts, {"scenes.parquet": table.getvalue()})})
    task = ceiba.begin("02_mosaics/01_make_geomedian", area=area, tile="", year=0, min_observations=1, threads=1)
    bands, clear = ard.open_clear(task, measurements=BANDS, resolution_m=10)
    return geomedian(bands, clear, min_observations=1)


@pytest.fixture
def local_mosaic(simulated_cogs, begin):
    """The mosaic of the same scenes from a folder; they are taken out of the cube again."""
    task = begin("local", simulated_cogs[2], sources=["scene_archive"])
    ard.index_archive(task)
    expected = mosaic("local")
    index.connect().index.datasets.archive([dataset.id for dataset in scenes_of("local")])
    return expected


def test_search_shows_everything_before_anything_is_fetched(stac, begin, files, items):
    task = begin()
    assert "Loopback" in task.source_line
    steps = ard.plan_fetch(ard.list_scenes(task, ["earth_search"]), max_cloud_cover=35)
    table = ard.plan_table(steps).set_index("action")
    assert table["scenes"].to_dict() == {"left out": 1, "reference": 3}
    megabytes = sum(asset["file:size"] for item in items[:3] for asset in item["assets"].values()) / 1e6
    assert table.loc["reference", "offered_megabytes"] == pytest.approx(megabytes)
    assert table.loc["reference", "median_cloud_cover"] == 20 and table.loc["reference", "gigabytes"] == 0
    assert sum(files.gets.values()) == 0
    assert scenes_of("stac") == []


def test_by_reference_the_mosaic_is_that_of_the_local_files(stac, begin, files, local_mosaic):
    inventory, failures = fetch(begin())
    assert failures == [] and set(inventory["status"]) == {"indexed"} and set(inventory["action"]) == {"reference"}
    assert inventory["clear_share"].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    # One request a file, of its beginning only.
    assert set(files.gets.values()) == {1} and len(files.gets) == 4 * len(set(ASSETS.values()))
    (first, *_) = datasets = scenes_of("stac")
    document = first.metadata_doc
    assert document["measurements"]["blue"]["path"].startswith(files.url)
    assert document["grids"]["default"]["shape"] == [256, 512]
    coarse = document["measurements"]["swir_1"]["grid"]
    assert document["grids"][coarse]["shape"] == [128, 256]
    assert document["properties"]["ceiba:reflectance"] == {"scale": 1e-4, "offset": 0.0, "nodata": 0}
    assert document["properties"]["ceiba:sensor"] == "sentinel_2_l2a"
    assert [storage.verify(dataset.uri) for dataset in datasets] == [[]] * 4
    found = mosaic("stac")
    for name in [*BANDS, "count", "emad"]:
        assert np.array_equal(found[name].values, local_mosaic[name].values, equal_nan=True), name
    assert int(found["count"].max()) >= 2


def test_downloaded_the_mosaic_is_the_same_and_files_are_as_they_came(stac, begin, files, local_mosaic, simulated_cogs):
    inventory, failures = fetch(begin(mode="download"), mode="download")
    assert failures == [] and set(inventory["action"]) == {"download"}
    dataset = scenes_of("stac")[0]
    name = dataset.metadata_doc["properties"]["ceiba:item"].partition("/")[2]
    copied = Path(dataset.uri.removeprefix("file://")).parent / "blue.tif"
    assert copied.read_bytes() == (simulated_cogs[0] / name / "B02_10m.tif").read_bytes()
    files.stop()  # nothing of the archive is needed any more
    assert storage.verify(dataset.uri) == []
    found = mosaic("stac")
    assert np.array_equal(found["nir"].values, local_mosaic["nir"].values, equal_nan=True)


def test_what_is_indexed_is_not_fetched_again_and_kinds_replace_each_other(stac, begin, files, empty_cube):
    fetch(begin())
    before = sum(files.gets.values())
    inventory, _ = fetch(begin())
    assert sum(files.gets.values()) == before and set(inventory["reason"]) == {"indexed before"}
    ids = set(inventory["dataset_id"])
    inventory, _ = fetch(begin(mode="download"), mode="download")
    assert set(inventory["action"]) == {"download"} and not set(inventory["dataset_id"]) & ids
    # A scene is in the cube once, or a mosaic would count it twice.
    assert {str(dataset.id) for dataset in scenes_of("stac")} == set(inventory["dataset_id"])
    assert not list((empty_cube / "downloads").rglob("*"))


@pytest.mark.parametrize("kind", ["stall", "half", "503", "flip", "cut"])
def test_a_fault_that_passes_costs_nothing(kind, stac, begin, files):
    files.fail("B02_10m.tif", kind)
    files.fail("SCL_20m.tif", kind)
    inventory, failures = fetch(begin(mode="download"), mode="download")
    assert failures == [] and inventory["status"].tolist() == ["indexed"] * 4
    ard.check_arrived(inventory)
    assert all(storage.verify(dataset.uri) == [] for dataset in scenes_of("stac"))


@pytest.mark.parametrize("kind", ["stall", "half", "503", "flip"])
def test_a_fault_that_stays_loses_one_scene_and_the_next_run_continues(kind, stac, begin, files, items):
    bad = items[1]["id"]
    files.fail(f"{bad}/B02_10m.tif", *[kind] * 3)
    inventory, failures = fetch(begin(mode="download"), mode="download")
    ended = inventory.set_index("scene")["status"].to_dict()
    assert ended == {item["id"]: "not arrived" if item["id"] == bad else "indexed" for item in items}
    with pytest.raises(InputError, match=f"1 of 4 scenes did not arrive: {bad}.*B02_10m.tif.*Run again"):
        ard.check_arrived(inventory)
    assert failures == [] and len(scenes_of("stac")) == 3
    before = files.gets
    inventory, _ = fetch(begin(mode="download"), mode="download")
    ard.check_arrived(inventory)
    assert len(scenes_of("stac")) == 4
    again = {path for path, count in (files.gets - before).items() if count}
    assert all(bad in path for path in again)
    # The file that had broken off is continued: of its bytes hardly any is sent twice, but those that were wrong.
    path, size = f"/{bad}/B02_10m.tif", items[1]["assets"]["B02_10m"]["file:size"]
    if kind != "flip":
        assert files.sent_bytes[path] <= size + 3 * CHUNK_BYTES
    assert all(storage.verify(dataset.uri) == [] for dataset in scenes_of("stac"))


def test_faults_while_a_reference_is_indexed_or_read(stac, begin, files, local_mosaic, items, monkeypatch):
    bad = items[0]["id"]
    files.fail(f"{bad}/B08_10m.tif", "stall", "half", "503")
    inventory, _ = fetch(begin())
    assert inventory.set_index("scene").loc[bad, "status"] == "not arrived" and len(scenes_of("stac")) == 3
    files.fail(f"{bad}/B08_10m.tif", "half")
    inventory, _ = fetch(begin())
    ard.check_arrived(inventory)
    # While the mosaic is read GDAL asks again by itself.
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.1")
    for item in items:
        files.fail(f"{item['id']}/B04_10m.tif", "503", "half")
    found = mosaic("stac")
    assert np.array_equal(found["red"].values, local_mosaic["red"].values, equal_nan=True)


def test_a_file_that_is_no_cog_or_whose_server_gives_no_parts_is_downloaded(stac, begin, files, items):
    files.set(parts=False)
    inventory, failures = fetch(begin())
    assert failures == [] and set(inventory["action"]) == {"download"}
    document = scenes_of("stac")[0].metadata_doc
    assert document["properties"]["ceiba:kind"] == COPY and document["measurements"]["blue"]["path"] == "blue.tif"


def test_reference_mode_copies_nothing_and_says_why(stac, begin, files, empty_cube):
    files.set(parts=False)
    with pytest.raises(InputError, match="cannot be read where it lies: the server does not give parts"):
        fetch(begin(mode="reference"), mode="reference")
    assert not (empty_cube / "downloads").exists() and scenes_of("stac") == []


def test_max_gb_bounds_downloads_and_the_clearest_come_first(stac, begin, files, items):
    sizes = [sum(asset["file:size"] for asset in item["assets"].values()) for item in items]
    bound = (sizes[0] + sizes[1] + 10) / 1e9
    inventory, failures = fetch(begin(mode="download"), mode="download", max_gb=bound)
    assert inventory.set_index("scene")["status"].tolist() == ["indexed", "indexed", "left out", "left out"]
    assert failures == [] and "do not fit into max_gb" in inventory["reason"].iloc[2]
    assert sum(files.sent_bytes.values()) == sizes[0] + sizes[1]


def test_without_a_bound_files_of_unknown_size_do_not_use_it_up():
    budget = _Budget([], 0.0)
    assert [budget.take(count) for count in (math.inf, 5.0, math.inf)] == [True, True, True]
    bounded = _Budget([], 1e-9)  # one byte
    assert [bounded.take(count) for count in (math.inf, 2.0, 1.0, 1.0)] == [False, False, True, False]


@pytest.mark.parametrize("bound", ["max_cloud_cover", "max_gb", "max_processing_units"])
@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_bounds_that_are_none_are_refused(bound, value):
    with pytest.raises(ParameterError, match=bound):
        ard.plan_fetch([], **{bound: value})


@pytest.mark.parametrize(("today", "searched_again"), [("2020-02-15", True), ("2020-03-15", False), ("2019-07-01", True)])
def test_a_year_is_searched_again_until_its_last_scenes_have_arrived(stac, monkeypatch, begin, today, searched_again):
    task = begin()
    selection = Selection(task.area, task.unit.place, task.tile, Period(2019, 2019), scope="tile", any_period=False, keep_time=True)
    ids = []
    for days in (0, 1):
        moment = datetime.fromisoformat(today).replace(tzinfo=UTC) + timedelta(days=days)
        monkeypatch.setattr("ceiba.ard.stac_archives.datetime", SimpleNamespace(now=lambda zone, moment=moment: moment))
        ids.append(task.source("earth_search").find(selection).ids)
    assert (ids[0] != ids[1]) is searched_again


@pytest.mark.parametrize("text", ["- one", "one: two", "text"])
def test_a_file_that_describes_no_providers_is_a_clear_error(empty_cube, text):
    (empty_cube / "providers.yml").write_text(text)
    with pytest.raises(CatalogError, match="name of each provider to its entry"):
        load_providers()


def test_a_newer_processing_takes_the_place_of_the_old(begin, files, items, empty_cube, tmp_path, describe_provider):
    with serve_stac(items, tmp_path) as url:
        describe_provider(empty_cube, url)
        first, _ = fetch(begin())
    newer = json.loads(json.dumps(items[:1]))
    newer[0]["id"] += "_again"
    newer[0]["properties"]["s2:processing_baseline"] = "02.14"
    with serve_stac([*items, *newer], tmp_path) as url:
        describe_provider(empty_cube, url)
        second, _ = fetch(begin())
    assert (second["status"] == "left out").sum() == 1 and "same acquisition" in " ".join(second["reason"])
    assert len(scenes_of("stac")) == 4
    assert set(second["dataset_id"]) - {""} - set(first["dataset_id"]) == {
        second.set_index("scene").loc[newer[0]["id"], "dataset_id"]
    }
    # The old processing, found again where the new one is not on offer, does not come back.
    with serve_stac(items, tmp_path) as url:
        describe_provider(empty_cube, url)
        third, _ = fetch(begin())
    assert "is in the cube" in third.set_index("scene").loc[items[0]["id"], "reason"]
    assert len(scenes_of("stac")) == 4


def test_numbers_that_belie_their_baseline_are_refused(begin, items, empty_cube, tmp_path, describe_provider):
    items[0]["properties"]["s2:processing_baseline"] = "05.00"  # has an offset of -0.1, which these numbers have not
    with serve_stac(items, tmp_path) as url:
        describe_provider(empty_cube, url)
        inventory, failures = fetch(begin())
    assert len(failures) == 1 and "was the offset removed already?" in failures[0]
    assert (inventory["status"] == "indexed").sum() == 3


def test_bad_items_are_named_and_the_rest_goes_on(begin, items, empty_cube, tmp_path, describe_provider):
    del items[0]["assets"]["B02_10m"]
    items[1]["assets"]["B02_10m"]["href"] = items[1]["assets"]["B02_10m"]["href"].replace("B02", "none")
    elsewhere = [[20.0, 45.0], [21.0, 45.0], [21.0, 46.0], [20.0, 45.0]]
    items[2]["geometry"]["coordinates"] = [[*items[2]["geometry"]["coordinates"][0]]]
    items[3]["geometry"]["coordinates"] = [elsewhere]
    with serve_stac(items, tmp_path) as url:
        describe_provider(empty_cube, url)
        inventory, failures = fetch(begin())
    told = "\n".join(failures)
    assert "lacks the assets B02_10m" in told and "none_10m.tif is refused: 404" in told
    assert (inventory["status"] == "indexed").sum() >= 1 and len(failures) == 2


def test_a_token_is_asked_for_once_and_stands_nowhere(
    items, begin, files, empty_cube, tmp_path, describe_provider, monkeypatch, caplog
):
    files.set(token="secret-of-the-test")
    access = {"kind": "sas", "token_url": files.url + "/token/{account}/{container}", "hosts": ["127.0.0.1"]}
    with serve_stac(items, tmp_path) as url:
        describe_provider(empty_cube, url, access=access)
        inventory, failures = fetch(begin())
        assert failures == [] and set(inventory["action"]) == {"reference"}
        # A token for each container, which here is the folder of a scene.
        assert files.tokens_given == 4
        found = mosaic("stac")
    assert int(found["count"].max()) >= 1
    texts = [path.read_text("utf-8", errors="replace") for path in empty_cube.rglob("*.yaml")]
    texts += [path.read_text() for path in empty_cube.rglob("item.json")]
    assert texts and not any("secret-of-the-test" in text for text in texts)

    def fail(address, *_, **__):  # as rasterio tells of a file that is no raster
        raise rasterio.errors.RasterioIOError(f"'/vsicurl/{address}' not recognized as being in a supported file format.")

    task = ceiba.begin("02_mosaics/01_make_geomedian", area="stac", tile="", year=0, min_observations=1, threads=1)
    signed = sign_address(items[0]["assets"]["B04_10m"]["href"])
    assert signed.endswith("?sig=secret-of-the-test")
    with caplog.at_level("INFO"), pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(signed.replace("B04", "none"))
    logging.getLogger("rasterio._env").warning("HTTP error code: 503 - %s. Retrying again in 1.0 secs", signed)
    assert "none" in signed.replace("B04", "none") and "Retrying" in caplog.text and "secret-of-the-test" not in caplog.text
    monkeypatch.setattr("ceiba.ard.stacks.rasterio.open", fail)
    with pytest.raises(InputError, match=r"cannot be read: '/vsicurl/http://.*m.tif' not recognized") as told:
        ard.open_stack(task, measurements=["red"], resolution_m=10).read()
    assert "secret-of-the-test" not in "".join(traceback.format_exception(told.value))
    with pytest.raises(InputError, match=r"'/vsicurl/http://.*tif' not recognized") as told:
        mosaic("stac")
    assert "secret-of-the-test" not in "".join(traceback.format_exception(told.value)) + caplog.text
    assert hide_tokens("(https://a.b/c.tif?x=1&y=2, /vsicurl/http://d/e?f)") == "(https://a.b/c.tif /vsicurl/http://d/e"


def test_an_api_that_does_not_answer_is_a_clear_error(begin, empty_cube, describe_provider, files):
    describe_provider(empty_cube, "http://127.0.0.1:9")
    with pytest.raises(InputError, match="loopback cannot be searched: .*127.0.0.1:9.*attempt 3 of 3"):
        ard.list_scenes(begin(), ["earth_search"])
    describe_provider(empty_cube, files.url)  # a server, but no STAC API
    with pytest.raises(InputError, match="cannot be searched"):
        ard.list_scenes(begin(), ["earth_search"])


def test_kinds_have_ids_of_their_own_and_the_token_is_no_part_of_them(stac, begin):
    offer = next(scene for _, scene in ard.list_scenes(begin(), ["earth_search"]))
    assert offer.dataset_id(COPY) != offer.dataset_id(REFERENCE)
    assert offer.dataset_id(REFERENCE) == next(
        scene for _, scene in ard.list_scenes(begin(), ["earth_search"]) if scene.name == offer.name
    ).dataset_id(REFERENCE)


@pytest.mark.slow
def test_a_second_run_of_the_command_mends_the_first(items, own_store, tmp_path, files, describe_provider, add_area):
    bad = items[2]["id"]
    with serve_stac(items, tmp_path) as url:
        describe_provider(own_store, url)
        area = add_area(own_store)
        files.fail(f"{bad}/B11_20m.tif", "half", "stall", "503")
        sources = ["--set", "sources=['earth_search']", "--set", "min_observations=1"]
        # Those of Sentinel-2: the archive has no scene of Landsat, and its mosaics would wait for some.
        command = [sys.executable, "-m", "ceiba.cli", "run", "--area", area, *sources, "ard", "02_mosaics/01_make_geomedian"]
        first = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert first.returncode == 1 and f"1 of 4 scenes did not arrive: {bad}" in first.stdout, first.stdout
        assert len(scenes_of(area)) == 3
        (of_three,) = index.find_datasets(index.connect(), "geomedian_10m")
        # What comes after the mosaic is made once it is mended.
        command += ["02_mosaics/02_make_indices", "02_mosaics/03_animate_years"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert second.returncode == 0, second.stdout
    assert len(scenes_of(area)) == 4
    (inventory,) = index.find_datasets(index.connect(), "scene_inventory")
    assert inventory.metadata_doc["properties"]["ceiba:notes"]["indexed"] == 4
    (of_four,) = index.find_datasets(index.connect(), "geomedian_10m")
    assert of_four.id != of_three.id
