"""Sampling designs: strata of a map, how many samples each gets, and where they lie, drawn with little memory."""

from collections.abc import Iterable, Iterator, Mapping
from math import ceil, sqrt

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer
from scipy import ndimage, stats

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.errors import InputError

ALLOCATIONS = ("equal", "proportional", "neyman", "olofsson")
STRIP_PIXELS = 4_000_000  # some 600 MB, however wide the map is
CODES = 256
BUFFER = 1 << 24  # marks the buffer of a stratum, above every zone


def make_strata(codes: np.ndarray, *, zones: np.ndarray | None = None, buffer: np.ndarray | None = None) -> np.ndarray:
    """Stratum of each pixel: its class, within its zone (state), and apart where it lies in a buffer.

    Parameters
    ----------
    codes
        Classes of a map, of land cover or of change, dims ``(y, x)``, uint8; 0 is no data.
    zones
        Number of the state or the like, 1 to 65,535, dims ``(y, x)``; 0 lies in none and is left out.
    buffer
        From :func:`find_buffer`.

    Returns
    -------
    np.ndarray
        Numbers for :func:`stratum_parts` to take apart again, int64, dims ``(y, x)``; 0 where there is nothing to draw.
    """
    codes = np.asarray(codes)
    if codes.size and not (codes.min() >= 0 and codes.max() < CODES):
        raise InputError(f"map codes lie between {codes.min()} and {codes.max()}; they must be 0 to {CODES - 1}")
    number = codes.astype("int64")
    if zones is not None:
        if np.shape(zones) != codes.shape:
            raise InputError(f"zones of shape {np.shape(zones)} do not fit a map of shape {codes.shape}")
        number = np.where(np.asarray(zones) > 0, number + CODES * np.asarray(zones, dtype="int64"), 0)
    if buffer is not None:
        number = np.where(buffer, number + BUFFER, number)
    return np.where(codes > 0, number, 0)


def stratum_parts(number: int) -> tuple[int, int, bool]:
    """Class, zone (0 where there are none) and whether it is a buffer, of a number of :func:`make_strata`."""
    return number % CODES, number % BUFFER // CODES, number >= BUFFER


def find_buffer(codes: np.ndarray, around: Iterable[int], *, width_px: int) -> np.ndarray:
    """Pixels within ``width_px`` steps of classes ``around`` (mapped change) that are not of them, dims ``(y, x)``, bool.

    What was missed lies mostly beside what was found. As a stratum of its own such a belt catches omissions that would
    otherwise be a sample or two in a stratum of half the country (Olofsson et al. 2020, doi:10.1016/j.rse.2019.111492).
    """
    if width_px < 1:
        raise InputError(f"a buffer of {width_px} pixels holds nothing; take 1 or more")
    codes = np.asarray(codes)
    inner = np.isin(codes, list(around))
    square = np.ones((3, 3), dtype=bool)
    return ndimage.binary_dilation(inner, square, iterations=width_px) & ~inner & (codes > 0)


def sample_size(areas: Mapping, accuracies: Mapping, *, standard_error: float = 0.01) -> int:
    """Samples that give overall accuracy a standard error [1]: Olofsson et al. 2014, equation 13 (after Cochran 5.25).

    ``areas`` are those of the strata, ``accuracies`` what user's accuracy is expected to be in each [1].
    """
    weights = _weights(areas)
    spread = sum(weights[name] * sqrt(_share(accuracies, name) * (1 - _share(accuracies, name))) for name in areas)
    if not standard_error > 0:
        raise InputError(f"a standard error of {standard_error} cannot be asked for; it must be positive")
    # A rounding error of the sum must not ask for one sample more.
    return ceil((spread / standard_error) ** 2 - 1e-9)


def conabio_sizes(
    pixels: Mapping, accuracies: Mapping, *, half_width: float = 0.10, level_z: float = 1.64
) -> dict[object, int]:
    """Samples of each stratum by CONABIO's rule: a 90 % interval of ± 10 % for user's accuracy in every one.

    ``z^2 p (1 - p) / e^2`` with the accuracy expected of the class, corrected for the finite population (Cochran 1977,
    equation 4.2): a stratum of 50 pixels needs fewer than one of a million.

    Parameters
    ----------
    pixels, accuracies
        Pixels of each stratum, and expected user's accuracy [1].
    half_width, level_z
        Half of the interval [1] and the normal quantile.
    """
    sizes = {}
    for name, number in pixels.items():
        expected = _share(accuracies, name)
        wanted = level_z**2 * expected * (1 - expected) / half_width**2
        sizes[name] = min(int(number), ceil(wanted / (1 + max(wanted - 1, 0) / number))) if number else 0
    return sizes


def allocate_samples(
    areas: Mapping,
    number: int,
    *,
    method: str = "olofsson",
    pixels: Mapping | None = None,
    accuracies: Mapping | None = None,
    fewest: int = 50,
    rare_share: float | None = None,
) -> dict[object, int]:
    """How many of ``number`` samples each stratum gets.

    Parameters
    ----------
    areas
        Area of each stratum, in any unit.
    number
        Samples in all.
    method
        ``equal``; ``proportional`` to area; ``neyman``, area times the spread that ``accuracies`` expect (Cochran 1977,
        equation 5.26); ``olofsson``, ``fewest`` for each stratum below ``rare_share`` of the area and the rest in
        proportion (Olofsson et al. 2014, table 5, with 100, 75 and 50).
    pixels
        Pixels of each stratum: none gets more samples than it has.
    accuracies
        Expected user's accuracy [1], for ``neyman``.
    fewest
        Least samples of a stratum, whatever the method says.
    rare_share
        Share of the area [1] below which a stratum is rare; where it is None, 0.05, and half the mean share where there are
        more than ten strata, or else nearly all of a long legend would be rare.

    Returns
    -------
    dict
        Samples by stratum, summing to ``number`` unless the strata are too small.

    Raises
    ------
    InputError
        On another method, or where ``number`` does not reach for ``fewest`` in every stratum.
    """
    if method not in ALLOCATIONS:
        raise InputError(f"no allocation {method!r}; there are {', '.join(ALLOCATIONS)}")
    weights = _weights(areas)
    names = [name for name in areas if weights[name] > 0]
    room = {name: number if pixels is None else int(pixels[name]) for name in names}
    least = {name: min(fewest, room[name]) for name in names}
    if sum(least.values()) > number:
        raise InputError(
            f"{number} samples do not reach for {fewest} in each of {len(names)} strata; "
            f"ask for {sum(least.values())} at least, or for fewer in each"
        )
    if method == "equal":
        wish = dict.fromkeys(names, 1.0)
    elif method == "neyman":
        wish = {name: weights[name] * sqrt(_share(accuracies, name) * (1 - _share(accuracies, name))) for name in names}
    else:
        wish = {name: weights[name] for name in names}
    rare = min(0.05, 0.5 / max(len(names), 1)) if rare_share is None else rare_share
    fixed = {name for name in names if method == "olofsson" and weights[name] < rare}
    if fixed == set(names):
        fixed = set()
    result = _fill(wish, number, least, room, fixed)
    return {name: result.get(name, 0) for name in areas}


def _fill(wish: Mapping, number: int, least: Mapping, room: Mapping, fixed: set) -> dict[object, int]:
    """Shares of ``wish`` rounded to whole samples, between least and room; what one stratum cannot take goes to others."""
    held = {name: float(least[name]) for name in fixed}
    while True:
        free = [name for name in wish if name not in held]
        left = number - sum(held.values())
        total = sum(wish[name] for name in free)
        ideal = {name: left * wish[name] / total if total else left / len(free) for name in free}
        low = {name: float(least[name]) for name in free if ideal[name] < least[name]}
        high = {name: float(room[name]) for name in free if ideal[name] > room[name]}
        # First those that get too little, for they take from the rest.
        if not (bound := low or high):
            break
        held |= bound
    exact = held | ideal
    result = {name: int(value) for name, value in exact.items()}
    missing = round(sum(exact.values())) - sum(result.values())
    for name in sorted(ideal, key=lambda name: (result[name] - exact[name], str(name)))[:missing]:
        result[name] += 1
    return result


def count_strata(strips: Iterable[tuple[xr.DataArray, np.ndarray]]) -> pd.DataFrame:
    """Pixels and true area of each stratum.

    ``strips`` are the map's full-width strips from north to south, as :func:`read_strips` gives them. One row a stratum:
    stratum (number), pixels, area_ha.
    """
    pixels: dict[int, int] = {}
    areas: dict[int, float] = {}
    for strip, strata in strips:
        known, place = np.unique(strata, return_inverse=True)
        count = np.bincount(place.reshape(-1))
        area = np.bincount(place.reshape(-1), weights=pixel_areas(strip.odc.geobox).values.ravel())
        for number, one, hectares in zip(known.tolist(), count.tolist(), area.tolist(), strict=True):
            pixels[number] = pixels.get(number, 0) + one
            areas[number] = areas.get(number, 0.0) + hectares
    numbers = sorted(number for number in pixels if number > 0)
    return pd.DataFrame(
        {
            "stratum": np.array(numbers, dtype="int64"),
            "pixels": np.array([pixels[number] for number in numbers], dtype="int64"),
            "area_ha": np.array([areas[number] for number in numbers], dtype="float64"),
        }
    )


def read_strips(
    land_cover: xr.DataArray,
    *,
    zones: np.ndarray | None = None,
    around: Iterable[int] = (),
    width_px: int = 3,
    rows: int | None = None,
) -> Iterator[tuple[xr.DataArray, np.ndarray]]:
    """Full-width strips of a map, lazy or not, each with its strata; memory holds one at a time.

    ``zones`` as :func:`make_strata` takes them; ``around`` and ``width_px`` as :func:`find_buffer` does, without a buffer
    where no class is named. The strata are the same for any number of ``rows``; as many as make four million pixels where it
    is None.
    """
    rows = rows or max(1, STRIP_PIXELS // max(land_cover.sizes["x"], 1))
    around = tuple(around)
    margin = width_px if around else 0
    for start in range(0, land_cover.sizes["y"], rows):
        top = max(start - margin, 0)
        part = land_cover.isel(y=slice(top, start + rows + margin)).compute()
        inner = slice(start - top, start - top + rows)
        buffer = find_buffer(part.values, around, width_px=width_px)[inner] if around else None
        strip = part.isel(y=inner)
        inside = None if zones is None else zones[start : start + rows]
        yield strip, make_strata(strip.values, zones=inside, buffer=buffer)


def draw_sample(
    strips: Iterable[tuple[xr.DataArray, np.ndarray]],
    strata: pd.DataFrame,
    numbers: Mapping[int, int],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Stratified random sample of pixels.

    Each stratum draws ranks among its pixels in reading order, so the sample does not depend on how high the strips are,
    and a stratum's sample does not depend on the other strata.

    Parameters
    ----------
    strips
        The same as for :func:`count_strata`, read once more.
    strata
        From :func:`count_strata`.
    numbers
        Samples by stratum; 0 for those that are not named.
    seed
        Seed of the draw.

    Returns
    -------
    pd.DataFrame
        One row a sample, in random order: sample_id, stratum, stratum_pixels, stratum_ha, pixel_ha, map_code, longitude,
        latitude [degrees, WGS 84], x, y [units of the CRS]. The columns are those that estimates need
        (:func:`ceiba.classification.accuracy.assessment.sample_of_table`).
    """
    known = strata.set_index("stratum")
    strange = sorted(set(numbers) - set(known.index))
    if strange:
        raise InputError(f"samples are asked of strata {strange}, which the map does not have")
    ranks = {}
    for number, wanted in numbers.items():
        size = int(known.loc[number, "pixels"])
        if not 0 <= wanted <= size:
            raise InputError(f"{wanted} samples are asked of stratum {number}, which has {size} pixels")
        ranks[number] = np.sort(np.random.default_rng((seed, number)).choice(size, wanted, replace=False))
    return _collect(strips, known, ranks, seed)


def draw_systematic(
    strips: Iterable[tuple[xr.DataArray, np.ndarray]], strata: pd.DataFrame, *, step_px: int, seed: int = 0
) -> pd.DataFrame:
    """Systematic sample: every ``step_px``-th pixel of every ``step_px``-th row, from a random start.

    Columns as of :func:`draw_sample`. Estimators treat it as a simple random sample of the strata as one, which overstates
    the error where neighbours are alike (Cochran 1977, section 8.3): ``stratum`` is 0 and its size that of the map.
    """
    if step_px < 1:
        raise InputError(f"a step of {step_px} pixels is none; take 1 or more")
    first_row, first_column = np.random.default_rng(seed).integers(0, step_px, 2)
    parts, row = [], 0
    for strip, numbers in strips:
        rows = np.flatnonzero((np.arange(row, row + strip.sizes["y"]) - first_row) % step_px == 0)
        columns = np.arange(first_column, strip.sizes["x"], step_px)
        row += strip.sizes["y"]
        row_at, column_at = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
        mapped = numbers[row_at, column_at] > 0
        parts.append(_points(strip, numbers, row_at[mapped], column_at[mapped]))
    table = pd.concat(parts, ignore_index=True)
    size = {"stratum": 0, "stratum_pixels": int(strata["pixels"].sum()), "stratum_ha": float(strata["area_ha"].sum())}
    return _shuffle(table.assign(**size), seed)


def _collect(strips, known: pd.DataFrame, ranks: Mapping[int, np.ndarray], seed: int) -> pd.DataFrame:
    passed = dict.fromkeys(ranks, 0)
    parts = []
    for strip, numbers in strips:
        # One sort finds the pixels of all strata, each in reading order.
        order = np.argsort(numbers.ravel(), kind="stable")
        edges = np.searchsorted(numbers.ravel()[order], [[number, number + 1] for number in ranks])
        chosen = []
        for (number, wanted), (start, stop) in zip(ranks.items(), edges, strict=True):
            here = order[start:stop]
            first, last = np.searchsorted(wanted, [passed[number], passed[number] + here.size])
            chosen.append(here[wanted[first:last] - passed[number]])
            passed[number] += here.size
        at = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype="int64")
        parts.append(_points(strip, numbers, *np.unravel_index(at, numbers.shape)))
    changed = [number for number in ranks if passed[number] != known.loc[number, "pixels"]]
    if changed:
        raise InputError(
            f"strata {changed} have other pixels than when they were counted: the map has changed meanwhile"
        )
    table = pd.concat(parts, ignore_index=True)
    table["stratum_pixels"] = known["pixels"].reindex(table["stratum"]).to_numpy()
    table["stratum_ha"] = known["area_ha"].reindex(table["stratum"]).to_numpy()
    return _shuffle(table, seed)


def _points(strip: xr.DataArray, numbers: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> pd.DataFrame:
    geobox = strip.odc.geobox
    x, y = geobox.affine * (columns + 0.5, rows + 0.5)
    transformer = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True)
    longitude, latitude = transformer.transform(np.asarray(x), np.asarray(y))
    return pd.DataFrame(
        {
            "stratum": numbers[rows, columns].astype("int64"),
            "pixel_ha": pixel_areas(geobox).values[rows, columns],
            "map_code": strip.values[rows, columns].astype("int64"),
            "longitude": np.round(longitude, 7),
            "latitude": np.round(latitude, 7),
            "x": np.asarray(x, dtype="float64"),
            "y": np.asarray(y, dtype="float64"),
        }
    )


def _shuffle(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Random order: interpreters learn on the way, and that must not fall on one stratum."""
    order = np.random.default_rng((seed, len(table))).permutation(len(table))
    table = table.iloc[order].reset_index(drop=True)
    table.insert(0, "sample_id", [f"s{number:06d}" for number in range(1, len(table) + 1)])
    names = ["sample_id", "stratum", "stratum_pixels", "stratum_ha", "pixel_ha", "map_code"]
    return table[[*names, "longitude", "latitude", "x", "y"]]


def _weights(areas: Mapping) -> dict[object, float]:
    total = float(sum(areas.values()))
    if not total > 0 or min(areas.values()) < 0:
        raise InputError(f"the areas of the strata, {dict(areas)}, must not be negative nor all 0")
    return {name: float(area) / total for name, area in areas.items()}


def _share(accuracies: Mapping | None, name: object) -> float:
    if accuracies is None or name not in accuracies:
        raise InputError(f"no expected accuracy of stratum {name}; give one for every stratum")
    if not 0 <= accuracies[name] <= 1:
        raise InputError(f"an expected accuracy of {accuracies[name]} for stratum {name} is none; it lies in 0 to 1")
    return float(accuracies[name])


def expected_half_width(areas: Mapping, numbers: Mapping, accuracies: Mapping, *, level: float = 0.95) -> float:
    """Half-width [1] that overall accuracy will have with these samples, if the accuracies are as expected.

    Olofsson et al. 2014, equation 5 (with n in place of n - 1, before there is a sample).
    """
    weights = _weights(areas)
    variance = sum(
        weights[name] ** 2 * _share(accuracies, name) * (1 - _share(accuracies, name)) / numbers[name]
        for name in areas
        if weights[name] > 0
    )
    return float(stats.norm.ppf(0.5 + level / 2)) * sqrt(variance)
