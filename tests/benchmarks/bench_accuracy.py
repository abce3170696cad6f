"""How often the intervals of accuracies and areas cover the truth, over 2,000 random designs on a simulated country.

The truth is known pixel by pixel, so is the map with its errors; each design draws its samples anew. Units of a stratum are
alike but for their classes in map and truth, so a design is drawn as how many samples fall on each pair of classes (the
multivariate hypergeometric distribution), which is the very draw of pixels without replacement.
"""

import json
import time
from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from ceiba.classification.accuracy.designs import allocate_samples, find_buffer, make_strata
from ceiba.classification.accuracy.estimators import estimate_ratios, probability_sample
from ceiba.classification.accuracy.intervals import INTERVALS
from ceiba.legends import load_legend
from ceiba.simulation.country import CountrySettings, make_country

# Intervals were chosen on other countries (2026, 11 to 15); the figures are of one on which nothing was.
SEED, DESIGNS = 9041, 2_000
YEARS = (2015, 2016, 2017, 2018)
# As estimate_accuracy takes them by default, and the others on every fourth design.
DEFAULT, EVERY, TOGETHER = "strata", 4, 20
FOREST_LOSS, NEW_FIELDS, OTHER_CHANGE = 101, 102, 103
CHANGES = {FOREST_LOSS: "forest loss", NEW_FIELDS: "other land to fields or towns", OTHER_CHANGE: "other change"}
STABLE_FOREST, STABLE_OTHER = 1, 2


def main() -> dict[str, object]:
    """Every figure by name."""
    start = time.process_time()
    figures = {
        name: show(measure_coverage(*population, seed=number))
        for number, (name, population) in enumerate(populations().items())
    }
    figures["seconds of CPU"] = time.process_time() - start
    print(json.dumps(figures, indent=1))
    return figures


def populations() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, int]]]:
    """Strata, map, truth and samples by stratum of each design, the first three flat over the pixels."""
    country = make_country(SEED, CountrySettings(years=YEARS))
    random = np.random.default_rng(SEED)
    legend = load_legend("mexico_31")
    first, last = country.codes_of_year(YEARS[0]), country.codes_of_year(YEARS[-1])
    mapped_31 = confuse(last, random)
    found = {}
    for name, samples, fewest in (("mexico_8", 900, 50), ("mexico_17", 1_500, 50)):
        table = np.zeros(256, dtype="uint8")
        for entry in legend.classes:
            table[entry.code] = entry.parents[name]
        mapped, truth = table[mapped_31].ravel(), table[last].ravel()
        found[f"land cover, {len(load_legend(name))} classes, {samples} samples, strata of the map"] = (
            mapped, mapped, truth, allocate(mapped, samples, fewest)
        )  # fmt: skip
        if name == "mexico_8":
            older = table[confuse(first, random)].ravel()
            found[f"land cover, 8 classes, {samples} samples, strata of an older map"] = (
                older, mapped, truth, allocate(older, samples, fewest)
            )  # fmt: skip
            before, after = table[first], table[last]
    truth = changes(before, after)
    mapped = confuse_change(truth, before, random)
    buffer = find_buffer(mapped, CHANGES, width_px=3)
    strata = make_strata(mapped, buffer=buffer).ravel()
    for samples in (800, 1_500):
        wanted = allocate(strata, samples, 75)
        found[f"change, {samples} samples, with buffer"] = strata, mapped.ravel(), truth.ravel(), wanted
        plain = mapped.ravel()
        found[f"change, {samples} samples, without"] = plain, plain, truth.ravel(), allocate(plain, samples, 75)
    return found


def confuse(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A map with the errors that maps have: whole patches taken for what lies near, and edges a pixel off."""
    field = ndimage.gaussian_filter(random.normal(size=truth.shape), 4)
    down, right = random.integers(15, 60, 2)
    patches = np.where(field > np.quantile(field, 0.88), np.roll(truth, (down, right), (0, 1)), truth)
    return np.where(random.random(truth.shape) < 0.35, np.roll(patches, (1, 1), (0, 1)), patches)


def changes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Change classes between two maps of the 8 classes."""
    names = load_legend("mexico_8")
    forest = [names.code("Temperate forest"), names.code("Tropical forest (evergreen to semi-deciduous)")]
    used = [names.code("Croplands"), names.code("Urban and built-up")]
    was, stays = np.isin(before, forest), before == after
    kinds = [stays & was, stays, was & ~np.isin(after, forest), ~stays & np.isin(after, used)]
    return np.select(kinds, [STABLE_FOREST, STABLE_OTHER, FOREST_LOSS, NEW_FIELDS], OTHER_CHANGE).astype("uint8")


def confuse_change(truth: np.ndarray, before: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A map of change that misses some patches whole, some edges, and finds some where there is none."""
    stable = np.where(np.isin(truth, [STABLE_FOREST, FOREST_LOSS]), STABLE_FOREST, STABLE_OTHER).astype("uint8")
    labels, count = ndimage.label(truth > STABLE_OTHER)
    missed = np.append(False, random.random(count) < 0.08)
    mapped = np.where(missed[labels], stable, truth)
    mapped = np.where(random.random(truth.shape) < 0.5, np.roll(mapped, (1, 1), (0, 1)), mapped)
    for kind, kept, share in ((FOREST_LOSS, STABLE_FOREST, 0.003), (NEW_FIELDS, STABLE_OTHER, 0.002)):
        field = ndimage.gaussian_filter(random.normal(size=truth.shape), 3)
        mapped = np.where((field > np.quantile(field, 1 - share)) & (mapped == kept), kind, mapped)
    return mapped.astype("uint8")


def allocate(strata: np.ndarray, samples: int, fewest: int) -> dict[int, int]:
    """Samples by stratum: ``fewest`` for the rare ones, the rest in proportion."""
    known, pixels = np.unique(strata, return_counts=True)
    sizes = dict(zip(known.tolist(), pixels.tolist(), strict=True))
    return allocate_samples(sizes, samples, pixels=sizes, fewest=fewest)


def measure_coverage(
    strata: np.ndarray, mapped: np.ndarray, truth: np.ndarray, wanted: Mapping[int, int], *, seed: int
) -> dict[str, object]:
    """Truth and coverage of each quantity by method, over :data:`DESIGNS` designs."""
    random = np.random.default_rng((SEED, seed))
    cells, count = np.unique(np.stack([strata, mapped, truth]).astype("int64"), axis=1, return_counts=True)
    draws = np.zeros((DESIGNS, count.size), dtype="int64")
    for stratum, number in wanted.items():
        inside = cells[0] == stratum
        draws[:, inside] = random.multivariate_hypergeometric(count[inside], number, size=DESIGNS)
    sizes = dict(zip(*(values.tolist() for values in np.unique(strata, return_counts=True)), strict=True))
    codes = np.unique(cells[1:])
    *parts, weight = quantities(cells[1], cells[2], codes)
    top, bottom = parts[:2]
    true = (count @ top) / np.maximum(count @ bottom, 1)
    inside = {method: np.zeros(true.size) for method in INTERVALS}
    told, width = {method: np.zeros(true.size) for method in INTERVALS}, np.zeros(true.size)
    cell = np.stack([np.repeat(np.arange(count.size), drawn) for drawn in draws])
    # Strata are the same in all designs, so that many are estimated at once, as quantities of one.
    sample = probability_sample(cells[0, cell[0]].tolist(), sizes)
    for method in INTERVALS:
        chosen = cell if method == DEFAULT else cell[::EVERY]
        for start in range(0, len(chosen), TOGETHER):
            which = chosen[start : start + TOGETHER].T
            values, shape = [part[which].reshape(len(which), -1) for part in parts], (which.shape[1], true.size)
            found = estimate_ratios(
                values[0], values[1], sample, interval=method, weight=np.tile(weight, shape[0]),
                right_possible=values[2], wrong_possible=values[3],
            )  # fmt: skip
            lower, upper, value = (part.reshape(shape) for part in (found.lower, found.upper, found.value))
            inside[method] += ((lower <= true + 1e-9) & (true <= upper + 1e-9)).sum(axis=0)
            told[method] += np.isfinite(value).sum(axis=0)
            if method == DEFAULT:
                width += np.nan_to_num(upper - lower).sum(axis=0)
    coverage = {method: hits / np.maximum(told[method], 1) for method, hits in inside.items()}
    return {"codes": codes, "true": true, "coverage": coverage, "width": width / np.maximum(told[DEFAULT], 1)}


def quantities(mapped: np.ndarray, found: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Numerators, denominators, what is possible and weights of overall, user's, producer's accuracy, F1, share of area."""
    is_mapped, is_found = mapped[:, None] == codes, found[:, None] == codes
    right = is_mapped & is_found
    every = np.ones((mapped.size, 1), dtype=bool)
    always = np.broadcast_to(every, right.shape)
    either = is_mapped.astype("float64") + is_found
    tops = [right.any(axis=1, keepdims=True), right, right, 2.0 * right, is_found]
    bottoms = [every, is_mapped, is_found, either, always]
    rights = [every, is_mapped, is_mapped, is_mapped, always]
    wrongs = [every, is_mapped, ~is_mapped, always, always]
    weight = np.repeat([1.0, 2.0, 1.0], [1 + 2 * codes.size, codes.size, codes.size])
    joined = [
        np.concatenate([part.astype("float64") for part in parts], axis=1) for parts in (tops, bottoms, rights, wrongs)
    ]
    return (*joined, weight)


def show(measured: Mapping[str, object]) -> dict[str, object]:
    """Coverage [1] for the table: overall, means and ranges over classes, each class of change."""
    codes, coverage = measured["codes"], measured["coverage"]
    number = len(codes)
    blocks = {"user's accuracy": 0, "producer's accuracy": 1, "F1": 2, "area": 3}
    rows: dict[str, object] = {"true overall accuracy [1]": float(measured["true"][0])}
    for method, shares in coverage.items():
        table: dict[str, object] = {"overall accuracy": float(shares[0])}
        for name, block in blocks.items():
            here = shares[1 + block * number : 1 + (block + 1) * number]
            table[f"{name}, mean of classes"] = float(here.mean())
            table[f"{name}, least and most"] = f"{here.min():.3f} to {here.max():.3f}"
            for place, code in enumerate(codes.tolist()):
                if code in CHANGES:
                    table[f"{name} of {CHANGES[code]}"] = float(here[place])
        rows[f"coverage, {method}"] = table
    rows["mean width [1]"] = {"overall accuracy": float(measured["width"][0])} | {
        name: float(measured["width"][1 + block * number : 1 + (block + 1) * number].mean())
        for name, block in blocks.items()
    }
    shares = {
        CHANGES[code]: float(measured["true"][1 + 3 * number + place])
        for place, code in enumerate(codes.tolist())
        if code in CHANGES
    }
    return rows | {f"true share of {name} [1]": value for name, value in shares.items()}


if __name__ == "__main__":
    main()
