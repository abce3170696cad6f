"""Files of the simulated area: rasters, tables, scenes and shapes, the same bytes for the same content."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import shapely
from pyproj import Transformer

from ceiba.simulation.layout import CRS, grid_transform


def write_raster(path: Path, bands: Mapping[str, np.ndarray], *, resolution_m: float, nodata: float | None) -> None:
    """Write bands of one dtype, dims ``(y, x)``, as a GeoTIFF on the area's grid, names as band descriptions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(bands.values()))
    profile = {
        "driver": "GTiff",
        "dtype": first.dtype,
        "count": len(bands),
        "height": first.shape[0],
        "width": first.shape[1],
        "crs": CRS,
        "transform": grid_transform(resolution_m),
        "nodata": nodata,
        "compress": "zstd",
        "zstd_level": 15,
        "predictor": 3 if first.dtype.kind == "f" else 2,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "interleave": "band",
    }
    with rasterio.open(path, "w", **profile) as raster:
        for number, (name, values) in enumerate(bands.items(), start=1):
            raster.write(values, number)
            raster.set_band_description(number, name)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n")


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a document as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_shapes(path: Path, polygons: Sequence[shapely.Polygon], columns: Mapping[str, Sequence[str]]) -> None:
    """Write polygons [m, EPSG:6372] and their text columns as GeoJSON, in longitude and latitude as the
    format asks.
    """
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    in_degrees = shapely.transform(np.array(polygons, dtype=object), to_degrees.transform, interleaved=False)
    features = [
        {
            "type": "Feature",
            "properties": {name: values[index] for name, values in columns.items()},
            "geometry": shapely.geometry.mapping(shapely.set_precision(polygon, 1e-7)),
        }
        for index, polygon in enumerate(in_degrees)
    ]
    write_json(path, {"type": "FeatureCollection", "name": path.stem, "features": features})
