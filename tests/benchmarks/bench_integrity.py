"""Exact posteriors for rasters: our inference against pgmpy's variable elimination, one core, a network of 17 nodes.

The network has the shape of Mexico's national one of 2017: hemeroby from three human covers, and nine signs that depend on
hemeroby, three elevations and the life zone. Its tables are random, so that the benchmark needs no data.
"""

import time

import numpy as np

from ceiba.integrity.exchange import to_pgmpy
from ceiba.integrity.inference import MISSING, Inference
from ceiba.networks import Network, Node

PIXELS = 1_000_000
PGMPY_ROWS = 40
HUMAN = ("settlements", "crops", "bare_soil")
CONTEXT = ("elevation_max", "elevation_mean", "elevation_min", "life_zone")
SIGNS = ("forest", "shrub", "rainforest", "gpp_dry", "gpp_mean", "gpp_wet", "gpp_sd", "radar", "radar_entropy")


def national_shape(seed: int = 0) -> Network:
    """Random tables in the structure of the national network: 17 states of hemeroby, 28 life zones, 5 states elsewhere."""
    rng = np.random.default_rng(seed)
    sizes = {"hemeroby": 17, "life_zone": 28}
    parents = dict.fromkeys((*HUMAN, *CONTEXT), ()) | {"hemeroby": HUMAN}
    parents |= dict.fromkeys(SIGNS, ("hemeroby", *CONTEXT))
    nodes = {}
    for name, members in parents.items():
        shape = [sizes.get(member, 5) for member in members]
        size = sizes.get(name, 5)
        table = rng.dirichlet(np.full(size, 0.5), shape)
        table = (table + 0.01) / (table + 0.01).sum(axis=-1, keepdims=True)
        nodes[name] = Node(name, tuple(str(i) for i in range(size)), members, table)
    return Network("national shape", "hemeroby", tuple(float(v) for v in range(17)), nodes)


def draw_evidence(network: Network, count: int, missing_share: float, seed: int = 1) -> dict[str, np.ndarray]:
    """Random states; ``missing_share`` of the cells of the signs and human covers are missing."""
    rng = np.random.default_rng(seed)
    states = {}
    for name in network.evidence_nodes:
        states[name] = rng.integers(0, network.size(name), count, dtype=np.uint8)
        if name not in CONTEXT:
            states[name][rng.random(count) < missing_share] = MISSING
    return states


def pixels_per_second(inference: Inference, states: dict[str, np.ndarray]) -> float:
    """Best of three after a first call, which compiles and plans."""
    seconds = []
    inference.posterior(states)
    for _ in range(3):
        start = time.perf_counter()
        inference.posterior(states)
        seconds.append(time.perf_counter() - start)
    return len(next(iter(states.values()))) / min(seconds)


def pgmpy_rows_per_second(network: Network, states: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Rows a second of pgmpy's variable elimination, and its posteriors, dims (row, state)."""
    from pgmpy.inference import VariableElimination

    engine = VariableElimination(to_pgmpy(network))
    answers = []
    start = time.perf_counter()
    for row in range(PGMPY_ROWS):
        seen = {name: str(column[row]) for name, column in states.items() if column[row] != MISSING}
        answers.append(engine.query([network.query], evidence=seen, show_progress=False).values)
    return PGMPY_ROWS / (time.perf_counter() - start), np.array(answers)


def main() -> dict[str, float]:
    """Print and return pixels a second with complete and with incomplete evidence, and the ratio to pgmpy."""
    network = national_shape()
    inference = Inference(network)
    complete = draw_evidence(network, PIXELS, 0.0)
    rows, answers = pgmpy_rows_per_second(network, complete)
    first = {name: column[:PGMPY_ROWS] for name, column in complete.items()}
    difference = np.abs(inference.posterior(first, probabilities=True).probabilities - answers).max()
    found = {
        "complete_px_per_s": pixels_per_second(inference, complete),
        "missing_px_per_s": pixels_per_second(inference, draw_evidence(network, PIXELS, 0.02)),
        "pgmpy_rows_per_s": rows,
        "largest_difference_to_pgmpy": float(difference),
    }
    found["ratio_to_pgmpy"] = found["complete_px_per_s"] / rows
    for name, value in found.items():
        print(f"{name}: {value:.6g}")
    return found


if __name__ == "__main__":
    main()
