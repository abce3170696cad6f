"""Training points and test windows of a simulated country: blocks apart from each other, labels with errors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ceiba.config import project_root
from ceiba.errors import InputError
from ceiba.simulation.country import Country
from ceiba.simulation.layout import random_stream

BLOCK_PX, WINDOW_PX = 96, 48
CLUSTER_POINTS, CLUSTER_REACH_PX = 5, 4
# Shares of wrong labels: one taken from the ground beside (positions), one of another class of the same of the 8 (interpreters).
BESIDE_LABELS, BESIDE_PX, SISTER_LABELS = 0.04, 4, 0.03
PARTS = ("train", "calibrate", "test")


@dataclass(frozen=True)
class Window:
    """A square of pixels in the middle of a block: ``row``, ``column`` of its upper left pixel, ``side_px``."""

    block: int
    row: int
    column: int
    side_px: int


def split_blocks(country: Country, *, calibrate: float = 0.25, test: float = 0.25) -> dict[str, np.ndarray]:
    """Numbers of blocks of 96 px for training, calibration and test, drawn at random.

    Parameters
    ----------
    country
        What is split.
    calibrate, test
        Shares of the blocks [1].

    Returns
    -------
    dict
        "train", "calibrate" and "test" to block numbers (row by row), ascending.

    Raises
    ------
    InputError
        Where a part would have no block.
    """
    across = country.settings.side_px // BLOCK_PX
    count = across**2
    sizes = (round(calibrate * count), round(test * count))
    if min(*sizes, count - sum(sizes)) < 1:
        raise InputError(f"{count} blocks cannot be split into {PARTS} with shares {calibrate} and {test}; take a larger side")
    order = random_stream(country.seed, "country blocks").permutation(count)
    parts = np.split(order, [count - sum(sizes), count - sizes[1]])
    return {name: np.sort(part) for name, part in zip(PARTS, parts, strict=True)}


def windows_of(country: Country, blocks: np.ndarray, *, side_px: int = WINDOW_PX) -> list[Window]:
    """The middle of each block: 24 px and more from the ground of any other block."""
    across, margin = country.settings.side_px // BLOCK_PX, (BLOCK_PX - side_px) // 2
    return [
        Window(int(block), int(block // across * BLOCK_PX + margin), int(block % across * BLOCK_PX + margin), side_px)
        for block in blocks
    ]


def draw_labels(
    country: Country, blocks: np.ndarray, *, points: int, year: int, smallest: int = 20, name: str = "labels"
) -> pd.DataFrame:
    """Labelled points in clusters of up to five of one class, as interpreters make them, some labels wrong.

    Parameters
    ----------
    country
        Where.
    blocks
        Blocks that points may lie in.
    points
        About how many, in proportion to the area of each class.
    year
        Of the labels.
    smallest
        A class with less gets this many points [1], as far as it has the pixels.
    name
        Of the random stream: another name draws other points.

    Returns
    -------
    pd.DataFrame
        ``row, column, block, code, true_code``.
    """
    random = random_stream(country.seed, f"country {name}")
    truth, across = country.codes_of_year(year), country.settings.side_px // BLOCK_PX
    row, column = np.indices(truth.shape)
    block_of = np.where(
        (row < across * BLOCK_PX) & (column < across * BLOCK_PX), row // BLOCK_PX * across + column // BLOCK_PX, -1
    )
    allowed = np.isin(block_of, blocks)
    chosen = []
    for code in np.unique(truth[allowed]):
        pixels = np.flatnonzero(allowed & (truth == code))
        wanted = min(max(round(points * pixels.size / allowed.sum()), smallest), pixels.size)
        centers = random.choice(pixels, size=-(-wanted // CLUSTER_POINTS) * 2, replace=pixels.size < 2 * wanted)
        found = np.concatenate([_around(random, center, truth, allowed) for center in centers])
        chosen.append(found[np.sort(np.unique(found, return_index=True)[1])][:wanted])
    pixels = np.concatenate(chosen)
    return pd.DataFrame({
        "row": row.flat[pixels], "column": column.flat[pixels], "block": block_of.flat[pixels],
        "code": _mislabel(random, truth, pixels), "true_code": truth.flat[pixels],
    })  # fmt: skip


def _around(random: np.random.Generator, center: int, truth: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    steps = random.integers(-CLUSTER_REACH_PX, CLUSTER_REACH_PX + 1, (2, CLUSTER_POINTS))
    steps[:, 0] = 0
    row, column = (np.stack(np.divmod(center, truth.shape[1]))[:, None] + steps).clip(0, truth.shape[0] - 1)
    same = (truth[row, column] == truth.flat[center]) & allowed[row, column]
    return (row * truth.shape[1] + column)[same]


def _mislabel(random: np.random.Generator, truth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Codes of the pixels, some of them wrong."""
    legend = pd.read_csv(project_root() / "catalogs" / "legends" / "mexico_31.csv", index_col="code")
    codes = truth.flat[pixels].copy()
    draw = random.random(pixels.size)
    steps = random.integers(-BESIDE_PX, BESIDE_PX + 1, (2, pixels.size))
    row, column = (np.stack(np.divmod(pixels, truth.shape[1])) + steps).clip(0, truth.shape[0] - 1)
    beside = draw < BESIDE_LABELS
    codes[beside] = truth[row, column][beside]
    for position in np.flatnonzero(draw > 1 - SISTER_LABELS):
        sisters = legend.index[legend["parent_8"] == legend.loc[codes[position], "parent_8"]]
        others = sisters[sisters != codes[position]]
        if len(others):
            codes[position] = random.choice(others)
    return codes
