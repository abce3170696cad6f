"""Convergence of evidence: training labels where several maps, each with its own legend, say the same.

As CONABIO made the labels of MAD-Mex from INEGI's series and the BITS map (antares3-training). Such labels lie in easy, lasting
places: they are for training, and an accuracy measured on them flatters.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage
from skimage import measure

from ceiba.crosswalks import Crosswalk
from ceiba.errors import InputError, LegendError
from ceiba.legends import NODATA, Legend

Candidates = str | int | Sequence[str | int] | None
STAGES = ("agreed", "overwritten", "eroded", "in_patches")


@dataclass(frozen=True)
class LabelMap:
    """A map as evidence.

    Attributes
    ----------
    name
        What the report calls it.
    values
        Whole numbers, dims ``(y, x)`` or, for several years, ``(year, y, x)``; all maps lie on one grid.
    crosswalk
        Value to class (name or code) of the common legend, to several where the map tells less than the legend, or to None where it
        is no evidence. Every value that occurs must be there.
    """

    name: str
    values: xr.DataArray
    crosswalk: Mapping[int, Candidates]


@dataclass(frozen=True)
class Overwrite:
    """A layer that is believed against all maps, such as lasting water: ``mask`` with dims ``(y, x)`` (bool), and its class."""

    name: str
    mask: xr.DataArray
    label: str | int


@dataclass(frozen=True)
class Evidence:
    """Labels that several maps support.

    Attributes
    ----------
    labels
        Codes, dims ``(y, x)``, uint8, 0 where there is none.
    support
        Maps that say so, dims ``(y, x)``, uint8.
    report
        One row a class of the legend: code, names, pixels of each map that could be it, pixels left after each stage of
        :data:`STAGES`, and yield, the share [1] of the pixels agreed or overwritten that is left at the end.
    """

    labels: xr.DataArray
    support: xr.DataArray
    report: pd.DataFrame


def read_crosswalk(crosswalk: Crosswalk, values: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """What each value may stand for, from a crosswalk of ``catalogs/crosswalks``; values without a class become no evidence."""
    return {int(value): tuple(int(code) for code in crosswalk.targets_of(int(value))) for value in values}


def gather_evidence(
    maps: Sequence[LabelMap],
    legend: Legend,
    *,
    agreeing: int,
    overwrite: Sequence[Overwrite] = (),
    edge_px: int = 0,
    smallest_patch_px: int = 1,
) -> Evidence:
    """Labels where enough maps agree.

    A map says a class where each of its years can be that class and has data; a pixel that changed says nothing. A label needs
    ``agreeing`` maps, and more of them than any other class: a tie is no label. Then layers overwrite in their order, edges of
    patches are taken off, and small patches are left out.

    Parameters
    ----------
    maps
        Two or more.
    legend
        Legend of the labels.
    agreeing
        How many maps must agree, 1 to their number.
    overwrite
        Layers that are believed against the maps.
    edge_px
        Pixels [px] within which another label, or none, makes a pixel no label; the border of the grid is no edge.
    smallest_patch_px
        Pixels [px] of the smallest patch (joined by sides) that is kept.

    Raises
    ------
    InputError
        Where grids or numbers do not fit.
    LegendError
        Naming every value that a crosswalk leaves out.
    """
    _check(maps, overwrite, agreeing, edge_px, smallest_patch_px)
    codes, shape = legend.codes.astype("int64"), maps[0].values.shape[-2:]
    tables = [_candidate_table(layer, legend) for layer in maps]
    best, second = np.zeros(shape, dtype="uint8"), np.zeros(shape, dtype="uint8")
    labels = np.zeros(shape, dtype="uint8")
    report = pd.DataFrame({"code": codes, "name_es": legend.names("es"), "name_en": legend.names("en")}, index=codes)
    report[[layer.name for layer in maps]] = 0
    # Class by class: memory is that of a few layers, however many classes there are.
    for code in codes:
        votes = np.zeros(shape, dtype="uint8")
        for layer, (lowest, table) in zip(maps, tables, strict=True):
            says = table[int(code)][layer.values.values - lowest]
            says = says.all(axis=0) if says.ndim == 3 else says
            votes += says
            report.loc[code, layer.name] = int(says.sum())
        second = np.maximum(second, np.minimum(best, votes))
        labels[votes > best] = code
        np.maximum(best, votes, out=best)
    labels[(best < agreeing) | (best == second)] = NODATA
    stages = [labels.copy()]
    for layer in overwrite:
        mask = layer.mask.values.astype(bool)
        labels[mask] = legend.find(layer.label).code
    stages.append(labels.copy())
    if edge_px:
        labels = np.where(away_from_edges(labels, edge_px), labels, NODATA).astype("uint8")
    stages.append(labels.copy())
    labels = drop_small_patches(labels, smallest_patch_px)
    stages.append(labels)
    for name, stage in zip(STAGES, stages, strict=True):
        report[name] = np.bincount(stage.ravel(), minlength=256)[codes]
    report["yield"] = report["in_patches"] / report["overwritten"].where(report["overwritten"] > 0)
    grid = maps[0].values if maps[0].values.ndim == 2 else maps[0].values.isel({maps[0].values.dims[0]: 0}, drop=True)
    facts = {"units": "class", "legend": legend.name, "nodata": NODATA}
    support = np.where(labels > 0, best, 0).astype("uint8")
    return Evidence(
        labels=grid.copy(data=labels).assign_attrs(facts),
        support=grid.copy(data=support).assign_attrs(units="1", nodata=0),
        report=report.reset_index(drop=True),
    )


def away_from_edges(labels: np.ndarray, edge_px: int) -> np.ndarray:
    """Whether all pixels within ``edge_px`` [px] in both directions have the label of a pixel, dims ``(y, x)``."""
    size = 2 * edge_px + 1
    lowest = ndimage.minimum_filter(labels, size, mode="nearest")
    return lowest == ndimage.maximum_filter(labels, size, mode="nearest")


def drop_small_patches(labels: np.ndarray, smallest_px: int) -> np.ndarray:
    """Labels without patches (pixels of a class joined by sides) of fewer than ``smallest_px`` pixels, 0 in their place."""
    if smallest_px <= 1:
        return labels.copy()
    patch = measure.label(labels, connectivity=1, background=NODATA)
    return np.where(np.bincount(patch.ravel())[patch] >= smallest_px, labels, NODATA).astype("uint8")


def _check(
    maps: Sequence[LabelMap], overwrite: Sequence[Overwrite], agreeing: int, edge_px: int, patch_px: int
) -> None:
    if len(maps) < 2 or not 1 <= agreeing <= len(maps):
        raise InputError(f"{agreeing} of {len(maps)} maps must agree; give two maps or more, and 1 to their number")
    if len({layer.name for layer in maps}) < len(maps):
        raise InputError(f"maps need different names; these are {', '.join(layer.name for layer in maps)}")
    if edge_px < 0 or patch_px < 1:
        raise InputError(f"edge_px {edge_px}, smallest_patch_px {patch_px}: at least 0 and 1")
    grid = maps[0].values.odc.geobox
    for layer in (*maps, *overwrite):
        values = layer.values if isinstance(layer, LabelMap) else layer.mask
        if values.odc.geobox != grid or values.shape[-2:] != maps[0].values.shape[-2:]:
            raise InputError(
                f"{layer.name} lies on another grid than {maps[0].name}: {values.shape} pixels; reproject it first"
            )
        if isinstance(layer, LabelMap) and (values.dtype.kind not in "ui" or values.ndim not in (2, 3)):
            raise InputError(
                f"{layer.name} has {values.dtype} with dims {values.dims}; whole numbers (y, x) or (year, y, x) are needed"
            )


def _candidate_table(layer: LabelMap, legend: Legend) -> tuple[int, dict[int, np.ndarray]]:
    """Lowest value, and for each code whether a value (minus the lowest) can be it."""
    found = np.unique(layer.values.values)
    missing = [int(value) for value in found if int(value) not in layer.crosswalk]
    if missing:
        raise LegendError(
            f"{layer.name} holds values that its crosswalk leaves out: {', '.join(map(str, missing[:20]))}"
        )
    lowest, span = int(found[0]), int(found[-1]) - int(found[0]) + 1
    if span > 1_000_000:
        raise InputError(f"{layer.name} holds values from {lowest} to {int(found[-1])}; a map of classes has fewer")
    table = {int(code): np.zeros(span, dtype=bool) for code in legend.codes}
    for value in found:
        given = layer.crosswalk[int(value)]
        several = () if given is None else (given,) if isinstance(given, str | int | np.integer) else given
        for label in several:
            table[legend.find(label).code][int(value) - lowest] = True
    return lowest, table
