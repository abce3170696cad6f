"""Minimum mapping unit: patches smaller than it take the most probable class of their surroundings."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from skimage import measure

from ceiba.errors import InputError
from ceiba.legends import NODATA, Legend

ROUNDS = 2
LINEAR = "linear"  # column of a legend that names what is narrow by nature
_NEIGHBORS = ((0, 1), (1, 0), (1, 1), (1, -1))


def linear_classes(legend: Legend) -> tuple[int, ...]:
    """Codes of the classes that are narrow by nature (column ``linear`` of the legend is "yes"), ascending."""
    return tuple(sorted(entry.code for entry in legend.classes if entry.facts.get(LINEAR) == "yes"))


def halo_px(unit_ha: float, smallest_pixel_ha: float, *, rounds: int = ROUNDS) -> int:
    """Pixels around a tile that :func:`apply_minimum_unit` needs for the result of the whole map inside the tile.

    A patch below the unit spans fewer than ``unit / pixel`` pixels whatever its shape. Whether it goes depends on its own
    pixels, and what it becomes in round ``n`` on patches ``n`` such spans away.
    """
    span = int(np.ceil(unit_ha / smallest_pixel_ha)) + 1
    return (rounds + 1) * span if unit_ha > smallest_pixel_ha else 0


def apply_minimum_unit(
    land_cover: xr.DataArray,
    probabilities: xr.DataArray,
    areas_ha: xr.DataArray,
    *,
    unit_ha: float,
    kept: Iterable[int] = (),
    rounds: int = ROUNDS,
) -> xr.DataArray:
    """Give patches below the minimum mapping unit to the most probable class around them.

    A patch is a set of pixels of one class that touch, also by a corner. Among the classes of the patches beside it that are large
    enough, a small patch takes the one with the largest mean probability over its own pixels. Small patches that touch only small
    ones wait for the next round; those still waiting after the last round stay, so that the reach of the rule is bounded.

    Parameters
    ----------
    land_cover
        Codes, uint8, 0 is no data, dims ``(y, x)``.
    probabilities
        Probabilities [1], dims ``(class, y, x)``, of all classes that the map holds.
    areas_ha
        True area of each pixel [ha], dims ``(y, x)``, see :func:`ceiba.classification.accuracy.areas.pixel_areas`.
    unit_ha
        Minimum mapping unit [ha]; 0 changes nothing.
    kept
        Codes whose patches stay whatever their size, see :func:`linear_classes`.
    rounds
        How often small patches look around, 1 or more.

    Returns
    -------
    xr.DataArray
        Codes, uint8, dims ``(y, x)``. Tiles with a halo of :func:`halo_px` give what the whole map gives.

    Raises
    ------
    InputError
        On a negative unit, no round, grids that differ, or a mapped class without probability.
    """
    if not unit_ha >= 0 or rounds < 1:
        raise InputError(f"unit {unit_ha} ha, {rounds} rounds; the unit must be 0 or more and rounds 1 or more")
    share = probabilities.transpose("class", "y", "x")
    if not land_cover.shape == share.shape[1:] == areas_ha.shape:
        shapes = f"map {land_cover.shape}, probabilities {share.shape[1:]}, areas {areas_ha.shape}"
        raise InputError(f"the grids differ: {shapes}")
    codes = land_cover.transpose("y", "x").values.astype("uint8")
    classes = share["class"].values.astype("int64")
    strange = sorted(set(np.unique(codes).tolist()) - set(classes.tolist()) - {NODATA})
    if strange:
        raise InputError(f"the map holds classes {strange} without probability; given are {classes.tolist()}")
    out = codes.copy()
    number = _small_patches(codes, areas_ha.values, unit_ha, tuple(kept))
    if number.any():
        _fill(out, number, share.values, classes, rounds)
    return land_cover.transpose("y", "x").copy(data=out)


def _small_patches(codes: np.ndarray, areas_ha: np.ndarray, unit_ha: float, kept: tuple[int, ...]) -> np.ndarray:
    """Number from 1 of the small patch of each pixel, 0 elsewhere."""
    patch = measure.label(codes, background=NODATA, connectivity=2)
    area = np.bincount(patch.ravel(), weights=areas_ha.ravel())
    small = area < unit_ha
    small[0] = False
    if kept:
        small[np.unique(patch[np.isin(codes, kept)])] = False
    return np.where(small, np.cumsum(small), 0)[patch]


def _fill(out: np.ndarray, number: np.ndarray, share: np.ndarray, classes: np.ndarray, rounds: int) -> None:
    """Give small patches their class in place, the ones at the rim of others first."""
    patches = int(number.max())
    rows, columns = np.nonzero(number)
    within = number[rows, columns]
    size = np.bincount(within, minlength=patches + 1)
    # Sums in the order of the rows: a tile adds the same numbers in the same order as the whole map.
    likely = np.stack([np.bincount(within, weights=layer[rows, columns], minlength=patches + 1) for layer in share], axis=1)
    likely /= np.maximum(size, 1)[:, None]
    column_of = np.full(256, -1)
    column_of[classes] = np.arange(len(classes))
    waiting = number.copy()
    for _ in range(rounds):
        beside = np.zeros((patches + 1, len(classes)), dtype=bool)
        for down, across in _NEIGHBORS:
            for here, there in _pairs(down, across):
                touching = (waiting[here] > 0) & (waiting[there] == 0) & (out[there] != NODATA)
                beside[waiting[here][touching], column_of[out[there][touching]]] = True
        decided = beside.any(axis=1)
        if not decided.any():
            return
        chosen = classes[np.where(beside, likely, -1.0).argmax(axis=1)].astype("uint8")
        at = (waiting > 0) & decided[waiting]
        out[at] = chosen[waiting[at]]
        waiting[at] = 0


def _pairs(down: int, across: int):
    """The two sides of every pair of neighbors in a direction, both ways round."""
    if across >= 0:
        first = np.s_[: -down or None, : -across or None]
        second = np.s_[down:, across:]
    else:
        first, second = np.s_[:-down, -across:], np.s_[down:, :across]
    return (first, second), (second, first)
