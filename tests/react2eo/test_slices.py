"""Slices: series at a point, statistics in a polygon and files, against rasterio, pyproj and the files themselves."""

import csv
import io
import math

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.mask
import shapely
import xarray as xr
from shapely.ops import transform

from ceiba.errors import InputError
from ceiba.react2eo.slices import clips, ground_areas, polygon_statistics
from ceiba.react2eo.slices.ground_areas import area_scale, bring_into, pixel_areas_m2, polygon_area_ha, read_polygon

GEOD = pyproj.Geod(ellps="WGS84")
MODIS = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"


def to_wgs84(geometry, crs):
    return transform(pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform, geometry)


def as_geojson(polygon) -> dict:
    return shapely.geometry.mapping(polygon)


@pytest.fixture
def circle(module_snapshot):
    """A polygon across both tiles of the gallery, with a hole; in the CRS of its files."""
    left, bottom, right, top = module_snapshot.find_region("land").place.whole.bounds
    middle = shapely.Point((left + right) / 2 + 13, (bottom + top) / 2 - 7)
    return middle.buffer(403).difference(middle.buffer(111))


def read_masked(layer, period, position, polygon) -> np.ndarray:
    """Values inside by another way: rasterio.mask, file by file."""
    found = []
    for raster in layer.rasters[period]:
        with rasterio.open(raster.bands[position].path) as file:
            values, _ = rasterio.mask.mask(file, [polygon], crop=True, indexes=raster.bands[position].number, filled=False)
        found.append(np.ma.masked_invalid(values).compressed())
    return np.concatenate(found)


# ---- areas ----


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude"),
    [("EPSG:6372", -87.3, 22.1), ("EPSG:6372", -117, 32), ("EPSG:9377", -74, 4), ("EPSG:3035", 22, 45)],
)
def test_scale_of_areas_is_the_inverse_of_pyproj_s_factor(crs, longitude, latitude):
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    factor = pyproj.Proj(crs).get_factors(longitude, latitude).areal_scale
    assert area_scale(crs, x, y, step=10.0) == pytest.approx(1 / factor, rel=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:6372", "EPSG:9377", "EPSG:3035", "EPSG:3857", MODIS, "EPSG:4326"])
def test_pixels_together_are_as_large_as_the_geodesic_polygon_around_them(crs):
    longitude, latitude = {"EPSG:3035": (22.15, 45.2), "EPSG:9377": (-74, 4)}.get(crs, (-89, 20))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    side = 0.3 if crs == "EPSG:4326" else 30_000
    areas = pixel_areas_m2(crs, (x, y, x + side, y + side), (300, 300))
    outline = to_wgs84(shapely.segmentize(shapely.box(x, y, x + side, y + side), side / 200), crs)
    assert areas.sum() == pytest.approx(abs(GEOD.geometry_area_perimeter(outline)[0]), rel=1e-6)


def test_area_of_a_polygon_with_a_hole_is_that_of_pyproj():
    outer, inner = shapely.box(-90, 20, -89, 21), shapely.box(-89.7, 20.3, -89.3, 20.7)
    expected = sum(
        sign * abs(GEOD.geometry_area_perimeter(shapely.segmentize(part, 0.005))[0]) for sign, part in ((1, outer), (-1, inner))
    )
    polygon = read_polygon(as_geojson(outer.difference(inner)))
    assert polygon_area_ha(polygon) == pytest.approx(expected / 1e4, rel=1e-5)


# ---- series ----


def test_series_holds_every_measurement_of_the_product(module_client, module_snapshot):
    layer = module_snapshot.find_layer("land", "land_cover")
    raster = layer.rasters[layer.periods[0]][1]
    left, _, right, top = raster.tile.bounds
    point = (left + right) / 2 + 3, top - 333
    longitude, latitude = to_wgs84(shapely.Point(point), layer.region.place.crs).coords[0]
    asked = {"region": "land", "layer": "land_cover", "lon": longitude, "lat": latitude}
    answer = module_client.get("/api/slices/series", params=asked).json()
    assert [row["period"] for row in answer["series"]] == ["2018", "2019", "2020"]
    first = {value["measurement"]: value for value in answer["series"][0]["values"]}
    assert {"land_cover", "probability", "second_class", "second_probability", "entropy", "set_size", "land_cover_17"} < set(first)
    for name, band in zip(first, raster.product_bands, strict=True):
        with rasterio.open(band.path) as file:
            (expected,) = next(file.sample([point], indexes=[band.number]))
        assert first[name]["value"] == pytest.approx(float(expected))
    entry = layer.legend.find(int(first["land_cover"]["value"]))
    assert first["land_cover"]["class_name"] == {"es": entry.name_es, "en": entry.name_en}
    assert first["second_class"]["class_name"] and not first["entropy"]["class_name"]
    rows = list(csv.DictReader(io.StringIO(module_client.get("/api/slices/series", params=asked | {"format": "csv"}).text)))
    assert len(rows) == 3 * len(first) and rows[0]["class_es"] == entry.name_es
    assert float(rows[1]["value"]) == pytest.approx(first["probability"]["value"])


def test_a_point_without_data_has_empty_values(module_client, module_snapshot):
    # The upper left corner of each tile has none.
    layer = module_snapshot.find_layer("land", "ndvi")
    left, _, _, top = layer.rasters[layer.periods[0]][0].tile.bounds
    longitude, latitude = to_wgs84(shapely.Point(left + 15, top - 15), layer.region.place.crs).coords[0]
    answer = module_client.get("/api/slices/series", params={"region": "land", "layer": "ndvi", "lon": longitude, "lat": latitude}).json()
    values = {value["measurement"]: value["value"] for value in answer["series"][0]["values"]}
    assert values["ndvi"] is None


# ---- statistics ----


@pytest.mark.parametrize("name", ["ndvi", "natural_color", "integrity"])
def test_statistics_equal_those_of_rasterio(module_client, module_snapshot, circle, name):
    layer = module_snapshot.find_layer("land", name)
    polygon = as_geojson(to_wgs84(circle, layer.region.place.crs))
    answer = module_client.post("/api/slices/statistics", json={"region": "land", "layer": name, "polygon": polygon})
    assert answer.status_code == 200, answer.text
    for period, found in zip(layer.periods, answer.json()["periods"], strict=True):
        for position, values in enumerate(found["values"]):
            expected = read_masked(layer, period, position, circle).astype("f8")
            assert found["valid_pixels"] == expected.size > 50
            assert values["mean"] == pytest.approx(expected.mean(), rel=1e-6)
            assert values["standard_deviation"] == pytest.approx(expected.std(), rel=1e-5)
            assert (values["min"], values["max"]) == pytest.approx((expected.min(), expected.max()))
            assert [values[key] for key in ("p10", "p50", "p90")] == pytest.approx(np.percentile(expected, (10, 50, 90)), rel=1e-6)


def test_areas_of_classes_are_true(module_client, module_snapshot, circle):
    layer = module_snapshot.find_layer("land", "land_cover")
    crs = layer.region.place.crs
    polygon = as_geojson(to_wgs84(circle, crs))
    asked = {"region": "land", "layer": "land_cover", "polygon": polygon, "first": "2019", "last": "2019"}
    answer = module_client.post("/api/slices/statistics", json=asked).json()
    (found,) = answer["periods"]
    expected = read_masked(layer, layer.find_period("2019"), 0, circle)
    codes, counts = np.unique(expected, return_counts=True)
    center = to_wgs84(circle.centroid, crs)
    pixel_ha = 0.04 / pyproj.Proj(crs).get_factors(center.x, center.y).areal_scale
    assert {each["code"]: each["area_ha"] for each in found["classes"]} == pytest.approx(
        {int(code): count * pixel_ha for code, count in zip(codes, counts, strict=True)}, rel=1e-5
    )
    assert abs(pixel_ha / 0.04 - 1) > 0.005, "the example would not tell true areas from those of the CRS"
    assert sum(each["share"] for each in found["classes"]) == pytest.approx(1)
    assert answer["polygon_area_ha"] == pytest.approx(found["valid_area_ha"], rel=0.02) and found["valid_share"] > 0.97


def test_pixels_in_a_box_are_as_large_as_the_box(module_client, module_snapshot):
    layer = module_snapshot.find_layer("land", "natural_color")
    left, _, right, top = layer.region.place.whole.bounds
    box = shapely.box(left + 400, top - 900, right - 300, top - 400)
    polygon = to_wgs84(shapely.segmentize(box, 10), layer.region.place.crs)
    asked = {"region": "land", "layer": "natural_color", "polygon": as_geojson(polygon)}
    answer = module_client.post("/api/slices/statistics", json=asked).json()
    area_ha = abs(GEOD.geometry_area_perimeter(polygon)[0]) / 1e4
    assert answer["periods"][0]["valid_area_ha"] == pytest.approx(area_ha, rel=1e-5)
    assert answer["periods"][0]["pixels"] == (right - left - 700) / 10 * 50


def test_several_polygons_are_their_sum_and_half_outside_is_half_known(module_client, module_snapshot, circle):
    layer = module_snapshot.find_layer("land", "land_cover")
    left, bottom, right, top = layer.region.place.whole.bounds
    boxes = [shapely.box(left + 100, top - 500, left + 300, top - 300), shapely.box(right - 300, top - 500, right - 100, top - 300)]
    counts = []
    for part in (shapely.MultiPolygon(boxes), *boxes):
        polygon = as_geojson(to_wgs84(part, layer.region.place.crs))
        answer = module_client.post("/api/slices/statistics", json={"region": "land", "layer": "land_cover", "polygon": polygon}).json()
        counts.append(answer["periods"][0]["pixels"])
    assert counts[0] == counts[1] + counts[2] == 200
    over_the_edge = shapely.box(right - 200, top - 700, right + 200, top - 300)
    polygon = as_geojson(to_wgs84(over_the_edge, layer.region.place.crs))
    answer = module_client.post("/api/slices/statistics", json={"region": "land", "layer": "land_cover", "polygon": polygon}).json()
    assert answer["periods"][0]["valid_share"] == pytest.approx(0.5, rel=1e-3)


def test_blocks_do_not_change_the_result(module_snapshot, circle, monkeypatch):
    layer = module_snapshot.find_layer("land", "ndvi")
    whole = polygon_statistics.summarize(layer, layer.periods[0], circle)
    monkeypatch.setattr(polygon_statistics, "BLOCK_PX", 17)
    parts = polygon_statistics.summarize(layer, layer.periods[0], circle)
    assert parts.values["ndvi"] == pytest.approx(whole.values["ndvi"]) and parts.known_pixels == whole.known_pixels
    assert parts.known_m2 == pytest.approx(whole.known_m2, rel=1e-8)


SQUARE = [[-87.0, 20.0], [-86.0, 20.0], [-86.0, 21.0], [-87.0, 21.0], [-87.0, 20.0]]


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        ({"type": "Point", "coordinates": [0, 0]}, "'Polygon', 'MultiPolygon'"),
        ({"type": "Polygon", "coordinates": [SQUARE[:4]]}, "its last one repeats the first"),
        ({"type": "Polygon", "coordinates": [[SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]]}, "Self-intersection"),
        ({"type": "Polygon", "coordinates": [[[190, 0], [191, 0], [191, 1], [190, 0]]]}, "give longitude and latitude in degrees"),
        ({"type": "Polygon", "coordinates": [SQUARE]}, "lies beside land"),
        ({"type": "Polygon", "coordinates": [[[-96 + i * 1e-3, 20] for i in range(2100)] + [[-96, 21], [-96, 20]]]}, "allowed are 2000"),
        ({"type": "Polygon", "coordinates": []}, "polygon"),
        ({"type": "Polygon", "coordinates": [[[[[0]]]]]}, "polygon"),
    ],
)
def test_polygons_that_are_none_are_told(module_client, polygon, words):
    answer = module_client.post("/api/slices/statistics", json={"region": "land", "layer": "ndvi", "polygon": polygon})
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text


def test_numbers_that_are_none_are_told(module_client):
    polygon = '{"type": "Polygon", "coordinates": [[[NaN, 0], [1, 0], [1, Infinity], [NaN, 0]]]}'
    text = f'{{"region": "land", "layer": "ndvi", "polygon": {polygon}}}'
    answer = module_client.post("/api/slices/statistics", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "finite number" in answer.json()["detail"]


def test_polygons_too_large_are_told_what_is_allowed(module_snapshot, monkeypatch):
    layer = module_snapshot.find_layer("land", "ndvi")
    polygon = bring_into(shapely.box(-180, -90, 180, 90), layer.region.place.crs, within=layer.bounds)
    polygon_statistics.check_size(layer, layer.periods, polygon)
    monkeypatch.setattr(polygon_statistics, "MOST_READ", 40_000)
    with pytest.raises(InputError, match="3 periods and 1 measurements .* allowed are 40,000"):
        polygon_statistics.check_size(layer, layer.periods, polygon)
    monkeypatch.setattr(polygon_statistics, "MOST_PIXELS", 10_000)
    with pytest.raises(InputError, match="allowed are 10,000: give a smaller one"):
        polygon_statistics.check_size(layer, layer.periods, polygon)


# ---- files ----


def ask_clip(module_client, layer, polygon, **asked):
    bounds = ",".join(f"{value:.9f}" for value in to_wgs84(polygon, layer.region.place.crs).bounds)
    return module_client.get("/api/slices/clip", params={"region": "land", "layer": layer.name, "bounds": bounds} | asked)


def read_grid(layer, period, position, geobox_bounds, shape) -> np.ndarray:
    """Pixels of the files by another way: rasterio.merge."""
    from rasterio.merge import merge

    files = [rasterio.open(raster.bands[position].path) for raster in layer.rasters[period]]
    merged, _ = merge(files, bounds=geobox_bounds)
    for file in files:
        file.close()
    assert merged.shape[1:] == shape
    return merged[0]


@pytest.mark.parametrize("name", ["ndvi", "natural_color", "land_cover", "integrity"])
def test_a_geotiff_holds_exactly_the_pixels_of_the_files(module_client, module_snapshot, circle, name):
    layer = module_snapshot.find_layer("land", name)
    answer = ask_clip(module_client, layer, circle, period="2019")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/tiff"
    assert answer.headers["content-disposition"].endswith(f'ceiba_land_{name}_2019.tif"')
    with rasterio.MemoryFile(answer.content) as memory, memory.open() as file:
        assert file.crs == rasterio.crs.CRS.from_epsg(6372) and file.res == (layer.resolution_m,) * 2
        left, bottom, right, top = file.bounds
        assert left <= circle.bounds[0] and right >= circle.bounds[2] and bottom <= circle.bounds[1] and top >= circle.bounds[3]
        assert file.descriptions == tuple(f"2019 {band.name}" for band in layer.measurements)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        tags = file.tags()
        assert tags["source"].startswith("Simulated data: Gallery") and tags["license"] and "Ceiba" in tags["attribution"]
        for position in range(file.count):
            expected = read_grid(layer, layer.find_period("2019"), position, file.bounds, file.shape)
            assert np.array_equal(file.read(position + 1).view("u1"), expected.view("u1"))
        if name == "land_cover":
            code, color = next(iter(layer.legend.colors().items()))
            assert "#{:02x}{:02x}{:02x}".format(*file.colormap(1)[code][:3]) == color


@pytest.mark.parametrize("name", ["ndvi", "land_cover", "change"])
def test_netcdf_holds_all_years_and_says_what_they_are(module_client, module_snapshot, circle, name, tmp_path):
    layer = module_snapshot.find_layer("land", name)
    answer = ask_clip(module_client, layer, circle, format="nc")
    assert answer.status_code == 200, answer.text
    path = tmp_path / "clip.nc"
    path.write_bytes(answer.content)
    with xr.open_dataset(path, mask_and_scale=False, decode_coords="all") as data:
        assert data.attrs["Conventions"].startswith("CF-1.") and data.attrs["license"] and data.attrs["source"]
        band = data[layer.measurements[0].name]
        assert band.dims == ("time", "y", "x") and band.attrs["units"] == "1"
        assert pyproj.CRS.from_cf(data.spatial_ref.attrs) == pyproj.CRS("EPSG:6372")
        half = layer.resolution_m / 2
        bounds = (float(band.x[0]) - half, float(band.y[-1]) - half, float(band.x[-1]) + half, float(band.y[0]) + half)
        for position, period in enumerate(layer.periods):
            expected = read_grid(layer, period, 0, bounds, band.shape[1:])
            assert np.array_equal(band.values[position].view("u1"), expected.view("u1"))
            assert str(data.time_bnds.values[position, 0])[:10] == f"{period.first_year}-01-01"
            assert str(data.time_bnds.values[position, 1])[:10] == f"{period.last_year + 1}-01-01"
        if name == "land_cover":
            assert len(band.attrs["flag_meanings"].split()) == len(band.attrs["flag_values"]) == len(layer.legend)


def test_a_geotiff_of_all_years_has_a_band_for_each(module_client, module_snapshot, circle):
    layer = module_snapshot.find_layer("land", "natural_color")
    with rasterio.MemoryFile(ask_clip(module_client, layer, circle).content) as memory, memory.open() as file:
        assert file.count == 9 and file.descriptions[3] == "2019 red"


def test_files_are_limited(module_client, module_snapshot, circle, monkeypatch):
    layer = module_snapshot.find_layer("land", "ndvi")
    monkeypatch.setattr(clips, "MOST_VALUES", 15_000)
    answer = ask_clip(module_client, layer, circle)
    assert answer.status_code == 422 and "3 periods and 1 measurements" in answer.json()["detail"]
    assert ask_clip(module_client, layer, circle, period="2018").status_code == 200
    monkeypatch.setattr(clips, "MOST_PIXELS", 5_000)
    assert "allowed are 5,000" in ask_clip(module_client, layer, circle, period="2018").json()["detail"]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"bounds": "0,0,1,1"}, 422, "hold nothing of land"),
        ({"bounds": "1,0,0,1"}, 422, "west below east"),
        ({"bounds": "nan,0,0,1"}, 422, "bounds"),
        ({"bounds": "1,2,3"}, 422, "bounds"),
        ({"period": "../2018"}, 404, "has no period '../2018'"),
        ({"format": "png"}, 422, "'tif' or 'nc'"),
        ({"region": "../land"}, 404, "no region '../land'"),
    ],
)
def test_wrong_requests_for_files_are_told(module_client, change, status, words):
    asked = {"region": "land", "layer": "ndvi", "bounds": "-92,20,-91,21"} | change
    answer = module_client.get("/api/slices/clip", params=asked)
    assert answer.status_code == status and words in answer.json()["detail"], answer.text


def test_projections_are_only_asked_about_their_place(module_snapshot):
    layer = module_snapshot.find_layer("land", "ndvi")
    world = shapely.box(-180, -90, 180, 90)
    part = bring_into(world, layer.region.place.crs, within=layer.bounds)
    assert all(map(math.isfinite, part.bounds))
    assert bring_into(shapely.box(0, 0, 1, 1), layer.region.place.crs, within=layer.bounds).is_empty
    assert ground_areas.polygon_area_ha(world) == pytest.approx(51_006_562_172, rel=1e-6), "the ellipsoid's own area [ha]"


def test_polygons_without_area_do_not_divide_by_it(module_client, module_snapshot):
    west, south, east, north = module_snapshot.find_region("land").bounds
    x, y = (west + east) / 2, (south + north) / 2
    tiny = [[x, y], [x + 1e-13, y], [x, y + 1e-13], [x, y]]
    asked = {"region": "land", "layer": "ndvi", "polygon": {"type": "Polygon", "coordinates": [tiny]}}
    answer = module_client.post("/api/slices/statistics", json=asked)
    assert answer.status_code == 422 or answer.json()["periods"][0]["values"][0]["mean"] is None
