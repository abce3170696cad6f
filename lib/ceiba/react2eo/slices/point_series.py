"""All measurements of a layer's product in all its periods at a point."""

import math
from dataclasses import dataclass, replace

from ceiba.errors import InputError
from ceiba.grids import Period
from ceiba.legends import LandCoverClass
from ceiba.react2eo.layers import Layer, Raster
from ceiba.react2eo.maps.positions import find_transformer
from ceiba.react2eo.maps.sampling import read_value


@dataclass(frozen=True)
class Row:
    """One period: values by measurement, NaN where there are none, and the class that a code stands for."""

    period: Period
    values: dict[str, float]
    classes: dict[str, LandCoverClass]


def read_series(layer: Layer, longitude: float, latitude: float) -> list[Row]:
    """A row a period, oldest first; raises :class:`InputError` where the point lies beside the region [degrees, WGS 84]."""
    west, south, east, north = layer.bounds
    if not (west <= longitude <= east and south <= latitude <= north):
        raise InputError(f"point {longitude:g}, {latitude:g} lies beside {layer.region.name}, which lies in {list(layer.bounds)}")
    x, y = find_transformer("EPSG:4326", layer.region.place.crs).transform(longitude, latitude)
    legends = {each.name: layer.legend_of(each) for each in layer.definition.measurements}
    rows = []
    for period in layer.periods:
        values = _read_period(layer, period, (x, y), (longitude, latitude))
        classes = {}
        for name, legend in legends.items():
            codes = set(legend.codes.tolist()) if legend else set()
            if values[name] in codes:
                classes[name] = legend.find(int(values[name]))
        rows.append(Row(period, values, classes))
    return rows


def _read_period(layer: Layer, period: Period, point: tuple[float, float], place: tuple[float, float]) -> dict[str, float]:
    names = [each.name for each in layer.definition.measurements]
    reach = layer.resolution_m  # a raster may exceed its tile by a part of a pixel
    for raster in layer.rasters[period]:
        left, bottom, right, top = raster.tile.bounds
        if left - reach <= point[0] <= right + reach and bottom - reach <= point[1] <= top + reach:
            values = _read_all(raster, names, place)
            if not all(math.isnan(value) for value in values.values()):
                return values
    return dict.fromkeys(names, math.nan)


def _read_all(raster: Raster, names: list[str], place: tuple[float, float]) -> dict[str, float]:
    there = [(name, band) for name, band in zip(names, raster.product_bands, strict=True) if band is not None]
    found = read_value(replace(raster, bands=tuple(band for _, band in there)), *place)
    return dict.fromkeys(names, math.nan) | dict(zip((name for name, _ in there), found, strict=True))
