"""Sources by name: what each driver loads, and what happens where data are not there."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from shapely.geometry import box

from ceiba import catalog
from ceiba.errors import CatalogError, InputError, ParameterError
from ceiba.file_sources import LabelledSoundsSource, RasterSource, RecordingsSource, TableSource, VectorSource
from ceiba.grids import Period, find_area, load_areas
from ceiba.plan import choose_notebooks, list_units, make_unit, resolve_area
from ceiba.products import load_definitions
from ceiba.run import plan_chains
from ceiba.sources import Selection


@pytest.fixture
def selection():
    place = find_area("simulated").place("ard")
    return Selection(find_area("simulated"), place, place.tiles[0], Period(2019, 2019))


def load(source, selection, **options):
    return source.load(selection, source.find(selection), **options)


def test_a_stage_without_its_sample_runs_on_the_simulated_area(monkeypatch, store):
    monkeypatch.delenv("CEIBA_SAMPLES", raising=False)
    area, place = resolve_area("sample", "integrity")
    assert (area.name, place.name, area.simulated) == ("simulated", "simulated", True)
    # The satellite series comes with a package, so these stages stay on the real place.
    assert resolve_area("sample", "mosaics")[1].name == "romania"
    unit = make_unit("06_integrity/02_map_integrity", {"area": "sample"})
    assert unit.area.name == "simulated" and unit.run_parameters()["area"] == "simulated"


def test_what_a_place_lacks_is_not_planned_there_and_runs_by_hand_on_the_simulated_area(store):
    notebook = "02_mosaics/04_make_landsat_mosaics"
    assert "landsat_scenes" in find_area("sample").place("mosaics").lacks
    assert list_units(notebook, "sample") == []
    assert len(list_units("02_mosaics/02_make_indices", "sample")) == 5  # can do without Landsat
    chains = plan_chains([notebook], ["sample", "simulated"])
    assert {place for place, _ in chains} == {"simulated"}
    assert make_unit(notebook, {"area": "sample"}).area.name == "simulated"
    assert make_unit(notebook, {"area": "mexico"}).area.name == "mexico"


def test_places_lack_what_exists_elsewhere():
    for area in load_areas().values():
        for place in area.places:
            unknown = [name for name in place.lacks if name not in load_definitions()]
            assert not unknown, f"{area.name}, {place.name}: {unknown}"


def test_unknown_sources_and_stages_name_what_exists():
    with pytest.raises(CatalogError, match="scene_archive"):
        catalog.find_source(find_area("sample"), "scene_archives")
    with pytest.raises(ParameterError, match="stages are ard"):
        choose_notebooks(["poetry"])
    assert choose_notebooks(["mosaics"]) == choose_notebooks(["02_mosaics"])


def test_what_is_made_on_request_must_be_named():
    composite = "02_mosaics/05_make_composite"
    assert composite not in choose_notebooks([]) and composite not in choose_notebooks(["mosaics"])
    assert choose_notebooks([composite]) == [composite]
    assert composite in choose_notebooks(["mosaics", composite])


def write_raster(path, values, *, crs="EPSG:6372", size=80.0, scale=1.0, nodata=None):
    values = np.atleast_3d(np.asarray(values)).transpose(2, 0, 1) if np.ndim(values) == 2 else np.asarray(values)
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype=values.dtype, crs=crs, nodata=nodata,
        transform=Affine(size, 0, 4_000_000, 0, -size, 1_200_000),
    ) as file:  # fmt: skip
        file.write(values)
        file.scales = [scale] * count


def test_rasters_come_in_real_units_with_nan_and_classes_stay_whole(tmp_path, selection):
    heights = np.full((32, 32), 150, dtype="int16")
    heights[0, 0] = -32768
    write_raster(tmp_path / "height.tif", heights, scale=0.1, nodata=-32768)
    write_raster(tmp_path / "zone.tif", np.full((32, 32), 7, dtype="uint8"), nodata=0)
    rasters = load(RasterSource(urlpath=str(tmp_path)), selection)
    assert rasters["height"].values[1, 1] == pytest.approx(15.0) and np.isnan(rasters["height"].values[0, 0])
    assert rasters["zone"].dtype == np.uint8 and rasters["zone"].attrs["nodata"] == 0
    coarse = load(RasterSource(urlpath=str(tmp_path)), selection, resolution_m=160)
    assert coarse["height"].shape == (16, 16) and coarse["height"].dims == ("y", "x")
    with pytest.raises(InputError, match="no raster slope; it has height, zone"):
        load(RasterSource(urlpath=str(tmp_path)), selection, measurements=["slope"])


def test_a_season_is_named_by_the_year_it_ends_in(tmp_path, selection):
    dates = pd.date_range("2017-09-01", "2019-10-01", freq="MS")
    (tmp_path / "dates.txt").write_text("\n".join(str(date.date()) for date in dates))
    write_raster(tmp_path / "ndvi.tif", np.ones((len(dates), 4, 4), dtype="float32"))
    series = load(RasterSource(urlpath=str(tmp_path), times="dates.txt", season_start_month=9), selection)
    assert [str(series.time.values[end])[:7] for end in (0, -1)] == ["2018-09", "2019-08"]
    (tmp_path / "dates.txt").write_text("2019-01-01")
    with pytest.raises(InputError, match="26 bands, dates.txt 1 dates"):
        load(RasterSource(urlpath=str(tmp_path), times="dates.txt"), selection)


def test_tables_polygons_and_recordings(tmp_path, selection):
    pd.DataFrame({"a": [1], "b": ["07"]}).to_parquet(tmp_path / "t.parquet")
    assert load(TableSource(urlpath=str(tmp_path / "t.parquet")), selection)["b"].tolist() == ["07"]
    left, bottom, right, top = selection.tile.bounds
    inside, outside = box(left, bottom, right, top), box(right + 5000, bottom, right + 6000, top)
    gpd.GeoDataFrame({"n": ["in", "out"]}, geometry=[inside, outside], crs="EPSG:6372").to_file(tmp_path / "p.gpkg")
    assert load(VectorSource(urlpath=str(tmp_path / "p.gpkg")), selection)["n"].tolist() == ["in"]
    points = gpd.GeoSeries([inside.centroid, outside.centroid], crs="EPSG:6372").to_crs("EPSG:4326")
    sites = pd.DataFrame(
        {"file": ["a.flac", "b.flac"], "site": ["in", "out"], "longitude": points.x, "latitude": points.y}
    )
    (tmp_path / "sounds").mkdir()
    sites.to_csv(tmp_path / "sounds" / "recordings.csv", index=False)
    heard = load(RecordingsSource(urlpath=str(tmp_path / "sounds"), table="recordings.csv"), selection)
    assert heard["site"].tolist() == ["in"] and heard["path"].tolist() == [str(tmp_path / "sounds" / "a.flac")]
    groups = [{"site": "all", "files": "*.flac"}]
    with pytest.raises(InputError, match="no recording"):
        load(RecordingsSource(urlpath=str(tmp_path / "sounds"), groups=groups), selection)
    (tmp_path / "sounds" / "a.flac").write_bytes(b"")
    assert load(RecordingsSource(urlpath=str(tmp_path / "sounds"), groups=groups), selection)["site"].tolist() == [
        "all"
    ]
    pd.DataFrame({"file": ["a.flac"], "group": ["vehicle"], "category": ["car"]}).to_csv(tmp_path / "sounds" / "l.csv")
    clips = load(LabelledSoundsSource(urlpath=str(tmp_path / "sounds"), tables=[{"labels": "l.csv"}]), selection)
    assert clips[["group", "source_id"]].values.tolist() == [["vehicle", "a"]]


def test_files_that_are_not_there_or_broken_are_named(tmp_path, selection):
    with pytest.raises(InputError, match="nowhere.csv does not exist"):
        TableSource(urlpath=str(tmp_path / "nowhere.csv")).find(selection)
    (tmp_path / "broken.tif").write_bytes(b"no")
    with pytest.raises(InputError, match="broken.tif cannot be read"):
        load(RasterSource(urlpath=str(tmp_path / "broken.tif")), selection)
    with pytest.raises(InputError, match="cannot be fetched"):
        TableSource(urlpath="http://127.0.0.1:9/t.csv").find(selection)


def test_a_changed_file_is_a_changed_input(tmp_path, selection):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    before = TableSource(urlpath=str(path)).find(selection).ids
    path.write_text("a\n2\n")
    assert TableSource(urlpath=str(path)).find(selection).ids != before


def test_the_samples_own_sources_open(sample_folder, monkeypatch, store):
    monkeypatch.setenv("CEIBA_SAMPLES", str(sample_folder))
    samples = catalog.open("training_samples", area="sample", stage="classification")
    assert len(samples) == 603
    series = catalog.open("land_cover_features", area="sample", stage="classification", time="2009")
    assert series["ndvi"].sizes["time"] == 23 and series["ndvi"].shape[1:] == (27, 37)
    predictors = catalog.open("integrity_predictors", area="sample", stage="integrity")
    assert len(predictors.data_vars) == 22 and float(predictors["propor_urbano"].max()) <= 100
    clips = catalog.open("sound_training", area="sample", stage="bioacoustics")
    assert len(clips) == 225 + 27 + 24
    assert json.dumps(sorted(clips["group"].unique().tolist()))
