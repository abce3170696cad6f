"""Exact posterior of the query of a network for every pixel, whatever evidence is missing there.

Evidence is hard (a state), soft (a likelihood of each state) or missing, pixel by pixel and node by node. The
result is exact for every mixture: see :mod:`ceiba.integrity.elimination`. Work goes through blocks of pixels,
so memory is bounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
import pandas as pd
import xarray as xr

from ceiba.errors import NetworkError
from ceiba.integrity.elimination import Plan, TablePool, make_plan
from ceiba.networks import MOST_HEMEROBY, Network

MISSING = 255
BLOCK_PIXELS = 1 << 16
# A pattern of missing, hard and soft evidence is a number of this many base-3 digits in 64 bits.
MOST_EVIDENCE_NODES = 40


@dataclass(frozen=True)
class Posterior:
    """What the evidence says about the query, in arrays of its shape; NaN or 255 where it is impossible.

    Attributes
    ----------
    expectation
        Expected hemeroby, 0 (intact) to 18 (most degraded).
    entropy
        Entropy of the posterior over that of knowing nothing [1], 0 (certain) to 1.
    mode
        Number of the most probable state.
    signs_observed
        How many evidence nodes have hard or soft evidence.
    probabilities
        Probability of each state [1], dims (..., state); None unless asked for.
    """

    expectation: np.ndarray
    entropy: np.ndarray
    mode: np.ndarray
    signs_observed: np.ndarray
    probabilities: np.ndarray | None


class Inference:
    """Posteriors of one network; plans for patterns of evidence are kept between calls.

    Raises :class:`NetworkError` where the network has tables that are not learned yet.
    """

    def __init__(self, network: Network):
        if not network.is_learned:
            unknown = [node.name for node in network.nodes.values() if node.table is None]
            raise NetworkError(f"network {network.name}: tables of {', '.join(unknown)} are unknown; learn them first")
        if len(network.evidence_nodes) > MOST_EVIDENCE_NODES:
            raise NetworkError(f"network {network.name}: {len(network.evidence_nodes)} evidence nodes, the most is 40")
        self.network = network
        self._columns = {name: i for i, name in enumerate(network.evidence_nodes)}
        self._causes = np.array([name not in network.effects(network.query) for name in self._columns], bool)
        self._values = np.array(network.values, float)
        self._pool = TablePool()
        self._plans: dict[tuple[int, ...], Plan] = {}

    def posterior(
        self,
        states: Mapping[str, np.ndarray],
        *,
        likelihoods: Mapping[str, np.ndarray] | None = None,
        probabilities: bool = False,
    ) -> Posterior:
        """Posterior for arrays of evidence.

        Parameters
        ----------
        states
            Number of the state of each evidence node, uint8, 255 where missing; all arrays of one shape.
            Nodes left out are missing everywhere.
        likelihoods
            Soft evidence: for each node P(what was seen | state) up to a factor, dims (..., state); NaN where
            missing. Hard evidence on the same node and pixel goes before it.
        probabilities
            Whether to return the whole posterior.

        Raises
        ------
        NetworkError
            On unknown nodes or states, or arrays of different shapes.
        """
        states = {name: np.asarray(array) for name, array in states.items()}
        likelihoods = {name: np.asarray(array, float) for name, array in (likelihoods or {}).items()}
        shape = self._check(states, likelihoods)
        count = int(np.prod(shape))
        size = len(self._values)
        result = Posterior(
            expectation=np.empty(count),
            entropy=np.empty(count),
            mode=np.empty(count, np.uint8),
            signs_observed=np.empty(count, np.uint8),
            probabilities=np.empty((count, size)) if probabilities else None,
        )
        flat = {name: array.reshape(-1) for name, array in states.items()}
        soft = {name: array.reshape(-1, array.shape[-1]) for name, array in likelihoods.items()}
        for start in range(0, count, BLOCK_PIXELS):
            part = slice(start, min(start + BLOCK_PIXELS, count))
            self._solve_block(
                {k: v[part] for k, v in flat.items()}, {k: v[part] for k, v in soft.items()}, part, result
            )
        return Posterior(
            expectation=result.expectation.reshape(shape),
            entropy=result.entropy.reshape(shape),
            mode=result.mode.reshape(shape),
            signs_observed=result.signs_observed.reshape(shape),
            probabilities=result.probabilities.reshape(*shape, size) if probabilities else None,
        )

    def _check(self, states: Mapping[str, np.ndarray], likelihoods: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        name = self.network.name
        unknown = sorted((states.keys() | likelihoods.keys()) - self._columns.keys())
        if unknown:
            raise NetworkError(
                f"network {name}: no evidence nodes {', '.join(unknown)}; there are {', '.join(self._columns)}"
            )
        shapes = {node: array.shape for node, array in states.items()}
        shapes |= {node: array.shape[:-1] for node, array in likelihoods.items() if node not in shapes}
        if len(set(shapes.values())) != 1:
            raise NetworkError(f"network {name}: evidence must have one shape, has {shapes or 'none'}")
        for node, array in states.items():
            if array.dtype != np.uint8:
                raise NetworkError(
                    f"network {name}: states of {node} must be uint8, 255 where missing, are {array.dtype}"
                )
            present = array[array != MISSING]
            if present.size and present.max() >= self.network.size(node):
                raise NetworkError(
                    f"network {name}: {node} has states 0 to {self.network.size(node) - 1}, got {present.max()}"
                )
        shape = next(iter(shapes.values()))
        for node, array in likelihoods.items():
            if array.shape != (*shape, self.network.size(node)) or (array < 0).any():
                raise NetworkError(
                    f"network {name}: likelihood of {node} must have shape {(*shape, self.network.size(node))} and no "
                    f"negative numbers, has shape {array.shape}"
                )
        return shape

    def _solve_block(self, states, likelihoods, part: slice, result: Posterior) -> None:
        count = part.stop - part.start
        codes = np.full((len(self._columns), count), MISSING, np.uint8)
        widest = max((self.network.size(name) for name in likelihoods), default=1)
        # One row of soft evidence a node that has any; the others share an empty one.
        weights = np.zeros((max(len(likelihoods), 1), count, widest))
        weight_rows = np.zeros(len(self._columns), np.int64)
        kinds = np.zeros((len(self._columns), count), np.uint8)
        for row, (name, likelihood) in enumerate(likelihoods.items()):
            column = self._columns[name]
            known = np.isfinite(likelihood).all(axis=1)
            weights[row, :, : likelihood.shape[1]] = np.where(known[:, np.newaxis], likelihood, 0)
            weight_rows[column] = row
            kinds[column] = 2 * known
        for name, array in states.items():
            column = self._columns[name]
            codes[column] = array
            kinds[column, array != MISSING] = 1
        pattern = _pattern_numbers(kinds)
        group, found = pd.factorize(pattern)
        order = np.argsort(group.astype(np.uint32), kind="stable")
        ends = np.cumsum(np.bincount(group, minlength=len(found)))
        full = np.empty((count, len(self._values)))
        tempered = self.network.evidence_weight != 1
        before = np.empty_like(full) if tempered else full
        for pixels in np.split(order, ends[:-1]):
            kind = kinds[:, pixels[0]]
            self._multiply(kind, codes, weights, weight_rows, pixels, full)
            if tempered:
                self._multiply(np.where(self._causes, kind, 0), codes, weights, weight_rows, pixels, before)
        _summarize(
            full,
            before,
            self.network.evidence_weight,
            self._values,
            result.expectation[part],
            result.entropy[part],
            result.mode[part],
        )
        result.signs_observed[part] = (kinds > 0).sum(axis=0)
        if result.probabilities is not None:
            result.probabilities[part] = full

    def _multiply(self, kind, codes, weights, weight_rows, pixels, out) -> None:
        plan = self._plan(tuple(int(k) for k in kind))
        columns, is_soft = plan.summed
        _multiply_tables(
            codes,
            pixels,
            self._pool.cells,
            plan.starts,
            plan.column_starts,
            plan.columns,
            plan.strides,
            plan.fixed_count,
            plan.combinations,
            plan.offsets,
            weights,
            weight_rows[columns],
            is_soft,
            out,
        )

    def _plan(self, kind: tuple[int, ...]) -> Plan:
        if kind not in self._plans:
            hard = {name for name, i in self._columns.items() if kind[i] == 1}
            soft = {name for name, i in self._columns.items() if kind[i] == 2}
            self._plans[kind] = make_plan(self.network, self._columns, hard, soft, self._pool)
        return self._plans[kind]


@numba.njit(nogil=True, cache=True)
def _pattern_numbers(kinds):
    """A number for each pattern of missing, hard and soft evidence, dims (node, pixel) -> (pixel)."""
    count = kinds.shape[1]
    pattern = np.zeros(count, np.uint64)
    for node in range(kinds.shape[0]):
        for i in range(count):
            pattern[i] = pattern[i] * np.uint64(3) + np.uint64(kinds[node, i])
    return pattern


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _multiply_tables(
    codes,
    pixels,
    cells,
    starts,
    column_starts,
    columns,
    strides,
    fixed_count,
    combinations,
    offsets,
    weights,
    weight_rows,
    is_soft,
    out,
):
    """Unnormalised posterior of the given pixels: the product of the rows they look up, summed over combinations."""
    tables, size = starts.size, out.shape[1]
    rows = np.empty(tables, np.int64)
    fixed, term = np.empty(size), np.empty(size)
    for i in pixels:
        for k in range(tables):
            row = starts[k]
            for j in range(column_starts[k], column_starts[k + 1]):
                row += strides[j] * np.int64(codes[columns[j], i])
            rows[k] = row
        for q in range(size):
            fixed[q] = 1.0
        for k in range(fixed_count):
            row = rows[k]
            for q in range(size):
                fixed[q] *= cells[row + q]
        if fixed_count == tables and not is_soft.size:
            for q in range(size):
                out[i, q] = fixed[q]
            continue
        for q in range(size):
            out[i, q] = 0.0
        for c in range(combinations.shape[0]):
            weight = 1.0
            for s in range(is_soft.size):
                if is_soft[s]:
                    weight *= weights[weight_rows[s], i, combinations[c, s]]
            if weight == 0.0:
                continue
            for q in range(size):
                term[q] = weight
            for k in range(fixed_count, tables):
                row = rows[k] + offsets[k, c]
                for q in range(size):
                    term[q] *= cells[row + q]
            for q in range(size):
                out[i, q] += term[q]
        for q in range(size):
            out[i, q] *= fixed[q]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _summarize(full, before, weight, values, expectation, entropy, mode):
    """Temper and normalise ``full`` in place, and reduce it to its expectation, normalised entropy and mode."""
    count, size = full.shape
    for i in range(count):
        total, total_before = 0.0, 0.0
        for q in range(size):
            total += full[i, q]
            total_before += before[i, q]
        if weight != 1.0 and total > 0.0 and total_before > 0.0:
            scaled = 0.0
            for q in range(size):
                if full[i, q] > 0.0:
                    full[i, q] = before[i, q] * (full[i, q] / before[i, q] * total_before / total) ** weight
                scaled += full[i, q]
            total = scaled
        if not total > 0.0:
            expectation[i], entropy[i], mode[i] = np.nan, np.nan, 255
            for q in range(size):
                full[i, q] = np.nan
            continue
        mean, bits, best = 0.0, 0.0, 0
        for q in range(size):
            p = full[i, q] / total
            full[i, q] = p
            mean += p * values[q]
            if p > 0.0:
                bits -= p * np.log(p)
            if p > full[i, best]:
                best = q
        expectation[i], entropy[i], mode[i] = mean, bits / np.log(size), best


def map_integrity(
    inference: Inference, evidence: xr.Dataset, *, likelihoods: Mapping[str, xr.DataArray] | None = None
) -> xr.Dataset:
    """Maps of expected integrity and its entropy.

    Parameters
    ----------
    inference
        Inference of the network.
    evidence
        State numbers of nodes, uint8, 255 missing, dims (y, x); nodes it lacks are missing everywhere.
    likelihoods
        Soft evidence of nodes [1], dims (state, y, x), NaN where missing.

    Returns
    -------
    xr.Dataset
        ``integrity`` [1], 0 (degraded) to 1 (intact), ``1 - E[hemeroby] / 18``; ``entropy`` [1], 0 (certain)
        to 1; ``signs_observed``, how many nodes have evidence; ``state``, number of the most probable state;
        dims (y, x). No data where no evidence was seen.

    References
    ----------
    Equihua et al. 2020, Ecosystem antifragility: beyond integrity and resilience, doi:10.7717/peerj.8533.
    """
    soft = {str(name): array.transpose(..., "state").values for name, array in (likelihoods or {}).items()}
    hard = {str(name): array.values for name, array in evidence.data_vars.items()}
    found = inference.posterior(hard, likelihoods=soft)
    seen = found.signs_observed > 0
    integrity = 1 - found.expectation / MOST_HEMEROBY
    dims = ("y", "x")
    return xr.Dataset(
        {
            "integrity": (dims, np.where(seen, integrity, np.nan).astype(np.float32), {"units": "1"}),
            "entropy": (dims, np.where(seen, found.entropy, np.nan).astype(np.float32), {"units": "1"}),
            "signs_observed": (dims, found.signs_observed, {"units": "1"}),
            "state": (
                dims,
                np.where(seen, found.mode, MISSING).astype(np.uint8),
                {"units": "1", "nodata": MISSING},
            ),
        },
        coords=evidence.coords,
    )


def posterior_at(inference: Inference, evidence: xr.Dataset, truth: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Posteriors [1], dims (pixel, state), and true states, dims (pixel), of the pixels whose truth is known."""
    known = truth.values != MISSING
    states = {str(name): array.values[known] for name, array in evidence.data_vars.items()}
    found = inference.posterior(states, probabilities=True)
    seen = found.signs_observed > 0
    return found.probabilities[seen], truth.values[known][seen]
