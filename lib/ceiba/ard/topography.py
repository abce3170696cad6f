"""Light on slopes taken out of reflectance: the C-correction."""

import logging
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ceiba.errors import SceneError

log = logging.getLogger(__name__)

# Light is fitted on ground that slopes enough to show it, so that flat fields do not tell how slopes are lit; corrected
# is everything that slopes at all.
FIT_SLOPE_DEG = 5.0
# Vegetation is fitted apart from bare ground: where cover goes with the aspect, one line for all takes the cover for light
# (Hantson & Chuvieco 2011, doi:10.1016/j.jag.2011.05.001, compare corrections by cover).
NDVI_CLASSES = (-1.0, 0.5, 1.0)
MIN_FIT_PIXELS = 500
MAX_FIT_PIXELS = 200_000
# A fit that explains less is no effect of light: such a class and band stays as it is.
MIN_CORRELATION = 0.05
# Below this cosine a slope is lit by the sky alone or by grazing sun (over 85 degrees from its normal), for which the
# correction has no meaning: no data.
MIN_ILLUMINATION = 0.087
MAX_FACTOR = 3.0
STRIP_ROWS = 256


@dataclass(frozen=True)
class LightFit:
    """Reflectance as a straight line of light: ``slope * cos_incidence + offset``, of one band and class of cover.

    Attributes
    ----------
    c
        ``offset / slope`` [1]; NaN where the band hardly follows the light, and is then left as it is.
    correlation
        Between reflectance and light before the correction [1].
    pixels
        How many were fitted.
    """

    c: float
    correlation: float
    pixels: int


def correct_topography(
    reflectance: xr.Dataset, elevation_m: xr.DataArray, *, sun_elevation_deg: float, sun_azimuth_deg: float
) -> xr.Dataset:
    """Reflectance as if the ground were flat: the C-correction.

    ``corrected = reflectance * (cos(z) + c) / (cos(i) + c)`` with the sun's zenith ``z``, the angle ``i`` between the sun
    and the normal of the slope, and ``c`` fitted by band, apart for vegetation and other ground (Teillet et al. 1982,
    doi:10.1080/07038992.1982.10855028). Flat ground keeps its values to the bit. The fit is made at once on a sample; the
    correction stays lazy where ``reflectance`` is.

    Parameters
    ----------
    reflectance
        Surface reflectance [1], dims ``(y, x)``, NaN is no data, with red and nir among its bands.
    elevation_m
        Height of the ground [m] on the same grid, with coordinates ``y`` and ``x`` in metres.
    sun_elevation_deg, sun_azimuth_deg
        Height of the sun above the horizon, and its direction clockwise from grid north [degree].

    Returns
    -------
    xr.Dataset
        Corrected reflectance [1]; no data where the sun hardly reaches the slope (cos(i) below 0.087) or its height is
        unknown. attrs ``topography_c``: by class and band, the coefficient, correlation and number of pixels.

    Raises
    ------
    SceneError
        Where red or nir is missing, the grids differ or are not in metres, or the sun is not up.
    """
    if not 0 < sun_elevation_deg <= 90:
        raise SceneError(f"the sun is {sun_elevation_deg} degrees high; terrain correction needs 0 to 90 degrees")
    missing = {"red", "nir"} - set(reflectance.data_vars)
    if missing:
        raise SceneError(f"terrain correction tells vegetation by red and nir; missing: {', '.join(sorted(missing))}")
    try:
        xr.align(reflectance, elevation_m, join="exact")
    except ValueError as error:
        raise SceneError(
            f"heights ({dict(elevation_m.sizes)}) are not on the grid of the scene ({dict(reflectance.sizes)})"
        ) from error
    slope, aspect = slope_and_aspect_deg(elevation_m)
    light = cos_incidence(
        slope, aspect, sun_elevation_deg=sun_elevation_deg, sun_azimuth_deg=sun_azimuth_deg
    )
    if reflectance.chunks:
        # In memory as a whole they would stand beside one factor a band and class, each as large as the scene.
        light, slope = (values.chunk({name: reflectance.chunksizes[name] for name in ("y", "x")}) for values in (light, slope))
    flat_light = float(np.sin(np.radians(sun_elevation_deg)))
    ndvi = (reflectance["nir"] - reflectance["red"]) / (reflectance["nir"] + reflectance["red"])
    fits = _fit_all(reflectance, light, slope, ndvi)
    corrected = {}
    for band in reflectance.data_vars:
        factor = xr.full_like(light, 1.0)
        for number in range(len(NDVI_CLASSES) - 1):
            c = fits[number, str(band)].c
            if np.isfinite(c):
                member = ndvi_class(ndvi) == number
                factor = xr.where(member, correction_factor(light, flat_light=flat_light, c=c), factor)
        # Flat ground is exact by this, not by a quotient that happens to be 1.
        factor = xr.where(slope == 0, 1.0, factor).where((light >= MIN_ILLUMINATION) | (slope == 0))
        values = (reflectance[band] * factor).transpose(*reflectance[band].dims)
        corrected[band] = values.astype(reflectance[band].dtype).assign_attrs(reflectance[band].attrs)
    words = "; ".join(
        f"{band} of NDVI {NDVI_CLASSES[number]} to {NDVI_CLASSES[number + 1]}: "
        + (f"c {fit.c:.3f}" if np.isfinite(fit.c) else "left as it is")
        + f" (correlation {fit.correlation:.2f}, {fit.pixels} pixels)"
        for (number, band), fit in fits.items()
    )
    return xr.Dataset(corrected, attrs=reflectance.attrs | {"topography_method": "c-correction", "topography_c": words})


def slope_and_aspect_deg(elevation_m: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Steepness and direction of slopes by Horn's method (1981, doi:10.1109/PROC.1981.11918).

    Parameters
    ----------
    elevation_m
        Height [m], dims ``(y, x)``, evenly spaced coordinates in metres; NaN is unknown. Beyond the edge
        the land goes on as it came.

    Returns
    -------
    slope, aspect
        [degree], float32; aspect is the direction downhill, clockwise from grid north, 0 on flat ground.

    Raises
    ------
    SceneError
        Where the grid has fewer than 3 pixels a side, uneven spacing, or is in degrees.
    """
    step_y, step_x = (_spacing_m(elevation_m, name) for name in ("y", "x"))
    heights = elevation_m.transpose("y", "x").astype(np.result_type(elevation_m.dtype, np.float32)).compute()
    z = np.pad(heights.values, 1, mode="reflect", reflect_type="odd")
    slope, aspect = np.empty(heights.shape, np.float32), np.empty(heights.shape, np.float32)
    # By rows: the differences in double precision take ten times the heights' memory.
    for start in range(0, heights.shape[0], STRIP_ROWS):
        rows = slice(start, start + STRIP_ROWS)
        slope[rows], aspect[rows] = _horn(z[start : start + STRIP_ROWS + 2].astype(np.float64), step_y, step_x)
    attrs = {"units": "degree"}
    return heights.copy(data=slope).assign_attrs(attrs), heights.copy(data=aspect).assign_attrs(attrs)


def _horn(z: np.ndarray, step_y: float, step_x: float) -> tuple[np.ndarray, np.ndarray]:
    """Slope and aspect [degree] of heights with a margin of one pixel."""
    right = (z[:-2, 2:] + 2 * z[1:-1, 2:] + z[2:, 2:]) - (z[:-2, :-2] + 2 * z[1:-1, :-2] + z[2:, :-2])
    down = (z[2:, :-2] + 2 * z[2:, 1:-1] + z[2:, 2:]) - (z[:-2, :-2] + 2 * z[:-2, 1:-1] + z[:-2, 2:])
    east, north = right / (8 * step_x), down / (8 * step_y)
    # Horn's weights skip the pixel itself, whose height may be unknown all the same.
    slope = np.where(np.isnan(z[1:-1, 1:-1]), np.nan, np.degrees(np.arctan(np.hypot(east, north))))
    aspect = np.where(slope > 0, np.degrees(np.arctan2(-east, -north)) % 360, 0.0)
    return slope, np.where(np.isnan(slope), np.nan, aspect)


def cos_incidence(
    slope_deg: xr.DataArray, aspect_deg: xr.DataArray, *, sun_elevation_deg: float, sun_azimuth_deg: float
) -> xr.DataArray:
    """Cosine of the angle between the sun and the normal of slopes [1], negative where they turn away from it.

    ``cos(z) cos(slope) + sin(z) sin(slope) cos(azimuth - aspect)``; arguments as in :func:`correct_topography`.
    """
    zenith, slope = np.radians(90 - sun_elevation_deg), np.radians(slope_deg)
    turned = np.radians(sun_azimuth_deg - aspect_deg)
    light = np.cos(zenith) * np.cos(slope) + np.sin(zenith) * np.sin(slope) * np.cos(turned)
    return light.assign_attrs(units="1") if isinstance(light, xr.DataArray) else light


def correction_factor(light: xr.DataArray | float, *, flat_light: float, c: float) -> xr.DataArray | float:
    """``(flat_light + c) / (light + c)`` [1], kept between 1/3 and 3: beyond, it is the fit that speaks, not the ground."""
    flat = flat_light + c
    return flat / np.clip(light + c, flat / MAX_FACTOR, flat * MAX_FACTOR)


def fit_light(reflectance: np.ndarray, light: np.ndarray) -> LightFit:
    """Straight line through reflectance [1] against light [1], both ``(pixel,)``, without the outliers.

    Twice the pixels farther than 2.5 robust standard deviations from the line are left out. The coefficient is NaN where
    fewer than 500 pixels remain, or the line falls or explains too little: then it is not the light that is seen.
    """
    kept = np.isfinite(reflectance) & np.isfinite(light)
    reflectance, light = reflectance[kept], light[kept]
    if len(light) < MIN_FIT_PIXELS or np.ptp(light) == 0 or np.ptp(reflectance) == 0:
        return LightFit(float("nan"), float("nan"), len(light))
    correlation = float(np.corrcoef(light, reflectance)[0, 1])
    for _ in range(2):
        slope, offset = np.polyfit(light, reflectance, 1)
        residual = reflectance - (slope * light + offset)
        near = np.abs(residual) <= 2.5 * 1.4826 * np.median(np.abs(residual)) + 1e-12
        reflectance, light = reflectance[near], light[near]
    slope, offset = np.polyfit(light, reflectance, 1)
    explained = np.corrcoef(light, reflectance)[0, 1]
    if len(light) < MIN_FIT_PIXELS or slope <= 0 or explained < MIN_CORRELATION:
        return LightFit(float("nan"), correlation, len(light))
    # A negative c lets the factor run to infinity within the range of light; c = 0 is the plain cosine correction.
    return LightFit(max(float(offset / slope), 0.0), correlation, len(light))


def ndvi_class(ndvi: xr.DataArray) -> xr.DataArray:
    """Number of the class of cover, 0 for NDVI below 0.5 and 1 above; dims as ``ndvi``, 0 where it is NaN."""
    return (ndvi >= NDVI_CLASSES[1]).astype("int8")


def _fit_all(
    reflectance: xr.Dataset, light: xr.DataArray, slope: xr.DataArray, ndvi: xr.DataArray
) -> dict[tuple[int, str], LightFit]:
    step = max(1, int(np.ceil(np.sqrt(light.size / MAX_FIT_PIXELS))))
    every = {"y": slice(None, None, step), "x": slice(None, None, step)}
    sample = xr.Dataset({"light": light, "slope": slope, "ndvi": ndvi}).isel(every).transpose("y", "x").compute()
    bands = reflectance.isel(every).transpose("y", "x").compute()
    usable = (sample["slope"].values >= FIT_SLOPE_DEG) & (sample["light"].values >= MIN_ILLUMINATION)
    classes = ndvi_class(sample["ndvi"]).values
    fits = {}
    for number in range(len(NDVI_CLASSES) - 1):
        chosen = usable & (classes == number)
        for band in bands.data_vars:
            fits[number, str(band)] = fit_light(bands[band].values[chosen], sample["light"].values[chosen])
    if not any(np.isfinite(fit.c) for fit in fits.values()):
        log.warning("no band follows the light on the slopes: the scene stays as it is")
    return fits


def _spacing_m(elevation_m: xr.DataArray, name: str) -> float:
    """Step of a coordinate [m], with its sign: x grows to the east, y to the north."""
    values = elevation_m[name].values.astype(float)
    if len(values) < 3:
        raise SceneError(f"slopes need at least 3 pixels a side; {name} has {len(values)}")
    steps = np.diff(values)
    if not np.allclose(steps, steps[0], rtol=1e-3) or steps[0] == 0:
        raise SceneError(f"coordinate {name} is not evenly spaced; reproject the heights to the grid of the scene")
    if abs(steps[0]) < 0.1:
        raise SceneError(f"the pixels are {abs(steps[0])} wide along {name}; slopes need a grid in metres, not degrees")
    return float(steps[0])
