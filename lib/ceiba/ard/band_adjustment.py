"""Reflectance of one sensor as the bands of another would see it."""

import functools
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import xarray as xr

from ceiba.ard.sensors import find_sensor
from ceiba.config import project_root
from ceiba.errors import SceneError

# The Operational Land Imager of Landsat 8, and its twin on Landsat 9, to which all others are fitted.
REFERENCE = ("landsat_8", "landsat_9")
# No line is published for the Thematic Mapper. Its bands are nearly those of ETM+ (Chander, Markham and Helder 2009,
# doi:10.1016/j.rse.2009.01.007, tables 3 and 4), so it takes that line.
TAKEN_FOR = {"landsat_4": "landsat_7", "landsat_5": "landsat_7"}


def adjust_bands(reflectance: xr.Dataset, *, sensor: str, to: str) -> xr.Dataset:
    """Surface reflectance of ``sensor`` in the bands of the sensor ``to``.

    A straight line a band, ``catalogs/atmosphere/band_adjustment.csv``: Sentinel-2 to OLI as in the harmonized product HLS
    (Claverie et al. 2018, doi:10.1016/j.rse.2018.09.002), ETM+ to OLI by the reduced-major-axis lines of Roy et al. 2016,
    doi:10.1016/j.rse.2015.12.024, table 2. Those lines have no preferred direction, so that the way back is their inverse;
    the least-squares lines of the same table pull dark and bright surfaces to the mean (water gets 0.04 in the near
    infrared), and are not used. Two sensors that are both no OLI are adjusted through it.

    Parameters
    ----------
    reflectance
        Surface reflectance [1], any dims, NaN is no data. Sentinel-2 is fitted by its band 8A: ``nir_narrow`` becomes ``nir``
        of Landsat, and the reverse; its band 8 has no published line.
    sensor, to
        landsat_7, landsat_8, landsat_9, sentinel_2a or sentinel_2b; platforms, because Sentinel-2A and 2B differ. Landsat 8
        and 9 count as one.

    Returns
    -------
    xr.Dataset
        Adjusted reflectance [1], lazy where the input is; attrs ``bands_of``, the sensor whose bands they are.

    Raises
    ------
    SceneError
        On a pair of sensors or a band without a published line.
    """
    known = (*REFERENCE, *load_lines().index.unique("sensor"))
    for name in (sensor, to):
        if name not in known:
            raise SceneError(f"no band adjustment from {sensor!r} to {to!r}; there are lines between {', '.join(known)}")
    if sensor == to or {sensor, to} <= set(REFERENCE):
        return reflectance.assign_attrs(bands_of=to)
    adjusted = {}
    for band, values in reflectance.data_vars.items():
        name, result = str(band), values
        if sensor not in REFERENCE:
            line = _line(sensor, "band", name)
            result, name = line["slope"] * result + line["offset"], line["reference_band"]
        if to not in REFERENCE:
            line = _line(to, "reference_band", name)
            result, name = (result - line["offset"]) / line["slope"], line["band"]
        adjusted[name] = result.astype(values.dtype).assign_attrs(values.attrs)
    return xr.Dataset(adjusted, attrs=reflectance.attrs | {"bands_of": to})


def oli_lines(sensors: Iterable[str], bands: Sequence[str]) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """The lines of :func:`adjust_bands` to OLI as gains and lifts of stored numbers, which cost a stack of scenes nothing.

    Landsat 5 takes the line of Landsat 7: the Thematic Mapper has nearly the bands of ETM+, and no line of its own.

    Parameters
    ----------
    sensors
        Names in ``catalogs/sensors.yml``, such as landsat_7_l2_c2.
    bands
        Names of reflectance bands.

    Returns
    -------
    Mapping
        Sensor to ``{band: (gain, lift)}``, for :class:`ceiba.ard.stacks.SceneStack`; reflectance [1] in the bands of OLI is
        ``gain * reflectance + lift``. Sensors that are OLI themselves are left out.

    Raises
    ------
    SceneError
        On a sensor or a band without a published line, and on one whose band gets another name.
    """
    lines = {}
    for name in dict.fromkeys(sensors):
        platform = find_sensor(name).platforms[0].replace("-", "_")
        platform = TAKEN_FOR.get(platform, platform)
        if platform in REFERENCE:
            continue
        if platform not in load_lines().index.unique("sensor"):
            known = ", ".join([*TAKEN_FOR, *load_lines().index.unique("sensor")])
            raise SceneError(f"no band adjustment from {name} to OLI; there are lines of {known}")
        found = {band: _line(platform, "band", band) for band in bands}
        renamed = [band for band, line in found.items() if line["reference_band"] != band]
        if renamed:
            raise SceneError(f"{', '.join(renamed)} of {name} is {found[renamed[0]]['reference_band']} of OLI: rename it first")
        lines[name] = {band: (float(line["slope"]), float(line["offset"])) for band, line in found.items()}
    return lines


@functools.cache
def load_lines() -> pd.DataFrame:
    """``reference_band``, ``slope`` and ``offset`` [1] of the line to OLI, by ``sensor`` and ``band``."""
    path = project_root() / "catalogs" / "atmosphere" / "band_adjustment.csv"
    return pd.read_csv(path, index_col=["sensor", "band"])


def _line(sensor: str, column: str, name: str) -> dict:
    lines = load_lines().loc[sensor].reset_index()
    found = lines[lines[column] == name]
    if found.empty:
        raise SceneError(
            f"band {name!r} has no published line of {sensor}; there are lines of {', '.join(lines[column])}: "
            "leave it out"
        )
    return found.iloc[0].to_dict()
