"""Published units as GeoJSON and as a table: H3 hexagons with their figures, the rule of publication and whose they are."""

import csv
import io
from collections.abc import Mapping, Sequence

import h3
from shapely import MultiPolygon, Polygon, affinity, box, transform
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from ceiba import labels
from ceiba.react2eo.reactions.publication import REGION, K
from ceiba.react2eo.reactions.published import Figures, Unit, sum_by

COLUMNS = (
    "region", "layer", "cell", "resolution", "likes", "dislikes", "devices", "share", "interval_low", "interval_high", "published", "rule",
    "attribution",
)  # fmt: skip
DIGITS = 5
"""Decimals of coordinates [degrees]: a meter."""


def make_rows(units: Mapping[Unit, Figures]) -> list[dict]:
    """A row a region, layer and cell, terms summed; coarse cells first, so that those within them are drawn over them."""
    rows = [describe_unit(Unit("", *key), figures) for key, figures in sum_by(units, "region", "layer", "cell").items()]
    return sorted(rows, key=lambda row: row["resolution"] or 0)


def describe_unit(unit: Unit, figures: Figures) -> dict:
    """A row of the table."""
    row = {"region": unit.region, "layer": unit.layer, "cell": unit.cell or None}
    row["resolution"] = None if unit.cell == REGION else h3.get_resolution(unit.cell)
    return row | figures.describe()


def describe_source() -> dict[str, str]:
    """The rule of publication, and whose the figures are."""
    rule = labels.both("react2eo.reactions_rule").format(devices=K)
    return {"rule": rule, "attribution": labels.both("react2eo.reactions_attribution")}


def write_csv(rows: Sequence[Mapping]) -> str:
    """Rows as a table that explains itself."""
    content = io.StringIO()
    table = csv.DictWriter(content, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
    table.writeheader()
    for row in rows:
        low, high = row["interval"]
        table.writerow(row | describe_source() | {"interval_low": low, "interval_high": high})
    return content.getvalue()


def write_geojson(rows: Sequence[Mapping], bounds: Mapping[str, tuple]) -> dict:
    """Rows as features: hexagons, and the region's rectangle for what is left of it (no geometry where the region is no more)."""
    features = []
    for row in rows:
        if row["cell"]:
            geometry = draw_cell(row["cell"])
        else:
            geometry = mapping(box(*bounds[row["region"]])) if row["region"] in bounds else None
        low, high = row["interval"]
        properties = row | {"interval_low": low, "interval_high": high}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {
        "type": "FeatureCollection",
        "features": features,
        **describe_source(),
        "published": max((row["published"] for row in rows), default=None),
    }


def draw_cell(cell: str) -> dict:
    """GeoJSON geometry of an H3 cell [degrees]; cut where it crosses the antimeridian."""
    ring = [(longitude, latitude) for latitude, longitude in h3.cell_to_boundary(cell)]
    resolution = h3.get_resolution(cell)
    for pole in (90.0, -90.0):
        if h3.latlng_to_cell(pole, 0.0, resolution) == cell:
            ring = sorted(ring)
            # The edge that crosses the antimeridian meets it about halfway between its ends.
            edge = (ring[0][1] + ring[-1][1]) / 2
            return _as_geojson(Polygon([(-180.0, edge), *ring, (180.0, edge), (180.0, pole), (-180.0, pole)]))
    if max(x for x, _ in ring) - min(x for x, _ in ring) < 180:
        return _as_geojson(Polygon(ring))
    east = Polygon([(x if x >= 0 else x + 360, y) for x, y in ring])
    parts = [east.intersection(box(0, -90, 180, 90)), affinity.translate(east.intersection(box(180, -90, 360, 90)), -360)]
    return _as_geojson(MultiPolygon([part for part in parts if part.area > 0]))


def _as_geojson(shape: Polygon | MultiPolygon) -> dict:
    whole = shape.geoms if isinstance(shape, MultiPolygon) else [shape]
    rounded = [orient(transform(part, lambda points: points.round(DIGITS))) for part in whole]
    return mapping(MultiPolygon(rounded) if len(rounded) > 1 else rounded[0])
