"""The files of the simulated area: whole, small, the same for the same seed, and readable by the stages."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import rasterio

from ceiba import grids
from ceiba.simulation import area, layout


def checksums(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_gives_same_bytes(area_folder, tmp_path):
    area.write_area(tmp_path / "again", seed=7)
    assert checksums(tmp_path / "again") == checksums(area_folder)
    assert not (tmp_path / "again.partial").exists()


def test_area_is_small_and_says_what_it_is(area_folder):
    assert sum(path.stat().st_size for path in area_folder.rglob("*") if path.is_file()) <= 60_000_000
    described = json.loads((area_folder / "area.json").read_text())
    assert described["simulated"] is True
    assert described["crs"] == "EPSG:6372"
    assert described["years"] == [2018, 2019, 2020]
    assert described["bounds"] == [4_000_000, 1_197_440, 4_005_120, 1_200_000]


def test_layout_is_the_place_in_the_catalogue():
    place = grids.find_area("simulated").place("ard")
    assert place.whole.bounds == layout.BOUNDS
    assert place.crs == layout.CRS
    assert tuple(place.years.years) == layout.YEARS
    assert [tile.bounds[2] - tile.bounds[0] for tile in place.tiles] == [layout.TILE_M] * 2


def test_scenes_describe_themselves_and_cover_both_tiles(area_folder):
    scenes = [json.loads(path.read_text()) for path in area_folder.glob("scenes/*/*/scene.json")]
    sensors = pd.Series([scene["sensor"] for scene in scenes]).value_counts()
    assert sensors["sentinel_2_l2a"] == 3 * 14
    assert sensors["landsat_8_l2_c2"] == 3 * 8
    path = next(area_folder.glob("scenes/landsat/*/30m.tif"))
    with rasterio.open(path) as raster:
        # 5120 m and 2560 m are no multiples of 30 m: the last pixels reach beyond.
        assert raster.shape == (86, 171)
        assert raster.bounds.right >= layout.BOUNDS[2]
        assert raster.descriptions == ("blue", "green", "red", "nir", "swir_1", "swir_2", "quality")
    with rasterio.open(next(area_folder.glob("scenes/sentinel_2/*/20m.tif"))) as raster:
        assert raster.descriptions == ("green_20m", "red_20m", "nir_narrow", "swir_1", "quality_20m")
        assert tuple(raster.bounds) == layout.BOUNDS


def test_planted_change_is_the_difference_of_the_maps(area_folder):
    first, last = (rasterio.open(area_folder / f"truth/land_cover_{year}.tif").read(1) for year in (2018, 2020))
    change, number = rasterio.open(area_folder / "truth/change_2018_2020.tif").read()
    changes = pd.read_csv(area_folder / "truth/changes.csv")
    np.testing.assert_array_equal(change == 1, first != last)
    assert changes["pixels"].sum() == (change == 1).sum()
    assert changes["area_ha"].sum() == pytest.approx((change == 1).sum() * 0.01)
    for row in changes.itertuples():
        assert set(first[number == row.change_number]) == {row.from_code}
        assert set(last[number == row.change_number]) == {row.to_code}


def test_failure_leaves_what_was_there(tmp_path, monkeypatch):
    folder = tmp_path / "area"
    folder.mkdir()
    (folder / "kept.txt").write_text("older")

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(area, "make_world", fail)
    with pytest.raises(OSError, match="disk full"):
        area.write_area(folder)
    assert (folder / "kept.txt").read_text() == "older"


def test_vector_files_lie_inside_the_area(area_folder):
    for name in ("boundaries", "protected_areas", "incentives"):
        features = json.loads((area_folder / f"{name}.geojson").read_text())["features"]
        assert features
        for feature in features:
            assert {"name", "kind"} <= feature["properties"].keys()
            assert "simulad" in feature["properties"]["name"]
            longitude, latitude = np.array(feature["geometry"]["coordinates"][0]).T
            assert longitude.min() > -87.37
            assert longitude.max() < -87.30
            assert latitude.min() > 22.09
            assert latitude.max() < 22.14
