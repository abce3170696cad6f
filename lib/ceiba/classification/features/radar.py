"""Radar backscatter of Sentinel-1 over a period as features."""

import numpy as np

from ceiba.classification.features.pixel_blocks import PixelBlock
from ceiba.classification.features.schemas import Part
from ceiba.classification.features.temporal_statistics import ROWS, series_statistics


def radar_statistics(block: PixelBlock, part: Part) -> np.ndarray:
    """Mean and standard deviation of backscatter over the dates, by polarization.

    The mean is that of the power, which is what speckle averages out of, told in decibels again; the deviation is that of the
    decibels, so that it tells a change by a factor.

    Parameters
    ----------
    block
        Its radar is in [dB]; what is not finite is no data.
    part
        Its features tell which of "mean" and "std" of which polarization to give.

    Returns
    -------
    np.ndarray
        dims ``(feature, pixel)`` [dB], float32, NaN where there is no date.
    """
    found = {}
    for name, decibels in block.radar.items():
        power = series_statistics(np.power(np.float32(10), decibels / np.float32(10)))
        found[name, "mean"] = np.float32(10) * np.log10(power[ROWS.index("mean")])
        found[name, "std"] = series_statistics(decibels)[ROWS.index("std")]
    return np.stack([found[feature.source, feature.statistic] for feature in part.features])
