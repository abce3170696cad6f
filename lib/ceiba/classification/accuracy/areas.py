"""True areas of pixels and classes, and areas corrected by a reference sample."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import Geod, Proj, Transformer
from scipy import stats

from ceiba.errors import InputError
from ceiba.legends import Legend

M2_PER_HA = 10_000.0
KNOTS = 33


def pixel_areas(geobox: GeoBox) -> xr.DataArray:
    """True area of each pixel on the ellipsoid: national grids are not equal-area.

    In a projected CRS it is the planar area over the areal scale of the projection, which changes so slowly that it is
    computed at up to 33 x 33 knots and interpolated (error below 1e-6 for tiles of 100 km in EPSG:6372). In a geographic
    CRS it is the geodesic area of one cell a row.

    Parameters
    ----------
    geobox
        Pixel grid, north up.

    Returns
    -------
    xr.DataArray
        Areas [ha], dims ``(y, x)``, float64.
    """
    height, width = geobox.shape
    affine = geobox.affine
    planar = abs(affine.a * affine.e - affine.b * affine.d)
    if geobox.crs.geographic:
        row_area = _cell_areas(geobox)
        values = np.broadcast_to(row_area[:, None], (height, width)).copy()
    else:
        rows = np.unique(np.linspace(0, height - 1, min(height, KNOTS)))
        columns = np.unique(np.linspace(0, width - 1, min(width, KNOTS)))
        x, y = affine * np.meshgrid(columns + 0.5, rows + 0.5)
        scale = _areal_scale(geobox.crs.proj, np.asarray(x), np.asarray(y))
        # Linear along both axes, one after the other: no grid of coordinates as large as the tile.
        scale = _between_knots(rows, height) @ scale.reshape(len(rows), len(columns)) @ _between_knots(columns, width).T
        pixel_ha = planar * geobox.crs.proj.axis_info[0].unit_conversion_factor ** 2 / M2_PER_HA
        values = np.divide(pixel_ha, scale, out=scale)
    return xr.DataArray(values, dims=("y", "x"), attrs={"units": "ha"})


def _between_knots(knots: np.ndarray, length: int) -> np.ndarray:
    """Weight of each knot at each pixel by linear interpolation, dims ``(pixel, knot)``."""
    return np.stack([np.interp(np.arange(length), knots, one) for one in np.eye(len(knots))], axis=1)


def _areal_scale(crs, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    longitude, latitude = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(x, y)
    return np.asarray(Proj(crs).get_factors(longitude, latitude).areal_scale)


def _cell_areas(geobox: GeoBox) -> np.ndarray:
    geod = geobox.crs.proj.get_geod() or Geod(ellps="WGS84")
    affine = geobox.affine
    areas = []
    for row in range(geobox.shape[0]):
        top, bottom = affine.f + row * affine.e, affine.f + (row + 1) * affine.e
        # A parallel is no geodesic: the cell's edges get enough points to follow it.
        longitude = np.linspace(0, affine.a, 17)
        lons = np.concatenate([longitude, longitude[::-1]])
        lats = np.concatenate([np.full(17, top), np.full(17, bottom)])
        areas.append(abs(geod.polygon_area_perimeter(lons, lats)[0]) / M2_PER_HA)
    return np.array(areas)


def class_areas(land_cover: xr.DataArray, legend: Legend) -> pd.DataFrame:
    """Mapped area of each class.

    Parameters
    ----------
    land_cover
        Codes, dims ``(y, x)``, with a geobox (``.odc``); 0 is no data.
    legend
        Legend of the map; raises :class:`ceiba.errors.LegendError` on a code that it does not have.

    Returns
    -------
    pd.DataFrame
        One row a class of the legend: code, name_es, name_en, pixels, area_ha, share [1] of the mapped area.
    """
    values = land_cover.values
    legend.check_map(values)
    weights = pixel_areas(land_cover.odc.geobox).values
    area = np.bincount(values.ravel(), weights=weights.ravel(), minlength=256)
    pixels = np.bincount(values.ravel(), minlength=256)
    codes = legend.codes.astype("int64")
    total = area[codes].sum()
    return pd.DataFrame(
        {
            "code": codes,
            "name_es": [legend.find(int(code)).name_es for code in codes],
            "name_en": [legend.find(int(code)).name_en for code in codes],
            "pixels": pixels[codes],
            "area_ha": area[codes],
            "share": area[codes] / total if total else np.zeros(len(codes)),
        }
    )


@dataclass(frozen=True)
class AreaEstimate:
    """Accuracy and areas by the stratified estimator, the map's classes being the strata.

    Attributes
    ----------
    overall, overall_half_width
        Overall accuracy [1] and half the width of its 95 % interval.
    classes
        One row a class: code, mapped_ha, samples (drawn from the class), users_accuracy, users_half_width,
        producers_accuracy, producers_half_width [1], area_ha, area_half_width_ha.
    coverage
        Share of the mapped area [1] in strata with at least two samples; the figures speak of that part only.
    """

    overall: float
    overall_half_width: float
    classes: pd.DataFrame
    coverage: float


def estimate_areas(counts: pd.DataFrame, mapped_ha: Mapping[int, float], *, level: float = 0.95) -> AreaEstimate:
    """Areas and accuracies corrected for map errors.

    Olofsson et al. 2014 (doi:10.1016/j.rse.2014.02.015), equations 5 to 11. Where the paper's printed half-widths of
    producer's accuracy differ from its equation 7, this follows the equation.

    Parameters
    ----------
    counts
        Reference samples, rows are map classes and columns reference classes. A class that only the map or only the
        reference has is legal: it has no samples on the other side.
    mapped_ha
        Mapped area of each class [ha] (or pixels, the unit of the answer then); a class of the reference alone needs none.
    level
        Confidence level.

    Raises
    ------
    InputError
        Where a class stands twice, a mapped class has no area, or no stratum has two samples.
    """
    if not (counts.index.is_unique and counts.columns.is_unique):
        raise InputError("a class stands twice among the rows or the columns of the counts")
    absent = [code for code in counts.index if code not in mapped_ha]
    if absent:
        raise InputError(f"no mapped area for classes {absent}")
    codes = list(dict.fromkeys([*counts.index, *counts.columns]))
    samples = counts.reindex(index=codes, columns=codes, fill_value=0).to_numpy(dtype="float64")
    stratum = np.array([mapped_ha.get(code, 0) for code in codes], dtype="float64")
    drawn = samples.sum(axis=1)
    # One sample gives no variance: such a stratum, and an empty one, is left out and the rest says how much it covers.
    usable = (drawn >= 2) & (stratum > 0)
    if not usable.any():
        raise InputError("no map class has two reference samples: areas cannot be estimated")
    area = stratum[usable].sum()
    weight = np.where(usable, stratum, 0) / area
    safe = np.where(usable, drawn, 2)
    share = samples / safe[:, None]
    z = float(stats.norm.ppf(0.5 + level / 2))
    proportion = weight[:, None] * share
    column = proportion.sum(axis=0)
    users = np.diag(share)
    users_variance = users * (1 - users) / (safe - 1)
    overall = float(np.diag(proportion).sum())
    overall_variance = float((weight**2 * users_variance).sum())
    area_variance = ((weight[:, None] ** 2) * share * (1 - share) / (safe - 1)[:, None]).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        producers = np.diag(proportion) / column
        omitted = (weight[:, None] ** 2) * share * (1 - share) / (safe - 1)[:, None]
        elsewhere = omitted.sum(axis=0) - np.diag(omitted)
        own = weight**2 * (1 - producers) ** 2 * users_variance
        producers_variance = (own + producers**2 * elsewhere) / column**2
    classes = pd.DataFrame(
        {
            "code": codes,
            "mapped_ha": stratum,
            "samples": drawn.astype("int64"),
            "users_accuracy": np.where(usable, users, np.nan),
            "users_half_width": np.where(usable, z * np.sqrt(users_variance), np.nan),
            "producers_accuracy": producers,
            "producers_half_width": z * np.sqrt(producers_variance),
            "area_ha": column * area,
            "area_half_width_ha": z * np.sqrt(area_variance) * area,
        }
    )
    return AreaEstimate(overall, z * np.sqrt(overall_variance), classes, float(area / stratum.sum()))
