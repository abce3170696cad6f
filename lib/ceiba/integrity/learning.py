"""Tables of a network from data: counts shrunk towards simpler tables, and EM where cells are missing.

pgmpy's estimators drop or misread missing cells without a word; here complete data are asked for loudly, and
:func:`fit_with_missing` does the sums itself.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np

from ceiba.errors import NetworkError
from ceiba.integrity.elimination import relevant_nodes
from ceiba.integrity.inference import MISSING
from ceiba.networks import Network

# A row with missing cells is completed in every possible way; a chunk of completions stays below 64 MB.
MOST_COMPLETIONS = 1 << 16
CHUNK_CELLS = 1 << 23
# A pattern of missing cells is a number of this many bits.
MOST_NODES = 62


def shrink_counts(counts: np.ndarray, prior_strength: float) -> np.ndarray:
    """Conditional probabilities from counts, each row drawn towards the same row without its last parent.

    ``p(x | a, b) = (n(x, a, b) + s p(x | a)) / (n(a, b) + s)``, and so on down to the table without parents,
    which is drawn towards equal probabilities: a Dirichlet prior of strength s whose mean is the simpler
    table. A combination of parents never seen gets what is known of its first parents, not a flat row.

    Parameters
    ----------
    counts
        Weighted counts, dims (*parents, state).
    prior_strength
        s, in observations, above 0.

    References
    ----------
    MacKay & Peto 1995, A hierarchical Dirichlet language model, doi:10.1017/S1351324900000218.
    """
    if not prior_strength > 0:
        raise NetworkError(f"prior_strength is {prior_strength}, it must be above 0")
    if counts.ndim == 1:
        prior = np.full(counts.size, 1 / counts.size)
    else:
        prior = shrink_counts(counts.sum(axis=-2), prior_strength)[..., np.newaxis, :]
    return (counts + prior_strength * prior) / (counts.sum(axis=-1, keepdims=True) + prior_strength)


def fit_tables(
    network: Network,
    states: Mapping[str, np.ndarray],
    *,
    prior_strength: float = 10.0,
    weights: np.ndarray | None = None,
) -> Network:
    """Network with all tables learned from complete observations.

    Parameters
    ----------
    network
        Structure; tables it has are replaced.
    states
        Number of the state of every node, uint8, dims (observation).
    prior_strength
        Strength of the prior in observations, see :func:`shrink_counts`.
    weights
        Weight of each observation, dims (observation); 1 if not given.

    Raises
    ------
    NetworkError
        Where a node has no data, or a cell is missing: EM (:func:`fit_with_missing`) is for that.
    """
    table = _as_columns(network, states)
    incomplete = [name for name in network.nodes if (table[name] == MISSING).any()]
    if incomplete:
        share = np.mean(np.any([table[name] == MISSING for name in incomplete], axis=0))
        raise NetworkError(
            f"network {network.name}: {share:.1%} of the observations lack {', '.join(incomplete)}; "
            "dropping them would bias the tables: use fit_with_missing"
        )
    counts = {name: _count(network, name, table, weights) for name in network.nodes}
    return network.with_tables({name: shrink_counts(count, prior_strength) for name, count in counts.items()})


def fit_with_missing(
    network: Network,
    states: Mapping[str, np.ndarray],
    *,
    prior_strength: float = 10.0,
    weights: np.ndarray | None = None,
    tolerance: float = 1e-3,
    max_iterations: int = 200,
) -> Network:
    """Network learned by expectation maximisation from observations with missing cells (255).

    Right where cells are missing at random given what was observed. A missing node without observed effects
    adds nothing and is skipped; other missing cells are completed in every way, weighted by their posterior.

    Parameters
    ----------
    network, states, prior_strength, weights
        As for :func:`fit_tables`.
    tolerance
        Stop when no probability moves by more.
    max_iterations
        Most iterations.

    Raises
    ------
    NetworkError
        Where a row lacks so much that it has more than 65 536 completions, or EM does not settle.

    References
    ----------
    Lauritzen 1995, The EM algorithm for graphical association models, doi:10.1016/0167-9473(93)E0056-A.
    """
    table = _as_columns(network, states)
    groups = _group_rows(network, table, weights)
    known = {name: np.zeros([network.size(n) for n in network.family(name)]) for name in network.nodes}
    open_groups = []
    for rows, row_weights, missing, relevant in groups:
        # Families without a missing member are counted once, the others in every iteration.
        for name in relevant:
            if not missing & set(network.family(name)):
                known[name] += _count(network, name, rows, row_weights)
        if missing:
            open_groups.append((rows, row_weights, sorted(missing), relevant))
    fitted = network.with_tables({name: shrink_counts(count, prior_strength) for name, count in known.items()})
    for _ in range(max_iterations):
        counts = {name: count.copy() for name, count in known.items()}
        for rows, row_weights, missing, relevant in open_groups:
            _add_expected_counts(fitted, rows, row_weights, missing, relevant, counts)
        tables = {name: shrink_counts(count, prior_strength) for name, count in counts.items()}
        moved = max(np.abs(tables[name] - fitted.nodes[name].table).max() for name in tables)
        fitted = fitted.with_tables(tables)
        if moved <= tolerance:
            return fitted
    raise NetworkError(f"network {network.name}: EM still moves by {moved:.2g} after {max_iterations} iterations")


def _as_columns(network: Network, states: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    absent = [name for name in network.nodes if name not in states]
    if absent:
        raise NetworkError(f"network {network.name}: no data for {', '.join(absent)}")
    columns = {name: np.asarray(states[name]).reshape(-1) for name in network.nodes}
    for name, column in columns.items():
        seen = column[column != MISSING]
        if seen.size and not 0 <= seen.min() <= seen.max() < network.size(name):
            raise NetworkError(
                f"network {network.name}: {name} has states 0 to {network.size(name) - 1}, got {seen.max()}"
            )
    if len({column.size for column in columns.values()}) != 1:
        raise NetworkError(f"network {network.name}: columns differ in length")
    return columns


def _count(network: Network, name: str, columns: Mapping[str, np.ndarray], weights: np.ndarray | None) -> np.ndarray:
    shape = [network.size(member) for member in network.family(name)]
    flat = np.ravel_multi_index([columns[member] for member in network.family(name)], shape)
    return np.bincount(flat, weights=weights, minlength=math.prod(shape)).reshape(shape).astype(float)


def _group_rows(network: Network, columns: Mapping[str, np.ndarray], weights: np.ndarray | None) -> list[tuple]:
    """Distinct rows by what they lack: (columns, weights, missing nodes that matter, nodes that matter)."""
    import pandas as pd

    frame = pd.DataFrame(columns)
    frame["weight"] = 1.0 if weights is None else np.asarray(weights, float)
    distinct = frame.groupby(list(columns), sort=False)["weight"].sum().reset_index()
    lacking = distinct[list(columns)].to_numpy() == MISSING
    if len(columns) > MOST_NODES:
        raise NetworkError(f"network {network.name}: {len(columns)} nodes, EM takes at most {MOST_NODES}")
    pattern = lacking @ (1 << np.arange(len(columns)))
    groups = []
    for rows in (distinct[pattern == number] for number in np.unique(pattern)):
        observed = {name for name in columns if rows[name].iloc[0] != MISSING}
        relevant = relevant_nodes(network, observed)
        values = {name: rows[name].to_numpy() for name in columns}
        groups.append((values, rows["weight"].to_numpy(), relevant - observed, relevant))
    return groups


def _add_expected_counts(network: Network, rows, weights, missing: list[str], relevant: set[str], counts) -> None:
    """Add to ``counts`` what the rows are expected to hold in the families that have a missing member."""
    sizes = [network.size(name) for name in missing]
    ways = math.prod(sizes)
    if ways > MOST_COMPLETIONS:
        raise NetworkError(
            f"network {network.name}: rows that lack {', '.join(missing)} have {ways} completions, the most is "
            f"{MOST_COMPLETIONS}"
        )
    completions = np.array(list(itertools.product(*map(range, sizes))))
    filled = {name: completions[:, i] for i, name in enumerate(missing)}
    step = max(1, CHUNK_CELLS // ways)
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        members = {name: filled[name] if name in filled else rows[name][part, np.newaxis] for name in relevant}
        joint = np.ones((len(weights[part]), ways))
        touched = [name for name in relevant if set(missing) & set(network.family(name))]
        for name in touched:
            joint *= network.nodes[name].table[tuple(members[member] for member in network.family(name))]
        joint *= (weights[part] / joint.sum(axis=1))[:, np.newaxis]
        for name in touched:
            shape = counts[name].shape
            flat = np.ravel_multi_index(
                [np.broadcast_to(members[member], joint.shape) for member in network.family(name)], shape
            )
            counts[name] += np.bincount(flat.ravel(), joint.ravel(), math.prod(shape)).reshape(shape)


def learn_sign_tree(network: Network, states: Mapping[str, np.ndarray], signs: list[str]) -> dict[str, str]:
    """Parent of each sign in the tree that best explains how signs depend on one another given the query.

    The tree of largest mutual information given the query (Friedman, Geiger & Goldszmidt 1997,
    doi:10.1023/A:1007465528199), rooted at the first sign; ``{sign: parent}`` without the root. Observations
    that lack a cell of a pair are left out.
    """
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    information = np.zeros((len(signs), len(signs)))
    for (i, a), (j, b) in itertools.combinations(enumerate(signs), 2):
        whole = (states[a] != MISSING) & (states[b] != MISSING) & (states[network.query] != MISSING)
        shape = [network.size(network.query), network.size(a), network.size(b)]
        flat = np.ravel_multi_index([np.asarray(states[n])[whole] for n in (network.query, a, b)], shape)
        information[i, j] = conditional_information(np.bincount(flat, minlength=math.prod(shape)).reshape(shape))
    # The spanning-tree routine takes 0 for "no arc": every weight is shifted below zero.
    tree = minimum_spanning_tree(np.triu(-information - 1, k=1))
    _, before = breadth_first_order(tree + tree.T, 0, directed=False)
    return {signs[i]: signs[parent] for i, parent in enumerate(before) if parent >= 0}


def conditional_information(counts: np.ndarray) -> float:
    """Mutual information of the last two axes given the first [nat], from counts with dims (given, a, b)."""
    p = counts / counts.sum()
    given, first, second = (
        p.sum(axis=(1, 2), keepdims=True),
        p.sum(axis=2, keepdims=True),
        p.sum(axis=1, keepdims=True),
    )
    ratio = np.divide(p * given, first * second, out=np.ones_like(p), where=p > 0)
    return float((p * np.log(ratio)).sum())


def learn_structure(
    states: Mapping[str, np.ndarray],
    *,
    required: list[tuple[str, str]] = (),
    forbidden: list[tuple[str, str]] = (),
) -> list[tuple[str, str]]:
    """Arcs (parent, child) found by pgmpy's hill climbing on complete data, with BIC as the score.

    ``required`` arcs are always there and ``forbidden`` ones never. Raises :class:`NetworkError` on missing
    cells.
    """
    import pandas as pd
    from pgmpy.estimators import ExpertKnowledge, HillClimbSearch

    incomplete = [name for name, column in states.items() if (np.asarray(column) == MISSING).any()]
    if incomplete:
        raise NetworkError(f"structure learning needs complete data; {', '.join(incomplete)} lack cells")
    frame = pd.DataFrame({name: pd.Categorical(np.asarray(column)) for name, column in states.items()})
    knowledge = ExpertKnowledge(required_edges=list(required), forbidden_edges=list(forbidden))
    found = HillClimbSearch(frame).estimate(scoring_method="bic-d", expert_knowledge=knowledge, show_progress=False)
    return sorted(found.edges())
