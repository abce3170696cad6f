"""Files of the simulated area: rasters, tables, scenes and shapes, the same bytes for the same content."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import rasterio
import shapely

from ceiba.simulation.layout import CRS, grid_transform

# GeoPackage stores when it was last changed: a fixed day keeps two runs equal byte for byte.
FIXED_TIME = "2021-01-01T00:00:00.000Z"


def write_raster(path: Path, bands: Mapping[str, np.ndarray], *, resolution_m: float, nodata: float | None) -> None:
    """Write bands of one dtype, dims ``(y, x)``, as a GeoTIFF with the names as band descriptions, on the area's grid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(bands.values()))
    profile = {
        "driver": "GTiff", "dtype": first.dtype, "count": len(bands), "height": first.shape[0], "width": first.shape[1],
        "crs": CRS, "transform": grid_transform(resolution_m), "nodata": nodata, "compress": "deflate", "zlevel": 6,
        "predictor": 3 if first.dtype.kind == "f" else 2, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "interleave": "band",
    }  # fmt: skip
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
    """Write polygons [m, EPSG:6372] and their text columns as a GeoPackage of one layer named after the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_TIME})
    try:
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(np.array(polygons, dtype=object)),
            field_data=[np.array(values, dtype=object) for values in columns.values()],
            fields=list(columns),
            geometry_type="Polygon",
            crs=CRS,
            driver="GPKG",
            layer=path.stem,
        )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
