"""Sensors by name: bands, encoding of reflectance and quality classes, from ``catalogs/sensors.yml``."""

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr
import yaml

from ceiba.config import project_root
from ceiba.errors import SceneError


@dataclass(frozen=True)
class Encoding:
    """How numbers store reflectance: reflectance [1] is ``number * scale + offset``; ``nodata`` has no value."""

    scale: float
    offset: float
    nodata: int

    def __post_init__(self):
        if not (math.isfinite(self.scale) and math.isfinite(self.offset) and self.scale > 0):
            raise SceneError(f"reflectance as number * {self.scale} + {self.offset} is none; scale must be above 0")

    @classmethod
    def from_properties(cls, properties: Mapping[str, object]) -> "Encoding":
        """From a mapping with ``scale``, ``offset`` and ``nodata``, as scene documents carry it; raises :class:`SceneError`."""
        try:
            return cls(float(properties["scale"]), float(properties["offset"]), int(properties["nodata"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SceneError(
                f"{properties!r} is no encoding of reflectance ({error!r}); it needs the numbers scale, offset and nodata"
            ) from error

    def to_properties(self) -> dict[str, float | int]:
        """As a mapping for a document."""
        return {"scale": self.scale, "offset": self.offset, "nodata": self.nodata}


@dataclass(frozen=True)
class Quality:
    """A kind of quality band.

    Attributes
    ----------
    kind
        "classes" (one a pixel) or "bits".
    classes
        Name to class number or bit number.
    levels
        Name to the first of two bits: 0 not determined, 1 low, 2 medium, 3 high.
    clear, unwanted
        Default classes that are clear, or bits that must not be set.
    counts_as
        Name to what it becomes in a kind that has no class of this name.
    """

    name: str
    kind: str
    classes: Mapping[str, int]
    levels: Mapping[str, int]
    clear: tuple[str, ...]
    unwanted: tuple[str, ...]
    counts_as: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sensor:
    """A sensor and level of processing.

    Attributes
    ----------
    product
        Scene product of the cube.
    encoding, archive_encoding
        Surface reflectance [1] in the cube, and in the archive's files, by default (:func:`resolve_encoding` says it for an item).
    offset_from_baseline
        Processing baseline to the offset [1] of items from it on.
    floor
        Reflectance [1] below which no dark pixel lies.
    bands, more_bands
        Pixel size [m] to ``{name in Ceiba: name in the archive}``: what the product holds, and what the sensor has besides.
    quality, archive_quality
        Kind of the quality band in the cube; name in the archive to kind, the better one first.
    saturated
        Number of a saturated pixel in the archive, or None.
    esun
        Band to mean solar irradiance outside the atmosphere [W/(m2 um)].
    """

    name: str
    product: str
    title: Mapping[str, str]
    platforms: tuple[str, ...]
    level: int
    encoding: Encoding
    floor: float
    bands: Mapping[int, Mapping[str, str]]
    quality: Quality
    collection: int = 0
    archive_encoding: Encoding | None = None
    offset_from_baseline: Mapping[str, float] = field(default_factory=dict)
    more_bands: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    archive_quality: Mapping[str, Quality] = field(default_factory=dict)
    saturated: int | None = None
    esun: Mapping[str, float] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """Scale of surface reflectance [1] in the cube."""
        return self.encoding.scale

    @property
    def offset(self) -> float:
        """Default offset of surface reflectance [1] in the cube."""
        return self.encoding.offset

    @property
    def nodata(self) -> int:
        """Number without a value in the cube."""
        return self.encoding.nodata

    @property
    def quality_kind(self) -> str:
        """Kind of the cube's quality band, "classes" or "bits"."""
        return self.quality.kind

    @property
    def quality_classes(self) -> Mapping[str, int]:
        """Name to class or bit number of the cube's quality band."""
        return self.quality.classes

    @property
    def clear(self) -> tuple[str, ...]:
        """Classes that are clear by default."""
        return self.quality.clear

    @property
    def unwanted(self) -> tuple[str, ...]:
        """Bits that a clear pixel has not, by default."""
        return self.quality.unwanted

    def quality_band(self, resolution_m: float) -> str:
        """Name of the quality band that comes with bands of this pixel size; the nearest size where there is no equal one."""
        size = min(self.bands, key=lambda pixel: abs(pixel - resolution_m))
        return next(name for name in self.bands[size] if name.startswith("quality"))

    def reflectance_bands(self, size_m: int | None = None) -> dict[str, str]:
        """Name in Ceiba to name in the archive of all bands but quality, of one pixel size [m] or of all."""
        sizes = self.bands if size_m is None else [size_m]
        return {
            name: own for size in sizes for name, own in self.bands[size].items() if not name.startswith("quality")
        }


@functools.cache
def load_sensors() -> dict[str, Sensor]:
    """All sensors by name; raises :class:`SceneError` on an entry that is like none."""
    return read_sensors(project_root() / "catalogs" / "sensors.yml")


def read_sensors(path: Path) -> dict[str, Sensor]:
    """All sensors of a file by name; raises :class:`SceneError` on an entry that is like none."""
    content = yaml.safe_load(path.read_text("utf-8"))
    qualities = {
        name: Quality(
            name=name,
            kind=entry["kind"],
            classes=entry["classes"],
            levels=entry.get("levels", {}),
            clear=tuple(entry.get("clear", ())),
            unwanted=tuple(entry.get("unwanted", ())),
            counts_as=entry.get("counts_as", {}),
        )
        for name, entry in content["quality"].items()
    }
    entries = content["sensors"]
    return {name: _read_sensor(name, _whole_entry(name, entries), qualities) for name in entries}


def _whole_entry(name: str, entries: Mapping[str, Mapping], seen: tuple[str, ...] = ()) -> dict:
    """An entry with what it takes from the one it is ``like``."""
    if name not in entries or name in seen:
        raise SceneError(f"sensor {seen[-1]!r} is like {name!r}; there are {', '.join(entries)} (catalogs/sensors.yml)")
    entry = dict(entries[name])
    if "like" not in entry:
        return entry
    return _whole_entry(entry.pop("like"), entries, (*seen, name)) | entry


def _read_sensor(name: str, entry: Mapping, qualities: Mapping[str, Quality]) -> Sensor:
    stored = Encoding.from_properties(entry["reflectance"])
    return Sensor(
        name=name,
        product=entry["product"],
        title=entry["title"],
        platforms=tuple(entry["platforms"]),
        level=int(entry["level"]),
        collection=int(entry.get("collection", 0)),
        encoding=stored,
        archive_encoding=Encoding.from_properties(entry["archive"]) if "archive" in entry else stored,
        floor=float(entry["reflectance"]["floor"]),
        offset_from_baseline=entry["reflectance"].get("offset_from_baseline", {}),
        bands=entry["bands"],
        more_bands=entry.get("more_bands", {}),
        quality=qualities[entry["quality"]],
        archive_quality={own: qualities[kind] for own, kind in entry["archive_quality"].items()},
        saturated=entry.get("saturated"),
        esun=entry.get("esun", {}),
    )


def find_sensor(name: str) -> Sensor:
    """Sensor by name; raises :class:`SceneError` naming those that exist."""
    sensors = load_sensors()
    if name not in sensors:
        raise SceneError(f"no sensor {name!r}; there are {', '.join(sensors)} (catalogs/sensors.yml)")
    return sensors[name]


def sensor_of_scene(*, platform: str, level: int, collection: int = 0) -> Sensor:
    """The sensor of a scene by its platform ("landsat-8"), level and collection (0: none); raises :class:`SceneError`."""
    for sensor in load_sensors().values():
        if platform in sensor.platforms and (sensor.level, sensor.collection) == (level, collection):
            return sensor
    known = [f"{' '.join(s.platforms)} level {s.level} collection {s.collection}" for s in load_sensors().values()]
    raise SceneError(
        f"no sensor is of platform {platform!r}, level {level}, collection {collection}; there are {'; '.join(known)}"
    )


def sensor_of_product(product: str) -> Sensor:
    """The sensor that stands for scene product ``product``, the first that has it; raises :class:`SceneError`."""
    for sensor in load_sensors().values():
        if sensor.product == product:
            return sensor
    products = dict.fromkeys(sensor.product for sensor in load_sensors().values())
    raise SceneError(f"no sensor has scene product {product!r}; {', '.join(products)} do")


def clear_mask(quality: xr.DataArray, classes: Mapping[str, int], *, clear: Iterable[str]) -> xr.DataArray:
    """Pixels whose quality class is one of ``clear``.

    Parameters
    ----------
    quality
        Class numbers, any dims.
    classes
        Class name to number (``catalogs/sensors.yml``).
    clear
        Names of the classes that count as clear.

    Raises
    ------
    SceneError
        On a name that is no class.
    """
    return quality.isin([classes[name] for name in known_names(clear, classes)])


def clear_mask_of_bits(quality: xr.DataArray, bits: Mapping[str, int], *, unwanted: Iterable[str]) -> xr.DataArray:
    """Pixels with none of the ``unwanted`` bits set; ``bits`` maps names to bit numbers. Raises :class:`SceneError`."""
    mask = 0
    for name in known_names(unwanted, bits):
        mask |= 1 << bits[name]
    return (quality.astype("uint32") & mask) == 0


def known_names(names: Iterable[str], classes: Mapping[str, int]) -> list[str]:
    """The names as a list; raises :class:`SceneError` on one that is no quality class."""
    names = list(names)
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise SceneError(f"no quality class {', '.join(map(repr, unknown))}; there are {', '.join(classes)}")
    return names
