"""Compiled driver of the break detection: which procedure a pixel gets, and its segments, for a block of pixels."""

import numba
import numpy as np

from ceiba.change.breaks.harmonics import TERMS, fit_bands
from ceiba.change.breaks.ordering import median_of
from ceiba.change.breaks.screening import confirming_count, series_roughness
from ceiba.change.breaks.segment_tracing import INSUFFICIENT, LEAST, SIMPLE, SNOW, trace_series, write_segment

UNSEEN, CLEAR, COVERED, SNOWY = 0, 1, 2, 3
"""What an observation is: not there, clear land or water, cloud or shadow, snow."""
LEAST_CLEAR = 0.25  # of what was seen, for the standard procedure
MOST_SNOW = 0.75  # of what is clear or snow, from which on it is permanent
BRIGHT_GREEN = 0.04  # above the median, where little is clear: what is brighter is taken for cloud


@numba.njit(cache=True, nogil=True)
def trace_block(
    days,
    basis,
    values,
    states,
    lowest,
    highest,
    bands,
    screening,
    green,
    peek,
    limits,
    outlier_limit,
    penalty,
    found,
    out,
):
    """Segments of each pixel of a block.

    Parameters
    ----------
    days, basis
        Of all dates in order: days as integers, and :func:`ceiba.change.breaks.harmonics.harmonic_basis`.
    values, states
        Dims ``(pixel, band, time)`` and ``(pixel, time)``, the latter of UNSEEN, CLEAR, COVERED, SNOWY.
    lowest, highest
        Of each band: what is not between them is no observation of clear land.
    bands, screening, green
        Positions of the bands that tell breaks, of those that tell missed clouds, and of green.
    peek, limits, outlier_limit
        Observations that confirm a break at least, and the limit of change for each number of them.
    found, out
        Filled: number of segments ``(pixel,)``, and their days, facts, probabilities, coefficients, rmse and magnitudes.
    """
    band_count, date_count = values.shape[1], values.shape[2]
    own_days, own_basis = np.empty(date_count, np.int64), np.empty((date_count, TERMS - 1))
    own = np.empty((band_count, date_count))
    keep = np.empty(date_count, np.int64)
    roughness = np.empty(band_count)
    for pixel in range(values.shape[0]):
        seen = clear = snow = 0
        for date in range(date_count):
            seen += states[pixel, date] != UNSEEN
            clear += states[pixel, date] == CLEAR
            snow += states[pixel, date] == SNOWY
        found[pixel] = 0
        standard = clear >= LEAST_CLEAR * seen
        permanent_snow = not standard and snow >= MOST_SNOW * (clear + snow + 0.01)
        count = np.int64(0)
        for date in range(date_count):
            taken = states[pixel, date] == CLEAR
            for band in range(band_count):
                taken = taken and lowest[band] < values[pixel, band, date] < highest[band]
            if not taken and permanent_snow:
                taken = states[pixel, date] == SNOWY
                for band in range(band_count):
                    taken = taken and np.isfinite(values[pixel, band, date])
            if not taken or (count and own_days[count - 1] == days[date]):
                continue
            own_days[count] = days[date]
            for term in range(TERMS - 1):
                own_basis[count, term] = basis[date, term]
            for band in range(band_count):
                own[band, count] = values[pixel, band, date]
            keep[count] = count
            count += 1
        pixel_out = (out[0][pixel], out[1][pixel], out[2][pixel], out[3][pixel], out[4][pixel], out[5][pixel])
        if standard:
            if count <= LEAST:
                continue
            series_roughness(own_days, count, own, roughness)
            needed = confirming_count(own_days, count, peek)
            pair = (limits[needed], outlier_limit)
            found[pixel] = trace_series(
                own_days, own_basis, own, keep, count, bands, screening, roughness, needed, pair, penalty, pixel_out
            )
            continue
        if not permanent_snow and count:
            greens = own[green, :count].copy()
            middle = median_of(greens, count) + BRIGHT_GREEN
            kept = np.int64(0)
            for position in range(count):
                if own[green, position] < middle:
                    keep[kept] = position
                    kept += 1
            count = kept
        if count >= LEAST:
            kind = np.int64(SNOW) if permanent_snow else np.int64(INSUFFICIENT)
            found[pixel] = _fit_whole(days, own_basis, own, keep, count, kind, penalty, pixel_out)


@numba.njit(cache=True, nogil=True)
def _fit_whole(days, basis, values, keep, count, kind, penalty, out):
    """One simple model for all dates, where no breaks can be told."""
    models, rmse = np.empty((values.shape[0], TERMS)), np.empty(values.shape[0])
    residuals = np.empty((values.shape[0], count))
    fit_bands(basis, values, keep, np.int64(0), count, SIMPLE, penalty, models, rmse, residuals)
    write_segment(out, np.int64(0), (days[0], days[-1], days[-1]), kind, count, 0.0, models, rmse)
    return 1
