"""Spectral indices: small formulas of surface reflectance, each with its paper, in one registry."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

from ceiba.errors import InputError


@dataclass(frozen=True)
class SpectralIndex:
    """What the registry knows of an index.

    Attributes
    ----------
    name
        Name of the formula.
    long_name
        Title in English.
    reference
        Paper that defines it.
    bands
        Names of the bands it needs, in the order of the formula's arguments.
    formula
        The function itself.
    """

    name: str
    long_name: str
    reference: str
    bands: tuple[str, ...]
    formula: Callable[..., xr.DataArray]


SPECTRAL_INDICES: dict[str, SpectralIndex] = {}


def spectral_index(*, long_name: str, reference: str) -> Callable[[Callable], Callable]:
    """Register a formula whose argument names are its bands; its result gets ``units`` and ``long_name``."""

    def register(formula: Callable[..., xr.DataArray]) -> Callable[..., xr.DataArray]:
        name = formula.__name__
        bands = tuple(inspect.signature(formula).parameters)
        SPECTRAL_INDICES[name] = SpectralIndex(name, long_name, reference, bands, formula)
        return formula

    return register


def compute_index(name: str, bands: xr.Dataset) -> xr.DataArray:
    """A registered index of a dataset whose variables are named as the bands.

    Parameters
    ----------
    name
        Name in :data:`SPECTRAL_INDICES`.
    bands
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        The index [1] under its name, with ``units``, ``long_name`` and ``nodata``; float32 where the bands
        are.

    Raises
    ------
    InputError
        The index is unknown, or a band that it needs is missing.
    """
    if name not in SPECTRAL_INDICES:
        raise InputError(
            f"there is no spectral index {name!r}; there are {', '.join(sorted(SPECTRAL_INDICES))}"
        )
    index = SPECTRAL_INDICES[name]
    missing = [band for band in index.bands if band not in bands]
    if missing:
        exist = ", ".join(str(band) for band in bands.data_vars)
        raise InputError(f"{name} needs the bands {', '.join(missing)}; the data have {exist}")
    values = index.formula(*(bands[band] for band in index.bands)).rename(name)
    kept = {
        key: bands[index.bands[0]].attrs[key]
        for key in ("grid_mapping",)
        if key in bands[index.bands[0]].attrs
    }
    return values.assign_attrs(units="1", long_name=index.long_name, nodata=float("nan"), **kept)


def normalized_difference(first: xr.DataArray, second: xr.DataArray) -> xr.DataArray:
    """``(first - second) / (first + second)`` [1], dims ``(..., y, x)``, NaN where the sum is 0."""
    total = first + second
    return (first - second) / total.where(total != 0)


@spectral_index(
    long_name="Normalized difference vegetation index",
    reference="Tucker 1979, doi:10.1016/0034-4257(79)90013-0, after Rouse et al. 1974, NASA SP-351",
)
def ndvi(nir: xr.DataArray, red: xr.DataArray) -> xr.DataArray:
    """Green vegetation, ``(nir - red) / (nir + red)``.

    Parameters
    ----------
    nir, red
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        NDVI [1], -1 to 1, NaN where either band is NaN or their sum is 0.
    """
    return normalized_difference(nir, red)


@spectral_index(
    long_name="Normalized difference water index",
    reference="McFeeters 1996, doi:10.1080/01431169608948714",
)
def ndwi(green: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    """Open water, ``(green - nir) / (green + nir)``; not to be confused with Gao's index of the same name.

    Parameters
    ----------
    green, nir
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        NDWI [1], -1 to 1, NaN where either band is NaN or their sum is 0.
    """
    return normalized_difference(green, nir)


@spectral_index(
    long_name="Normalized difference built-up index",
    reference="Zha et al. 2003, doi:10.1080/01431160304987",
)
def ndbi(swir_1: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    """Built-up land, ``(swir_1 - nir) / (swir_1 + nir)``; dry bare soil looks the same.

    Parameters
    ----------
    swir_1, nir
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        NDBI [1], -1 to 1, NaN where either band is NaN or their sum is 0.
    """
    return normalized_difference(swir_1, nir)


@spectral_index(
    long_name="Built-up index",
    reference="He et al. 2010, doi:10.1016/j.apgeog.2010.01.003, after Zha et al. 2003",
)
def bu(swir_1: xr.DataArray, nir: xr.DataArray, red: xr.DataArray) -> xr.DataArray:
    """Built-up land without vegetation, ``ndbi - ndvi``; dry bare soil looks the same.

    Parameters
    ----------
    swir_1, nir, red
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        BU [1], -2 to 2, NaN where NDBI or NDVI is.
    """
    return ndbi(swir_1, nir) - ndvi(nir, red)


@spectral_index(
    long_name="Modified normalized difference water index",
    reference="Xu 2006, doi:10.1080/01431160600589179",
)
def mndwi(green: xr.DataArray, swir_1: xr.DataArray) -> xr.DataArray:
    """Open water among buildings, ``(green - swir_1) / (green + swir_1)``.

    Parameters
    ----------
    green, swir_1
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        MNDWI [1], -1 to 1, NaN where either band is NaN or their sum is 0.
    """
    return normalized_difference(green, swir_1)


@spectral_index(
    long_name="Normalized burn ratio",
    reference="Key and Benson 2006, RMRS-GTR-164-CD, after Lopez Garcia and Caselles 1991, "
    "doi:10.1080/10106049109354290",
)
def nbr(nir: xr.DataArray, swir_2: xr.DataArray) -> xr.DataArray:
    """Burnt land, ``(nir - swir_2) / (nir + swir_2)``; low where it burnt.

    Parameters
    ----------
    nir, swir_2
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        NBR [1], -1 to 1, NaN where either band is NaN or their sum is 0.
    """
    return normalized_difference(nir, swir_2)


@spectral_index(
    long_name="Normalized difference moisture index",
    reference="Wilson and Sader 2002, doi:10.1016/S0034-4257(01)00318-2",
)
def ndmi(nir: xr.DataArray, swir_1: xr.DataArray) -> xr.DataArray:
    """Water in leaves, ``(nir - swir_1) / (nir + swir_1)``.

    Parameters
    ----------
    nir, swir_1
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        NDMI [1], -1 to 1, NaN where either band is NaN or their sum is 0.
    """
    return normalized_difference(nir, swir_1)


@spectral_index(
    long_name="Enhanced vegetation index",
    reference="Huete et al. 2002, doi:10.1016/S0034-4257(02)00096-2",
)
def evi(nir: xr.DataArray, red: xr.DataArray, blue: xr.DataArray) -> xr.DataArray:
    """Dense vegetation, ``2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1)``.

    Parameters
    ----------
    nir, red, blue
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        EVI [1], NaN where a band is NaN or the denominator is 0.
    """
    total = nir + 6 * red - 7.5 * blue + 1
    return 2.5 * (nir - red) / total.where(total != 0)


@spectral_index(
    long_name="Automated water extraction index, no shadow",
    reference="Feyisa et al. 2014, doi:10.1016/j.rse.2013.08.029",
)
def awei_nsh(
    green: xr.DataArray, nir: xr.DataArray, swir_1: xr.DataArray, swir_2: xr.DataArray
) -> xr.DataArray:
    """Open water where shadow is no problem, ``4 (green - swir_1) - (0.25 nir + 2.75 swir_2)``; water above
    0.

    Parameters
    ----------
    green, nir, swir_1, swir_2
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        AWEI without shadow [1], NaN where a band is NaN.
    """
    return 4 * (green - swir_1) - (0.25 * nir + 2.75 * swir_2)


@spectral_index(
    long_name="Automated water extraction index, shadow",
    reference="Feyisa et al. 2014, doi:10.1016/j.rse.2013.08.029",
)
def awei_sh(
    blue: xr.DataArray, green: xr.DataArray, nir: xr.DataArray, swir_1: xr.DataArray, swir_2: xr.DataArray
) -> xr.DataArray:
    """Open water among shadows, ``blue + 2.5 green - 1.5 (nir + swir_1) - 0.25 swir_2``; water above 0.

    Parameters
    ----------
    blue, green, nir, swir_1, swir_2
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        AWEI with shadow [1], NaN where a band is NaN.
    """
    return blue + 2.5 * green - 1.5 * (nir + swir_1) - 0.25 * swir_2


@spectral_index(
    long_name="Bare soil index",
    reference="Rikimaru et al. 2002, Tropical Ecology 43(1), 39-47; of these bands Mzid et al. 2021, doi:10.3390/rs13030474",
)
def bsi(blue: xr.DataArray, red: xr.DataArray, nir: xr.DataArray, swir_1: xr.DataArray) -> xr.DataArray:
    """Bare soil, ``((swir_1 + red) - (nir + blue)) / ((swir_1 + red) + (nir + blue))``.

    Parameters
    ----------
    blue, red, nir, swir_1
        Surface reflectance [1], 0 to 1, dims ``(..., y, x)``; NaN is no data.

    Returns
    -------
    xr.DataArray
        BSI [1], -1 to 1, NaN where a band is NaN or their sum is 0.
    """
    return normalized_difference(swir_1 + red, nir + blue)
