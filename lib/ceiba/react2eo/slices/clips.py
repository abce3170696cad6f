"""Parts of a layer as files: GeoTIFF (COG) or NetCDF (CF), with its own pixels and CRS, nothing resampled."""

import math
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from affine import Affine
from matplotlib.colors import to_rgb
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from rasterio.windows import Window

from ceiba import labels
from ceiba.errors import InputError, ProductError
from ceiba.grids import Period
from ceiba.products import Measurement
from ceiba.react2eo.credits import credit_lines, source_line
from ceiba.react2eo.layers import Layer
from ceiba.react2eo.maps.positions import EDGE_POINTS, find_transformer
from ceiba.react2eo.maps.readers import READERS

MOST_PIXELS = 4_000_000
MOST_VALUES = 16_000_000
"""Pixels times periods times measurements."""
BLOCK_PX = 512
WGS84 = "EPSG:4326"
CONVENTIONS = "CF-1.11"

# The library below netCDF is not made for several threads.
_netcdf_lock = threading.Lock()


@dataclass(frozen=True)
class Clip:
    """Values of a part of a layer.

    Attributes
    ----------
    values
        By measurement, in the type of the files, dims ``(period, y, x)``; no data as in the files.
    nodata
        By measurement.
    geobox
        The pixels, part of the grid of the files.
    """

    layer: Layer
    periods: tuple[Period, ...]
    values: Mapping[str, np.ndarray]
    nodata: Mapping[str, float]
    geobox: GeoBox


def cut(layer: Layer, periods: Sequence[Period], bounds: tuple[float, float, float, float]) -> Clip:
    """Read a part of a layer.

    Parameters
    ----------
    bounds
        West, south, east, north [degrees, WGS 84]; whole pixels around them are taken.

    Raises
    ------
    InputError
        The bounds are none, lie beside the layer, or are too large.
    """
    geobox = find_pixels(layer, periods, bounds)
    count, pixels = len(periods) * len(layer.measurements), geobox.shape[0] * geobox.shape[1]
    if pixels > MOST_PIXELS:
        raise InputError(
            f"bounds {list(bounds)} are {geobox.shape[1]} x {geobox.shape[0]} pixels ({pixels:,}); allowed are {MOST_PIXELS:,}: "
            "give smaller bounds"
        )
    if pixels * count > MOST_VALUES:
        raise InputError(
            f"{len(periods)} periods and {len(layer.measurements)} measurements of {pixels:,} pixels are {pixels * count:,} "
            f"values; allowed are {MOST_VALUES:,}: give smaller bounds or one period"
        )
    values, nodata = {}, {}
    for position, measurement in enumerate(layer.measurements):
        nodata[measurement.name] = measurement.nodata
        empty = np.full((len(periods), *geobox.shape), measurement.nodata, measurement.dtype)
        for number, period in enumerate(periods):
            for raster in layer.rasters[period]:
                _paste(empty[number], geobox, raster.bands[position].path, raster.bands[position].number)
        values[measurement.name] = empty
    return Clip(layer, tuple(periods), values, nodata, geobox)


def find_pixels(layer: Layer, periods: Sequence[Period], bounds: tuple[float, float, float, float]) -> GeoBox:
    """Whole pixels of the files around bounds; raises :class:`InputError` where there are none."""
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise InputError(f"bounds {list(bounds)}: give west, south, east, north in degrees, west below east and south below north")
    outer = layer.bounds
    # A projection is only asked about the place that it is made for.
    part = max(west, outer[0]), max(south, outer[1]), min(east, outer[2]), min(north, outer[3])
    nothing = InputError(f"bounds {list(bounds)} hold nothing of {layer.region.name}; it lies in {list(outer)}")
    if part[0] >= part[2] or part[1] >= part[3]:
        raise nothing
    box = find_transformer(WGS84, layer.region.place.crs).transform_bounds(*part, densify_pts=EDGE_POINTS)
    shapes = [READERS.describe(raster.bands[0].path) for period in periods for raster in layer.rasters[period]]
    width, height = shapes[0].pixel
    if any(not np.allclose(shape.pixel, (width, height), rtol=1e-9) for shape in shapes):
        raise ProductError(f"files of {layer.region.name}/{layer.name} have pixels of several sizes; make its products again")
    left, top = shapes[0].left, shapes[0].top
    first_column = max(
        math.floor((box[0] - left) / width), min(round((shape.left - left) / width) for shape in shapes)
    )
    last_column = min(
        math.ceil((box[2] - left) / width), max(round((shape.left - left) / width) + shape.width for shape in shapes)
    )
    first_row = max(math.floor((top - box[3]) / height), min(round((top - shape.top) / height) for shape in shapes))
    last_row = min(
        math.ceil((top - box[1]) / height), max(round((top - shape.top) / height) + shape.height for shape in shapes)
    )
    if first_column >= last_column or first_row >= last_row:
        raise nothing
    transform = Affine(width, 0, left + first_column * width, 0, -height, top - first_row * height)
    return GeoBox((last_row - first_row, last_column - first_column), transform, layer.region.place.crs)


def _paste(target: np.ndarray, geobox: GeoBox, path: str, number: int) -> None:
    """Copy the pixels of a file into those of a geobox of the same grid."""
    shape = READERS.describe(path)
    width, height = shape.pixel
    column, row = round((shape.left - geobox.affine.c) / width), round((geobox.affine.f - shape.top) / height)
    left, right = max(column, 0), min(column + shape.width, target.shape[1])
    top, bottom = max(row, 0), min(row + shape.height, target.shape[0])
    if left >= right or top >= bottom:
        return
    with READERS.borrow(path) as reader:
        part = reader.dataset.read(number, window=Window(left - column, top - row, right - left, bottom - top))
    target[top:bottom, left:right] = part


def to_geotiff(clip: Clip) -> bytes:
    """A Cloud-Optimised GeoTIFF (OGC 21-026); a band a period and measurement, named so, without loss."""
    layer, names = clip.layer, list(clip.values)
    first = clip.values[names[0]]
    profile = {
        "driver": "GTiff", "height": first.shape[1], "width": first.shape[2], "count": len(names) * len(clip.periods),
        "dtype": first.dtype, "nodata": clip.nodata[names[0]], "crs": rasterio.crs.CRS.from_user_input(layer.region.place.crs),
        "transform": clip.geobox.affine, "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="ceiba-clip-") as folder:
        plain, path = Path(folder) / "plain.tif", Path(folder) / "clip.tif"
        with rasterio.open(plain, "w", **profile) as file:
            for position, period in enumerate(clip.periods):
                for place, measurement in enumerate(layer.measurements):
                    number = position * len(names) + place + 1
                    file.write(clip.values[measurement.name][position], number)
                    file.set_band_description(number, f"{period} {measurement.name}")
                    file.set_band_unit(number, measurement.units)
            if layer.kind == "classes" and file.count == 1:
                colors = {code: (*(round(255 * part) for part in to_rgb(color)), 255) for code, color in layer.legend.colors().items()}
                file.write_colormap(1, colors)
            tags = describe_origin(layer, clip.periods)
            file.update_tags(**tags, TIFFTAG_IMAGEDESCRIPTION=tags["title"], TIFFTAG_COPYRIGHT=tags["license"])
        options = {"compress": "deflate", "predictor": "yes", "blocksize": BLOCK_PX, "overviews": "auto"}
        resampling = "mode" if layer.kind == "classes" else "average"
        rasterio.shutil.copy(plain, path, driver="COG", overview_resampling=resampling, **options)
        return path.read_bytes()


def to_netcdf(clip: Clip) -> bytes:
    """NetCDF 4 after the conventions CF: time with bounds, coordinates, CRS, units, classes by name, source and license."""
    coords = xr_coords(clip.geobox, dims=("y", "x"))
    starts = np.array([f"{period.first_year}-01-01" for period in clip.periods], "datetime64[ns]")
    ends = np.array([f"{period.last_year + 1}-01-01" for period in clip.periods], "datetime64[ns]")
    data = xr.Dataset(coords=coords)
    data["time"] = ("time", starts + (ends - starts) / 2, {"standard_name": "time", "bounds": "time_bnds"})
    data["time_bnds"] = (("time", "bounds"), np.stack([starts, ends], axis=1))
    for measurement in clip.layer.measurements:
        attributes = _describe_measurement(clip.layer, measurement)
        data[measurement.name] = (("time", "y", "x"), clip.values[measurement.name], attributes)
        data[measurement.name].encoding = {
            "_FillValue": clip.values[measurement.name].dtype.type(clip.nodata[measurement.name]),
            "grid_mapping": "spatial_ref", "zlib": True, "complevel": 4,
        }  # fmt: skip
    data.attrs = {"Conventions": CONVENTIONS} | describe_origin(clip.layer, clip.periods)
    for name in ("time", "time_bnds"):
        data[name].encoding = {"units": "days since 1970-01-01", "calendar": "standard", "dtype": "float64", "_FillValue": None}
    with tempfile.TemporaryDirectory(prefix="ceiba-clip-") as folder:
        path = Path(folder) / "clip.nc"
        with _netcdf_lock:
            data.to_netcdf(path, engine="netcdf4", format="NETCDF4")
        return path.read_bytes()


def describe_origin(layer: Layer, periods: Sequence[Period]) -> dict[str, str]:
    """Title, source, who is to be named, and under which terms, for the head of a file."""
    credits = [*credit_lines(layer, "en")]
    return {
        "title": f"{layer.content.title['en']}, {layer.region.title['en']}, {', '.join(map(str, periods))}",
        "title_es": f"{layer.content.title['es']}, {layer.region.title['es']}, {', '.join(map(str, periods))}",
        "source": f"{source_line(layer, 'en')}; product {layer.definition.name} {layer.definition.version}",
        "references": ", ".join(raster.dataset_id for period in periods for raster in layer.rasters[period])[:4000],
        "attribution": ". ".join(credits),
        "license": labels.text("react2eo.data_license", "en"),
        "institution": "Ceiba, React-2-EO",
    }


def _describe_measurement(layer: Layer, measurement: Measurement) -> dict[str, object]:
    attributes = {
        "long_name": measurement.title.get("en", measurement.name), "long_name_es": measurement.title.get("es", measurement.name),
    }  # fmt: skip
    legend = layer.legend_of(measurement)
    if legend is None:
        return attributes | {"units": measurement.units}
    classes = sorted(legend.classes, key=lambda each: each.code)
    return attributes | {
        "units": "1",
        "flag_values": np.array([each.code for each in classes], measurement.dtype),
        # CF separates the words by blanks, so that a name is one word.
        "flag_meanings": " ".join(_one_word(each.name_en) for each in classes),
        "flag_meanings_es": " ".join(_one_word(each.name_es) for each in classes),
        "flag_colors": " ".join(each.color for each in classes),
    }


def _one_word(name: str) -> str:
    return "_".join("".join(letter if letter.isalnum() or letter in "-_.+@" else " " for letter in name).split())


def file_name(clip: Clip, ending: str) -> str:
    """A name that says what is in the file."""
    first, last = clip.periods[0], clip.periods[-1]
    years = str(first) if first == last else f"{first.first_year}-{last.last_year}"
    return f"ceiba_{clip.layer.region.name}_{clip.layer.name}_{years}.{ending}"
