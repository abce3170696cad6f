"""Water by the decision tree of Water Observations from Space (WOfS), and the bits of its layers (WOFL).

The tree is that of Mueller et al. 2016, doi:10.1016/j.rse.2015.11.003, figure 3; bits, order and edge cases are those of
the program by which Geoscience Australia publishes its layers.
"""

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import numba
import numpy as np
import xarray as xr
from scipy import ndimage

from ceiba.errors import InputError
from ceiba.mosaics.stored import Encoding, grid_attrs

WOFS_BANDS = ("blue", "green", "red", "nir", "swir_1", "swir_2")
COUNTS = 1e4  # the thresholds are counts: reflectance times this
WOFL_BITS = {
    "no_data": 1,
    "noncontiguous": 2,
    "sea": 4,
    "terrain_shadow": 8,
    "high_slope": 16,
    "cloud_shadow": 32,
    "cloud": 64,
    "water": 128,
}
"""Bit 2 is "sea" in the second collection of Geoscience Australia and a low sun in its third."""
LOWEST_COUNT, HIGHEST_COUNT = 0, 10_000  # of rescaled numbers
REFLECTANCE, WHOLE, RESCALED = 0, 1, 2  # rules by which a count is read
SHADOW_MARGIN_PX = 3
LOWEST_INCIDENCE_DEG = 30
STEEPEST_DEG = 12


class TreeEncoding(NamedTuple):
    """How counts are read from stored values: ``scale * value + offset`` by one of three rules; NaN or ``nodata`` is none."""

    nodata: float
    scale: float
    offset: float
    rule: int


def wofl(bands: xr.Dataset, *, masks: Mapping[str, xr.DataArray] | None = None) -> xr.DataArray:
    """Water Observation Feature Layer: the tree and what speaks against it, as bits.

    0 is dry and seen clearly, 128 is water and seen clearly; any other bit says why a pixel does not count. The water bit
    is set under clouds too, as the published layers do. A pixel without data is 1, whatever else is known of it. Where
    only some bands are missing the tree is not asked: 2, without the water bit.

    Parameters
    ----------
    bands
        ``blue green red nir swir_1 swir_2``, any dims: reflectance [1] as floats with NaN, or integers with the
        attributes ``nodata``, ``scale`` and ``offset``; see :func:`tree_encoding`.
    masks
        Name of a bit of :data:`WOFL_BITS`, but "water", to where it is set (boolean); see :func:`masks_of_fmask`,
        :func:`masks_of_qa_pixel` and :func:`masks_of_terrain`.

    Returns
    -------
    xr.DataArray
        ``water``, uint8, dims of the bands; 1 is no data. Lazy where the bands are.

    Raises
    ------
    InputError
        A band is missing or its scale unknown, or a mask has a name that is no bit.
    """
    masks = dict(masks or {})
    unknown = [name for name in masks if name not in WOFL_BITS or name == "water"]
    if unknown:
        allowed = ", ".join(name for name in WOFL_BITS if name != "water")
        raise InputError(f"a water layer has no mask {', '.join(unknown)}; it has {allowed}")
    encoding = tree_encoding(bands)
    given = [bands[name] for name in WOFS_BANDS]

    def classify(*arrays: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):  # a ratio of nothing is an answer here
            return water_bits(*arrays, *encoding)

    water = xr.apply_ufunc(classify, *given, dask="parallelized", output_dtypes=[np.uint8], keep_attrs=False)
    for name, mask in masks.items():
        water = water | (mask.astype(np.uint8) * np.uint8(WOFL_BITS[name]))
    water = water.where(water & WOFL_BITS["no_data"] == 0, np.uint8(WOFL_BITS["no_data"])).astype(np.uint8)
    attrs = {"units": "1", "nodata": WOFL_BITS["no_data"], "long_name": "water observation feature layer"}
    return water.transpose(*given[0].dims).rename("water").assign_attrs(attrs | grid_attrs(given[0]))


def missing_wofs_bands(bands: xr.Dataset) -> list[str]:
    """Names of the bands that the tree needs and ``bands`` lacks."""
    return [name for name in WOFS_BANDS if name not in bands]


def tree_encoding(bands: xr.Dataset) -> TreeEncoding:
    """How the counts of the tree are read from the six bands.

    Floats are reflectance [1]; they are rounded to a hundredth of a count, because 0.0379 in float32 must not be more than
    379. Integers that are counts already stay as they are. Others, as Landsat Collection 2 (``0.275 * number - 2000``), are
    cut to whole numbers, and what is then not within 0 and 10 000 is no data: the rule of the published program.

    Parameters
    ----------
    bands
        ``blue green red nir swir_1 swir_2``: floats, or integers with the attributes ``nodata``, ``scale``, ``offset``.

    Raises
    ------
    InputError
        A band is missing, its scale unknown, or stored in another way than the others.
    """
    missing = missing_wofs_bands(bands)
    if missing:
        raise InputError(f"the WOfS tree needs {', '.join(WOFS_BANDS)}; missing: {', '.join(missing)}")
    encodings = {name: _count_encoding(name, bands[name]) for name in WOFS_BANDS}
    first = encodings[WOFS_BANDS[0]]
    for name, encoding in encodings.items():
        if str(encoding) != str(first):  # as text, because NaN is not NaN
            raise InputError(f"band {name!r} is stored as {encoding}, {WOFS_BANDS[0]!r} as {first}; make them equal")
    return first


def _count_encoding(name: str, band: xr.DataArray) -> TreeEncoding:
    if band.dtype.kind == "f":
        return TreeEncoding(np.nan, COUNTS, 0.0, REFLECTANCE)
    missing = [key for key in Encoding._fields if key not in band.attrs]
    if band.dtype.kind not in "iu" or missing:
        lacking = f"lacks the attributes {', '.join(missing)}" if missing else "is no number"
        raise InputError(f"band {name!r} ({band.dtype}) {lacking}; its reflectance is unknown")
    # 0.0000275 * 10000 is not the 0.275 that the published program multiplies by
    scale, offset = (round(float(band.attrs[key]) * COUNTS, 9) for key in ("scale", "offset"))
    return TreeEncoding(float(band.attrs["nodata"]), scale, offset, WHOLE if scale == 1 else RESCALED)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def is_water(blue, green, red, nir, swir_1, swir_2):
    """The tree on counts. A ratio of nothing by nothing passes no comparison, as in the published program."""
    ndi_52 = (swir_1 - green) / (swir_1 + green)
    ndi_43 = (nir - red) / (nir + red)
    ndi_72 = (swir_2 - green) / (swir_2 + green)
    if ndi_52 <= -0.01:
        if not blue <= 2083.5:
            return False
        if swir_2 <= 323.5:
            return ndi_43 <= 0.61
        if not blue <= 1400.5:
            return ndi_43 <= -0.01
        if not ndi_72 <= -0.23:
            return blue <= 379
        return ndi_43 <= 0.22 or blue <= 473
    if ndi_52 <= 0.23:
        if not (blue <= 334.5 and ndi_43 <= 0.54):
            return False
        if ndi_52 <= 0.12:
            return True
        return blue <= 129.5 if red <= 364.5 else blue <= 300.5
    return ndi_52 <= 0.34 and blue <= 249.5 and ndi_43 <= 0.45 and red <= 364.5 and blue <= 129.5


@numba.njit(cache=True, nogil=True, error_model="numpy")
def read_count(value, nodata, scale, offset, rule):
    """Count of a stored value, NaN where there is no data; see :func:`tree_encoding`."""
    count = value * scale + offset
    if rule == REFLECTANCE:
        return np.rint(count * 100) / 100
    if value == nodata:
        return np.nan
    if rule == RESCALED:
        count = np.trunc(count)
        if count < LOWEST_COUNT or count > HIGHEST_COUNT:
            return np.nan
    return count


@numba.vectorize(cache=True)
def water_bits(blue, green, red, nir, swir_1, swir_2, nodata, scale, offset, rule):
    """Bits of stored values: 128 water, 0 dry, 3 without any band (no data, not contiguous), 2 without some."""
    b = read_count(blue, nodata, scale, offset, rule)
    g = read_count(green, nodata, scale, offset, rule)
    r = read_count(red, nodata, scale, offset, rule)
    n = read_count(nir, nodata, scale, offset, rule)
    s1 = read_count(swir_1, nodata, scale, offset, rule)
    s2 = read_count(swir_2, nodata, scale, offset, rule)
    missing = 0
    missing += b != b
    missing += g != g
    missing += r != r
    missing += n != n
    missing += s1 != s1
    missing += s2 != s2
    if missing == 6:
        return np.uint8(3)
    if missing > 0:
        return np.uint8(2)
    return np.uint8(128) if is_water(b, g, r, n, s1, s2) else np.uint8(0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def count_by_tree(blue, green, red, nir, swir_1, swir_2, clear, nodata, scale, offset, rule, counts):
    """Add water and clear observations of arrays (time, pixel) to the two rows of ``counts``."""
    for t in range(blue.shape[0]):
        for p in range(blue.shape[1]):
            if clear[t, p]:
                bits = water_bits(
                    blue[t, p], green[t, p], red[t, p], nir[t, p], swir_1[t, p], swir_2[t, p], nodata, scale, offset, rule
                )
                counts[0, p] += bits == 128
                counts[1, p] += (bits == 128) | (bits == 0)


def masks_of_fmask(fmask: xr.DataArray) -> dict[str, xr.DataArray]:
    """Masks of Geoscience Australia's Fmask band (0 no data, 1 clear, 2 cloud, 3 shadow, 4 snow, 5 water), any dims."""
    return {"no_data": fmask == 0, "cloud": fmask == 2, "cloud_shadow": fmask == 3}


def masks_of_qa_pixel(quality: xr.DataArray, *, bits: Mapping[str, int]) -> dict[str, xr.DataArray]:
    """Masks of the QA_PIXEL band of Landsat Collection 2.

    Cloud is cloud, dilated cloud or cirrus; a cloud's shadow is widened by 3 pixels, as the published program does. So
    give a tile with a margin of 3 pixels and cut it afterwards, or the border lacks shadows from beyond.

    Parameters
    ----------
    quality
        Bits as stored, dims ``(..., y, x)``.
    bits
        Name to number of bit (``catalogs/sensors.yml``): ``dilated_cloud cirrus cloud cloud_shadow``.

    Returns
    -------
    dict
        ``cloud`` and ``cloud_shadow``, boolean, dims of ``quality``.

    Raises
    ------
    InputError
        A bit is not named.
    """
    wanted = ("dilated_cloud", "cirrus", "cloud", "cloud_shadow")
    missing = [name for name in wanted if name not in bits]
    if missing:
        raise InputError(f"QA_PIXEL needs the bits {', '.join(wanted)}; missing: {', '.join(missing)}")
    is_set = {name: (quality.astype(np.uint32) >> bits[name]) & 1 == 1 for name in wanted}
    cloud = reduce(lambda one, other: one | other, (is_set[name] for name in wanted[:-1]))
    return {"cloud": cloud, "cloud_shadow": widen(is_set["cloud_shadow"])}


def widen(mask: xr.DataArray, *, margin_px: int = SHADOW_MARGIN_PX) -> xr.DataArray:
    """The mask, dims ``(..., y, x)``, grown by a disk of ``margin_px`` and a half pixels."""
    y, x = np.ogrid[-margin_px : margin_px + 1, -margin_px : margin_px + 1]
    disk = y * y + x * x <= (margin_px + 0.5) ** 2
    structure = disk.reshape((1,) * (mask.ndim - 2) + disk.shape)
    return mask.copy(data=ndimage.binary_dilation(mask.values, structure=structure))


def masks_of_terrain(
    elevation: xr.DataArray, *, sun_azimuth_deg: float, sun_elevation_deg: float
) -> dict[str, xr.DataArray]:
    """Where relief hides water or makes shadows that look like it.

    Shadow is what the terrain casts, widened by 3 pixels, and slopes that the sun meets at less than 30 degrees; steep is
    more than 12 degrees: the thresholds of the published program. Give a margin as wide as shadows are long and cut it
    afterwards.

    Parameters
    ----------
    elevation
        Height [m], dims ``(y, x)``, coordinates x eastwards and y northwards [m].
    sun_azimuth_deg, sun_elevation_deg
        Where the sun stands [degrees]: clockwise from the grid's north, and above the horizon.

    Returns
    -------
    dict
        ``terrain_shadow`` and ``high_slope``, boolean, dims ``(y, x)``.

    Raises
    ------
    InputError
        The sun is not above the horizon.
    """
    if not 0 < sun_elevation_deg <= 90:
        raise InputError(f"the sun stands {sun_elevation_deg} degrees above the horizon; give more than 0, at most 90")
    heights = elevation.values.astype(np.float64)
    step_y, step_x = (float(elevation[axis][1] - elevation[axis][0]) for axis in ("y", "x"))
    north, east = (ndimage.sobel(heights, axis=axis) / (8 * step) for axis, step in ((0, step_y), (1, step_x)))
    azimuth, altitude = np.radians(sun_azimuth_deg), np.radians(sun_elevation_deg)
    length = np.sqrt(north * north + east * east + 1)
    level = np.sin(altitude) - np.cos(altitude) * (east * np.sin(azimuth) + north * np.cos(azimuth))
    incidence_deg = np.degrees(np.arcsin(np.clip(level / length, -1, 1)))
    steep = np.degrees(np.arccos(1 / length)) > STEEPEST_DEG
    shadow = _cast_shadow(heights, (step_y, step_x), azimuth, altitude)
    dark = widen(elevation.copy(data=shadow)) | (incidence_deg < LOWEST_INCIDENCE_DEG)
    return {"terrain_shadow": dark, "high_slope": elevation.copy(data=steep)}


def _cast_shadow(heights: np.ndarray, steps_m: tuple[float, float], azimuth: float, altitude: float) -> np.ndarray:
    """Pixels from which the terrain hides the sun, by walking towards it until its ray is above every summit."""
    walk_m = min(abs(step) for step in steps_m)
    toward = np.array([np.cos(azimuth) * walk_m / steps_m[0], np.sin(azimuth) * walk_m / steps_m[1]])
    rise_m = walk_m * np.tan(altitude)
    rows, columns = np.indices(heights.shape, dtype=np.float64)
    hidden = np.zeros(heights.shape, bool)
    for walked in range(1, int((heights.max() - heights.min()) / rise_m) + 1):
        places = [rows + walked * toward[0], columns + walked * toward[1]]
        beyond = ndimage.map_coordinates(heights, places, order=1, mode="constant", cval=-np.inf)
        hidden |= beyond > heights + walked * rise_m
    return hidden
