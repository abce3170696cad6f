"""Sensors by name: bands, scale and quality classes, from ``catalogs/sensors.yml``."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import xarray as xr
import yaml

from ceiba.config import project_root
from ceiba.errors import SceneError


@dataclass(frozen=True)
class Sensor:
    """A sensor and level of processing.

    Attributes
    ----------
    product
        Scene product of the cube.
    scale, offset, nodata
        Surface reflectance [1] is ``number * scale + offset``; ``nodata`` is the number without a value.
    bands
        Pixel size [m] to ``{name in Ceiba: name in the archive}``.
    quality_kind
        "classes" (one a pixel) or "bits".
    quality_classes
        Name to class number or bit number.
    clear, unwanted
        Default classes that are clear, or bits that must not be set.
    """

    name: str
    product: str
    title: Mapping[str, str]
    scale: float
    offset: float
    nodata: int
    bands: Mapping[int, Mapping[str, str]]
    quality_kind: str
    quality_classes: Mapping[str, int]
    clear: tuple[str, ...]
    unwanted: tuple[str, ...]

    def quality_band(self, resolution_m: float) -> str:
        """Name of the quality band that comes with bands of this pixel size; the nearest size where there is no equal one."""
        size = min(self.bands, key=lambda pixel: abs(pixel - resolution_m))
        return next(name for name in self.bands[size] if name.startswith("quality"))


@functools.cache
def load_sensors() -> dict[str, Sensor]:
    """All sensors by name."""
    entries = yaml.safe_load((project_root() / "catalogs" / "sensors.yml").read_text("utf-8"))
    return {
        name: Sensor(
            name=name,
            product=entry["product"],
            title=entry["title"],
            scale=float(entry["reflectance"]["scale"]),
            offset=float(entry["reflectance"]["offset"]),
            nodata=int(entry["reflectance"]["nodata"]),
            bands=entry["bands"],
            quality_kind=entry["quality"]["kind"],
            quality_classes=entry["quality"]["classes"],
            clear=tuple(entry["quality"].get("clear", ())),
            unwanted=tuple(entry["quality"].get("unwanted", ())),
        )
        for name, entry in entries.items()
    }


def find_sensor(name: str) -> Sensor:
    """Sensor by name; raises :class:`SceneError` naming those that exist."""
    sensors = load_sensors()
    if name not in sensors:
        raise SceneError(f"no sensor {name!r}; there are {', '.join(sensors)} (catalogs/sensors.yml)")
    return sensors[name]


def sensor_of_product(product: str) -> Sensor:
    """The sensor whose scenes are indexed as ``product``; raises :class:`SceneError`."""
    for sensor in load_sensors().values():
        if sensor.product == product:
            return sensor
    raise SceneError(
        f"no sensor has scene product {product!r}; {', '.join(s.product for s in load_sensors().values())} do"
    )


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
    return quality.isin([classes[name] for name in _known(clear, classes)])


def clear_mask_of_bits(quality: xr.DataArray, bits: Mapping[str, int], *, unwanted: Iterable[str]) -> xr.DataArray:
    """Pixels with none of the ``unwanted`` bits set; ``bits`` maps names to bit numbers. Raises :class:`SceneError`."""
    mask = 0
    for name in _known(unwanted, bits):
        mask |= 1 << bits[name]
    return (quality.astype("uint32") & mask) == 0


def _known(names: Iterable[str], classes: Mapping[str, int]) -> list[str]:
    names = list(names)
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise SceneError(f"no quality class {', '.join(map(repr, unknown))}; there are {', '.join(classes)}")
    return names
