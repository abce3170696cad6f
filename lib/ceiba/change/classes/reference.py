"""Areas of change by a reference sample that was visited, or interpreted, for both years."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.change.classes.from_to import FromToEstimate, estimate_by_region, estimate_from_to, from_to_matrix
from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.accuracy.assessment import FEWEST_SAMPLES, sample_of_table
from ceiba.classification.samples.points import locate, read_samples
from ceiba.errors import InputError
from ceiba.legends import Legend

DESIGN = ("stratum", "stratum_pixels", "stratum_ha", "pixel_ha")


def pair_labels(table: pd.DataFrame, legend: Legend, first_year: int, last_year: int) -> pd.DataFrame:
    """Points that have a label of both years.

    Parameters
    ----------
    table
        As :func:`ceiba.classification.samples.points.read_samples` takes it, one row a point and year; columns of the design are those
        of the first year's row.
    legend
        Legend of the labels.
    first_year, last_year
        Years to compare.

    Returns
    -------
    pd.DataFrame
        One row a point: longitude, latitude, from_code, to_code, and the columns of the design that the table has.

    Raises
    ------
    InputError
        Where a point has two labels of one year.
    """
    samples = read_samples(table, legend)
    samples = samples.join(table[[name for name in DESIGN if name in table]].reset_index(drop=True))
    place = ["longitude", "latitude"]
    years = []
    for year, name in ((first_year, "from_code"), (last_year, "to_code")):
        rows = samples[samples["year"] == year]
        twice = int(rows.duplicated(place).sum())
        if twice:
            raise InputError(f"{twice} points of the reference sample have two labels of {year}; agree on one first")
        years.append(rows.rename(columns={"code": name}))
    kept = [*place, "from_code", *(name for name in DESIGN if name in samples)]
    return years[0][kept].merge(years[1][[*place, "to_code"]], on=place)


def assess_change(
    table: pd.DataFrame, change: xr.Dataset, legend: Legend, *, first_year: int, last_year: int
) -> FromToEstimate | None:
    """Areas from class to class on the land of a map of change, by the reference points of both years that lie on it.

    Parameters
    ----------
    table
        As :func:`pair_labels` takes it.
    change
        ``from_class`` and ``to_class`` of :func:`ceiba.change.classes.series.class_change`, dims ``(y, x)``, with a geobox (``.odc``).
    legend
        Legend of map and reference.
    first_year, last_year
        Years of the map.

    Returns
    -------
    FromToEstimate or None
        None where fewer than 30 points with both labels lie on the map: too few to tell anything.
    """
    points = pair_labels(table, legend, first_year, last_year)
    mapped, _ = _at_points(points, change)
    on_map = (mapped > 0).all(axis=0)
    if on_map.sum() < FEWEST_SAMPLES:
        return None
    area = float(_areas_seen(change).sum())
    return estimate_from_to(
        (mapped[0], mapped[1]),
        (points["from_code"].to_numpy(), points["to_code"].to_numpy()),
        sample_of_table(points),
        matrix=from_to_matrix(change["from_class"], change["to_class"], legend),
        part=on_map,
        part_area_ha=area,
    )


def assess_change_by_region(
    table: pd.DataFrame,
    change: xr.Dataset,
    legend: Legend,
    zones: np.ndarray,
    names: Sequence[str],
    *,
    first_year: int,
    last_year: int,
) -> dict[str, FromToEstimate]:
    """:func:`assess_change` of each region on whose mapped land at least 30 points lie, by its name.

    ``zones`` is the number of the region of each pixel from 1, 0 for none, dims ``(y, x)``, and ``names`` are those of region 1, 2 and so
    on. Regions are parts of one sample: the mapped area of each is known.
    """
    points = pair_labels(table, legend, first_year, last_year)
    mapped, zone = _at_points(points, change, zones)
    known = np.bincount(zones.ravel(), weights=_areas_seen(change).ravel(), minlength=len(names) + 1)
    region_of = np.array(["", *names], dtype=object)
    if points.empty:
        return {}
    return estimate_by_region(
        (mapped[0], mapped[1]),
        (points["from_code"].to_numpy(), points["to_code"].to_numpy()),
        sample_of_table(points),
        region_of[np.where((mapped > 0).all(axis=0), zone, 0)],
        region_areas_ha=dict(zip(names, known[1:].tolist(), strict=True)),
        fewest_samples=FEWEST_SAMPLES,
    )


def _at_points(points: pd.DataFrame, change: xr.Dataset, zones: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Classes before and after, and region, of the pixel of each point; 0 beyond the map."""
    place = locate(points, change["from_class"].odc.geobox)
    inside = place["inside"].to_numpy(dtype=bool)
    at = place["row"].to_numpy()[inside], place["column"].to_numpy()[inside]
    found = np.zeros((3, len(points)), dtype="int64")
    layers = [change["from_class"].values, change["to_class"].values, *([] if zones is None else [zones])]
    for number, layer in enumerate(layers):
        found[number, inside] = layer[at]
    return found[:2], found[2]


def _areas_seen(change: xr.Dataset) -> np.ndarray:
    """True area of each mapped pixel [ha], 0 elsewhere."""
    return pixel_areas(change["from_class"].odc.geobox).where(change["from_class"].values > 0, 0).values
