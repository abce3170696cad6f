"""Features at samples by a recipe, from a series in memory or from scenes that are read block by block."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.ard.stack_blocks import StackBlock
from ceiba.ard.stacks import SceneStack
from ceiba.classification.features.recipes import Recipe
from ceiba.classification.features.seasons import season_bounds
from ceiba.classification.samples.points import TrainingSet, assemble, locate
from ceiba.errors import InputError


def recipe_of_year(recipe: Recipe, *, season_start_month: int = 1) -> Callable[[xr.Dataset, int], xr.Dataset]:
    """The recipe as a function of a source and a year, as :func:`ceiba.classification.samples.points.extract_features` takes it.

    The source holds the bands of the scenes [1], dims ``(time, ...)``, and beside them the layers of the terrain without time.
    """

    def make_features(source: xr.Dataset, year: int) -> xr.Dataset:
        scenes = in_season(source[list(recipe.inputs)], year, season_start_month) if recipe.inputs else None
        return recipe.compute(scenes, source[list(recipe.ground)] if recipe.ground else None)

    return make_features


def in_season(scenes: xr.Dataset, year: int, season_start_month: int = 1) -> xr.Dataset:
    """The dates of the season that ends in ``year``; raises :class:`InputError` where there is none."""
    start, end = season_bounds(year, season_start_month)
    times = scenes["time"].values
    inside = np.flatnonzero((times >= np.datetime64(start)) & (times < np.datetime64(end)))
    if not len(inside):
        raise InputError(f"no scene from {start} to {end}")
    return scenes.isel(time=inside)


def extract_from_stack(
    stack: SceneStack,
    samples: pd.DataFrame,
    recipe: Recipe,
    *,
    terrain: xr.Dataset | None = None,
    season_start_month: int = 1,
    years: Sequence[int] | None = None,
) -> TrainingSet:
    """Features at samples from scenes, of which one block at a time is in memory.

    Parameters
    ----------
    stack
        Scenes with the bands of the recipe, opened as for the map.
    samples
        As :func:`ceiba.classification.samples.points.extract_features` takes them.
    recipe
        That of the map.
    terrain
        Its layers on the grid of the stack, dims ``(y, x)``, where it needs any.
    season_start_month
        First month of a season.
    years
        Years to use; all that the samples have where it is None.

    Returns
    -------
    TrainingSet
        A sample without a scene in its season counts as one without data.

    Raises
    ------
    InputError
        Where the stack lacks a band, the terrain lies on another grid, or no sample is left.
    """
    missing = [name for name in recipe.inputs if name not in stack.measurements]
    if missing:
        raise InputError(f"the scenes were opened without {', '.join(missing)}, which recipe {recipe.name} needs")
    if terrain is not None and terrain.odc.geobox != stack.geobox:
        raise InputError(f"the terrain lies on another grid than the scenes: {terrain.odc.geobox} and {stack.geobox}")
    place = locate(samples, stack.geobox)
    sample_years = samples["year"].to_numpy()
    wanted = np.isin(sample_years, list(years)) if years is not None else np.ones(len(samples), dtype=bool)
    chosen = place["inside"].to_numpy() & wanted
    row, column = place["row"].to_numpy(), place["column"].to_numpy()
    names = tuple(feature.name for feature in recipe.features)
    rows, values = [], []
    for window in stack.blocks():
        top, left = int(window.row_off), int(window.col_off)
        here = (row >= top) & (row < top + window.height) & (column >= left) & (column < left + window.width)
        here = np.flatnonzero(here & chosen)
        if not len(here):
            continue
        series = pick_pixels(stack.read(window), row[here] - top, column[here] - left)
        at = {
            dim: xr.DataArray(pixels[here], dims="sample")
            for dim, pixels in zip(("y", "x"), (row, column), strict=True)
        }
        ground = (
            terrain[list(recipe.ground)].isel(at).reset_coords(drop=True)
            if recipe.ground and terrain is not None
            else None
        )
        for year in np.unique(sample_years[here]):
            part = np.flatnonzero(sample_years[here] == year)
            start, end = season_bounds(int(year), season_start_month)
            times = series["time"].values
            dates = np.flatnonzero((times >= np.datetime64(start)) & (times < np.datetime64(end)))
            found = np.full((len(part), len(names)), np.nan, dtype="float32")
            if len(dates) or not recipe.inputs:
                features = recipe.compute(
                    series[list(recipe.inputs)].isel(time=dates, sample=part) if recipe.inputs else None,
                    None if ground is None else ground.isel(sample=part),
                )
                found = np.stack([features[name].values for name in names], axis=-1)
            rows.append(here[part])
            values.append(found)
    return assemble(samples, place, wanted, rows, values, names)


def pick_pixels(block: StackBlock, row: np.ndarray, column: np.ndarray) -> xr.Dataset:
    """Clear reflectance [1] of some pixels of a block, dims ``(time, sample)``; the rest of it is never turned into numbers."""
    picked = replace(
        block, bands=block.bands[:, :, row, column][..., None], clear=block.clear[:, row, column][..., None]
    )
    bands = zip(block.measurements, picked.reflectance()[..., 0], strict=True)
    return xr.Dataset({name: (("time", "sample"), values) for name, values in bands}, coords={"time": block.times})
