"""Land cover of the simulated area: life zones, 31 classes with the national class prior, planted change."""

import datetime
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import cKDTree

from ceiba.config import project_root
from ceiba.simulation.layout import PIXEL_M, YEARS, random_stream
from ceiba.simulation.terrain import TOP_ELEVATION_M, Terrain, smooth_field

WATER = 31
# Kinds of change: what it was, what it becomes, share of the area over both seasons.
CHANGE_KINDS = (
    ("forest", 28, 0.014),
    ("forest", 27, 0.008),
    ("forest", 30, 0.004),
    ("shrub", 28, 0.010),
    ("shrub", 30, 0.004),
    ("agriculture", 29, 0.005),
    ("grassland", 29, 0.003),
    ("grassland", 30, 0.003),
    ("grassland", 11, 0.005),
    ("agriculture", 11, 0.005),
)
REGROWTH_DAYS = 300


@dataclass(frozen=True)
class Change:
    """A planted change: one polygon, one date, one from-to. ``pixels`` are flat indices of the 10 m grid."""

    number: int
    date: datetime.date
    from_code: int
    to_code: int
    pixels: np.ndarray


@functools.cache
def class_traits() -> pd.DataFrame:
    """Niche, canopy and season of each class by code, from ``catalogs/simulation/class_traits.csv``."""
    return pd.read_csv(project_root() / "catalogs" / "simulation" / "class_traits.csv", index_col="code")


@functools.cache
def class_prior() -> pd.Series:
    """Share [1] of each of the 31 national classes, from the training points counted in the legend."""
    legend = pd.read_csv(project_root() / "catalogs" / "legends" / "mexico_31.csv", index_col="code")
    return legend["training_points"] / legend["training_points"].sum()


def group_names() -> list[str]:
    """Groups of classes in the order of the traits table: forest, shrub, grassland, agriculture, settlement,
    bare, water.
    """
    return list(dict.fromkeys(class_traits()["group"]))


def group_of(codes: np.ndarray) -> np.ndarray:
    """Index into :func:`group_names` of each class code, the same shape."""
    names = group_names()
    table = np.zeros(256, dtype=np.uint8)
    for code, group in class_traits()["group"].items():
        table[code] = names.index(group)
    return table[codes]


def make_life_zones(elevation_m: np.ndarray, moisture: np.ndarray) -> np.ndarray:
    """Life zone codes of ``catalogs/legends/simulated_life_zones.csv``, dims ``(y, x)``, uint8.

    Temperate above 450 m unless arid, else by moisture [1]: arid below 0.3, subhumid below 0.65, humid.
    A miniature of Holdridge's scheme (Holdridge 1947, doi:10.1126/science.105.2727.367).
    """
    zones = np.select([moisture < 0.3, elevation_m > TOP_ELEVATION_M / 2, moisture < 0.65], [1, 4, 2], default=3)
    return zones.astype(np.uint8)


def allocate(scores: np.ndarray, shares: np.ndarray, *, tolerance: float = 0.05, max_rounds: int = 80) -> np.ndarray:
    """Class index with the highest score plus an offset a class, the offsets chosen so that every class gets
    its share.

    Parameters
    ----------
    scores
        Suitability, dims ``(class, pixel)``.
    shares
        Wanted share of each class [1], sum 1.
    tolerance
        Largest accepted difference of a share, relative to the share plus 0.0002 [1].
    max_rounds
        Rounds of adjustment with all pixels, after which the best so far is taken.

    Returns
    -------
    np.ndarray
        Class index, dims ``(pixel,)``.
    """
    offsets = np.zeros(len(shares), dtype=np.float32)
    # A thinned set of pixels finds the offsets nearly, at a tenth of the time.
    thinned = np.ascontiguousarray(scores[:, ::11])
    for _ in range(150):
        offsets += _offset_step(_best_class(thinned, offsets), shares, 0.4)
    best, best_error = None, np.inf
    for round_number in range(max_rounds):
        classes = _best_class(scores, offsets)
        error = np.abs((np.bincount(classes, minlength=len(shares)) / classes.size - shares) / (shares + 2e-4)).max()
        if error < best_error:
            best, best_error = classes, error
        if error <= tolerance:
            break
        # Rare classes win whole patches at once: ever smaller steps keep them from swinging between none and
        # too many.
        offsets += _offset_step(classes, shares, 0.3 * 0.95**round_number)
    return best


def _best_class(scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    best_score = scores[0] + offsets[0]
    best = np.zeros(scores.shape[1], dtype=np.int64)
    for index in range(1, len(offsets)):
        score = scores[index] + offsets[index]
        better = score > best_score
        best[better] = index
        np.maximum(best_score, score, out=best_score)
    return best


def _offset_step(classes: np.ndarray, shares: np.ndarray, step: float) -> np.ndarray:
    found = np.bincount(classes, minlength=len(shares)) / classes.size
    return (step * np.clip(np.log((shares + 2e-5) / (found + 2e-5)), -2, 2)).astype(np.float32)


def make_parcels(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Number of the field or town block of every pixel, dims ``(y, x)``: cells about 90 m wide around
    scattered points.
    """
    random = random_stream(seed, "parcels")
    rows, columns = np.mgrid[4 : shape[0] : 9, 4 : shape[1] : 9]
    points = np.column_stack([rows.ravel(), columns.ravel()]) + random.uniform(-3, 3, (rows.size, 2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    return cKDTree(points).query(np.column_stack([y.ravel(), x.ravel()]), p=np.inf)[1].reshape(shape)


def make_land_cover(seed: int, terrain: Terrain, parcels: np.ndarray) -> np.ndarray:
    """Codes 1 to 31 before any change, dims ``(y, x)``, uint8, every class with its share of
    :func:`class_prior`.

    A class wins a pixel by its niche (elevation, moisture, nearness to water, road or town), a smooth random
    field of its own (patches of some 300 m) and an offset that gives it its share. Fields and towns are whole
    parcels.
    """
    random = random_stream(seed, "land cover")
    shape = terrain.water.shape
    land = np.flatnonzero(~terrain.water)
    traits = class_traits().drop(index=WATER)
    scores = np.empty((len(traits), land.size), dtype=np.float32)
    near = {
        "none": np.zeros(land.size, dtype=np.float32),
        "water": np.exp(-terrain.water_distance_m.flat[land] / 200),
        "road": np.exp(-terrain.road_distance_m.flat[land] / 400),
        "town": np.exp(-terrain.town_distance_m.flat[land] / 250),
    }
    relative, moisture = terrain.elevation_m.flat[land] / TOP_ELEVATION_M, terrain.moisture.flat[land]
    for row, trait in enumerate(traits.itertuples()):
        niche = ((relative - trait.elevation) / trait.elevation_sd) ** 2 + (
            (moisture - trait.moisture) / trait.moisture_sd
        ) ** 2
        field = smooth_field(random, shape, range_px=30)
        if trait.patch == "parcel":
            ids = np.arange(parcels.max() + 1)
            field = (ndimage.mean(field, parcels, ids) + 0.5 * random.standard_normal(ids.size))[parcels]
        scores[row] = 0.9 * field.flat[land] - 0.25 * niche + trait.near_weight * near[trait.near]
    shares = class_prior()[traits.index].to_numpy() * terrain.water.size
    land_cover = np.full(shape, WATER, dtype=np.uint8)
    land_cover.flat[land] = traits.index.to_numpy()[allocate(scores, shares / shares.sum())]
    return land_cover


def plant_changes(
    seed: int, land_cover: np.ndarray, road_distance_m: np.ndarray, town_distance_m: np.ndarray
) -> list[Change]:
    """Polygons that change class between the years, in the dry season around each turn of the year.

    Every polygon holds one class before and one after, lies apart from all others, and measures 0.5 to 6 ha.
    Clearing happens near roads and building near towns. Regrowth begins in the first season, so that it is
    grown by the last year.
    """
    random = random_stream(seed, "change")
    groups, names = group_of(land_cover), group_names()
    taken = np.zeros(land_cover.shape, dtype=bool)
    changes: list[Change] = []
    for group, to_code, share in CHANGE_KINDS:
        wanted, planted = share * land_cover.size, 0
        nearness = np.exp(-town_distance_m / 500) if to_code == 29 else 0.1 + np.exp(-road_distance_m / 500)
        candidates = np.flatnonzero(groups == names.index(group))
        weights = nearness.flat[candidates] / nearness.flat[candidates].sum()
        for center in random.choice(candidates, size=min(400, candidates.size), replace=False, p=weights):
            if planted >= wanted:
                break
            pixels = _polygon(random, land_cover, taken, int(center))
            if not 50 <= pixels.size <= 600:
                continue
            season = YEARS[0] if to_code == 11 else int(random.choice(YEARS[:-1]))
            date = datetime.date(season, 10, 15) + datetime.timedelta(days=int(random.integers(0, 150)))
            changes.append(Change(len(changes) + 1, date, int(land_cover.flat[center]), to_code, pixels))
            mark = np.zeros_like(taken)
            mark.flat[pixels] = True
            taken |= ndimage.binary_dilation(mark, iterations=3)
            planted += pixels.size
    return changes


def _polygon(random: np.random.Generator, land_cover: np.ndarray, taken: np.ndarray, center: int) -> np.ndarray:
    row, column = np.unravel_index(center, land_cover.shape)
    half_long, half_short = random.uniform(6, 15), random.uniform(4, 9)
    angle = random.uniform(0, np.pi)
    y, x = np.mgrid[: land_cover.shape[0], : land_cover.shape[1]]
    along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
    inside = (np.abs(along) <= half_long) & (np.abs(across) <= half_short)
    inside &= (land_cover == land_cover.flat[center]) & ~taken
    labels, _ = ndimage.label(inside)
    if labels[row, column] == 0:
        return np.array([], dtype=int)
    return np.flatnonzero(labels == labels[row, column])


def land_cover_on(land_cover: np.ndarray, changes: Sequence[Change], date: datetime.date) -> np.ndarray:
    """Codes on a day, after every change up to and including it, dims ``(y, x)``, uint8; the input is not
    changed.
    """
    result = land_cover.copy()
    for change in changes:
        if change.date <= date:
            result.flat[change.pixels] = change.to_code
    return result


def land_cover_of_year(land_cover: np.ndarray, changes: Sequence[Change], year: int) -> np.ndarray:
    """Codes of a year: those of 1 July; every planted change happens between October and March."""
    return land_cover_on(land_cover, changes, datetime.date(year, 7, 1))


def pixel_area_ha() -> float:
    """Area of a 10 m pixel [ha]."""
    return PIXEL_M**2 / 10_000
