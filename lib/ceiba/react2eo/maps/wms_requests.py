"""Requests of the Web Map Service: names and values as WMS 1.1.1 (OGC 01-068r3) and 1.3.0 (OGC 06-042) have them."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from ceiba.errors import InputError
from ceiba.grids import Period
from ceiba.react2eo.layers import Layer, Snapshot
from ceiba.react2eo.maps.map_crs import ALIASES, MapCrs, find_crs, region_crs_names
from ceiba.react2eo.maps.rendering import Window

VERSIONS = ("1.1.1", "1.3.0")
FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
INFO_FORMATS = ("text/html", "text/plain", "application/json")
LEGEND_FORMATS = ("image/png", "application/json")
STYLE = "default"
SIZE_PX_AT_MOST = 2048
LAYERS_AT_MOST = 8
FARTHEST = 1e10
"""No coordinate of any system here is larger [units of the CRS]."""
LANGUAGES = {"es": "es", "spa": "es", "en": "en", "eng": "en"}
BOTH = ""
"""Language of an answer in Spanish with English."""

INSTANT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T([01]\d|2[0-4])(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.\d{1,9})?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?)?)?",
    re.ASCII,
)
COLOR = re.compile(r"(?:0x|#)([0-9a-fA-F]{6})")


class WmsError(InputError):
    """A request of the Web Map Service that cannot be answered; ``code`` is the standard's word for it, empty where it has none."""

    def __init__(self, message: str, *, code: str = ""):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class MapRequest:
    """A map: layers with their periods, the lowest first, on a window."""

    version: str
    layers: tuple[tuple[Layer, Period], ...]
    crs: MapCrs
    window: Window


@dataclass(frozen=True)
class Picture:
    """How a map is written: format of :data:`FORMATS`, and the color (red, green, blue) behind it, None for transparent."""

    format: str
    background: tuple[int, int, int] | None


def read_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names in capitals with their values; where a name is given twice the first counts."""
    parameters: dict[str, str] = {}
    for name, value in pairs:
        parameters.setdefault(name.upper(), value)
    return parameters


def layer_name(layer: Layer) -> str:
    """Name of a layer in the service, "romania.ndvi"."""
    return f"{layer.region.name}.{layer.name}"


def shown(text: str) -> str:
    """A text of a request as an error repeats it: in quotes, cut, without control characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def negotiate_version(text: str) -> str:
    """Version of the capabilities: the highest that is not above the one asked for, else the lowest."""
    if not text:
        return VERSIONS[-1]
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3}){0,3}", text):
        raise WmsError(f"VERSION {shown(text)}: there are {', '.join(VERSIONS)}", code="VersionNegotiationFailed")
    asked = tuple(int(part) for part in text.split("."))
    fitting = [version for version in VERSIONS if tuple(int(part) for part in version.split(".")) <= asked]
    return fitting[-1] if fitting else VERSIONS[0]


def read_version(parameters: Mapping[str, str]) -> str:
    """Version of every other request; it decides the axis order, so it must be there."""
    text = _needed(parameters, "VERSION")
    if text not in VERSIONS:
        raise WmsError(f"VERSION {shown(text)}: there are {', '.join(VERSIONS)}", code="VersionNegotiationFailed")
    return text


def read_language(parameters: Mapping[str, str]) -> str:
    """Language of titles and legends: "es", "en", or :data:`BOTH` where none of these is asked for."""
    return LANGUAGES.get(parameters.get("LANGUAGE", "").lower(), BOTH)


def read_map(parameters: Mapping[str, str], snapshot: Snapshot) -> MapRequest:
    """What GetMap and GetFeatureInfo have in common; raises :class:`WmsError`."""
    version = read_version(parameters)
    names = _needed(parameters, "LAYERS").split(",")
    if len(names) > LAYERS_AT_MOST:
        raise WmsError(f"LAYERS: {len(names)} layers; at most {LAYERS_AT_MOST} are painted over each other")
    layers = [find_layer(name, snapshot) for name in names]
    styles = parameters.get("STYLES", "").split(",")
    if len(styles) != len(names) and styles != [""]:
        raise WmsError(f"STYLES: {len(styles)} styles for {len(names)} layers; give one a layer, or none", code="StyleNotDefined")
    for style in styles:
        check_style(style)
    time = parameters.get("TIME", "")
    crs = _read_crs(parameters, version, layers)
    width, height = (_read_size(parameters, name) for name in ("WIDTH", "HEIGHT"))
    bounds = _read_bounds(parameters, swapped=version == "1.3.0" and crs.north_first)
    periods = [find_period(layer, time) for layer in layers]
    return MapRequest(version, tuple(zip(layers, periods, strict=True)), crs, Window(bounds, crs.gdal, width, height))


def read_picture(parameters: Mapping[str, str]) -> Picture:
    """Format and background of GetMap; raises :class:`WmsError`."""
    format = _read_choice(parameters, "FORMAT", tuple(FORMATS))
    text = parameters.get("BGCOLOR", "") or "0xFFFFFF"
    color = COLOR.fullmatch(text)
    if not color:
        raise WmsError(f"BGCOLOR {shown(text)}: write 0xRRGGBB, as 0xFFFFFF for white")
    transparent = parameters.get("TRANSPARENT", "").upper() or "FALSE"
    if transparent not in ("TRUE", "FALSE"):
        raise WmsError(f"TRANSPARENT {shown(transparent)}: write TRUE or FALSE")
    if transparent == "TRUE" and format != "image/jpeg":
        return Picture(format, None)
    return Picture(format, tuple(bytes.fromhex(color[1])))


def read_info_format(parameters: Mapping[str, str]) -> str:
    """Format of GetFeatureInfo, text where none is asked for; raises :class:`WmsError`."""
    return _read_choice(parameters, "INFO_FORMAT", INFO_FORMATS, default="text/plain")


def read_legend_format(parameters: Mapping[str, str]) -> str:
    """Format of GetLegendGraphic; raises :class:`WmsError`."""
    return _read_choice(parameters, "FORMAT", LEGEND_FORMATS, default="image/png")


def read_queried(parameters: Mapping[str, str], asked: MapRequest) -> tuple[tuple[Layer, Period], ...]:
    """Layers of the map whose values are asked for; raises :class:`WmsError`."""
    painted = {layer_name(layer): (layer, period) for layer, period in asked.layers}
    names = dict.fromkeys(_needed(parameters, "QUERY_LAYERS").split(","))
    unknown = [name for name in names if name not in painted]
    if unknown:
        raise WmsError(f"QUERY_LAYERS {shown(','.join(unknown))}: not among LAYERS {', '.join(painted)}", code="LayerNotDefined")
    return tuple(painted[name] for name in names)


def read_pixel(parameters: Mapping[str, str], asked: MapRequest) -> tuple[int, int]:
    """Column and row of the point asked for: I and J in 1.3.0, X and Y in 1.1.1; raises :class:`WmsError`."""
    names = ("I", "J") if asked.version == "1.3.0" else ("X", "Y")
    place = []
    for name, size in zip(names, (asked.window.width, asked.window.height), strict=True):
        text = _needed(parameters, name, code="InvalidPoint")
        if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or int(text) >= size:
            raise WmsError(f"{name} {shown(text)}: give a whole number from 0 to {size - 1}", code="InvalidPoint")
        place.append(int(text))
    return place[0], place[1]


def find_layer(name: str, snapshot: Snapshot) -> Layer:
    """A layer by its name in the service; raises :class:`WmsError`."""
    region, _, layer = name.partition(".")
    if region in snapshot.regions and layer in snapshot.regions[region].layers:
        return snapshot.regions[region].layers[layer]
    raise WmsError(f"no layer {shown(name)}; the capabilities name those that there are", code="LayerNotDefined")


def check_style(name: str) -> None:
    """Raise :class:`WmsError` on a style that is not the one that every layer has."""
    if name not in ("", STYLE):
        raise WmsError(f"no style {shown(name)}; every layer has the style {STYLE} alone", code="StyleNotDefined")


def period_text(period: Period) -> str:
    """A period as the capabilities list it: its first day, or first day, last day and length of a span of years."""
    first = f"{period.first_year}-01-01"
    return first if period.first_year == period.last_year else f"{first}/{period.last_year}-12-31/P{len(period.years)}Y"


def latest_period(layer: Layer) -> Period:
    """The period that ends last."""
    return max(layer.periods, key=lambda period: (period.last_year, period.first_year))


def default_time(layer: Layer) -> str:
    """A day that :func:`find_period` takes for the latest period."""
    return f"{latest_period(layer).last_year}-01-01"


def find_period(layer: Layer, text: str) -> Period:
    """Period that a TIME means; raises :class:`WmsError` naming those that exist.

    Parameters
    ----------
    layer
        The layer.
    text
        Empty or "current" for the latest; a day or year within it, where several hold it the one that ends last; its name or
        the text that the capabilities list; or two days of which one period alone begins between, as QGIS sends.
    """
    if text in ("", "current"):
        return latest_period(layer)
    for period in layer.periods:
        if text in (str(period), period_text(period)):
            return period
    dates = text.split("/")
    if len(dates) == 1 and "," not in text:
        year, _ = _read_instant(layer, text)
        found = [period for period in layer.periods if year in period.years]
        if found:
            return max(found, key=lambda period: (period.last_year, period.first_year))
        raise _no_period(layer, text)
    if len(dates) != 2 or "," in text:
        raise WmsError(f"TIME {shown(text)}: give one time, not several; {_listed(layer)}", code="InvalidDimensionValue")
    return _find_between(layer, text, *(_read_instant(layer, each) for each in dates))


def _find_between(layer: Layer, text: str, first: tuple[int, date], last: tuple[int, date]) -> Period:
    begins = {period: date(period.first_year, 1, 1) for period in layer.periods}
    exact = [period for period in begins if (first[0], last[0]) == (period.first_year, period.last_year)]
    # The end does not count, for a year asked as 2018-01-01/2019-01-01 is no more than that year.
    inside = [period for period, begin in begins.items() if first[1] <= begin < last[1]]
    around = [period for period in begins if first[0] in period.years]
    for found in (exact, inside, around):
        if len(found) == 1:
            return found[0]
        if found:
            raise WmsError(
                f"TIME {shown(text)} holds {', '.join(map(str, found[:9]))}: ask for one of them", code="InvalidDimensionValue"
            )
    raise _no_period(layer, text)


def _read_instant(layer: Layer, text: str) -> tuple[int, date]:
    match = INSTANT.fullmatch(text)
    try:
        year, month, day = (int(part or 1) for part in match.groups()[:3])
        return year, date(year, month, day)
    except (AttributeError, ValueError) as error:
        raise WmsError(
            f"TIME {shown(text)} is no ISO 8601 date such as 2018 or 2018-01-01; {_listed(layer)}", code="InvalidDimensionValue"
        ) from error


def _no_period(layer: Layer, text: str) -> WmsError:
    return WmsError(f"TIME {shown(text)}: {_listed(layer)}", code="InvalidDimensionValue")


def _listed(layer: Layer) -> str:
    periods = [str(period) for period in layer.periods]
    few = periods if len(periods) <= 12 else [*periods[:6], "...", *periods[-5:]]
    return f"{layer_name(layer)} has {', '.join(few)}"


def _needed(parameters: Mapping[str, str], name: str, *, code: str = "") -> str:
    text = parameters.get(name, "").strip()
    if not text:
        raise WmsError(f"{name} is missing", code=code or "MissingParameterValue")
    return text


def _read_choice(parameters: Mapping[str, str], name: str, choices: tuple[str, ...], *, default: str = "") -> str:
    text = parameters.get(name, "").strip().lower() or default
    if text not in choices:
        raise WmsError(f"{name} {shown(text)}: there are {', '.join(choices)}", code="InvalidFormat")
    return text


def _read_crs(parameters: Mapping[str, str], version: str, layers: list[Layer]) -> MapCrs:
    name, code = ("CRS", "InvalidCRS") if version == "1.3.0" else ("SRS", "InvalidSRS")
    text = _needed(parameters, name, code=code).upper()
    wanted = ALIASES.get(text, text)
    for layer in layers:
        allowed = [each for each in region_crs_names(layer.region) if version == "1.3.0" or each != "CRS:84"]
        if wanted not in allowed:
            raise WmsError(f"{name} {shown(text)}: {layer_name(layer)} can be had in {', '.join(allowed)}", code=code)
    return find_crs(wanted)


def _read_size(parameters: Mapping[str, str], name: str) -> int:
    text = _needed(parameters, name)
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or not 1 <= int(text) <= SIZE_PX_AT_MOST:
        raise WmsError(f"{name} {shown(text)}: give a whole number from 1 to {SIZE_PX_AT_MOST}", code="InvalidParameterValue")
    return int(text)


def _read_bounds(parameters: Mapping[str, str], *, swapped: bool) -> tuple[float, float, float, float]:
    text = _needed(parameters, "BBOX")
    try:
        first, second, third, fourth = (float(part) for part in text.split(","))
    except ValueError as error:
        raise WmsError(f"BBOX {shown(text)}: give four numbers, minx,miny,maxx,maxy", code="InvalidParameterValue") from error
    left, bottom, right, top = (second, first, fourth, third) if swapped else (first, second, third, fourth)
    if not all(math.isfinite(value) and abs(value) <= FARTHEST for value in (left, bottom, right, top)):
        raise WmsError(f"BBOX {shown(text)}: its numbers are not within any map", code="InvalidParameterValue")
    if not (left < right and bottom < top):
        raise WmsError(f"BBOX {shown(text)}: the minimum must be below the maximum on both axes", code="InvalidParameterValue")
    return left, bottom, right, top
