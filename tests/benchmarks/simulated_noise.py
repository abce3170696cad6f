"""Find the noise of the simulated countries from the baseline alone: recipe 002 with a random forest at 69 / 74 / 80 %.

    python tests/benchmarks/simulated_noise.py

Prints every setting of the grid with its accuracy of 31, 17 and 8 classes (parents of the decision among 31), the nearest last.
It never sees another recipe, none of the seeds of development, and none of those that the published figures are of. Its result
stands in ``CountrySettings``.

What it gave on the mean of twelve seeds of its own (11 to 22), blocks apart, for variation, sister and cousin distance:
3.4, 1.5, 1.7 -> 69.6 / 75.7 / 80.0 %; 3.4, 1.6, 1.6 -> 69.6 / 74.7 / 79.8 %; 3.4, 1.7, 1.5 -> 69.4 / 74.0 / 79.7 %, the nearest.
Countries differ by a standard deviation of 3.5 / 3.3 / 2.5 %, so that the mean is known to about 1 %.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import xarray as xr
from bench_land_cover_simulated import (
    BASELINE,
    NOISE_SEEDS,
    POINTS,
    SCIKIT_LEARN,
    YEAR,
    decide,
    levels_by_decision,
)

from ceiba.classification.features.recipes import load_recipe
from ceiba.classification.features.terrain import describe_terrain
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.simulation.country import Country, CountrySettings, make_country
from ceiba.simulation.country_samples import WINDOW_PX, draw_labels, split_blocks, windows_of
from ceiba.simulation.country_series import land_cover_series

TARGETS = (0.69, 0.74, 0.80)
GRID = ((3.4, 1.5, 1.7), (3.4, 1.6, 1.6), (3.4, 1.7, 1.5))
EVERY_PX = 5  # of the pixels of the test windows


def main() -> None:
    """Print the grid, the setting nearest to the targets last."""
    settings = [CountrySettings(variation=v, sister_distance=s, cousin_distance=c) for v, s, c in GRID]
    scores = np.mean([list(baseline_accuracies(seed, settings)) for seed in NOISE_SEEDS], axis=0)
    distance = np.sum((scores - np.array(TARGETS)) ** 2, axis=1)
    for place in np.argsort(-distance):
        print(GRID[place], np.round(100 * scores[place], 1))


def baseline_accuracies(seed: int, settings: list[CountrySettings]) -> Iterator[list[float]]:
    """Accuracy [1] of the baseline with 31, 17 and 8 classes, for each setting on one country."""
    base = make_country(seed)
    parts, truth, ground = split_blocks(base), base.codes_of_year(YEAR), describe_terrain(base.elevation())
    labels = draw_labels(base, parts["train"], points=POINTS, year=YEAR)
    corners = np.array([(window.row, window.column) for window in windows_of(base, parts["test"])])
    inside = np.indices((WINDOW_PX, WINDOW_PX)).reshape(2, 1, -1)
    rows, columns = (corners.T[:, :, None] + inside).reshape(2, -1)[:, ::EVERY_PX]
    wanted = levels_by_decision(truth[rows, columns])
    for setting in settings:
        country = dataclasses.replace(base, settings=setting)
        known = _features(country, ground, labels["row"].to_numpy(), labels["column"].to_numpy())
        forest = fit_classifier("random_forest", known, labels["code"].to_numpy(), seed=0, options=SCIKIT_LEARN)
        found = decide(forest.predict_proba(_features(country, ground, rows, columns)), forest.classes)
        yield [float((found[name] == wanted[name]).mean()) for name in wanted]


def _features(country: Country, ground: xr.Dataset, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    series = land_cover_series(country, rows, columns).reset_coords(drop=True)
    places = {"y": xr.DataArray(rows, dims="sample"), "x": xr.DataArray(columns, dims="sample")}
    below = ground.isel(places).reset_coords(drop=True)
    table = load_recipe(BASELINE).compute(series, below).to_dataarray().transpose("sample", "variable").to_numpy()
    return np.nan_to_num(table)


if __name__ == "__main__":
    main()
