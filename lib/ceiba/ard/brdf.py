"""Reflectance as seen from straight above: the c-factor of the BRDF model of MODIS."""

import functools
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.config import project_root
from ceiba.errors import SceneError

Angle = TypeVar("Angle", float, np.ndarray, xr.DataArray)


def adjust_brdf(
    reflectance: xr.Dataset,
    *,
    sun_zenith_deg: xr.DataArray | float,
    view_zenith_deg: xr.DataArray | float,
    relative_azimuth_deg: xr.DataArray | float,
    normal_sun_zenith_deg: xr.DataArray | float | None = None,
) -> xr.Dataset:
    """Nadir reflectance (NBAR) by the c-factor: reflectance times the model at nadir over the model as seen.

    Roy et al. 2016, doi:10.1016/j.rse.2016.01.023 (Landsat), Roy et al. 2017, doi:10.1016/j.rse.2017.06.019 and
    doi:10.3390/rs9121325 (Sentinel-2): one set of kernel weights a band for all land, ``catalogs/atmosphere/
    brdf_kernels.csv``, whatever the sensor.

    Use it where scenes of several view angles share a mosaic: overlapping paths of Landsat, Sentinel-2 beside Landsat. It
    changes nothing at nadir. It hurts over water and snow, whose BRDF is not that of land, and on slopes, whose light it
    takes for that of flat ground: correct terrain first or leave such pixels out.

    Parameters
    ----------
    reflectance
        Surface reflectance [1], dims ``(..., y, x)``, NaN is no data.
    sun_zenith_deg, view_zenith_deg
        Zenith angles of the sun and of the sensor [degree], below 90, by pixel or for the scene.
    relative_azimuth_deg
        Azimuth of the sensor less that of the sun, both as seen from the ground [degree]; 0 has the sun behind the sensor.
    normal_sun_zenith_deg
        Zenith angle of the sun [degree] to adjust to. By default the scene's own (as Roy et al. 2016): only the view
        changes. A fixed angle, for scenes of all seasons, leans harder on the model, and errs more.

    Returns
    -------
    xr.Dataset
        NBAR [1], lazy where an input is; attrs ``brdf_method``, and ``brdf_sun`` in words.

    Raises
    ------
    SceneError
        On a band without kernel weights, or an angle that is none.
    """
    weights = load_kernel_weights()
    unknown = [str(band) for band in reflectance.data_vars if band not in weights.index]
    if unknown:
        raise SceneError(f"no BRDF of bands {', '.join(unknown)}; there are {', '.join(weights.index)}: leave them out")
    for name, angle in (("sun", sun_zenith_deg), ("view", view_zenith_deg), ("normal sun", normal_sun_zenith_deg)):
        if isinstance(angle, int | float) and not 0 <= angle < 90:
            raise SceneError(f"{name} zenith {angle} degrees; zenith angles are from 0 to below 90")
    own = normal_sun_zenith_deg is None
    seen = kernels(sun_zenith_deg, view_zenith_deg, relative_azimuth_deg)
    nadir = kernels(sun_zenith_deg if own else normal_sun_zenith_deg, 0.0, 0.0)
    adjusted = {}
    for band, values in reflectance.data_vars.items():
        factor = _model(weights.loc[band], nadir) / _model(weights.loc[band], seen)
        product = (values * factor).transpose(*values.dims)
        adjusted[band] = product.astype(values.dtype).assign_attrs(values.attrs)
    sun = "the scene's own zenith angle" if own else "a given zenith angle"
    if not own and not isinstance(normal_sun_zenith_deg, xr.DataArray):
        sun = f"{normal_sun_zenith_deg:.1f} degrees from the zenith"
    return xr.Dataset(adjusted, attrs=reflectance.attrs | {"brdf_method": "c-factor", "brdf_sun": sun})


def kernels(sun_zenith_deg: Angle, view_zenith_deg: Angle, relative_azimuth_deg: Angle) -> tuple[Angle, Angle]:
    """The kernels RossThick and LiSparse-R of the BRDF product of MODIS [1].

    Lucht et al. 2000, doi:10.1109/36.841980, eq. 38 to 44, with crowns as wide as high (b/r = 1) at twice their height
    (h/b = 2). Both are 0 where sun and view are at the zenith. Angles as in :func:`adjust_brdf`, any dims.
    """
    sun, view, azimuth = (np.radians(angle) for angle in (sun_zenith_deg, view_zenith_deg, relative_azimuth_deg))
    cos_phase = np.cos(sun) * np.cos(view) + np.sin(sun) * np.sin(view) * np.cos(azimuth)
    phase = np.arccos(np.clip(cos_phase, -1, 1))
    ross = ((np.pi / 2 - phase) * cos_phase + np.sin(phase)) / (np.cos(sun) + np.cos(view)) - np.pi / 4

    # With b/r = 1 the angles primed in the paper are the angles themselves.
    secants = 1 / np.cos(sun) + 1 / np.cos(view)
    tan_sun, tan_view = np.tan(sun), np.tan(view)
    distance_2 = tan_sun**2 + tan_view**2 - 2 * tan_sun * tan_view * np.cos(azimuth)
    across_2 = (tan_sun * tan_view * np.sin(azimuth)) ** 2
    cos_t = np.clip(2 * np.sqrt(np.clip(distance_2 + across_2, 0, None)) / secants, -1, 1)
    t = np.arccos(cos_t)
    overlap = (t - np.sin(t) * cos_t) * secants / np.pi
    li = overlap - secants + 0.5 * (1 + cos_phase) / (np.cos(sun) * np.cos(view))
    return ross, li


def usual_sun_zenith_deg(latitude_deg: float) -> float:
    """Zenith angle of the sun [degree] to which the harmonized product HLS adjusts all scenes of a place.

    Polynomial in the latitude [degree north] of Claverie et al. 2018, doi:10.1016/j.rse.2018.09.002. Raises
    :class:`SceneError` beyond 60 degrees, where the polynomial leaves the sky.
    """
    if not -60 <= latitude_deg <= 60:
        raise SceneError(f"latitude {latitude_deg} degrees; the usual sun is known between -60 and 60")
    coefficients = (31.0076, -0.1272, 0.01187, 2.40e-5, -9.48e-7, -1.95e-9, 6.15e-11)
    return float(np.polynomial.polynomial.polyval(latitude_deg, coefficients))


@functools.cache
def load_kernel_weights() -> pd.DataFrame:
    """Weights ``isotropic``, ``volumetric``, ``geometric`` [1] by band (``catalogs/atmosphere/brdf_kernels.csv``)."""
    return pd.read_csv(project_root() / "catalogs" / "atmosphere" / "brdf_kernels.csv", index_col="band")


def _model(weights: pd.Series, kernel: tuple[Angle, Angle]) -> Angle:
    ross, li = kernel
    return float(weights["isotropic"]) + float(weights["volumetric"]) * ross + float(weights["geometric"]) * li
