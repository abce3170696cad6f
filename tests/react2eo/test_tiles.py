"""Map tiles against the files themselves, read independently with rasterio and pyproj."""

import io
import threading
import time

import morecantile
import numpy as np
import pyproj
import pytest
import rasterio
from matplotlib.colors import to_rgb
from PIL import Image
from rasterio.vrt import WarpedVRT

from ceiba.errors import StoreError
from ceiba.mosaics.styles import find_style
from ceiba.react2eo.maps import pictures, rendering, tiles
from ceiba.react2eo.maps.positions import Part, Window, locate
from ceiba.react2eo.maps.readers import Readers

GRID = morecantile.tms.get("WebMercatorQuad")


def tile_in(layer, zoom: int) -> morecantile.Tile:
    west, south, east, north = layer.bounds
    return GRID.tile((west + east) / 2, (south + north) / 2, zoom)


def pixel_middles(tile: morecantile.Tile, crs: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the middles of a tile's pixels in another CRS, each by itself and exactly."""
    bounds = GRID.xy_bounds(tile)
    pixel = (bounds.right - bounds.left) / 256
    x, y = np.meshgrid(bounds.left + (np.arange(256) + 0.5) * pixel, bounds.top - (np.arange(256) + 0.5) * pixel)
    return pyproj.Transformer.from_crs("EPSG:3857", crs, always_xy=True).transform(x, y)


def expected_nearest(layer, period, tile, position: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values of the file's pixels below the middles of a tile's pixels, and which of these are too close to an edge to tell."""
    x, y = pixel_middles(tile, layer.region.place.crs)
    values, unsure = np.full(x.shape, np.nan), np.zeros(x.shape, bool)
    for raster in layer.rasters[period]:
        with rasterio.open(raster.bands[position].path) as file:
            column, row = ~file.transform * (x, y)
            content = file.read(1, masked=True).astype(float).filled(np.nan)
        inside = (column >= 0) & (column < content.shape[1]) & (row >= 0) & (row < content.shape[0])
        values[inside] = content[row[inside].astype(int), column[inside].astype(int)]
        unsure |= (abs(column - column.round()) < 0.02) | (abs(row - row.round()) < 0.02)
    return values, unsure


def fetch(client, layer, period, tile, format="png") -> np.ndarray:
    address = f"/tiles/{layer.region.name}/{layer.name}/{period}/{tile.z}/{tile.x}/{tile.y}.{format}"
    answer = client.get(address, params={"v": layer.version})
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == tiles.FOREVER
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))


@pytest.mark.parametrize(("name", "format"), [("land_cover", "png"), ("land_cover", "webp"), ("change", "png")])
@pytest.mark.parametrize("zoom", [14, 15, 17])
def test_classes_are_those_of_the_file(client, snapshot, name, format, zoom):
    layer = snapshot.find_layer("land", name)
    tile = tile_in(layer, zoom)
    expected, unsure = expected_nearest(layer, layer.periods[0], tile)
    shown = fetch(client, layer, layer.periods[0], tile, format)
    assert np.isfinite(expected).mean() > 0.1
    for code, color in layer.legend.colors().items():
        here = (expected == code) & ~unsure
        assert (shown[here] == [*(round(255 * part) for part in to_rgb(color)), 255]).all()
    assert (shown[np.isnan(expected) & ~unsure] == 0).all()


@pytest.mark.parametrize("zoom", [15, 17, 18])
def test_a_scale_has_the_colors_of_its_style(client, snapshot, zoom):
    layer = snapshot.find_layer("land", "ndvi")
    tile = tile_in(layer, zoom)
    period = layer.periods[1]
    expected, unsure = expected_nearest(layer, period, tile)
    window = tiles.tile_window(tile.z, tile.x, tile.y)
    values = rendering.read_window(layer, period, window)[0]
    known = np.isfinite(expected)
    assert ((known == np.isfinite(values)) | unsure).all()
    # The pattern changes by less than 0.04 from pixel to pixel, so that is what interpolation may differ by.
    assert np.nanmax(np.abs(values - expected)[~unsure]) < 0.04
    shown = fetch(client, layer, period, tile)
    assert (shown[~known & ~unsure] == 0).all() and (shown[known & ~unsure][:, 3] == 255).all()
    style = find_style("ndvi", "ndvi")
    low, high = style.range
    stops = np.array([[255 * part for part in to_rgb(color)] for color in style.colors])
    place = np.clip((values[known & ~unsure] - low) / (high - low), 0, 1) * (len(stops) - 1)
    wanted = np.stack([np.interp(place, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], axis=1)
    assert np.abs(shown[known & ~unsure][:, :3] - wanted).max() <= 2


def test_interpolation_is_that_of_gdal(snapshot):
    layer = snapshot.find_layer("land", "ndvi")
    tile = tile_in(layer, 16)
    window = tiles.tile_window(tile.z, tile.x, tile.y)
    raster = layer.rasters[layer.periods[0]][0]
    transform = rasterio.transform.from_bounds(*window.bounds, 256, 256)
    # Its own tolerance would be an eighth of a pixel.
    with (
        rasterio.open(raster.bands[0].path) as file,
        WarpedVRT(file, crs=window.crs, transform=transform, width=256, height=256, resampling=rasterio.enums.Resampling.bilinear,
                  tolerance=0.001) as warped,
    ):  # fmt: skip
        expected = warped.read(1)
    ours = rendering.read_window(layer, layer.periods[0], window)[0]
    both = np.isfinite(expected) & np.isfinite(ours)
    assert both.mean() > 0.1
    difference = np.abs(expected - ours)[both]
    assert np.median(difference) < 1e-4 and np.percentile(difference, 98) < 1e-3


def test_the_stretch_of_a_composite_is_the_same_in_all_years(client, snapshot):
    layer = snapshot.find_layer("land", "natural_color")
    limits = rendering.layer_limits(layer)
    sample = [
        rasterio.open(raster.bands[0].path).read(1) for rasters in layer.rasters.values() for raster in rasters
    ]
    low, high = np.nanpercentile(np.concatenate([each.ravel() for each in sample]), rendering.STRETCH)
    assert limits[0] == pytest.approx((low, high), abs=0.01)
    tile = tile_in(layer, 17)
    for period in layer.periods:
        shown = fetch(client, layer, period, tile)
        for position, (low, high) in enumerate(limits):
            values = rendering.read_window(layer, period, tiles.tile_window(tile.z, tile.x, tile.y))[position]
            wanted = np.clip((values - low) / (high - low), 0, 1) * 255
            known = np.isfinite(values)
            assert np.abs(shown[..., position][known] - wanted[known]).max() <= 0.51


def test_formats_agree(client, snapshot):
    layer = snapshot.find_layer("land", "natural_color")
    tile = tile_in(layer, 14)
    png, webp, jpg = (fetch(client, layer, "2018", tile, format) for format in ("png", "webp", "jpg"))
    known = png[..., 3] == 255
    assert 0.05 < known.mean() < 0.95 and ((webp[..., 3] == 255) == known).all()
    assert np.abs(webp[known].astype(int) - png[known]).mean() < 6 and np.abs(jpg[known].astype(int) - png[known]).mean() < 6
    assert jpg[~known].mean() > 250


def test_neighboring_rasters_meet_without_a_crack(snapshot):
    layer = snapshot.find_layer("land", "land_cover")
    first, second = layer.rasters[layer.periods[0]]
    # In the grid's own CRS the rasters share an edge, here in the middle of a window that cuts pixels at odd places.
    edge, (_, bottom, _, top) = first.tile.bounds[2], first.tile.bounds
    assert second.tile.bounds[0] == edge
    for shift in (0.0, 0.1, 1 / 3):
        bounds = (edge - 100 + shift, bottom + 100, edge + 100 + shift, top - 100)
        values = rendering.read_window(layer, layer.periods[0], Window(bounds, layer.region.place.crs, 333, 200))
        assert np.isfinite(values).all()


def test_outside_is_empty_at_once(client, snapshot, monkeypatch):
    layer = snapshot.find_layer("land", "ndvi")

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("ceiba.react2eo.maps.readers._open", forbidden)
    for format in ("png", "webp", "jpg"):
        answer = client.get(f"/tiles/land/ndvi/2018/14/100/100.{format}", params={"v": layer.version})
        assert answer.status_code == 200 and len(answer.content) < 2000
        assert answer.headers["Content-Type"] == pictures.MEDIA_TYPES[format]
        picture = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
        assert picture.shape == (256, 256, 4) and (picture[..., 3] == (255 if format == "jpg" else 0)).all()


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("0/0/0.png", 200), ("1/0/0.webp", 200), ("3/0/7.png", 200), ("20/0/0.png", 200), ("20/1048575/1048575.png", 200),
        ("0/1/0.png", 404), ("3/8/0.png", 404), ("21/0/0.png", 422), ("3/-1/0.png", 422), ("3/0/0.gif", 422), ("3/0/x.png", 422),
    ],
)  # fmt: skip
def test_edges_of_the_world(client, address, status):
    assert client.get(f"/tiles/land/natural_color/2018/{address}").status_code == status


def test_every_zoom_can_be_drawn(client, snapshot):
    for layer in snapshot.layers():
        for zoom in range(0, tiles.MAX_ZOOM + 1, 4):
            fetch(client, layer, layer.periods[-1], tile_in(layer, zoom))
    assert tiles.native_zoom(snapshot.find_layer("land", "ndvi")) == 14


def test_coarse_windows_show_means_and_commonest_classes(snapshot):
    layer = snapshot.find_layer("land", "ndvi")
    left, bottom, right, top = layer.region.place.whole.bounds
    values = rendering.read_window(layer, layer.periods[0], Window((left, bottom, right, top), layer.region.place.crs, 8, 4))[0]
    with rasterio.open(layer.rasters[layer.periods[0]][0].bands[0].path) as file:
        full = file.read(1)
    expected = np.nanmean(full.reshape(4, 24, 4, 24), axis=(1, 3))
    assert np.nanmax(np.abs(values[:, :4] - expected)) < 0.06


def test_positions_are_exact_to_a_fiftieth_of_a_pixel():
    # A tile of a whole country, where a projection bends most.
    window = Window((-12_523_442.7, 1_252_344.3, -10_018_754.2, 3_757_032.8), "EPSG:3857", 256, 256)
    positions = locate(window, Part(0, 256, 0, 256), "EPSG:6372")
    middles = -12_523_442.7 + (np.arange(256) + 0.5) * window.pixel[0], 3_757_032.8 - (np.arange(256) + 0.5) * window.pixel[1]
    x, y = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:6372", always_xy=True).transform(*np.meshgrid(*middles))
    distance = np.hypot(positions.x + positions.origin[0] - x, positions.y + positions.origin[1] - y)
    assert distance.max() < 0.02 * positions.step


def test_points_are_those_of_the_files(snapshot):
    layer = snapshot.find_layer("land", "natural_color")
    raster = layer.rasters[layer.periods[0]][1]
    to_wgs84 = pyproj.Transformer.from_crs(layer.region.place.crs, "EPSG:4326", always_xy=True)
    with rasterio.open(raster.bands[1].path) as file:
        content, (x, y) = file.read(1), file.xy(40, 30)
    longitude, latitude = to_wgs84.transform(x, y)
    assert rendering.read_point(layer, layer.periods[0], longitude, latitude)["green"] == pytest.approx(float(content[40, 30]))
    assert np.isnan(rendering.read_point(layer, layer.periods[0], 0.0, 0.0)["green"])


# ---- open files ----


def test_readers_are_kept_open_but_never_shared(snapshot):
    path = snapshot.find_layer("land", "ndvi").rasters[snapshot.find_layer("land", "ndvi").periods[0]][0].bands[0].path
    readers = Readers(at_most=2, each_at_most=3)
    with readers.borrow(path) as first, readers.borrow(path) as second:
        assert first is not second
    with readers.borrow(path) as again:
        assert again in (first, second)
    assert len(readers) == 2
    with readers.borrow(path), readers.borrow(path), readers.borrow(path):
        pass
    assert len(readers) == 2
    readers.close()
    assert len(readers) == 0 and first.dataset.closed and second.dataset.closed


def test_a_file_has_few_readers_and_others_wait(snapshot):
    layer = snapshot.find_layer("land", "ndvi")
    path = layer.rasters[layer.periods[0]][0].bands[0].path
    readers, at_once, most = Readers(each_at_most=2), [], []

    def read() -> None:
        for _ in range(10):
            with readers.borrow(path):
                at_once.append(1)
                most.append(len(at_once))
                time.sleep(0.001)
                at_once.pop()

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(most) == 60 and max(most) == 2 and len(readers) == 2
    with pytest.raises(KeyError), readers.borrow(path):
        raise KeyError("what goes wrong with a file that is held gives it back all the same")
    with readers.borrow(path), readers.borrow(path):
        pass


def test_idle_readers_are_closed(snapshot):
    rasters = snapshot.find_layer("land", "ndvi").rasters
    paths = [raster.bands[0].path for raster in rasters[next(iter(rasters))]]
    readers = Readers(idle_s=0.0)
    for path in paths:
        with readers.borrow(path):
            pass
    assert len(readers) == 1


def test_a_replaced_file_is_opened_anew(tmp_path):
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:6372",
               "transform": rasterio.transform.from_origin(0, 0, 1, 1)}  # fmt: skip
    path, newer = tmp_path / "a.tif", tmp_path / "b.tif"
    readers = Readers()
    for value, target in ((1, path), (2, newer)):
        with rasterio.open(target, "w", **profile) as file:
            file.write(np.full((1, 4, 4), value, np.uint8))
    with readers.borrow(str(path)) as reader:
        newer.replace(path)
        assert (reader.dataset.read(1) == 1).all()
    with readers.borrow(str(path)) as reader:
        assert (reader.dataset.read(1) == 2).all()
    path.unlink()
    with pytest.raises(StoreError, match="may have been removed"), readers.borrow(str(path)):
        pass
    path.write_bytes(b"no raster")
    with pytest.raises(StoreError, match="removed or damaged"), readers.borrow(str(path)):
        pass


def test_many_threads_get_the_same_tile(client, snapshot):
    layer = snapshot.find_layer("land", "natural_color")
    tile = tile_in(layer, 15)
    window = tiles.tile_window(tile.z, tile.x, tile.y)
    expected = rendering.read_window(layer, layer.periods[0], window)
    wrong = []

    def check() -> None:
        for _ in range(20):
            if not np.array_equal(rendering.read_window(layer, layer.periods[0], window), expected, equal_nan=True):
                wrong.append(threading.get_ident())

    threads = [threading.Thread(target=check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
