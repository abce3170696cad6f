"""Clouds and shadows grown by a distance, the same in any block of an image."""

from collections.abc import Iterable

import numpy as np

from ceiba.ard.quality import grow_layer
from ceiba.ard.sensors import Sensor, known_names
from ceiba.errors import InputError

# Classes and bits that are grown. What an archive calls dilated cloud has been grown already.
COVERS = ("cloud", "cloud_medium", "cloud_high", "thin_cirrus", "cirrus", "cloud_shadow")


def cover_numbers(sensor: Sensor, classes: Iterable[str] | None) -> np.ndarray:
    """Whether a number of the quality band is cloud, cirrus or shadow and not clear, for all 65536 of them (bool).

    ``classes`` are those that are clear, or bits that must not be set, by default the sensor's own: cirrus that counts as clear
    does not grow either.
    """
    kind = sensor.quality
    numbers = np.arange(65536, dtype=np.uint32)
    if kind.kind == "classes":
        clear = set(known_names(kind.clear if classes is None else classes, kind.classes))
        return np.isin(numbers, [kind.classes[name] for name in COVERS if name in kind.classes and name not in clear])
    unwanted = set(known_names(kind.unwanted if classes is None else classes, kind.classes))
    bits = [kind.classes[name] for name in COVERS if name in kind.classes and name in unwanted]
    # Fill may have any bit set.
    fill = kind.classes.get("fill")
    covered = (numbers & np.uint32(sum(1 << bit for bit in bits))) != 0
    return covered & ((numbers & np.uint32(1 << fill)) == 0) if fill is not None else covered


def margin_px(grow_m: float, resolution_m: float) -> int:
    """How many pixels around a block are to be read too; raises :class:`InputError` on a distance that is none."""
    if not (0 <= grow_m < np.inf and resolution_m > 0):
        raise InputError(f"clouds cannot grow by {grow_m} m on pixels of {resolution_m} m; give 0 m or more")
    return int(grow_m / resolution_m * (1 + 1e-9))


def drop_near_cover(clear: np.ndarray, covered: np.ndarray, *, grow_m: float, resolution_m: float) -> None:
    """Take from a clear mask, in place, what lies within ``grow_m`` [m] of covered pixels, center to center.

    ``covered`` is the mask of cloud and shadow with :func:`margin_px` pixels more on each side than ``clear``, dims ``(y, x)``.
    """
    margin = margin_px(grow_m, resolution_m)
    inner = np.s_[margin : covered.shape[0] - margin, margin : covered.shape[1] - margin]
    clear &= ~grow_layer(covered, pixels=grow_m / resolution_m)[inner]
