"""Metadata of Landsat scenes: the MTL file of Collection 1 and 2, as text or JSON."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ceiba.errors import SceneError

ROOTS = ("LANDSAT_METADATA_FILE", "L1_METADATA_FILE")  # Collection 2; Collection 1 and before
MAX_DEPTH = 4
# Both collections name the same things in other groups. A level-2 file of Collection 2 also repeats the level-1 record, so the
# group is a part of the key.
IDENTITY = ("PRODUCT_CONTENTS", "METADATA_FILE_INFO", "LEVEL1_PROCESSING_RECORD")
PRODUCT = ("PRODUCT_CONTENTS", "PRODUCT_METADATA")
IMAGE = ("IMAGE_ATTRIBUTES", "PRODUCT_METADATA")
GEOMETRY = ("PROJECTION_ATTRIBUTES", "PRODUCT_METADATA")
RESCALING = ("LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING")
SURFACE_RESCALING = ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS",)
PIXEL_VALUES = ("LEVEL1_MIN_MAX_PIXEL_VALUE", "MIN_MAX_PIXEL_VALUE")


@dataclass(frozen=True)
class LandsatMetadata:
    """What Ceiba needs of an MTL file.

    Attributes
    ----------
    name
        Product id, the scene id where it has none (before Collection 1).
    level, collection
        1 or 2, and 1 or 2; scenes from before the collections count as of Collection 1.
    time
        Of the scene's center, UTC.
    sun_elevation_deg, sun_azimuth_deg
        Of the scene's center [degree], azimuth from north by east.
    earth_sun_distance_au
        [astronomical unit], or None where the file does not say it.
    center
        Longitude and latitude of the whole scene's center [degree], or None.
    radiance, reflectance
        Archive's band number ("1" to "7") to multiplier and addend of a digital number: [W/(m2 sr um)], and [1] before the division
        by the sine of the sun's elevation. ``reflectance`` is empty where the file has none.
    surface_reflectance
        The same of level 2 [1], empty for level 1.
    saturated
        Band number to the number of a saturated pixel (the greatest one).
    """

    name: str
    platform: str
    level: int
    collection: int
    time: datetime
    sun_elevation_deg: float
    sun_azimuth_deg: float
    earth_sun_distance_au: float | None
    center: tuple[float, float] | None
    wrs_path: int
    wrs_row: int
    cloud_cover_percent: float | None
    radiance: Mapping[str, tuple[float, float]]
    reflectance: Mapping[str, tuple[float, float]]
    surface_reflectance: Mapping[str, tuple[float, float]]
    saturated: Mapping[str, int]


def read_mtl(content: bytes | str, *, name: str = "MTL") -> LandsatMetadata:
    """Read an MTL file.

    Parameters
    ----------
    content
        Text, padded with blanks or zeros or not, or JSON.
    name
        File that an error names.

    Raises
    ------
    SceneError
        Where it is no such file, a thing that is needed is missing, or the sun is not above the horizon.
    """
    groups = parse_mtl(content, name=name)
    read = _Reader(groups, name)
    collection = read.integer(IDENTITY + PRODUCT, "COLLECTION_NUMBER", default=1)
    level_text = str(read.value(PRODUCT, "PROCESSING_LEVEL", default=read.value(PRODUCT, "DATA_TYPE", default="")))
    if not re.fullmatch(r"L[12]\w*", level_text) or collection not in (1, 2):
        raise SceneError(f"{name}: level {level_text!r} of collection {collection}; Ceiba reads levels 1 and 2 of both")
    elevation = read.number(IMAGE, "SUN_ELEVATION")
    if not 0 < elevation <= 90:
        raise SceneError(
            f"{name}: sun elevation {elevation} degree; reflectance needs a sun above the horizon, is it a night scene?"
        )
    return LandsatMetadata(
        name=str(
            read.value(IDENTITY, "LANDSAT_PRODUCT_ID", default=read.value(IDENTITY, "LANDSAT_SCENE_ID", default=""))
        )
        or read.fail("LANDSAT_PRODUCT_ID"),
        platform=str(read.value(IMAGE, "SPACECRAFT_ID")).lower().replace("_", "-"),
        level=int(level_text[1]),
        collection=collection,
        time=_read_time(str(read.value(IMAGE, "DATE_ACQUIRED")), str(read.value(IMAGE, "SCENE_CENTER_TIME")), name),
        sun_elevation_deg=elevation,
        sun_azimuth_deg=read.number(IMAGE, "SUN_AZIMUTH"),
        earth_sun_distance_au=read.number(IMAGE, "EARTH_SUN_DISTANCE", default=None),
        center=_read_center(read),
        wrs_path=read.integer(IMAGE, "WRS_PATH"),
        wrs_row=read.integer(IMAGE, "WRS_ROW"),
        cloud_cover_percent=read.number(IMAGE, "CLOUD_COVER", default=None),
        radiance=read.coefficients(RESCALING, "RADIANCE"),
        reflectance=read.coefficients(RESCALING, "REFLECTANCE"),
        surface_reflectance=read.coefficients(SURFACE_RESCALING, "REFLECTANCE"),
        saturated={band: int(value) for band, value in read.of_bands(PIXEL_VALUES, "QUANTIZE_CAL_MAX_BAND").items()},
    )


def parse_mtl(content: bytes | str, *, name: str = "MTL") -> dict[str, dict[str, str | int | float]]:
    """The groups of an MTL file, ``{group: {key: value}}``; raises :class:`SceneError` naming the line that is wrong."""
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise SceneError(f"{name} is no MTL file: {error}") from error
    text = text.rstrip("\0 \t\r\n\x1a")
    groups = _parse_json(text, name) if text.lstrip().startswith("{") else _parse_text(text, name)
    if not groups:
        raise SceneError(f"{name} holds no group {' or '.join(ROOTS)}; is it an MTL file?")
    return groups


def _parse_json(text: str, name: str) -> dict[str, dict]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{name} is no JSON: {error}") from error
    content = next((document[root] for root in ROOTS if isinstance(document, dict) and root in document), None)
    if not isinstance(content, dict):
        return {}
    return {
        group: {key: _read_value(value) for key, value in entries.items()}
        for group, entries in content.items()
        if isinstance(entries, dict)
    }


def _parse_text(text: str, name: str) -> dict[str, dict]:
    groups: dict[str, dict] = {}
    path: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not key or key == "END":
            if key == "END" and not path:
                return groups
            continue
        if not equals:
            raise SceneError(f"{name}, line {number}: {line.strip()[:60]!r} is no 'KEY = value'")
        if key == "GROUP":
            path.append(value)
            if (len(path) == 1 and value not in ROOTS) or len(path) > MAX_DEPTH:
                raise SceneError(f"{name}, line {number}: unexpected group {value[:60]!r}; an MTL file has {ROOTS[0]}")
        elif key == "END_GROUP":
            if not path or path.pop() != value:
                raise SceneError(f"{name}, line {number}: group {value[:60]!r} ends but was not the one begun")
        elif len(path) > 1:
            groups.setdefault(path[1], {})[key] = _read_value(value)
    # "END" is its last line: without it the file is cut off, and what is missing may be what scales a band.
    raise SceneError(f"{name} ends before its END; is the file damaged?")


def _read_value(value: object) -> str | int | float:
    text = str(value).strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1].strip()
    for kind in (int, float):
        try:
            return kind(text)
        except (ValueError, OverflowError):
            continue
    return text


class _Reader:
    """Values of an MTL file's groups by key, with errors that say what is missing where."""

    def __init__(self, groups: Mapping[str, Mapping], name: str):
        self.groups, self.name = groups, name

    def fail(self, key: str, groups: Iterable[str] = IDENTITY):
        raise SceneError(
            f"{self.name} says no {key} in {' or '.join(groups)}; it has groups {', '.join(self.groups)[:300]}"
        )

    def value(self, groups: tuple[str, ...], key: str, default: object = ...):
        for group in groups:
            if key in self.groups.get(group, {}):
                return self.groups[group][key]
        return self.fail(key, groups) if default is ... else default

    def number(self, groups: tuple[str, ...], key: str, default: object = ...):
        value = self.value(groups, key, default)
        return value if value is default else self._finite(value, key)

    def integer(self, groups: tuple[str, ...], key: str, default: object = ...) -> int:
        value = self.number(groups, key, default)
        if value != int(value):
            raise SceneError(f"{self.name}: {key} is {value!r}, which is no whole number")
        return int(value)

    def of_bands(self, groups: tuple[str, ...], prefix: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for group in groups:
            for key, value in self.groups.get(group, {}).items():
                match = re.fullmatch(rf"{prefix}_(\d+)", key)
                if match:
                    found[match[1]] = self._finite(value, key)
        return found

    def coefficients(self, groups: tuple[str, ...], quantity: str) -> dict[str, tuple[float, float]]:
        multipliers = self.of_bands(groups, f"{quantity}_MULT_BAND")
        addends = self.of_bands(groups, f"{quantity}_ADD_BAND")
        if set(multipliers) != set(addends):
            odd = ", ".join(sorted(set(multipliers) ^ set(addends)))
            raise SceneError(f"{self.name}: {quantity}_MULT_BAND and _ADD_BAND do not pair for band {odd}")
        return {band: (multiplier, addends[band]) for band, multiplier in multipliers.items()}

    def _finite(self, value: object, key: str) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise SceneError(f"{self.name}: {key} is {str(value)[:60]!r}, which is no number")
        return number


def _read_time(date: str, time: str, name: str) -> datetime:
    # Seconds have 7 digits, one more than Python takes.
    found = re.fullmatch(r"(\d\d:\d\d:\d\d)(\.\d{1,6})?\d*Z?", time)
    try:
        if found is None:
            raise ValueError(time)
        return datetime.fromisoformat(f"{date}T{found[1]}{(found[2] or '.0').ljust(7, '0')}").replace(tzinfo=UTC)
    except ValueError as error:
        raise SceneError(
            f"{name}: DATE_ACQUIRED {date[:40]!r} and SCENE_CENTER_TIME {time[:40]!r} are no time"
        ) from error


def _read_center(read: _Reader) -> tuple[float, float] | None:
    corners = [
        [read.number(GEOMETRY, f"CORNER_{corner}_{axis}_PRODUCT", default=None) for corner in ("UL", "UR", "LL", "LR")]
        for axis in ("LON", "LAT")
    ]
    if None in corners[0] + corners[1]:
        return None
    longitudes, latitudes = corners
    # A scene over the date line has corners on both sides of it.
    if max(longitudes) - min(longitudes) > 180:
        longitudes = [longitude % 360 for longitude in longitudes]
    return (sum(longitudes) / 4 + 180) % 360 - 180, sum(latitudes) / 4
