"""A map made block by block: the memory is that of a block with its halo, the result that of the whole at once."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ceiba.classification.maps import minimum_unit, smoothing
from ceiba.classification.maps.hierarchy import FIRST, decide_coherently
from ceiba.classification.maps.prediction import map_land_cover, predict_probabilities
from ceiba.classification.maps.trust import trust_bands
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.errors import InputError
from ceiba.legends import Legend, load_legend
from ceiba.sources import load_block

log = logging.getLogger(__name__)

BLOCK_PX = 512
COARSER_BANDS = {17: "land_cover_17", 8: "land_cover_8"}


@dataclass(frozen=True)
class MapSettings:
    """What happens to probabilities before they become a map.

    Attributes
    ----------
    window_px, share, smoothness
        Of :func:`ceiba.classification.maps.smoothing.smooth_probabilities`; a window of 1 smooths nothing.
    unit_ha
        Minimum mapping unit [ha]; 0 removes nothing. Linear classes of the legend are left alone.
    first
        "fine" or "coarse", see :func:`ceiba.classification.maps.hierarchy.decide_coherently`.
    """

    window_px: int = smoothing.WINDOW_PX
    share: float = smoothing.SHARE
    smoothness: float = smoothing.SMOOTHNESS
    unit_ha: float = 0.0
    first: str = "fine"

    def __post_init__(self):
        if self.first not in FIRST:
            raise InputError(f"first is {self.first!r}; allowed are {', '.join(FIRST)}")
        if not self.unit_ha >= 0:
            raise InputError(f"the minimum mapping unit is {self.unit_ha} ha; it must be 0 or more")

    def halo_px(self, smallest_pixel_ha: float) -> int:
        """Pixels around a tile or block on which its map depends.

        The smallest pixel [ha] is that of the tile: the areas of pixels in the halo differ by less than what is added for one.
        """
        unit = minimum_unit.halo_px(self.unit_ha, smallest_pixel_ha)
        return smoothing.halo_px(self.window_px) + unit


def block_slices(height: int, width: int, block_px: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of blocks with sides of ``block_px`` or less, from the top row of blocks to the last, left to right."""
    if block_px < 1:
        raise InputError(f"blocks of {block_px} pixels; at least 1 is needed")
    for top in range(0, height, block_px):
        for left in range(0, width, block_px):
            yield slice(top, min(top + block_px, height)), slice(left, min(left + block_px, width))


def coarser_legends(legend: Legend) -> tuple[Legend, ...]:
    """The legends above ``legend`` from fine to coarse, each with parents in the next; none where classes have no parents."""
    found = [load_legend(name) for name in legend.parent_legends]
    return tuple(sorted(found, key=len, reverse=True))


def map_blocks(
    model: LandCoverModel,
    features: xr.Dataset,
    legend: Legend,
    areas_ha: xr.DataArray,
    *,
    settings: MapSettings | None = None,
    block_px: int = BLOCK_PX,
    rim_px: int = 0,
) -> Iterator[tuple[slice, slice, xr.Dataset]]:
    """The map of each block, from the top row of blocks to the last, left to right.

    Parameters
    ----------
    model, features, legend
        As in :func:`ceiba.classification.maps.prediction.predict_probabilities`; lazy features are loaded a block at a time.
    areas_ha
        True area of each pixel [ha], dims ``(y, x)``.
    settings
        Smoothing, minimum mapping unit and which class is chosen first.
    block_px
        Side of a block [pixels]; it changes memory and time, never the map.
    rim_px
        Pixels at each side that belong to the tiles around: they are looked at, but not mapped.

    Yields
    ------
    tuple
        Rows and columns, counted from the first one mapped, and the bands there of
        :func:`ceiba.classification.maps.prediction.map_land_cover` and :func:`ceiba.classification.maps.trust.trust_bands`.
    """
    settings = settings or MapSettings()
    if not 0 <= 2 * rim_px < min(areas_ha.shape):
        raise InputError(f"a rim of {rim_px} pixels leaves nothing to map of {areas_ha.shape}")
    model.check_schema(features, legend)
    height, width = areas_ha.shape
    # One halo for all blocks, that of the smallest pixel, whatever block it lies in.
    smallest = float(areas_ha.min())
    reach = minimum_unit.halo_px(settings.unit_ha, smallest)
    halo = settings.halo_px(smallest)
    calibrated = is_calibrated(model, settings)
    if not calibrated:
        log.warning(
            "the model is not calibrated for a window of %d pixels and a smoothness of %g: probabilities are too careful, "
            "the classes are not affected", settings.window_px, settings.smoothness,
        )  # fmt: skip
    coarser, linear = coarser_legends(legend), minimum_unit.linear_classes(legend)
    for inside in block_slices(height - 2 * rim_px, width - 2 * rim_px, block_px):
        rows, columns = (slice(part.start + rim_px, part.stop + rim_px) for part in inside)
        around = _widen(rows, halo, height), _widen(columns, halo, width)
        near = load_block(features.isel(y=around[0], x=around[1]))
        probabilities = predict_probabilities(model, near, legend)
        smooth = smoothing.smooth_probabilities(
            probabilities, window_px=settings.window_px, share=settings.share, smoothness=settings.smoothness
        )
        wider = _widen(rows, reach, height), _widen(columns, reach, width)
        smooth = smooth.isel(y=_within(wider[0], around[0]), x=_within(wider[1], around[1]))
        decided = decide_coherently(smooth, legend, coarser, first=settings.first)[legend.name]
        if settings.unit_ha:
            codes = smooth.isel({"class": 0}, drop=True).copy(data=decided)
            decided = minimum_unit.apply_minimum_unit(
                codes, smooth, areas_ha[wider], unit_ha=settings.unit_ha, kept=linear
            ).values
        inner = _within(rows, wider[0]), _within(columns, wider[1])
        own = {"y": _within(rows, around[0]), "x": _within(columns, around[1])}
        trust = trust_bands(model, near.isel(own), probabilities.isel(own))
        shown = smooth.isel(y=inner[0], x=inner[1])
        if settings.window_px > 1 and calibrated:
            shown = model.smoothed.apply(shown)
        part = map_land_cover(shown, decided[inner])
        yield *inside, part.assign(trust.data_vars)


def is_calibrated(model: LandCoverModel, settings: MapSettings) -> bool:
    """Whether the probabilities of a map with these settings are calibrated: without smoothing, or with that of the model."""
    smoothing_of = (settings.window_px, settings.share, settings.smoothness)
    return settings.window_px == 1 or (model.smoothed is not None and model.smoothed.is_of(*smoothing_of))


def map_by_blocks(
    model: LandCoverModel,
    features: xr.Dataset,
    legend: Legend,
    areas_ha: xr.DataArray,
    *,
    settings: MapSettings | None = None,
    block_px: int = BLOCK_PX,
    rim_px: int = 0,
) -> xr.Dataset:
    """All blocks of :func:`map_blocks` put together: bands of the whole without its rim, dims ``(y, x)``."""
    mapped = slice(rim_px, -rim_px or None)
    first = features[model.names[0]].isel(y=mapped, x=mapped)
    bands: dict[str, xr.DataArray] = {}
    parts = map_blocks(model, features, legend, areas_ha, settings=settings, block_px=block_px, rim_px=rim_px)
    for rows, columns, part in parts:
        for name, band in part.items():
            if name not in bands:
                whole = np.empty(first.shape, dtype=band.dtype)
                bands[name] = xr.DataArray(whole, dims=first.dims, coords=first.coords, attrs=band.attrs)
            bands[name].values[rows, columns] = band.values
    return xr.Dataset(bands)


def coarser_maps(land_cover: xr.DataArray, legend: Legend, coarser: Sequence[Legend]) -> dict[str, xr.DataArray]:
    """Maps in coarser legends by the parents of the mapped class: whatever made the map, they agree with it everywhere."""
    tables = {}
    for above in coarser:
        table = np.zeros(256, dtype="uint8")
        for code, parent in legend.parents(above).items():
            table[code] = parent
        tables[above.name] = land_cover.copy(data=table[land_cover.values]).assign_attrs(units="class")
    return tables


def coarser_bands(land_cover: xr.DataArray, legend: Legend, coarser: Sequence[Legend]) -> dict[str, xr.DataArray]:
    """:func:`coarser_maps` by band of the product, without data where ``legend`` has no such parents.

    Raises :class:`InputError` where a coarser legend has a number of classes for which the product has no band.
    """
    bands = {name: xr.zeros_like(land_cover).assign_attrs(units="class") for name in COARSER_BANDS.values()}
    strange = [above.name for above in coarser if len(above) not in COARSER_BANDS]
    if strange:
        raise InputError(f"no band for coarser legends {strange}; there are bands of {list(COARSER_BANDS)} classes")
    maps = coarser_maps(land_cover, legend, coarser)
    return bands | {COARSER_BANDS[len(above)]: maps[above.name] for above in coarser}


def _widen(part: slice, by: int, length: int) -> slice:
    return slice(max(0, part.start - by), min(length, part.stop + by))


def _within(part: slice, window: slice) -> slice:
    return slice(part.start - window.start, part.stop - window.start)
