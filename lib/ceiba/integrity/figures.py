"""Figures and tables that the integrity notebooks show, titled in both languages."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from ceiba import labels
from ceiba.integrity.accuracy import calibration_curve
from ceiba.integrity.inference import MISSING, Inference
from ceiba.networks import MOST_HEMEROBY, Network

# Of cividis, dark and light enough to tell apart without color.
DARK, LIGHT = "#00336f", "#d9b84b"


def two_lines(key: str) -> str:
    """A label in both languages, Spanish above English."""
    return labels.both(key).replace(" | ", "\n")


def describe_network(network: Network) -> pd.DataFrame:
    """One row a node: its title, number of states, what it depends on, and number of probabilities."""

    def title(name: str) -> str:
        return " | ".join(dict.fromkeys(network.nodes[name].title.values())) or name

    rows = [
        {
            labels.both("integrity.node"): title(node.name),
            labels.both("integrity.states"): len(node.states),
            labels.both("integrity.parents"): ", ".join(node.parents) or "-",
            labels.both("integrity.cells"): int(np.prod([network.size(name) for name in network.family(node.name)])),
        }
        for node in network.nodes.values()
    ]
    return pd.DataFrame(rows)


def describe_evidence(network: Network, evidence: xr.Dataset) -> pd.DataFrame:
    """One row an evidence node: its title, source, and share of pixels where it was seen, or that it is absent."""
    rows = []
    for name in network.evidence_nodes:
        node = network.nodes[name]
        seen = float((evidence[name] != MISSING).mean()) if name in evidence else 0.0
        rows.append(
            {
                labels.both("integrity.node"): " | ".join(dict.fromkeys(node.title.values())) or name,
                labels.both("integrity.source"): f"{node.source.name}: {node.source.measurement}"
                if node.source
                else "-",
                labels.both("integrity.seen"): f"{seen:.1%}" if seen else labels.both("integrity.absent"),
            }
        )
    return pd.DataFrame(rows)


def describe_scores(scores: Mapping[str, float]) -> pd.DataFrame:
    """Scores of :func:`ceiba.integrity.accuracy.score` by their names in both languages."""
    rows = [(labels.both(f"integrity.{name}"), round(value, 3)) for name, value in scores.items()]
    return pd.DataFrame(rows, columns=[labels.both("integrity.score"), labels.both("integrity.value")])


def plot_map(axes: Axes, values: xr.DataArray, *, title: str, label: str, cmap: str) -> None:
    """A map of values from 0 to 1, titled by label keys, grey where there is no data."""
    axes.set_facecolor("#d9d9d9")
    values.plot.imshow(ax=axes, vmin=0, vmax=1, cmap=cmap, cbar_kwargs={"label": two_lines(label)})
    axes.set(title=two_lines(title), aspect="equal")
    axes.set(xlabel=labels.both("integrity.easting"), ylabel=labels.both("integrity.northing"))


def plot_signs(axes: Axes, signs_observed: xr.DataArray, *, most: int) -> None:
    """Share of the mapped pixels [%] by their number of signs, of ``most`` that the network knows."""
    counts = np.bincount(signs_observed.values.ravel(), minlength=most + 1)[1:]
    axes.bar(np.arange(1, most + 1), 100 * counts / max(counts.sum(), 1), color=DARK)
    axes.set(title=two_lines("integrity.signs_title"), xlabel=labels.both("integrity.signs"))
    axes.set(ylabel=two_lines("integrity.pixels_share"), xlim=(0.3, most + 0.7))
    axes.xaxis.get_major_locator().set_params(integer=True)


def plot_prior(axes: Axes, network: Network) -> None:
    """Probability of each state of the query before any evidence."""
    nothing = {network.evidence_nodes[0]: np.full(1, MISSING, np.uint8)}
    prior = Inference(network).posterior(nothing, probabilities=True).probabilities[0]
    axes.bar(network.values, prior, color=DARK)
    axes.set(title=two_lines("integrity.prior_title"), xlabel=two_lines("integrity.hemeroby"))
    axes.set(ylabel=labels.both("integrity.probability"), xlim=(-1, MOST_HEMEROBY + 1))
    axes.set_xticks(range(0, MOST_HEMEROBY + 1, 3))


def plot_calibration(axes: Axes, probabilities: np.ndarray, truth: np.ndarray, *, empty: str) -> None:
    """How often the likeliest state is right, by its probability; the text ``empty`` where there is no truth."""
    if not len(truth):
        axes.set_axis_off()
        axes.text(0.5, 0.5, two_lines(empty).replace(": ", ":\n"), ha="center", va="center")
        return
    curve = calibration_curve(probabilities, truth)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label=labels.both("integrity.ideal"))
    axes.plot(curve["confidence"], curve["accuracy"], color=DARK)
    axes.scatter(
        curve["confidence"], curve["accuracy"], s=10 + 600 * curve["share"], color=LIGHT, edgecolor=DARK, zorder=3
    )
    axes.set(title=two_lines("integrity.calibration"), xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel=two_lines("integrity.confidence"), ylabel=two_lines("integrity.accuracy"))
    axes.legend(loc="upper left", frameon=False, fontsize="small")


def plot_by_truth(axes: Axes, network: Network, probabilities: np.ndarray, truth: np.ndarray) -> None:
    """Mapped integrity (median, percentiles 10 to 90) of the pixels of each true state."""
    if not len(truth):
        axes.set_axis_off()
        return
    integrity = 1 - probabilities @ np.array(network.values) / MOST_HEMEROBY
    states = np.unique(truth)
    low, middle, high = np.array([np.percentile(integrity[truth == state], [10, 50, 90]) for state in states]).T
    true_integrity = 1 - np.array(network.values)[states] / MOST_HEMEROBY
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    axes.vlines(true_integrity, low, high, color=LIGHT, linewidth=5, label=labels.both("integrity.percentiles"))
    axes.plot(true_integrity, middle, "o", color=DARK, label=labels.both("integrity.median"))
    axes.set(title=two_lines("integrity.by_truth"), xlim=(-0.03, 1.03), ylim=(0, 1), aspect="equal")
    axes.set(xlabel=two_lines("integrity.integrity"), ylabel=two_lines("integrity.integrity"))
    axes.legend(loc="upper left", frameon=False, fontsize="small")
