"""Compiled sorting and medians, small on purpose: NumPy's own take longer to compile than all the rest of the detection."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def sort_first(values, count, partners):
    """Sort the first ``count`` values in place, and ``partners`` with them; equal ones stay in no certain order."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap >= 1:
        for position in range(gap, count):
            value, partner, place = values[position], partners[position], position
            while place >= gap and values[place - gap] > value:
                values[place], partners[place] = values[place - gap], partners[place - gap]
                place -= gap
            values[place], partners[place] = value, partner
        gap //= 3


@numba.njit(cache=True, nogil=True)
def middle_of(values, first, stop):
    """Median of ``values[first:stop]``, which are sorted."""
    middle = (first + stop) // 2
    if (stop - first) % 2:
        return values[middle]
    return 0.5 * (values[middle - 1] + values[middle])


@numba.njit(cache=True, nogil=True)
def median_of(values, count):
    """Median of the first ``count`` values, which get sorted."""
    sort_first(values, count, np.empty(count, np.uint8))
    return middle_of(values, 0, count)
