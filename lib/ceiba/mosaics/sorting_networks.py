"""Sorting networks: the same comparisons whatever the values, so that many pixels are sorted side by side."""

import functools

import numpy as np


@functools.cache
def sorting_networks(longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Batcher's merge sort for 0 to ``longest`` rows: comparators (pair, 2), and where each begins."""
    networks = [sorting_network(rows) for rows in range(longest + 1)]
    before = np.zeros(longest + 2, np.int64)
    before[1:] = np.cumsum([len(network) for network in networks])
    return np.concatenate(networks), before


@functools.cache
def sorting_network(rows: int) -> np.ndarray:
    """Comparators (pair, 2), int32, of Batcher's merge sort that sort ``rows`` rows."""
    comparators = []
    whole = 1 << max(0, rows - 1).bit_length()
    merged = 1
    while merged < whole:
        distance = merged
        while distance >= 1:
            for first in range(distance % merged, whole - distance, 2 * distance):
                for low in range(first, min(first + distance, whole - distance)):
                    same_run = low // (2 * merged) == (low + distance) // (2 * merged)
                    if same_run and low + distance < rows:
                        comparators.append((low, low + distance))
            distance //= 2
        merged *= 2
    return np.array(comparators, np.int32).reshape(-1, 2)
