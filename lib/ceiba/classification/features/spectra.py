"""Geomedians of a year and of its seasons, and percentiles of indices, as features."""

import numpy as np
import xarray as xr

from ceiba.classification.features.pixel_blocks import PixelBlock, index_of
from ceiba.classification.features.schemas import Part
from ceiba.mosaics.geomedian import STATISTICS, geomedian_of_arrays
from ceiba.mosaics.reducers import percentile_name, statistics_of_dates


def geomedian_spectra(block: PixelBlock, part: Part) -> np.ndarray:
    """Geomedian of all dates, indices of it, its three deviations and the number of dates that it is made of.

    A date counts where no band of it is missing. Dims ``(feature, pixel)``, float32; the number is 0 where the rest is NaN.
    """
    bands, layers = _geomedian(block, part.reads, deviations=True)
    return np.stack([_layer_of(feature.kind, feature.source or feature.quantity, bands, layers) for feature in part.features])


def seasonal_geomedians(block: PixelBlock, part: Part) -> np.ndarray:
    """Geomedian of the dates in the months of each season, whatever their year, and indices of it.

    Parameters
    ----------
    block
        Observations of pixels; ``times`` are needed.
    part
        Its option ``months`` tells the months (1 to 12) of each season; the statistic of a feature is its season.

    Returns
    -------
    np.ndarray
        dims ``(feature, pixel)`` [1], float32, NaN where a season has no clear date.
    """
    months = block.times.astype("datetime64[M]").astype(int) % 12 + 1
    found = {
        season: _geomedian(block.during(np.isin(months, chosen)), part.reads, deviations=False)
        for season, chosen in part.options["months"].items()
    }
    return np.stack([_layer_of(feature.kind, feature.source, *found[feature.statistic]) for feature in part.features])


def percentiles(block: PixelBlock, part: Part) -> np.ndarray:
    """Percentiles of indices over the dates, linear between the two nearest (Hyndman and Fan 1996, type 7).

    One bad date in ten cannot move the 10th and the 90th percentile, as it does a minimum or maximum. A negative reflectance
    counts as 0, so that a normalized difference stays within -1 and 1. Dims ``(feature, pixel)`` [1], float32.
    """
    light = _not_negative(block.bands)
    wanted = {feature.statistic: float(feature.statistic.removeprefix("p")) for feature in part.features}
    found = {}
    for source in dict.fromkeys(feature.source for feature in part.features):
        values = index_of(source, light)[:, np.newaxis]
        series = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": block.times}, name=source)
        found[source] = statistics_of_dates(series, percentiles=list(wanted.values()))
    return np.stack(
        [found[feature.source][percentile_name(wanted[feature.statistic])].values[0] for feature in part.features]
    )


def _geomedian(
    block: PixelBlock, names: tuple[str, ...], *, deviations: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Bands of the geomedian, and its deviations and count, by name, each ``(pixel,)``."""
    if not len(block.times):
        return {name: np.full(block.pixels, np.nan, np.float32) for name in names}, {}
    stacked = [block.bands[name][:, np.newaxis] for name in names]
    # always by the processor: samples and maps may be made on different machines, and must be equal to the bit
    layers = geomedian_of_arrays(
        stacked, np.ones(stacked[0].shape, bool), nodata=None, scale=1.0, offset=0.0, deviations=deviations, engine="numba"
    )[:, 0]
    others = [*STATISTICS, "clear_count"] if deviations else ["clear_count"]
    return dict(zip(names, layers, strict=False)), dict(zip(others, layers[len(names) :], strict=True))


def _layer_of(kind: str, source: str, bands: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> np.ndarray:
    if kind == "band":
        return bands[source]
    if kind == "index":
        return index_of(source, _not_negative(bands))
    return others[source]


def _not_negative(bands: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Reflectance below 0, an atmospheric correction gone too far, as 0."""
    return {name: np.maximum(values, np.float32(0)) for name, values in bands.items()}
