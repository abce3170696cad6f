"""Networks that several tests ask."""

import json
from pathlib import Path

import numpy as np
import pytest

from ceiba.networks import Network, Node


def random_network(seed: int, sizes: tuple[int, ...] = (3, 2, 4, 3, 2, 3), most_parents: int = 3) -> Network:
    """A network with random arcs and tables; node 2 is asked about."""
    rng = np.random.default_rng(seed)
    names = [f"node {i}" for i in range(len(sizes))]
    nodes = {}
    for i, name in enumerate(names):
        count = min(i, int(rng.integers(0, most_parents + 1)))
        parents = sorted(rng.choice(i, count, replace=False)) if count else []
        table = rng.dirichlet(np.full(sizes[i], 0.7), [sizes[p] for p in parents])
        states = tuple(f"s{k}" for k in range(sizes[i]))
        nodes[name] = Node(name, states, tuple(names[p] for p in parents), table)
    return Network(f"random {seed}", names[2], tuple(float(v) for v in range(sizes[2])), nodes)


@pytest.fixture(scope="session")
def national_network(sample_folder: Path) -> Network:
    """The fitted national network of 2017, 17 nodes."""
    folder = sample_folder / "ei" / "conabio_bn_2017"
    structure = json.loads((folder / "structure.json").read_text())
    nodes = {}
    with np.load(folder / "cpts_float32.npz") as arrays:
        for name, entry in structure.items():
            table = np.moveaxis(arrays[name].astype(float), 0, -1)
            table /= table.sum(axis=-1, keepdims=True)
            nodes[name] = Node(name, tuple(entry["states"][name]), tuple(entry["axes"][1:]), table)
    values = tuple(float(state) for state in nodes["hemerobia"].states)
    return Network("conabio 2017", "hemerobia", values, nodes)
