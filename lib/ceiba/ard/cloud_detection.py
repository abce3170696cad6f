"""Clouds of Sentinel-2 level 1C scenes, by the pixel classifier s2cloudless.

The classifier and its model come with the package ``s2cloudless`` (Sinergise, licence CC BY-SA 4.0: who passes the
model on, or one changed from it, does so under that licence and names its makers; maps made with it are free of it).
How well it does: Skakun et al. 2022, doi:10.1016/j.rse.2022.112990 (CMIX).
"""

import functools
from collections.abc import Callable

import numpy as np
import xarray as xr
from scipy import ndimage

from ceiba.errors import InputError

# The ten bands of the model in its order: B01 B02 B04 B05 B08 B8A B09 B10 B11 B12.
MODEL_BANDS = (
    "coastal_aerosol", "blue", "red", "red_edge_1", "nir", "nir_narrow", "water_vapor", "cirrus", "swir_1", "swir_2",
)  # fmt: skip
# The model takes 80 bytes a pixel: a block of this many pixels stays in the processor's cache.
BLOCK_PIXELS = 65_536


@functools.cache
def _detector():
    from s2cloudless import S2PixelCloudDetector  # brings Sentinel Hub's client along: only for who masks clouds

    return S2PixelCloudDetector(all_bands=False, average_over=None, dilation_size=None)


def cloud_probability(toa: xr.Dataset, *, threads: int = 1) -> xr.DataArray:
    """Probability that a pixel is cloud, for each pixel by itself.

    Parameters
    ----------
    toa
        Top-of-atmosphere reflectance [1] of :data:`MODEL_BANDS` on one grid, dims ``(..., y, x)``, NaN for no data.
        Sentinel-2 counts have to be scaled first, with the offset of their processing baseline.
    threads
        Threads of the classifier; 1 where Dask already runs blocks side by side.

    Returns
    -------
    xr.DataArray
        Probability [1], float32, the dims of ``toa``, NaN where any band is no data; lazy where ``toa`` is.

    Raises
    ------
    InputError
        Where bands are missing, or are not reflectance.
    """
    missing = [name for name in MODEL_BANDS if name not in toa]
    if missing:
        raise InputError(
            f"no band {', '.join(missing)}; s2cloudless needs {', '.join(MODEL_BANDS)} of a level 1C scene, "
            f"the scene has {', '.join(map(str, toa.data_vars))}"
        )
    integer = [name for name in MODEL_BANDS if toa[name].dtype.kind != "f"]
    if integer:
        raise InputError(f"bands {', '.join(integer)} are whole numbers: scale them to reflectance (0 to 1) first")
    probability = xr.apply_ufunc(
        functools.partial(_predict, threads=threads),
        *(toa[name].astype("float32") for name in MODEL_BANDS),
        dask="parallelized",
        output_dtypes=["float32"],
    )
    probability.attrs = {"units": "1", "long_name": "cloud probability"}
    return probability.rename("cloud_probability")


def _predict(*bands: np.ndarray, threads: int) -> np.ndarray:
    flat = [band.reshape(-1) for band in bands]
    probability = np.full(flat[0].size, np.nan, dtype=np.float32)
    for start in range(0, flat[0].size, BLOCK_PIXELS):
        pixels = np.stack([band[start : start + BLOCK_PIXELS] for band in flat], axis=-1)
        valid = np.isfinite(pixels).all(axis=-1)
        if np.any(np.abs(pixels[valid]) > 10):
            raise InputError("reflectance above 10: these look like counts; scale them to reflectance (0 to 1) first")
        if valid.any():
            maps = _detector().get_cloud_probability_maps(pixels[valid][None, None], num_threads=threads)
            probability[start : start + BLOCK_PIXELS][valid] = maps[0, 0]
    return probability.reshape(bands[0].shape)


def mask_clouds(
    probability: xr.DataArray,
    *,
    resolution_m: float,
    threshold: float = 0.4,
    averaging_m: float = 220.0,
    dilation_m: float = 110.0,
) -> xr.DataArray:
    """Cloud mask: the probability averaged over a disk, cut at a threshold and widened.

    Parameters
    ----------
    probability
        From :func:`cloud_probability`, dims ``(..., y, x)``.
    resolution_m
        Pixel size [m].
    threshold
        Probability [1] above which a pixel is cloud.
    averaging_m, dilation_m
        Radius [m] of the disk to average over, and by which clouds are widened; 0 leaves either out. The defaults are
        those that the makers of s2cloudless advise (22 and 11 pixels of 10 m).

    Returns
    -------
    xr.DataArray
        True where there is cloud, dims of ``probability``; lazy where it is, block by block with a margin, so that it is
        the same for any blocks. No data never counts in an average, and is not cloud unless a cloud is widened over it.

    Raises
    ------
    InputError
        On a pixel size, threshold or radius that makes no sense.
    """
    if not resolution_m > 0 or not 0 <= threshold <= 1 or averaging_m < 0 or dilation_m < 0:
        raise InputError(
            f"resolution_m {resolution_m}, threshold {threshold}, averaging_m {averaging_m}, dilation_m {dilation_m}: "
            "give a pixel size above 0, a threshold of 0 to 1 and radii of 0 or more"
        )
    averaging_px, dilation_px = averaging_m / resolution_m, dilation_m / resolution_m
    margin = int(averaging_px) + int(dilation_px)
    mask = _blockwise(
        probability,
        functools.partial(_mask, threshold=threshold, averaging_px=averaging_px, dilation_px=dilation_px),
        margin_px=margin,
    )
    mask.attrs = {"long_name": "cloud"}
    return mask.rename("cloud")


def _mask(probability: np.ndarray, *, threshold: float, averaging_px: float, dilation_px: float) -> np.ndarray:
    # NaN is above no threshold.
    return widen(average_over_disk(probability, averaging_px) > threshold, dilation_px)


def average_over_disk(values: np.ndarray, radius_px: float) -> np.ndarray:
    """Mean of the pixels no further than ``radius_px`` away that hold data, dims ``(y, x)``; NaN stays NaN."""
    if radius_px < 1:
        return values
    disk = disk_of(radius_px).astype(np.float64)
    valid = np.isfinite(values)
    total = ndimage.convolve(np.where(valid, values, 0).astype(np.float64), disk, mode="constant")
    count = ndimage.convolve(valid.astype(np.float64), disk, mode="constant")
    return np.where(valid, total / np.maximum(count, 1), np.nan)


def widen(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Mask grown by every pixel no further than ``radius_px`` away, dims ``(y, x)``."""
    if radius_px < 1 or not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask) <= radius_px


def disk_of(radius_px: float) -> np.ndarray:
    """Pixels whose centre is no further than ``radius_px`` from that of the middle one (bool)."""
    reach = int(radius_px)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return x**2 + y**2 <= radius_px**2


def shadow_mask(
    cloud: xr.DataArray,
    nir: xr.DataArray,
    *,
    resolution_m: float,
    sun_zenith_deg: float,
    sun_azimuth_deg: float,
    max_height_m: float = 4000.0,
    dark_nir: float = 0.15,
) -> xr.DataArray:
    """Where clouds may throw shadow: dark ground within reach of a cloud, away from the sun.

    The way of the Sentinel-2 cloud masking tutorial of Google Earth Engine: no height is estimated, every height up to
    ``max_height_m`` counts, and only pixels as dark as ``dark_nir`` are taken. Dark water beside a cloud is taken for
    shadow too; a shadow on bright sand may be missed.

    Parameters
    ----------
    cloud
        Mask of clouds, dims ``(y, x)``, north up.
    nir
        Reflectance in the near infrared [1], dims ``(y, x)``.
    resolution_m, max_height_m
        Pixel size and greatest height of cloud above ground [m].
    sun_zenith_deg, sun_azimuth_deg
        Position of the sun [degree], azimuth clockwise from the grid's north.
    dark_nir
        Reflectance [1] below which ground can be shadow.

    Returns
    -------
    xr.DataArray
        True in shadow, dims ``(y, x)``, False in cloud.
    """
    if not 0 <= sun_zenith_deg < 85:
        raise InputError(f"sun_zenith_deg {sun_zenith_deg}: shadows are followed for a sun of 0 to 85 degrees")
    reach_px = max_height_m * np.tan(np.radians(sun_zenith_deg)) / resolution_m
    azimuth = np.radians(sun_azimuth_deg)
    # Away from the sun; north is towards lower rows.
    down, right = reach_px * np.cos(azimuth), -reach_px * np.sin(azimuth)
    margin = int(np.ceil(max(abs(down), abs(right))))
    reached = _blockwise(cloud, functools.partial(_smear, down=down, right=right), margin_px=margin)
    return (reached & (nir < dark_nir) & ~cloud).rename("cloud_shadow")


def _smear(mask: np.ndarray, *, down: float, right: float) -> np.ndarray:
    """Mask drawn out to every place between itself and itself moved by ``(down, right)`` [px], dims ``(y, x)``."""
    steps = int(np.ceil(max(abs(down), abs(right))))
    result = np.zeros_like(mask)
    rows, columns = mask.shape
    for step in range(1, steps + 1):
        row, column = round(down * step / steps), round(right * step / steps)
        if abs(row) >= rows or abs(column) >= columns:
            break
        to = np.s_[max(row, 0) : rows + min(row, 0), max(column, 0) : columns + min(column, 0)]
        source = np.s_[max(-row, 0) : rows + min(-row, 0), max(-column, 0) : columns + min(-column, 0)]
        result[to] |= mask[source]
    return result


def _blockwise(values: xr.DataArray, function: Callable[[np.ndarray], np.ndarray], *, margin_px: int) -> xr.DataArray:
    """A function of ``(y, x)`` on each image, with a margin around each block where ``values`` is lazy."""

    def each(block: np.ndarray) -> np.ndarray:
        images = block.reshape(-1, *block.shape[-2:])
        if not len(images):
            return np.zeros(block.shape, dtype=bool)
        return np.stack([function(image) for image in images]).reshape(block.shape)

    values = values.transpose(..., "y", "x")
    if values.chunks is None:
        return values.copy(data=each(values.values))
    # Beyond the image there is nothing to reach for.
    depth = (0,) * (values.ndim - 2) + tuple(min(margin_px, size) for size in values.shape[-2:])
    return values.copy(
        data=values.data.map_overlap(each, depth=depth, boundary="none", dtype=bool, meta=np.empty((0,) * values.ndim, bool))
    )
