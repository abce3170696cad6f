"""Ecosystem condition of the simulated area, drawn from the known network, and the signs that follow from it.

How a draw goes: land cover, life zone and change are given by the spatial model. In every cell of 80 m the
condition is drawn from its row of the network given the land cover and change that fill most of the cell. The
greenness and the variability are drawn from their rows given land cover and condition; the vegetation of the
cell is then made denser or more seasonal until a scene of it shows those values. Bat activity and human sound
are drawn likewise at the recording sites.

Draws use smooth random fields turned into even ranks within each row of the network: neighbours resemble each
other, yet the frequencies within a row are exactly those of the network. Ranks also follow what the network
does not know (distance to a road for the condition, the usual greenness of the class for the signs), which
moves states in space, not in number.
"""

import functools
from dataclasses import dataclass

import numpy as np

from ceiba.networks import Network, network_path, read_network
from ceiba.simulation.land_cover import group_of
from ceiba.simulation.layout import CELL_M, PIXEL_M, block_sum, grid_shape, random_stream
from ceiba.simulation.terrain import smooth_field

CELL_PX = round(CELL_M / PIXEL_M)
# Values that a state stands for at its outer ends; the margin keeps sensor noise from carrying a cell over an
# edge.
NDVI_RANGE, NDVI_MARGIN = (0.05, 0.90), 0.03
EMAD_RANGE, EMAD_MARGIN = (0.004, 0.085), 0.003


@dataclass(frozen=True)
class Condition:
    """The truth of one year on the 80 m grid; states as indices into the network's states, dims ``(y, x)``.

    ``greenness_value`` is the wanted mean of the yearly NDVI median [1], ``variability_value`` that of the
    Euclidean MAD [1]; ``states`` holds one array a node, the query included.
    """

    states: dict[str, np.ndarray]
    greenness_value: np.ndarray
    variability_value: np.ndarray


@functools.cache
def known_network() -> Network:
    """The network in ``catalogs/networks/simulated.yml``."""
    return read_network(network_path("simulated"))


def majority(states: np.ndarray, count: int, factor: int) -> np.ndarray:
    """State that fills most of each block of ``factor`` x ``factor`` pixels, dims ``(y, x)``; the lowest of
    equal ones.
    """
    return np.argmax(np.stack([block_sum(states == state, factor) for state in range(count)]), axis=0)


def rank_within(values: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Even ranks of ``values`` from 0 to 1 (both excluded) within each stratum, the same shape."""
    order = np.lexsort((values.ravel(), strata.ravel()))
    sorted_strata = strata.ravel()[order]
    starts = np.r_[0, np.flatnonzero(np.diff(sorted_strata)) + 1]
    sizes = np.diff(np.r_[starts, sorted_strata.size])
    ranks = (np.arange(sorted_strata.size) - np.repeat(starts, sizes) + 0.5) / np.repeat(sizes, sizes)
    result = np.empty(values.size)
    result[order] = ranks
    return result.reshape(values.shape)


def draw_states(rows: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States from probabilities by inversion.

    Parameters
    ----------
    rows
        Probabilities [1], dims ``(..., state)``, each row sums to 1.
    uniform
        Numbers in 0 to 1, dims ``(...)``.

    Returns
    -------
    states, positions
        Index of the state, and where in the state's interval the number lies [1], 0 to 1; dims ``(...)``.
    """
    edges = np.cumsum(rows, axis=-1)
    states = np.minimum((uniform[..., None] >= edges).sum(axis=-1), rows.shape[-1] - 1)
    chosen = np.take_along_axis(rows, states[..., None], axis=-1)[..., 0]
    upper = np.take_along_axis(edges, states[..., None], axis=-1)[..., 0]
    return states, np.clip(1 - (upper - uniform) / chosen, 0, 1)


def node_rows(network: Network, node: str, states: dict[str, np.ndarray]) -> np.ndarray:
    """Rows of a node's table for the states of its parents, dims ``(..., state)``."""
    return network.nodes[node].table[tuple(states[parent] for parent in network.nodes[node].parents)]


def given_states(codes: np.ndarray, first_codes: np.ndarray, life_zones: np.ndarray) -> dict[str, np.ndarray]:
    """What the spatial model gives to the network, as state indices on the 80 m grid.

    Parameters
    ----------
    codes, first_codes
        Land-cover codes of the year and of the first year, dims ``(y, x)`` at 10 m.
    life_zones
        Life zone codes from 1, dims ``(y, x)`` at 10 m.
    """
    network = known_network()
    return {
        "life_zone": majority(life_zones - 1, network.size("life_zone"), CELL_PX),
        "land_cover": majority(group_of(codes), network.size("land_cover"), CELL_PX),
        "change": majority((codes != first_codes).astype(np.uint8), 2, CELL_PX),
    }


def draw_condition(
    seed: int,
    year: int,
    given: dict[str, np.ndarray],
    *,
    road_distance_m: np.ndarray,
    usual_ndvi: np.ndarray,
    usual_emad: np.ndarray,
) -> Condition:
    """Condition, greenness and variability of a year, dims ``(y, x)`` at 80 m.

    Parameters
    ----------
    seed, year
        The same seed gives fields that move little from year to year.
    given
        States of life zone, land cover and change (:func:`given_states`).
    road_distance_m
        Distance to the nearest road [m]: of cells with equal rows those near roads are the more degraded.
    usual_ndvi, usual_emad
        NDVI and Euclidean MAD [1] that the classes of the cell usually show.
    """
    network, shape = known_network(), grid_shape(CELL_M)
    states = dict(given)
    pressure = _yearly_field(seed, year, "condition", shape) + 1.2 * np.exp(-road_distance_m / 300)
    stratum = states["land_cover"] * 2 + states["change"]
    states["condition"], _ = draw_states(node_rows(network, "condition", states), rank_within(pressure, stratum))

    stratum = states["land_cover"] * network.size("condition") + states["condition"]
    values = {}
    signs = {
        "greenness": (usual_ndvi, NDVI_RANGE, NDVI_MARGIN),
        "variability": (usual_emad, EMAD_RANGE, EMAD_MARGIN),
    }
    for node, (usual, outer, margin) in signs.items():
        spread = max(float(usual.std()), 1e-6)
        wish = _yearly_field(seed, year, node, shape) + 1.5 * (usual - usual.mean()) / spread
        states[node], position = draw_states(node_rows(network, node, states), rank_within(wish, stratum))
        values[node] = _value_in_state(states[node], position, network.nodes[node].source.bins, outer, margin)
    return Condition(states, values["greenness"], values["variability"])


def hemeroby_of(condition_states: np.ndarray) -> np.ndarray:
    """Value of each condition state on the scale of hemeroby, 0 intact to 18 most degraded, uint8."""
    return np.array(known_network().values, dtype=np.uint8)[condition_states]


def _yearly_field(seed: int, year: int, name: str, shape: tuple[int, int]) -> np.ndarray:
    lasting = smooth_field(random_stream(seed, f"{name} field"), shape, range_px=5)
    passing = smooth_field(random_stream(seed, f"{name} field {year}"), shape, range_px=4)
    return 0.97 * lasting + 0.25 * passing


def _value_in_state(
    states: np.ndarray,
    position: np.ndarray,
    bins: tuple[float, ...],
    outer: tuple[float, float],
    margin: float,
) -> np.ndarray:
    edges = np.array([outer[0] - margin, *bins, outer[1] + margin])
    low, high = edges[states] + margin, edges[states + 1] - margin
    return low + (high - low) * position
