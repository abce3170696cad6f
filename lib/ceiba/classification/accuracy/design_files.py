"""Files of a sampling design for interpreters: CSV, GeoPackage and Collect Earth, blind to the map."""

import tempfile
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import xarray as xr

from ceiba.classification.samples.points import locate
from ceiba.errors import InputError

# What an interpreter may see: neither the class in the map nor the stratum, which gives it away.
BLIND = ("sample_id", "longitude", "latitude")
ANSWERS = ("interpreter", "label_1", "label_2", "label_3", "confidence", "date")
COLLECT_EARTH = ("ID", "YCoordinate", "XCoordinate", "elevation", "slope", "aspect")


def blind_table(sample: pd.DataFrame, *, year: int) -> pd.DataFrame:
    """Points to interpret with empty columns for the answers, as :func:`ceiba.classification.accuracy.responses.read_responses`
    reads them back.

    ``sample`` is of :func:`ceiba.classification.accuracy.designs.draw_sample`; ``year`` is that of the map, for which the
    ground is to be judged.
    """
    missing = [name for name in BLIND if name not in sample]
    if missing:
        raise InputError(f"the sample lacks columns {', '.join(missing)}; it has {', '.join(map(str, sample.columns))}")
    return sample[list(BLIND)].assign(year=year, **dict.fromkeys(ANSWERS, ""))


def to_csv(table: pd.DataFrame) -> bytes:
    """A table as CSV in UTF-8, with coordinates to a centimetre."""
    return table.to_csv(index=False, float_format="%.7f", lineterminator="\n").encode()


def to_geopackage(table: pd.DataFrame, *, layer: str = "reference_sample") -> bytes:
    """Points as a GeoPackage (OGC 12-128r18) in WGS 84, for QGIS; columns longitude and latitude [degrees] tell where."""
    points = geopandas.points_from_xy(table["longitude"], table["latitude"], crs="EPSG:4326")
    frame = geopandas.GeoDataFrame(table, geometry=points)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{layer}.gpkg"
        frame.to_file(path, driver="GPKG", layer=layer)
        return path.read_bytes()


def to_collect_earth(sample: pd.DataFrame, terrain: xr.Dataset | None = None) -> bytes:
    """Plot file of Open Foris Collect Earth: quoted CSV of ID, YCoordinate, XCoordinate, elevation, slope, aspect.

    Parameters
    ----------
    sample
        Columns sample_id, longitude, latitude [degrees, WGS 84].
    terrain
        ``elevation`` [m] with a geobox (``.odc``), dims ``(y, x)``; slope [degrees] and aspect [degrees clockwise from
        north] are derived from it. 0 without it, and beyond it, as in the files that Collect Earth comes with.
    """
    values = {"elevation": np.zeros(len(sample)), "slope": np.zeros(len(sample)), "aspect": np.zeros(len(sample))}
    if terrain is not None:
        surface = _slopes(terrain["elevation"])
        place = locate(sample, terrain.odc.geobox)
        inside = place["inside"].to_numpy()
        for name, grid in surface.items():
            found = grid[place["row"].to_numpy()[inside], place["column"].to_numpy()[inside]]
            values[name][inside] = np.nan_to_num(found)
    table = pd.DataFrame(
        {"ID": sample["sample_id"], "YCoordinate": sample["latitude"], "XCoordinate": sample["longitude"]}
        | {name: np.round(column, 2) for name, column in values.items()}
    )
    # quoting=2: text in quotes, numbers without, which is what Collect Earth's own files have.
    return table[list(COLLECT_EARTH)].to_csv(index=False, quoting=2, lineterminator="\n").encode()


def _slopes(elevation: xr.DataArray) -> dict[str, np.ndarray]:
    """Elevation, slope and aspect by central differences (Zevenbergen and Thorne 1987, doi:10.1002/esp.3290120107)."""
    resolution = elevation.odc.geobox.resolution
    if elevation.odc.geobox.crs.geographic:
        raise InputError("slopes need elevation on a grid in metres; this one is in degrees")
    height = elevation.values.astype("float64")
    to_south, to_east = np.gradient(height, abs(resolution.y), abs(resolution.x))
    slope = np.degrees(np.arctan(np.hypot(to_south, to_east)))
    # Aspect looks downhill: north is up, rows go south.
    aspect = np.degrees(np.arctan2(-to_east, to_south)) % 360
    return {"elevation": height, "slope": slope, "aspect": np.where(slope > 0, aspect, 0)}
