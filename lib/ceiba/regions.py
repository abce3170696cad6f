"""States, municipalities and other regions on a pixel grid."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from ceiba.errors import InputError

# Columns by which the boundaries at hand name their regions, the smallest region first: the simulated area's, INEGI's municipalities
# and states, DANE's departments, Natural Earth's countries.
NAME_COLUMNS = ("name", "municipio_name", "state_name", "departamento", "NAME", "admin")


def region_zones(regions: gpd.GeoDataFrame, geobox: GeoBox, *, column: str = "") -> tuple[np.ndarray, list[str]]:
    """The region of each pixel, by its centre.

    Parameters
    ----------
    regions
        Polygons with names, any CRS.
    geobox
        Pixel grid.
    column
        Column of the names; the first of :data:`NAME_COLUMNS` that there is where it is empty. Polygons of one name are one region;
        municipalities of one name in two states are told apart by the state in brackets.

    Returns
    -------
    zones
        Number of the region from 1, 0 is none, dims ``(y, x)``, int32; where regions overlap, the last of them.
    names
        Name of region 1, 2 and so on.

    Raises
    ------
    InputError
        Where there is no such column, naming those that exist, or the regions have no CRS.
    """
    if regions.crs is None:
        raise InputError("the regions have no coordinate reference system; set it where they are read")
    chosen = column or next((name for name in NAME_COLUMNS if name in regions.columns), "")
    if chosen not in regions.columns:
        raise InputError(
            f"regions have no column {column or 'of names'!r}; there are {', '.join(map(str, regions.columns))}"
        )
    labels = [str(value) for value in regions[chosen]]
    if chosen != "state_name" and "state_name" in regions.columns:
        labels = [f"{label} ({state})" for label, state in zip(labels, regions["state_name"], strict=True)]
    names = list(dict.fromkeys(labels))
    shapes = [
        (polygon, names.index(label) + 1)
        for polygon, label in zip(regions.to_crs(geobox.crs).geometry, labels, strict=True)
        if polygon is not None and not polygon.is_empty
    ]
    if not shapes:
        return np.zeros(geobox.shape, dtype="int32"), names
    return rasterize(shapes, geobox.shape, fill=0, transform=geobox.affine, dtype="int32"), names


def regions_of(zones: np.ndarray, names: Sequence[str], rows: np.ndarray, columns: np.ndarray) -> list[str]:
    """Name of the region of each pixel, dims ``(sample,)``; empty where it lies in none."""
    known = ["", *names]
    return [known[number] for number in zones[rows, columns]]
