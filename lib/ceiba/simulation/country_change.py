"""Planted change of class in a simulated country: polygons with a known date, a few in every dry season."""

import datetime
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from ceiba.simulation.land_cover import CHANGE_KINDS, group_names, group_of
from ceiba.simulation.layout import random_stream
from ceiba.simulation.terrain import Terrain

NEVER = np.iinfo(np.int32).max
BUILT, REGROWN = 29, 11
REACH_PX = 24
SMALLEST_PX, LARGEST_PX = 12, 260


def plant_yearly_changes(
    seed: int, codes: np.ndarray, terrain: Terrain, *, years: Sequence[int], share_a_year: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Polygons that change their class once, in the dry seasons between the years.

    Each holds one class before and one after, lies apart from all others, and measures 1 to 23 ha. Clearing happens near
    roads, building near towns; the kinds and their mix are :data:`ceiba.simulation.land_cover.CHANGE_KINDS`.

    Parameters
    ----------
    seed
        Of the country.
    codes
        Class codes before any change, dims ``(y, x)``.
    terrain
        Distances to roads and towns [m], dims ``(y, x)``.
    years
        Years of the country; change happens between each two of them, so a single year has none.
    share_a_year
        Share of the pixels that change in each dry season [1].

    Returns
    -------
    changes
        ``number, date, from_code, to_code, pixels``, in order of number.
    number
        Number of the change of each pixel, 0 is none, dims ``(y, x)``, int32.
    """
    random = random_stream(seed, "country change")
    number = np.zeros(codes.shape, dtype=np.int32)
    groups, names = group_of(codes), group_names()
    total = sum(share for *_, share in CHANGE_KINDS)
    rows = []
    # What a kind is owed over the seasons so far: polygons are too large to meet a small share in each of them.
    owed = dict.fromkeys(CHANGE_KINDS, 0.0)
    for season in years[:-1]:
        for kind in CHANGE_KINDS:
            group, to_code, share = kind
            owed[kind] += share / total * share_a_year * codes.size
            near = terrain.town_distance_m if to_code == BUILT else terrain.road_distance_m
            candidates = np.flatnonzero((groups == names.index(group)) & (number == 0))
            weights = (0.1 + np.exp(-near.flat[candidates] / 1500)).astype(np.float64)
            centers = random.choice(candidates, size=min(300, candidates.size), replace=False, p=weights / weights.sum())
            for center in centers:
                if owed[kind] <= 0:
                    break
                pixels = _polygon(random, codes, number, int(center))
                if not SMALLEST_PX <= pixels.size <= LARGEST_PX:
                    continue
                date = datetime.date(season, 10, 15) + datetime.timedelta(days=int(random.integers(0, 150)))
                rows.append((len(rows) + 1, date, int(codes.flat[center]), to_code, pixels.size))
                number.flat[pixels] = len(rows)
                owed[kind] -= pixels.size
    return pd.DataFrame(rows, columns=["number", "date", "from_code", "to_code", "pixels"]), number


def _polygon(random: np.random.Generator, codes: np.ndarray, number: np.ndarray, center: int) -> np.ndarray:
    """Flat pixels of a slanted rectangle around ``center``, of its class alone and apart from other changes."""
    row, column = np.unravel_index(center, codes.shape)
    top, left = max(row - REACH_PX, 0), max(column - REACH_PX, 0)
    bottom, right = min(row + REACH_PX + 1, codes.shape[0]), min(column + REACH_PX + 1, codes.shape[1])
    window = (slice(top, bottom), slice(left, right))
    half_long, half_short, angle = random.uniform(3, 11), random.uniform(2, 6), random.uniform(0, np.pi)
    y, x = np.mgrid[window]
    along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
    near_others = ndimage.binary_dilation(number[window] > 0, iterations=2)
    inside = (np.abs(along) <= half_long) & (np.abs(across) <= half_short)
    inside &= (codes[window] == codes.flat[center]) & ~near_others
    labels, _ = ndimage.label(inside)
    mark = labels[row - top, column - left]
    if mark == 0:
        return np.array([], dtype=int)
    return np.ravel_multi_index((y[labels == mark], x[labels == mark]), codes.shape)
