"""Figures of the web server as numbers: from the text of Prometheus to rates and quantiles."""

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Sample:
    """All figures at a moment: values by name and labels."""

    moment_s: float
    values: Mapping[tuple[str, Labels], float]

    def total(self, name: str, **labels: str) -> float:
        """Sum of a figure over all labels that are not given."""
        wanted = set(labels.items())
        return sum(value for (key, given), value in self.values.items() if key == name and wanted <= given)

    def kinds(self, name: str, label: str) -> list[str]:
        """Values of a label, in order."""
        return sorted({value for (key, given) in self.values if key == name for found, value in given if found == label})

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """Upper bounds and cumulative counts of a histogram, summed over all labels that are not given."""
        wanted, counts = set(labels.items()), defaultdict(float)
        for (key, given), value in self.values.items():
            if key == f"{name}_bucket" and wanted <= given:
                counts[float(dict(given)["le"])] += value
        return sorted(counts.items())


def read_sample(text: str) -> Sample:
    """Figures of a text in the format of Prometheus."""
    values = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Sample(time.monotonic(), values)


def subtract(later: Sample, earlier: Sample) -> Sample:
    """What was counted between two moments; figures that only stand (memory, age) mean nothing in it."""
    return Sample(
        later.moment_s - earlier.moment_s, {key: value - earlier.values.get(key, 0.0) for key, value in later.values.items()}
    )


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Value that a share of all stayed below, straight between the bounds of its bucket; NaN where nothing was counted.

    As Prometheus' ``histogram_quantile`` does it. In the last bucket, which has no end, it is the last bound.

    Parameters
    ----------
    buckets
        Upper bounds, the last one infinite, with cumulative counts.
    share
        Above 0 to 1.
    """
    total = buckets[-1][1] if buckets else 0
    if not total:
        return math.nan
    below, low = 0.0, 0.0
    for bound, count in buckets:
        if count >= share * total and count > below:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (share * total - below) / (count - below)
        below, low = count, bound
    return low
