"""Breaks and stable segments of long series of observations, pixel by pixel (CCDC), as xarray over blocks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import chi2
from tqdm.auto import tqdm

from ceiba.change.breaks.harmonics import COEFFICIENTS, LASSO_PENALTY, TERMS, harmonic_basis
from ceiba.change.breaks.segment_blocks import CLEAR, COVERED, SNOWY, UNSEEN, trace_block
from ceiba.change.breaks.segment_tracing import AT_END, AT_START, INSUFFICIENT, SNOW, STANDARD, YEAR
from ceiba.errors import InputError

DETECTION_BANDS = ("green", "red", "nir", "swir_1", "swir_2")
SCREENING_BANDS = ("green", "swir_1")
PEEK = 6
CHANGE_PROBABILITY = 0.99
OUTLIER_PROBABILITY = 1 - 1e-6
MOST_PEEK = 16 * PEEK + 1
BLOCK_BYTES = 64_000_000
NO_DAY = np.iinfo(np.int32).min
KINDS = {
    STANDARD: "standard",
    AT_START: "before_first_stable",
    AT_END: "after_last_stable",
    INSUFFICIENT: "few_clear",
    SNOW: "permanent_snow",
}
"""What a segment is, by the number in ``kind``; 0 is none."""


def find_segments(
    scenes: xr.Dataset,
    *,
    covered: xr.DataArray | None = None,
    snow: xr.DataArray | None = None,
    detection_bands: Sequence[str] = DETECTION_BANDS,
    screening_bands: Sequence[str] = SCREENING_BANDS,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    probability: float = CHANGE_PROBABILITY,
    peek: int = PEEK,
    block_bytes: int = BLOCK_BYTES,
    progress: bool = False,
) -> xr.Dataset:
    """Stable segments of each pixel's series, with the day on which each breaks.

    Continuous change detection and classification (Zhu and Woodcock 2014, doi:10.1016/j.rse.2014.01.011) as LCMAP runs it: a
    harmonic model of each band, fitted by the lasso, holds until ``peek`` observations in a row lie so far from it, summed
    over the detection bands, as unchanged land does in one of a hundred cases. Where observations lie closer than 16 days,
    more of them must agree. A pixel of which less than a quarter of what was seen is clear gets one simple model and no
    breaks; which is only known where ``covered`` is given.

    Parameters
    ----------
    scenes
        Surface reflectance [1], one variable a band, dims ``(time, ...)``; NaN is not seen or not clear. Bands beside the
        detection bands, as an index, get models and magnitudes and have no part in the decision. Lazy data is read by blocks.
    covered, snow
        Whether cloud or shadow, or snow, was seen, bool, of the same dims; they count, and snow that stays is fitted.
    ranges
        Band to the values between which an observation is taken; 0 and 1 by default.
    probability
        Of unchanged land to lie below the limit of change, 0.5 to 0.999999.
    peek
        Observations in a row that confirm a break, 3 to 12.
    block_bytes
        Of observations in work at a time; the segments come on top.
    progress
        Whether to show a progress bar of blocks.

    Returns
    -------
    xr.Dataset
        Dims ``(segment, ...)``, ``segment`` as many as the richest pixel has: ``start_day``, ``end_day`` and ``break_day``
        [days since 1970-01-01], int32; ``kind`` (:data:`KINDS`); ``observations`` [1]; ``change_probability`` [1]: 1 for a
        break, and for the last segment the share of ``peek`` that disagrees so far; by ``band``, ``coefficient``:
        ``coefficients`` (of the day since 1970 and its harmonics), ``rmse`` and ``magnitude``, the median of observed minus
        predicted after the break, NaN where nothing disagrees; and ``segment_count`` [1], dims ``(...)``.

    Raises
    ------
    InputError
        A band is missing, dims differ, time is no datetime64, or an option is out of its range.
    """
    bands = _check(scenes, detection_bands, screening_bands, probability, peek)
    scenes = scenes.sortby("time")
    days = scenes.time.values.astype("datetime64[D]").astype(np.int64)
    others = [dim for dim in scenes[bands[0]].dims if dim != "time"]
    flat = scenes.stack(pixel=others) if len(others) != 1 else scenes.rename({others[0]: "pixel"})
    flat = flat.reset_index("pixel", drop=True) if "pixel" in flat.indexes else flat
    masks = [None if mask is None else _fit_mask(mask, scenes, others) for mask in (covered, snow)]
    size = max(1, block_bytes // (len(days) * (len(bands) * 4 + 1)))
    span_days = int(days[-1] - days[0]) if len(days) else 0
    capacity = span_days // YEAR + 3  # each stable segment spans a year; one more before the first, one after the last
    parts = []
    limits = _limits(probability, peek, len(detection_bands))
    lowest, highest = np.array([(ranges or {}).get(band, (0.0, 1.0)) for band in bands], np.float64).T
    for first in tqdm(range(0, flat.sizes["pixel"], size), desc="blocks", unit="block", disable=not progress):
        part = slice(first, first + size)
        values = np.stack([flat[band].isel(pixel=part).transpose("pixel", "time").values for band in bands], axis=1)
        values = np.ascontiguousarray(values, np.float32)
        states = np.where(np.isfinite(values).all(axis=1), CLEAR, UNSEEN).astype(np.uint8)
        for mask, state in zip(masks, (COVERED, SNOWY), strict=True):
            if mask is not None:
                states[mask[part]] = state
        out = _room(len(values), capacity, len(bands))
        found = np.zeros(len(values), np.int64)
        trace_block(
            days, harmonic_basis(days), values, states, lowest, highest,
            np.array([bands.index(band) for band in detection_bands]),
            np.array([bands.index(band) for band in screening_bands]),
            bands.index("green") if "green" in bands else 0,
            peek, limits, float(chi2.ppf(OUTLIER_PROBABILITY, len(detection_bands))), LASSO_PENALTY, found, out,
        )  # fmt: skip
        most = int(found.max(initial=0))
        parts.append((found, [array[:, :most] for array in out]))
    return _as_dataset(parts, bands, scenes, others)


def _limits(probability: float, peek: int, bands: int) -> np.ndarray:
    """Limit of change by the number of observations that must agree: the same chance of them all, whatever their number."""
    counts = np.maximum(np.arange(16 * peek + 2), peek)
    return chi2.ppf(1 - (1 - probability) ** (peek / counts), bands)


def _check(scenes, detection_bands, screening_bands, probability, peek) -> list[str]:
    bands = [str(name) for name in scenes.data_vars]
    missing = sorted({*detection_bands, *screening_bands} - set(bands))
    if missing or not detection_bands or not screening_bands:
        raise InputError(
            f"breaks are told by {', '.join(detection_bands) or 'no band'} and missed clouds by "
            f"{', '.join(screening_bands) or 'no band'}; the scenes have {', '.join(bands)}"
        )
    dims = {scenes[band].dims for band in bands}
    if len(dims) > 1 or "time" not in next(iter(dims)):
        raise InputError(f"all bands need the same dims with time, given {' and '.join(map(str, sorted(dims)))}")
    if "time" not in scenes.coords or scenes.time.dtype.kind != "M":
        raise InputError("the scenes have no dates; give the coordinate time as datetime64")
    if not 0.5 <= probability <= 0.999999:
        raise InputError(f"probability {probability} is not between 0.5 and 0.999999")
    if not 3 <= peek <= 12:
        raise InputError(f"{peek} observations to confirm a break; 3 to 12 are possible")
    return bands


def _fit_mask(mask: xr.DataArray, scenes: xr.Dataset, others: Sequence[str]) -> np.ndarray:
    if set(mask.dims) != {"time", *others} or any(mask.sizes[dim] != scenes.sizes[dim] for dim in mask.dims):
        raise InputError(f"a mask of {dict(mask.sizes)} does not fit scenes of {dict(scenes.sizes)}")
    mask = mask.assign_coords(time=mask.time) if "time" in mask.coords else mask
    ordered = mask.sortby("time") if "time" in mask.coords else mask
    return ordered.transpose(*others, "time").values.reshape(-1, ordered.sizes["time"]).astype(bool)


def _room(pixels: int, segments: int, bands: int) -> tuple[np.ndarray, ...]:
    return (
        np.full((pixels, segments, 3), NO_DAY, np.int32),
        np.zeros((pixels, segments, 2), np.int32),
        np.full((pixels, segments), np.nan, np.float32),
        np.full((pixels, segments, bands, TERMS), np.nan, np.float32),
        np.full((pixels, segments, bands), np.nan, np.float32),
        np.full((pixels, segments, bands), np.nan, np.float32),
    )


def _as_dataset(parts: list, bands: list[str], scenes: xr.Dataset, others: list[str]) -> xr.Dataset:
    most = max((part[1][0].shape[1] for part in parts), default=0)
    room = _room(0, most, len(bands))
    columns = []
    for position, empty in enumerate(room):
        fill = NO_DAY if position == 0 else (0 if position == 1 else np.nan)
        padded = [
            np.concatenate(
                [
                    part[1][position],
                    np.full((len(part[0]), most - part[1][position].shape[1], *empty.shape[2:]), fill, empty.dtype),
                ],
                axis=1,
            )
            for part in parts
        ]
        columns.append(np.moveaxis(np.concatenate([empty, *padded]), 0, -1))
    shape = tuple(scenes.sizes[dim] for dim in others)
    days, facts, probability, coefficients, rmse, magnitude = (c.reshape(*c.shape[:-1], *shape) for c in columns)
    units = {"units": "days since 1970-01-01", "nodata": NO_DAY}
    by_band = ("segment", "band", *others)
    found = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)]).reshape(shape)
    coords = {name: value for name, value in scenes.coords.items() if "time" not in value.dims}
    return xr.Dataset(
        {
            "segment_count": (tuple(others), found.astype(np.uint8), {"units": "1"}),
            "start_day": (("segment", *others), days[:, 0], units),
            "end_day": (("segment", *others), days[:, 1], units),
            "break_day": (("segment", *others), days[:, 2], units),
            "kind": (("segment", *others), facts[:, 0].astype(np.uint8), {"units": "class", "nodata": 0}),
            "observations": (("segment", *others), facts[:, 1].astype(np.uint16), {"units": "1"}),
            "change_probability": (("segment", *others), probability, {"units": "1"}),
            "coefficients": (
                ("segment", "band", "coefficient", *others), coefficients, {"units": "1", "days": "since 1970-01-01"},
            ),
            "rmse": (by_band, rmse, {"units": "1"}),
            "magnitude": (by_band, magnitude, {"units": "1"}),
        },
        coords=coords | {"band": bands, "coefficient": list(COEFFICIENTS)},
    )  # fmt: skip


def predict_segments(segments: xr.Dataset, times: np.ndarray) -> xr.DataArray:
    """Values of each segment's models [1] on ``times``, dims ``(segment, band, time, ...)``, NaN outside of the segment."""
    times = pd.DatetimeIndex(np.asarray(times))
    days = times.values.astype("datetime64[D]").astype(np.int64)
    columns = np.concatenate([np.ones((len(days), 1)), harmonic_basis(days)], axis=1)
    basis = xr.DataArray(columns, dims=("time", "coefficient"), coords={"coefficient": list(COEFFICIENTS)})
    values = (segments["coefficients"].astype(np.float64) * basis).sum("coefficient", skipna=False)
    day = xr.DataArray(days, dims="time")
    inside = (day >= segments["start_day"]) & (day <= segments["end_day"])
    result = values.where(inside).assign_coords(time=times)
    return result.transpose("segment", "band", "time", ...)
