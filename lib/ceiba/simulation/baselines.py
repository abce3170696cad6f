"""Processing baselines of Sentinel-2: how reflectance is written as counts, and what the scene says of itself."""

import numpy as np

from ceiba.errors import SceneError

# Added to the counts from a processing baseline on, so that dark noise is not cut at 0 (ESA, Sentinel-2 Products
# Specification Document: RADIO_ADD_OFFSET and BOA_ADD_OFFSET are -1000 from baseline 04.00, 25 January 2022).
SHIFT_SINCE = {"00.00": 0, "04.00": 1000}
FORMER_BASELINE = "02.07"


def count_shift(baseline: str) -> int:
    """Counts added to 10 000 times reflectance under a processing baseline "NN.NN"; raises :class:`SceneError`."""
    number, _, minor = baseline.partition(".")
    if not (len(number) == len(minor) == 2 and (number + minor).isdigit()):
        raise SceneError(f"processing baseline {baseline!r}: write it as Sentinel-2 does, 02.07 or 04.00")
    # Two digits on each side: the order of the texts is that of the numbers.
    return SHIFT_SINCE[max(since for since in SHIFT_SINCE if since <= baseline)]


def to_counts(reflectance: np.ndarray, beyond: np.ndarray, baseline: str = FORMER_BASELINE) -> np.ndarray:
    """Reflectance [1] as counts, uint16; 0 stands for no data and is given to pixels ``beyond`` the swath alone."""
    counts = np.round(reflectance * 10_000) + count_shift(baseline)
    return np.where(beyond, 0, np.clip(counts, 1, 65535)).astype(np.uint16)
