"""Protected agriculture: plastic greenhouses by a spectral index and their texture. What it finds are candidates to be verified."""

import numpy as np
import xarray as xr
from scipy import ndimage

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.errors import InputError

CANDIDATE, OTHER = 2, 1


def plastic_index(blue: xr.DataArray, green: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    """Retrogressive plastic greenhouse index, ``100 blue / (1 - (blue + green + nir) / 3)``.

    Yang et al. 2017 (doi:10.1016/j.isprsjprs.2017.03.002): plastic reflects blue light more than plants and soils do. Bright roofs,
    bare sand, salt and missed clouds do as well.

    Parameters
    ----------
    blue, green, nir
        Surface reflectance [1], any dims; NaN is no data.

    Returns
    -------
    xr.DataArray
        Index [1], NaN where a band is NaN or the mean reflectance reaches 1.
    """
    rest = 1 - (blue + green + nir) / 3
    return (100 * blue / rest.where(rest > 0)).assign_attrs(units="1")


def local_deviation(values: xr.DataArray, *, window_px: int) -> xr.DataArray:
    """Standard deviation in a square around each pixel, a simple texture.

    Parameters
    ----------
    values
        Any unit, dims ``(y, x)``; NaN is no data and does not count.
    window_px
        Side of the square [pixels], odd; raises :class:`InputError` on another number.

    Returns
    -------
    xr.DataArray
        Standard deviation [unit of ``values``], dims ``(y, x)``, NaN where the pixel itself is NaN.
    """
    if window_px < 3 or window_px % 2 == 0:
        raise InputError(f"the window is {window_px} pixels; it needs an odd number, 3 or more")
    given = values.transpose("y", "x").values.astype("float64")
    seen = np.isfinite(given)
    middle = float(given[seen].mean()) if seen.any() else 0.0
    filled = np.where(seen, given - middle, 0.0)
    share = ndimage.uniform_filter(seen.astype("float64"), window_px, mode="constant")
    mean = ndimage.uniform_filter(filled, window_px, mode="constant") / np.maximum(share, 1e-12)
    squares = ndimage.uniform_filter(filled**2, window_px, mode="constant") / np.maximum(share, 1e-12)
    deviation = np.sqrt(np.clip(squares - mean**2, 0, None))
    return values.transpose("y", "x").copy(data=np.where(seen, deviation, np.nan))


def choose_threshold(index: np.ndarray, is_plastic: np.ndarray) -> tuple[float, float]:
    """Threshold that parts labelled samples best, and the balanced accuracy [1] that it reaches on them.

    Youden 1950 (doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3). Raises :class:`InputError` where one kind is missing.

    Parameters
    ----------
    index
        Plastic index of samples [1], dims ``(sample,)``.
    is_plastic
        Whether each is a greenhouse, dims ``(sample,)``.
    """
    plastic, other = np.sort(index[is_plastic]), np.sort(index[~is_plastic])
    if not len(plastic) or not len(other):
        raise InputError(f"a threshold needs both kinds of samples; there are {len(plastic)} greenhouses and {len(other)} others")
    values = np.unique(index)
    cuts = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    found = 1 - np.searchsorted(plastic, cuts) / len(plastic)
    right = np.searchsorted(other, cuts) / len(other)
    best = int(np.argmax(found + right))
    return float(cuts[best]), float((found[best] + right[best]) / 2)


def map_candidates(
    bands: xr.Dataset,
    *,
    least_index: float,
    largest_ndvi: float,
    largest_texture: float,
    window_px: int = 5,
    minimum_ha: float = 0.1,
    cropland: xr.DataArray | None = None,
) -> xr.Dataset:
    """Candidates for greenhouses.

    Parameters
    ----------
    bands
        blue, green, red, nir: surface reflectance [1], dims ``(y, x)``, with a geobox (``.odc``); NaN is no data.
    least_index
        Plastic index [1] from which a pixel is a candidate.
    largest_ndvi
        NDVI [1] up to which: open fields are greener.
    largest_texture
        Standard deviation of blue [1] within the window up to which: towns are rougher.
    window_px
        Side of the window of the texture [pixels], odd.
    minimum_ha
        Smallest patch [ha], by the true area of its pixels.
    cropland
        Where greenhouses are looked for (boolean, dims ``(y, x)``); everywhere where it is None.

    Returns
    -------
    xr.Dataset
        ``candidate`` (uint8: 1 no, 2 yes, 0 no data), ``plastic_index``, ``texture`` [1] (float32), dims ``(y, x)``.
    """
    missing = [name for name in ("blue", "green", "red", "nir") if name not in bands]
    if missing:
        raise InputError(f"greenhouses need the bands {', '.join(missing)}; there are {', '.join(map(str, bands.data_vars))}")
    blue, red, nir = (bands[name].transpose("y", "x") for name in ("blue", "red", "nir"))
    index = plastic_index(blue, bands["green"].transpose("y", "x"), nir)
    texture = local_deviation(blue, window_px=window_px)
    total = nir + red
    ndvi = (nir - red) / total.where(total > 0)
    seen = (index.notnull() & ndvi.notnull()).values
    chosen = seen & (index >= least_index).values & (ndvi <= largest_ndvi).values & (texture <= largest_texture).values
    if cropland is not None:
        chosen &= cropland.transpose("y", "x").values.astype(bool)
    patches, count = ndimage.label(chosen, structure=np.ones((3, 3)))
    area = np.bincount(patches.ravel(), weights=pixel_areas(bands.odc.geobox).values.ravel(), minlength=count + 1)
    # A millionth of slack: ten pixels of 0.01 ha are 0.1 ha, whatever the rounding.
    large = area >= minimum_ha * (1 - 1e-6)
    large[0] = False
    codes = np.where(seen, np.where(large[patches], CANDIDATE, OTHER), 0).astype("uint8")
    return xr.Dataset(
        {
            "candidate": blue.copy(data=codes).assign_attrs(units="class"),
            "plastic_index": index.astype("float32"),
            "texture": texture.astype("float32").assign_attrs(units="1"),
        }
    )
