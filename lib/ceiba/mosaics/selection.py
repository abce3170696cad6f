"""Which of a pixel's observations stands for it, and the median band by band: compiled, 32 pixels side by side.

A date is a row; dates come in the order of time. Where observations are equal the earliest is taken, but by
:func:`latest` the last. No result depends on the neighbouring pixels.
"""

import numba
import numpy as np

LANES = 32  # pixels that a kernel works on side by side
NONE = -1
JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


@numba.njit(**JIT)
def latest(usable, chosen):
    """Last usable row of each pixel; ``usable`` (time, pixel), ``chosen`` (pixel) becomes the row or -1."""
    for t in range(usable.shape[0]):
        for p in range(usable.shape[1]):
            chosen[p] = t if usable[t, p] else chosen[p]


@numba.njit(**JIT)
def greenest(red, nir, usable, scale, offset, chosen):
    """Row with the highest NDVI; a date with a negative reflectance, or none at all, is not taken."""
    highest = np.full(usable.shape[1], -np.inf, np.float32)
    for t in range(usable.shape[0]):
        for p in range(usable.shape[1]):
            red_value = np.float32(red[t, p]) * scale + offset
            nir_value = np.float32(nir[t, p]) * scale + offset
            ndvi = (nir_value - red_value) / (nir_value + red_value)
            better = (usable[t, p] != 0) & (red_value >= 0) & (nir_value >= 0) & (ndvi > highest[p])
            highest[p] = ndvi if better else highest[p]
            chosen[p] = t if better else chosen[p]


@numba.njit(**JIT)
def most_central(bands, usable, scale, offset, chosen):
    """Row with the smallest sum of distances to all others (medoid), in float64."""
    dates, pixels = usable.shape
    spectra = np.zeros((dates, len(bands), LANES), np.float32)
    weight = np.zeros((dates, LANES), np.float64)
    total = np.zeros((dates, LANES), np.float64)
    squared = np.zeros(LANES, np.float64)
    for first in range(0, pixels, LANES):
        for t in range(dates):
            for lane in range(LANES):
                weight[t, lane] = 1.0 if usable[t, first + lane] else 0.0
                total[t, lane] = 0.0
            for b in range(len(bands)):
                for lane in range(LANES):
                    value = np.float32(bands[b][t, first + lane]) * scale + offset
                    spectra[t, b, lane] = value if usable[t, first + lane] else np.float32(0)
        for t in range(dates):
            for other in range(t + 1, dates):
                squared[:] = 0.0
                for b in range(len(bands)):
                    for lane in range(LANES):
                        difference = np.float64(spectra[t, b, lane]) - np.float64(spectra[other, b, lane])
                        squared[lane] += difference * difference
                for lane in range(LANES):
                    distance = np.sqrt(squared[lane])
                    total[t, lane] += weight[other, lane] * distance
                    total[other, lane] += weight[t, lane] * distance
        for lane in range(LANES):
            smallest = np.inf
            for t in range(dates):
                if weight[t, lane] > 0 and total[t, lane] < smallest:
                    smallest = total[t, lane]
                    chosen[first + lane] = t


@numba.njit(**JIT)
def median_of_band(band, usable, scale, offset, network, result):
    """Median of the usable rows of one band: ``result`` (pixel), float32, NaN where there is none."""
    dates, pixels = usable.shape
    values = np.empty((dates, LANES), np.float32)
    count = np.zeros(LANES, np.int64)
    for first in range(0, pixels, LANES):
        count[:] = 0
        for t in range(dates):
            for lane in range(LANES):
                seen = usable[t, first + lane] != 0
                value = np.float32(band[t, first + lane]) * scale + offset
                values[t, lane] = value if seen else np.float32(np.inf)
                count[lane] += 1 if seen else 0
        for pair in range(len(network)):
            low, high = network[pair, 0], network[pair, 1]
            for lane in range(LANES):
                a, b = values[low, lane], values[high, lane]
                values[low, lane] = min(a, b)
                values[high, lane] = max(a, b)
        for lane in range(LANES):
            n = count[lane]
            if n == 0:
                result[first + lane] = np.nan
            else:
                lower, upper = np.float64(values[(n - 1) // 2, lane]), np.float64(values[n // 2, lane])
                result[first + lane] = (lower + upper) / 2
