"""How well breaks found agree with known ones."""

from collections.abc import Sequence

import numpy as np

from ceiba.errors import InputError

TOLERANCE_DAYS = 60


def match_breaks(
    true: Sequence[int],
    found: Sequence[int],
    *,
    observed: Sequence[int] | None = None,
    tolerance_days: int = TOLERANCE_DAYS,
) -> list[tuple[int, int]]:
    """Pairs of a known break and the one that was found for it, each used once, the nearest first.

    Parameters
    ----------
    true, found
        Days of the breaks of one series.
    observed
        Days of its clear observations: a break may be found as late as the second one behind it, however long that takes.
    tolerance_days
        Days by which a break may be missed before or behind.

    Raises
    ------
    InputError
        Where the tolerance is negative.
    """
    if tolerance_days < 0:
        raise InputError(f"breaks cannot be met within {tolerance_days} days; 0 or more are possible")
    days = np.sort(np.asarray([] if observed is None else observed))
    pairs = []
    for known in true:
        behind = days[days >= known]
        latest = max([known + tolerance_days, *behind[1:2]])
        pairs += [(abs(own - known), known, own) for own in found if known - tolerance_days <= own <= latest]
    matched: list[tuple[int, int]] = []
    for _, known, own in sorted(pairs):
        if known not in {pair[0] for pair in matched} and own not in {pair[1] for pair in matched}:
            matched.append((int(known), int(own)))
    return sorted(matched)
