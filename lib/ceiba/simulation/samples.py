"""Points of the simulated area: training samples, reference samples and field plots."""

import numpy as np
import pandas as pd
from pyproj import Transformer

from ceiba.simulation.integrity import CELL_PX, draw_states, hemeroby_of, known_network, node_rows
from ceiba.simulation.land_cover import class_traits, group_names, group_of
from ceiba.simulation.layout import CRS, YEARS, pixel_centers, random_stream
from ceiba.simulation.world import World

TRAINING_POINTS, REFERENCE_POINTS, FIELD_PLOTS = 1500, 600, 180
WRONG_LABELS = 0.03
CLUSTER_POINTS, CLUSTER_REACH_PX = 5, 12
SOURCES = ("photointerpretation (simulated)", "field visit (simulated)")


def draw_training_samples(world: World) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labelled points in clusters, as interpreters make them, and the few whose label is wrong.

    Every class gets points in proportion to the square root of its area, at least one cluster a year; a
    cluster is up to five points of one class within 120 m. Three in a hundred labels are those of another
    class of the same group.

    Returns
    -------
    samples
        ``sample_id, longitude, latitude, x, y, year, code, source``.
    errors
        ``sample_id, code, true_code`` of the wrong ones: truth, not for training.
    """
    random = random_stream(world.seed, "training samples")
    rows, columns, years, codes = [], [], [], []
    for year in YEARS:
        truth = world.codes[year]
        counts = np.bincount(truth.ravel(), minlength=32)
        weights = np.sqrt(counts)
        for code in np.flatnonzero(counts):
            wanted = round(TRAINING_POINTS / len(YEARS) * weights[code] / weights.sum())
            row, column = _clustered(random, truth == code, max(wanted, CLUSTER_POINTS))
            rows, columns = [*rows, *row], [*columns, *column]
            years, codes = [*years, *[year] * len(row)], [*codes, *[code] * len(row)]
    samples = _table(np.array(rows), np.array(columns), np.array(years), np.array(codes))
    samples["source"] = random.choice(SOURCES, size=len(samples), p=[0.8, 0.2])
    samples.insert(0, "sample_id", [f"t{number:05d}" for number in range(1, len(samples) + 1)])

    wrong = np.sort(random.choice(len(samples), size=round(WRONG_LABELS * len(samples)), replace=False))
    true_codes = samples.loc[wrong, "code"].to_numpy()
    samples.loc[wrong, "code"] = [_confused_with(random, code) for code in true_codes]
    errors = samples.loc[wrong, ["sample_id", "code"]].assign(true_code=true_codes)
    return samples, errors.reset_index(drop=True)


def draw_reference_samples(world: World) -> pd.DataFrame:
    """Independent stratified random points with true labels, the same number a year.

    The strata are the groups of classes (forest, shrub, ...) in the truth of the year; small ones get more
    than their share, so ``stratum_pixels`` (10 m pixels of the stratum in that year) is needed to weight
    them.
    """
    random = random_stream(world.seed, "reference samples")
    parts = []
    for year in YEARS:
        groups = group_of(world.codes[year])
        sizes = np.bincount(groups.ravel(), minlength=len(group_names()))
        wanted = np.round(REFERENCE_POINTS / len(YEARS) * np.sqrt(sizes) / np.sqrt(sizes).sum()).astype(int)
        for stratum, name in enumerate(group_names()):
            pixels = random.choice(
                np.flatnonzero(groups == stratum), size=min(wanted[stratum], sizes[stratum]), replace=False
            )
            rows, columns = np.unravel_index(pixels, groups.shape)
            part = _table(rows, columns, np.full(rows.size, year), world.codes[year][rows, columns])
            parts.append(part.assign(source="reference visit (simulated)", stratum=name, stratum_pixels=sizes[stratum]))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "sample_id", [f"r{number:05d}" for number in range(1, len(table) + 1)])
    return table


def draw_field_plots(world: World) -> pd.DataFrame:
    """Plots where everything the network knows was seen: states of all signs, their values, and the true
    condition.

    One plot a cell of 80 m at most, over all years; a fifth of the sound states is missing, as recorders
    fail.
    """
    random = random_stream(world.seed, "field plots")
    network = known_network()
    parts = []
    for year in YEARS:
        condition = world.condition[year]
        shape = condition.greenness_value.shape
        rows, columns = np.unravel_index(random.choice(np.prod(shape), FIELD_PLOTS // len(YEARS), replace=False), shape)
        states = {node: values[rows, columns] for node, values in condition.states.items()}
        for node in ("bat_activity", "human_sound"):
            states[node], _ = draw_states(node_rows(network, node, states), random.random(rows.size))
        center = CELL_PX // 2
        part = _table(
            rows * CELL_PX + center,
            columns * CELL_PX + center,
            np.full(rows.size, year),
            np.zeros(rows.size, int),
        )
        part = part.drop(columns="code")
        for node, values in states.items():
            part[node] = np.array(network.nodes[node].states, dtype=object)[values]
        for node in ("bat_activity", "human_sound"):
            part.loc[random.random(rows.size) < 0.2, node] = ""
        part["ndvi_median"] = condition.greenness_value[rows, columns].round(4)
        part["emad"] = condition.variability_value[rows, columns].round(4)
        part["hemeroby"] = hemeroby_of(states["condition"])
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "plot_id", [f"p{number:04d}" for number in range(1, len(table) + 1)])
    return table


def _clustered(random: np.random.Generator, mask: np.ndarray, wanted: int) -> tuple[list[int], list[int]]:
    rows, columns = np.nonzero(mask)
    chosen: set[int] = set()
    # Small classes run out of new pixels near the centres: then fewer points are taken.
    for center in random.permutation(rows.size)[: 4 * wanted]:
        near = (np.abs(rows - rows[center]) <= CLUSTER_REACH_PX) & (
            np.abs(columns - columns[center]) <= CLUSTER_REACH_PX
        )
        size = min(CLUSTER_POINTS, wanted - len(chosen), int(near.sum()))
        chosen |= set(random.choice(np.flatnonzero(near), size=size, replace=False).tolist())
        if len(chosen) >= wanted:
            break
    picked = sorted(chosen)
    return rows[picked].tolist(), columns[picked].tolist()


def _confused_with(random: np.random.Generator, code: int) -> int:
    traits = class_traits()
    alike = traits.index[(traits["group"] == traits.loc[code, "group"]) & (traits.index != code)]
    return int(random.choice(alike if len(alike) else traits.index[traits.index != code]))


def _table(rows: np.ndarray, columns: np.ndarray, years: np.ndarray, codes: np.ndarray) -> pd.DataFrame:
    x, y = pixel_centers(rows, columns)
    longitude, latitude = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)
    return pd.DataFrame(
        {
            "longitude": np.round(longitude, 7),
            "latitude": np.round(latitude, 7),
            "x": x,
            "y": y,
            "year": years,
            "code": codes,
        }
    )
