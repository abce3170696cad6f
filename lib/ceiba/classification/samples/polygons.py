"""From labelled points and polygons to samples: a sample is one pixel of the grid that the map has."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from ceiba.classification.samples.points import locate
from ceiba.errors import InputError

CENTERS_AT_ONCE = 2_000_000
EDGE_PARTS = 32  # parts that a polygon's extent is cut into before its edges are projected


@dataclass(frozen=True)
class PixelSamples:
    """Samples with what was left out.

    Attributes
    ----------
    table
        Columns longitude, latitude [degrees, WGS 84], year, code, group and provenance, as
        :func:`ceiba.classification.samples.points.read_samples` gives them.
    without_pixel
        Polygons that hold no pixel's center.
    contradicted
        Pixels left out because labels of the same year differ there.
    repeated
        Labels left out because another of the same year and class lies in the same pixel.
    """

    table: pd.DataFrame
    without_pixel: int = 0
    contradicted: int = 0
    repeated: int = 0


def samples_of_labels(
    labels: gpd.GeoDataFrame, geobox: GeoBox, *, per_polygon: int | None = None, seed: int = 0
) -> PixelSamples:
    """One sample a pixel, of points or polygons.

    Parameters
    ----------
    labels
        From :func:`ceiba.classification.samples.label_files.read_label_file`; any CRS; points or polygons, not both.
    geobox
        Pixel grid of the features.
    per_polygon
        Pixels drawn at random of each polygon; all whose center lies inside where it is None.
    seed
        Seed of that draw.

    Returns
    -------
    PixelSamples
        The samples of polygons stand at the centers of their pixels; ``group`` is the row of the polygon, or its own group
        where the labels have one, so that a split can keep a polygon whole. Points keep their place.

    Raises
    ------
    InputError
        Where geometries are neither points nor polygons, or both.
    """
    kinds = set(labels.geom_type)
    if kinds <= {"Point", "MultiPoint"}:
        labels = labels.explode(ignore_index=True)
        place = labels.geometry.to_crs("EPSG:4326")
        table = _facts(labels, np.arange(len(labels))).assign(longitude=place.x.to_numpy(), latitude=place.y.to_numpy())
        found = locate(table, geobox)
        keep, contradicted, repeated = settle_pixels(table, found["row"], found["column"])
        # Beyond the grid there is no pixel to share; such points are counted where features are taken.
        keep |= ~found["inside"].to_numpy()
        return PixelSamples(_ordered(table[keep]), 0, contradicted, repeated)
    if kinds <= {"Polygon", "MultiPolygon"}:
        return _samples_of_polygons(labels, geobox, per_polygon, seed)
    raise InputError(f"labels are points or polygons, one kind a file; these are {', '.join(sorted(kinds))}")


def pixels_inside(polygon: shapely.Geometry, geobox: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels whose center lies inside a polygon in the grid's CRS.

    A center exactly on the edge is outside, so that polygons that touch share no pixel. Rows are read in strips: memory does
    not grow with the polygon.
    """
    left, bottom, right, top = polygon.bounds
    nothing = np.array([], dtype="int64"), np.array([], dtype="int64")
    if not np.isfinite(polygon.bounds).all():  # beyond what the grid's projection can show
        return nothing
    corners = [~geobox.affine * corner for corner in ((left, bottom), (left, top), (right, bottom), (right, top))]
    columns, rows = np.array(corners).T
    first_row, last_row = _clip(rows, geobox.shape[0])
    first_column, last_column = _clip(columns, geobox.shape[1])
    if first_row >= last_row or first_column >= last_column:
        return nothing
    shapely.prepare(polygon)
    at_once = max(1, CENTERS_AT_ONCE // (last_column - first_column))
    found = []
    for start in range(first_row, last_row, at_once):
        row, column = np.mgrid[start : min(start + at_once, last_row), first_column:last_column]
        x, y = geobox.affine * (column + 0.5, row + 0.5)
        inside = shapely.contains_xy(polygon, x, y)
        found.append((row[inside], column[inside]))
    return np.concatenate([row for row, _ in found]), np.concatenate([column for _, column in found])


def settle_pixels(table: pd.DataFrame, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Which labels to keep where several of one year lie in a pixel.

    Parameters
    ----------
    table
        Columns year and code.
    row, column
        Pixel of each label.

    Returns
    -------
    tuple
        Mask of what is kept, dims ``(sample,)``: the first of each class that agrees, none of those that contradict each
        other; number of pixels with contradictions; number of labels that only repeat.
    """
    place = pd.DataFrame({"row": np.asarray(row), "column": np.asarray(column), "year": table["year"].to_numpy()})
    place["code"] = table["code"].to_numpy()
    pixel = place.groupby(["row", "column", "year"], sort=False)["code"]
    disagree = (pixel.transform("min") != pixel.transform("max")).to_numpy()
    repeats = place.duplicated().to_numpy()
    contradicted = int((~place[disagree].duplicated(["row", "column", "year"])).sum())
    return ~disagree & ~repeats, contradicted, int((repeats & ~disagree).sum())


def _samples_of_polygons(labels: gpd.GeoDataFrame, geobox: GeoBox, per_polygon: int | None, seed: int) -> PixelSamples:
    if per_polygon is not None and per_polygon < 1:
        raise InputError(f"{per_polygon} pixels of each polygon; at least 1, or None for all")
    rows, columns, owners = [], [], []
    near = touches_grid(labels.geometry, geobox)
    for number, polygon in enumerate(project_polygons(labels.geometry, str(geobox.crs))):
        if not near[number]:
            continue
        row, column = pixels_inside(polygon, geobox)
        if per_polygon is not None and len(row) > per_polygon:
            # Each polygon draws by itself: one more polygon in the file changes no other's pixels.
            chosen = np.sort(np.random.default_rng([seed, number]).choice(len(row), per_polygon, replace=False))
            row, column = row[chosen], column[chosen]
        rows.append(row)
        columns.append(column)
        owners.append(np.full(len(row), number))
    nothing = [np.array([], dtype="int64")]
    row, column, owner = (np.concatenate(parts or nothing) for parts in (rows, columns, owners))
    x, y = geobox.affine * (column + 0.5, row + 0.5)
    transformer = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)
    longitude, latitude = transformer.transform(np.asarray(x, dtype="float64"), np.asarray(y, dtype="float64"))
    table = _facts(labels, owner).assign(longitude=longitude, latitude=latitude)
    unnamed = table["group"] == ""
    table.loc[unnamed, "group"] = [f"polygon {number}" for number in owner[unnamed.to_numpy()]]
    keep, contradicted, repeated = settle_pixels(table, row, column)
    without = len(labels) - len(np.unique(owner))
    return PixelSamples(_ordered(table[keep]), without, contradicted, repeated)


def touches_grid(polygons: gpd.GeoSeries, geobox: GeoBox) -> np.ndarray:
    """Whether the degrees that a polygon spans meet those of the grid, dims ``(polygon,)``.

    A projection may turn a polygon of the other side of the earth inside out, and lay it over the grid.
    """
    spans = polygons.to_crs("EPSG:4326").bounds
    grid = geobox.geographic_extent.boundingbox
    east_west = (spans["minx"] <= grid.right) & (spans["maxx"] >= grid.left)
    return (east_west & (spans["miny"] <= grid.top) & (spans["maxy"] >= grid.bottom)).to_numpy()


def project_polygons(polygons: gpd.GeoSeries, crs: str) -> gpd.GeoSeries:
    """Polygons in another CRS, edges cut before, because a straight edge is not straight there."""
    if polygons.crs == crs:
        return polygons
    bounds = polygons.bounds
    extent = np.hypot(bounds["maxx"] - bounds["minx"], bounds["maxy"] - bounds["miny"])
    cut = shapely.segmentize(polygons.to_numpy(), (extent / EDGE_PARTS).to_numpy())
    return gpd.GeoSeries(cut, crs=polygons.crs).to_crs(crs)


def _clip(positions: np.ndarray, size: int) -> tuple[int, int]:
    return max(0, int(np.floor(positions.min()))), min(size, int(np.ceil(positions.max())) + 1)


def _facts(labels: gpd.GeoDataFrame, rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(labels.drop(columns=labels.geometry.name)).iloc[rows].reset_index(drop=True)


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    first = ["longitude", "latitude", "year", "code"]
    return table[[*first, *(name for name in table.columns if name not in first)]].reset_index(drop=True)
