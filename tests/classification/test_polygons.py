"""Polygons and rasters of labels: which pixels they give, and that those have the features of the map."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.features
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification.features.seasons import annual_features
from ceiba.classification.samples.label_files import read_label_file
from ceiba.classification.samples.points import extract_features, locate
from ceiba.classification.samples.polygons import pixels_inside, samples_of_labels
from ceiba.classification.samples.training_rasters import (
    count_raster_classes,
    draw_from_raster,
    semibalanced_fractions,
    semibalanced_numbers,
)
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend

LEGEND = load_legend("mexico_31")
GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=20)


def labels_of(polygons, **columns):
    facts = {"year": 2018, "code": 1, "group": "", "source": "a", **columns}
    return gpd.GeoDataFrame(facts, geometry=list(polygons), crs="EPSG:6372", index=range(len(polygons)))


def square(column, row, width, height):
    """Corners at whole pixels of the grid."""
    x, y = 4_000_000 + 20 * column, 1_200_000 - 20 * row
    return shapely.box(x, y - 20 * height, x + 20 * width, y)


def test_pixels_are_those_whose_center_lies_inside():
    row, column = pixels_inside(square(2, 3, 2, 1), GEOBOX)
    assert sorted(zip(row.tolist(), column.tolist(), strict=True)) == [(3, 2), (3, 3)]
    # Moved by just under and just over half a pixel: the centers of column 2 are inside, then not.
    assert set(pixels_inside(shapely.affinity.translate(square(2, 3, 2, 1), 9), GEOBOX)[1]) == {2, 3}
    assert set(pixels_inside(shapely.affinity.translate(square(2, 3, 2, 1), 11), GEOBOX)[1]) == {3, 4}


def test_pixels_are_those_of_gdal():
    random = np.random.default_rng(3)
    for _ in range(20):
        corners = random.uniform(-100, 1100, (5, 2)) + [4_000_000, 1_199_000]
        polygon = shapely.MultiPoint(corners).convex_hull.difference(shapely.Point(corners.mean(axis=0)).buffer(70))
        burnt = rasterio.features.rasterize([polygon], out_shape=GEOBOX.shape, transform=GEOBOX.affine)
        row, column = pixels_inside(polygon, GEOBOX)
        assert set(zip(row, column, strict=True)) == set(zip(*np.nonzero(burnt), strict=True))


def test_overlaps_are_settled_and_groups_kept():
    labels = labels_of([square(0, 0, 3, 1), square(2, 0, 3, 1), square(2, 0, 1, 1)], code=[1, 2, 2])
    found = samples_of_labels(labels, GEOBOX)
    place = locate(found.table, GEOBOX)
    got = {
        (row, column): code
        for row, column, code in zip(place["row"], place["column"], found.table["code"], strict=True)
    }
    # Pixel 2 is claimed as class 1 and as class 2, the latter twice.
    assert got == {(0, 0): 1, (0, 1): 1, (0, 3): 2, (0, 4): 2}
    assert (found.contradicted, found.without_pixel) == (1, 0)
    assert found.table["group"].tolist() == ["polygon 0"] * 2 + ["polygon 1"] * 2
    other_years = samples_of_labels(labels.assign(year=[2018, 2019, 2019]), GEOBOX)
    assert (len(other_years.table), other_years.contradicted, other_years.repeated) == (6, 0, 1)
    tiny = samples_of_labels(
        labels_of([square(1, 1, 1, 1).centroid.buffer(2).difference(shapely.box(0, 0, 4_000_030, 2e6))]), GEOBOX
    )
    assert (len(tiny.table), tiny.without_pixel) == (0, 1)


def test_n_per_polygon_is_seeded_and_each_polygon_draws_for_itself():
    polygons = [square(0, 0, 10, 10), square(20, 20, 3, 1)]
    two = samples_of_labels(labels_of(polygons), GEOBOX, per_polygon=5, seed=1).table
    assert two["group"].value_counts().to_dict() == {"polygon 0": 5, "polygon 1": 3}
    alone = samples_of_labels(labels_of(polygons[:1]), GEOBOX, per_polygon=5, seed=1).table
    pd.testing.assert_frame_equal(two[two["group"] == "polygon 0"], alone)
    both = shapely.MultiPoint([square(1, 1, 1, 1).centroid, square(5, 1, 1, 1).centroid])
    assert len(samples_of_labels(labels_of([both]), GEOBOX).table) == 2
    far = gpd.GeoDataFrame(
        {"year": [2018], "code": [1], "group": [""]}, geometry=[shapely.box(70, -89.9, 100, -80)], crs="EPSG:4326"
    )
    assert samples_of_labels(far, GEOBOX).without_pixel == 1
    with pytest.raises(InputError, match="0 pixels of each polygon"):
        samples_of_labels(labels_of(polygons), GEOBOX, per_polygon=0)
    with pytest.raises(InputError, match="one kind a file; these are LineString"):
        samples_of_labels(labels_of([shapely.LineString([(0, 0), (1, 1)])]), GEOBOX)


@pytest.fixture(scope="module")
def series():
    random = np.random.default_rng(0)
    dates = pd.date_range("2018-01-10", "2019-12-30", periods=30).to_numpy()
    bands = {}
    for name in ("red", "nir"):
        values = random.random((30, *GEOBOX.shape), dtype="float32")
        values[random.random(values.shape) < 0.3] = np.nan
        bands[name] = wrap_xr(values, GEOBOX, time=dates)
    return xr.Dataset(bands)


@pytest.mark.parametrize("kind", ["points", "polygons", "raster"])
def test_samples_have_the_very_features_of_the_map(tmp_path, series, kind):
    if kind == "raster":
        path = write_raster(tmp_path, np.random.default_rng(1).integers(0, 4, (80, 80)), crs="EPSG:4326")
        samples = draw_from_raster(path, LEGEND, {1: 30, 3: 40}, year=2019, source="map")
    else:
        shapes = [square(3, 4, 5, 6), square(30, 30, 4, 4)]
        labels = labels_of(shapes if kind == "polygons" else [shape.centroid for shape in shapes], year=[2018, 2019])
        labels.to_crs("EPSG:4326").to_file(tmp_path / "labels.gpkg")
        samples = samples_of_labels(read_label_file(tmp_path / "labels.gpkg", LEGEND), GEOBOX).table
    training = extract_features(series, samples)
    place = locate(samples, GEOBOX).iloc[training.rows]
    whole = {year: annual_features(series, year) for year in (2018, 2019)}
    for sample, (year, row, column) in enumerate(zip(training.years, place["row"], place["column"], strict=True)):
        pixel = [whole[year][name].values[row, column] for name in training.names]
        np.testing.assert_array_equal(training.features[sample], pixel)
    assert len(training) == {"points": 2, "polygons": 46, "raster": 70}[kind]
    assert len(set(training.groups)) == {"points": 1, "polygons": 2, "raster": 1}[kind]


def write_raster(folder, codes, *, crs="EPSG:6372", nodata=0, dtype="uint8"):
    path = folder / "labels.tif"
    codes = np.asarray(codes, dtype=dtype)
    transform = rasterio.transform.from_bounds(
        *GEOBOX.extent.to_crs(crs).boundingbox.bbox, codes.shape[1], codes.shape[0]
    )
    if crs == "EPSG:4326":  # well within the extent
        west, south, east, north = GEOBOX.extent.to_crs(crs).boundingbox.bbox
        transform = rasterio.transform.from_bounds(
            west + 0.2 * (east - west),
            south + 0.2 * (north - south),
            east - 0.2 * (east - west),
            north - 0.2 * (north - south),
            codes.shape[1],
            codes.shape[0],
        )
    profile = {"driver": "GTiff", "count": 1, "dtype": dtype, "height": codes.shape[0], "width": codes.shape[1]}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, nodata=nodata) as file:
        file.write(codes, 1)
    return path


def test_blocks_change_no_count_and_every_pixel_is_as_likely(tmp_path):
    codes = np.random.default_rng(2).choice([0, 1, 2, 3], (37, 53), p=[0.1, 0.6, 0.28, 0.02])
    path = write_raster(tmp_path, codes)
    counts = count_raster_classes(path, LEGEND, block_px=10)
    assert counts.to_dict() == {code: int((codes == code).sum()) for code in (1, 2, 3)}
    drawn = np.zeros(codes.shape, dtype=int)
    grid = GeoBox(codes.shape, rasterio.open(path).transform, "EPSG:6372")
    for seed in range(30):
        samples = draw_from_raster(path, LEGEND, {1: 100, 3: 5}, year=2018, source="map", block_px=16, seed=seed)
        place = locate(samples, grid)
        assert (codes[place["row"], place["column"]] == samples["code"]).all()
        assert samples["code"].value_counts().to_dict() == {1: 100, 3: 5}
        drawn[place["row"], place["column"]] += 1
    # The left half has as many draws as its share of the class: binomial, six standard deviations.
    left = codes[:, :26] == 1
    expected = 3000 * left.sum() / (codes == 1).sum()
    assert abs(drawn[:, :26][left].sum() - expected) < 6 * np.sqrt(3000 / 4)
    with pytest.raises(InputError, match="fewer pixels than asked for of .*: 5000 of"):
        draw_from_raster(path, LEGEND, {2: 5000}, year=2018, source="map")


def test_values_of_another_legend_need_a_crosswalk(tmp_path):
    path = write_raster(tmp_path, [[250, 251, 40]], nodata=None, dtype="int16")
    with pytest.raises(LegendError, match="values without a class in legend mexico_31: 40, 250, 251"):
        count_raster_classes(path, LEGEND)
    counts = count_raster_classes(path, LEGEND, crosswalk={250: "Water", 251: "", 40: 2})
    assert counts.to_dict() == {2: 1, LEGEND.code("Water"): 1}
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(InputError, match="cannot be read as a raster"):
        count_raster_classes(tmp_path / "text.tif", LEGEND)


def test_semibalanced_draws_by_hand():
    counts = pd.Series({1: 1000, 2: 100, 3: 10})
    assert semibalanced_fractions(counts, 20, cap=0.5).to_dict() == {1: 0.02, 2: 0.2, 3: 0.5}
    # Proportional: 111 * (1000, 100, 10) / 1110; equal: class 3 gives 5 at most, the others share the remaining 105.
    assert semibalanced_numbers(counts, 111, power=1).to_dict() == {1: 100, 2: 10, 3: 1}
    assert semibalanced_numbers(counts, 110, power=0).to_dict() == {1: 55, 2: 50, 3: 5}
    # Square roots 100, 10, 1 of 10000, 100, 1 share 111.
    assert semibalanced_numbers(pd.Series({1: 10000, 2: 100, 3: 1}), 111).to_dict() == {1: 100, 2: 10, 3: 1}
    assert semibalanced_numbers(counts, 5000, power=0).to_dict() == {1: 500, 2: 50, 3: 5}
    with pytest.raises(InputError, match="every class needs samples"):
        semibalanced_numbers(pd.Series({1: 0}), 5)
