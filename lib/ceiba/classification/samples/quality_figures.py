"""Figures and tables of the quality of samples, worded in both languages."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ceiba import labels
from ceiba.classification.figures import class_name, two_lines
from ceiba.legends import Legend

# Okabe and Ito's colors, told apart by color-blind eyes; the map is black.
SPLIT_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")


def draw_distances(axes: Axes, distances: pd.DataFrame, *, unit: str = "m") -> None:
    """Share of places whose nearest sample lies within a distance: of the map, among samples, and of each split.

    ``distances`` is from :func:`ceiba.classification.samples.spacing.geographic_distances`. A split whose line lies on that of the
    map asks of the model what the map asks.
    """
    styles = {("prediction_to_sample", ""): ("black", "-", 2.2), ("sample_to_sample", ""): ("0.55", "--", 1.2)}
    splits = distances.loc[distances["split"] != "", "split"].unique()
    for split, color in zip(splits, SPLIT_COLORS, strict=False):
        styles["fold_to_rest", split] = (color, "-", 1.4)
    for (kind, split), (color, line, width) in styles.items():
        values = np.sort(distances.loc[(distances["kind"] == kind) & (distances["split"] == split), "distance"])
        name = labels.both(f"classification.{split}") if split else labels.both(f"classification.{kind}")
        share = np.arange(1, len(values) + 1) / len(values)
        axes.step(values, share, where="post", color=color, linestyle=line, linewidth=width, label=name)
    # Below a thousandth of the longest distance the axis is linear, so that places at a sample itself are shown.
    axes.set_xscale("symlog", linthresh=max(1e-9, float(distances["distance"].max()) / 1000))
    axes.set(xlim=(0, None), ylim=(0, 1), xlabel=f"{labels.both('classification.nearest_sample')} [{unit}]")
    axes.set(ylabel=labels.both("classification.share_of_places"), title=two_lines("classification.distances_title"))
    axes.legend(loc="upper left", fontsize=7, frameon=False)
    axes.grid(alpha=0.3)


def suspicion_table(quality: pd.DataFrame, legend: Legend, *, rows: int = 12) -> pd.DataFrame:
    """The most suspicious samples: their label, what the model says, by how much, and the verdict of the map of neurons."""
    table = quality.sort_values("rank").head(rows)
    return pd.DataFrame(
        {
            labels.both("classification.sample"): table["sample_id"].to_numpy(),
            labels.both("classification.given_label"): [class_name(legend, int(c), longest=24) for c in table["code"]],
            labels.both("classification.suggested_label"): [
                class_name(legend, int(c), longest=24) for c in table["suggested"]
            ],
            labels.both("classification.margin"): [f"{value:.2f}" for value in table["margin"]],
            labels.both("classification.neighbors_say"): [
                labels.both(f"classification.{word}") for word in table["verdict"]
            ],
        }
    )


def balance_table(balance: pd.DataFrame) -> pd.DataFrame:
    """Classes that have samples, the rarest last, and how many have none."""
    found = balance[balance["samples"] > 0].sort_values("samples", ascending=False)
    names = [f"{row.code} {row.name_es} | {row.name_en}" for row in found.itertuples()]
    return pd.DataFrame(
        {
            labels.both("classification.class"): names,
            labels.both("classification.samples"): found["samples"].to_numpy(),
            labels.both("classification.share"): [f"{value:.1%}" for value in found["share"]],
            labels.both("classification.years"): found["years"].to_numpy(),
        }
    )


def describe_spacing(facts: Mapping[str, int]) -> str:
    """Counts of clusters, near-duplicates and suspicious labels, in words; the keys are ends of label keys."""
    return "; ".join(f"{labels.both(f'classification.{name}')}: **{count}**" for name, count in facts.items())
