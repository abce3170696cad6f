"""Coarse rasters of a region of many tiles: a country in small."""

import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from PIL import Image

from ceiba.errors import StoreError
from ceiba.grids import Period, grid_tile
from ceiba.react2eo.layers import Band, Raster, Snapshot, wgs84_bounds
from ceiba.react2eo.maps import overviews, rendering, tiles
from ceiba.react2eo.maps.positions import Window
from ceiba.react2eo.maps.preparation import Preparation

SIDE_TILES, TILE_PX, FACTOR = 12, 64, 4
LEFT, TOP = 2_600_000, 1_300_000
YEARS = (Period(2019, 2019), Period(2020, 2020))


def picture(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[0:rows, 0:columns] / rows
    return (0.5 + 0.4 * np.sin(7 * x) * np.cos(5 * y)).astype("float32")


@pytest.fixture(scope="module")
def country_files(tmp_path_factory):
    """144 files of a scale and of classes, with the whole pictures that they were cut from."""
    folder = tmp_path_factory.mktemp("country")
    whole = picture(SIDE_TILES * TILE_PX, SIDE_TILES * TILE_PX)
    classes = (1 + (whole > 0.6)).astype("uint8")
    tiles_of = []
    for row in range(SIDE_TILES):
        for column in range(SIDE_TILES):
            tile = grid_tile("country", "country", "EPSG:6372", column=column, row=row, left=LEFT, top=TOP, size_m=TILE_PX * 10)
            grid = {"crs": tile.crs, "transform": tile.geobox(10).affine, "width": TILE_PX, "height": TILE_PX}
            for name, content, nodata in (("ndvi", whole, np.nan), ("change", classes, 0)):
                part = content[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
                path = folder / f"{name}-{tile.name}.tif"
                with rasterio.open(path, "w", driver="GTiff", count=1, dtype=part.dtype, nodata=nodata, **grid) as file:
                    file.write(part, 1)
            tiles_of.append(tile)
    return folder, tuple(tiles_of), whole, classes


@pytest.fixture
def country(snapshot, country_files, monkeypatch, tmp_path):
    """A snapshot of the country alone, in a store of its own, whose coarse rasters are four times coarser than its files."""
    folder, all_tiles, _, _ = country_files
    monkeypatch.setenv("CEIBA_LOCAL", str(tmp_path))
    monkeypatch.setattr(overviews, "SIDE_PX", SIDE_TILES * TILE_PX // FACTOR)
    land = snapshot.find_region("land")
    place = dataclasses.replace(land.place, name="country", tiles=all_tiles)
    region = dataclasses.replace(land, name="country", place=place, bounds=wgs84_bounds(place.whole), layers={})
    for name in ("ndvi", "change"):
        layer = land.find_layer(name)
        nodata = layer.measurements[0].nodata
        rasters = {
            year: tuple(
                Raster(tile, (Band(str(folder / f"{name}-{tile.name}.tif"), 1, nodata),), f"{tile.name}-{year}") for tile in all_tiles
            )
            for year in YEARS
        }
        region.layers[name] = dataclasses.replace(
            layer, region=region, bounds=region.bounds, rasters=rasters, resolution_m=10.0, version=f"country-{name}"
        )
    return Snapshot(snapshot.themes, {"country": region})


def whole_window(layer, pixels: int) -> Window:
    return Window(layer.region.place.whole.bounds, layer.region.place.crs, pixels, pixels)


def opened_files(monkeypatch) -> list[str]:
    from ceiba.react2eo.maps import readers

    opened, real = [], readers._open

    def note(path, overview):
        opened.append(path)
        return real(path, overview)

    monkeypatch.setattr(readers, "_open", note)
    readers.READERS.close()
    return opened


def prepare(snapshot: Snapshot) -> int:
    return Preparation(SimpleNamespace(current=lambda: snapshot)).prepare(snapshot)


def test_a_country_is_shown_from_one_file(country, country_files, monkeypatch):
    _, _, whole, classes = country_files
    assert prepare(country) == 2 * len(YEARS)
    for name, content in (("ndvi", whole), ("change", classes)):
        layer = country.find_layer("country", name)
        opened = opened_files(monkeypatch)
        side = SIDE_TILES * TILE_PX // FACTOR
        reading = rendering.read(layer, YEARS[0], whole_window(layer, side))
        assert reading.whole and set(opened) == {str(overviews.plan_coarse(layer, YEARS[0]).path)}
        parts = content.reshape(side, FACTOR, side, FACTOR)
        if name == "ndvi":
            assert np.abs(reading.values[0] - parts.mean(axis=(1, 3))).max() < 0.01
        else:
            share = (parts == 2).mean(axis=(1, 3))
            clear = np.abs(share - 0.5) > 0.01
            assert (reading.values[0] == np.where(share > 0.5, 2, 1))[clear].all()
    with rasterio.open(overviews.plan_coarse(layer, YEARS[0]).path) as file:
        assert file.dtypes[0] == "uint8" and file.nodata == layer.measurements[0].nodata and file.crs == "EPSG:6372"
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert prepare(country) == 0


def test_a_close_view_is_read_from_the_files_that_it_meets(country, country_files, monkeypatch):
    _, _, whole, _ = country_files
    prepare(country)
    layer = country.find_layer("country", "ndvi")
    opened = opened_files(monkeypatch)
    bounds = (LEFT + 100, TOP - 700, LEFT + 700, TOP - 100)
    values = rendering.read_window(layer, YEARS[0], Window(bounds, layer.region.place.crs, 60, 60))
    assert np.abs(values[0] - whole[10:70, 10:70]).max() < 1e-5
    assert len(set(opened)) == 4


def test_without_a_coarse_raster_nothing_wrong_is_kept(country, client, monkeypatch):
    client.app.state.snapshots = SimpleNamespace(current=lambda: country)
    layer = country.find_layer("country", "ndvi")
    west, south, east, north = layer.bounds
    tile = tiles.GRID.tile((west + east) / 2, (south + north) / 2, 10)
    address = f"/tiles/country/ndvi/2019/10/{tile.x}/{tile.y}.png?v={layer.version}"
    opened = opened_files(monkeypatch)
    answer = client.get(address)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store" and not opened
    asked = {"service": "WMS", "version": "1.1.1", "request": "GetMap", "layers": "country.ndvi", "styles": "", "srs": "EPSG:4326",
             "bbox": f"{west},{south},{east},{north}", "width": 64, "height": 64, "format": "image/png", "time": "2019"}  # fmt: skip
    answer = client.get("/wms", params=asked)
    assert answer.headers["Content-Type"] == "image/png" and answer.headers["Cache-Control"] == "no-store" and not opened
    # What was asked for is made first.
    order = []
    monkeypatch.setattr("ceiba.react2eo.maps.preparation.make_coarse", lambda coarse, period: order.append(coarse.path))
    prepare(country)
    assert order[0] == overviews.plan_coarse(layer, YEARS[0]).path


def test_afterwards_tiles_are_whole_and_kept(country, client):
    client.app.state.snapshots = SimpleNamespace(current=lambda: country)
    prepare(country)
    layer = country.find_layer("country", "ndvi")
    west, south, east, north = layer.bounds
    for zoom in (8, 10, 12, 14):
        tile = tiles.GRID.tile((west + east) / 2, (south + north) / 2, zoom)
        answer = client.get(f"/tiles/country/ndvi/2019/{zoom}/{tile.x}/{tile.y}.png?v={layer.version}")
        assert answer.headers["Cache-Control"] == tiles.FOREVER
        assert np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))[..., 3].max() == 255


def test_a_new_year_leaves_the_others_and_old_files_go(country):
    prepare(country)
    layer = country.find_layer("country", "ndvi")
    before = {path: path.stat().st_mtime_ns for path in overviews.coarse_folder().rglob("*.tif")}
    half = overviews.coarse_folder() / "country" / "ndvi" / f"2020-0.tif.blocks{overviews.PARTIAL}"
    half.write_bytes(b"left by a killed process")
    changed = dict(layer.rasters)
    changed[YEARS[1]] = tuple(dataclasses.replace(raster, dataset_id="made again") for raster in changed[YEARS[1]])
    country.regions["country"].layers["ndvi"] = dataclasses.replace(layer, rasters=changed, version="newer")
    assert prepare(country) == 1
    after = {path: path.stat().st_mtime_ns for path in overviews.coarse_folder().rglob("*.tif")}
    assert len(after) == len(before) and len(set(after) - set(before)) == 1 and not half.exists()
    assert all(before[path] == after[path] for path in set(before) & set(after))


def test_a_failure_leaves_nothing_half_and_the_rest_is_made(country, monkeypatch, caplog):
    layer = country.find_layer("country", "ndvi")
    coarse = overviews.plan_coarse(layer, YEARS[0])
    real = rasterio.shutil.copy

    def full_disk(source, target, **options):
        if "ndvi" in str(target):
            raise rasterio.errors.RasterioIOError("no space left")
        return real(source, target, **options)

    monkeypatch.setattr("ceiba.react2eo.maps.overviews.rasterio.shutil.copy", full_disk)
    with pytest.raises(StoreError, match="no space left"):
        overviews.make_coarse(coarse, YEARS[0])
    assert not list(coarse.path.parent.iterdir())
    assert prepare(country) == len(YEARS)
    assert "was not made" in caplog.text


def test_numbers_are_rounded_but_no_data_stays():
    values = np.float32([[0.1, -3.14159, 1e-20, 0.0, 1.0, np.nan]])
    rounded = overviews.round_numbers(values)
    np.testing.assert_allclose(rounded, values, rtol=1 / 8000)
    assert rounded[0, 4] == 1 and rounded[0, 3] == 0 and np.isnan(rounded[0, 5])


def test_a_region_of_few_tiles_needs_none(snapshot):
    assert not overviews.plan_all(snapshot)
