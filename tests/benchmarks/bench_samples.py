"""How well wrong training labels are found on the simulated area, where they are known, and whether leaving them out helps."""

import functools
import json
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from scipy import stats

from ceiba.classification.accuracy.validation import blocked_folds, random_folds, spatial_blocks
from ceiba.classification.models.land_cover_model import Candidate, cross_predict, fit_candidate
from ceiba.classification.samples.cleaning import (
    confident_outliers,
    cross_predict_cleaned,
    isolation_outliers,
    keep_all,
    map_outliers,
    spare_classes,
)
from ceiba.classification.samples.label_quality import DROP, find_label_issues, judge_by_map
from ceiba.classification.samples.points import TrainingSet, extract_features, read_samples
from ceiba.classification.samples.spacing import compare_distances, geographic_distances
from ceiba.legends import load_legend
from ceiba.samples import find_sample
from ceiba.simulation.land_cover import class_traits

BANDS = {"10m.tif": ("blue", "green", "red", "nir"), "20m.tif": ("nir_narrow", "swir_1")}
CLEAR = (4, 5, 6)  # vegetation, bare soil, water of the scene classification
PERCENTILES = (10, 50, 90)
BLOCK_M, TREES, SEED = 320, 40, 7
THOROUGH = Candidate("thorough", "extra_trees", {"trees": TREES, "max_features": 1.0, "min_leaf": 2})
PLANTED_SHARE = 0.2


def main() -> dict[str, object]:
    """Every figure by name."""
    training, true_codes = read_training()
    noisier = plant_errors(training)
    figures = {
        "wrong labels found, 3 % wrong": find_wrong(training, true_codes),
        "wrong labels found, 20 % wrong": find_wrong(noisier, true_codes),
        "blocked accuracy by true labels, 3 % wrong": measure_dropping(training, true_codes),
        "blocked accuracy by true labels, 20 % wrong": measure_dropping(noisier, true_codes),
        "distances to the map": measure_distances(training),
    }
    print(json.dumps(figures, indent=1))
    return figures


def read_training() -> tuple[TrainingSet, np.ndarray]:
    """Training samples of the simulated area with percentiles of the year, and the true class of each."""
    sample = find_sample("simulated")
    series, legend = read_series(sample.path("scenes/sentinel_2")), load_legend("mexico_31")
    table = pd.read_csv(sample.path("training_samples.csv"))
    errors = pd.read_csv(sample.path("truth/training_label_errors.csv")).set_index("sample_id")["true_code"]
    training = extract_features(series, read_samples(table, legend), make_features=percentiles_of_year)
    true_codes = table["sample_id"].map(errors).fillna(table["code"]).to_numpy(dtype="uint8")
    return training, true_codes[training.rows]


def read_series(folder) -> xr.Dataset:
    """Clear reflectance of all scenes, in the grid of 10 m; pixels of 20 m are repeated."""
    layers, dates = {name: [] for names in BANDS.values() for name in names}, []
    for path in sorted(folder.iterdir()):
        facts = json.loads((path / "scene.json").read_text())
        dates.append(np.datetime64(facts["time"].removesuffix("Z")))
        shift = 1000 if float(facts["properties"]["s2:processing_baseline"]) >= 4 else 0
        for file, names in BANDS.items():
            with rasterio.open(path / file) as source:
                order = [name.removesuffix("_20m") for name in source.descriptions]
                counts, repeat = source.read(), 1 if file == "10m.tif" else 2
                if repeat == 1:
                    geobox = GeoBox(source.shape, source.transform, source.crs.to_wkt())
            clear = np.isin(counts[order.index("quality")], CLEAR)
            for name in names:
                values = np.where(clear, (counts[order.index(name)].astype("float32") - shift) / 10_000, np.nan)
                layers[name].append(values.repeat(repeat, axis=0).repeat(repeat, axis=1))
    return xr.Dataset(
        {name: wrap_xr(np.stack(values), geobox, time=np.array(dates)) for name, values in layers.items()}
    )


def percentiles_of_year(scenes: xr.Dataset, year: int) -> xr.Dataset:
    """Percentiles of bands and two indices over the dates of a year."""
    season = scenes.sel(time=str(year))
    season = season.assign(
        ndvi=(season["nir"] - season["red"]) / (season["nir"] + season["red"]),
        ndmi=(season["nir_narrow"] - season["swir_1"]) / (season["nir_narrow"] + season["swir_1"]),
    )
    features = {}
    for name, values in season.data_vars.items():
        found = np.nanpercentile(values.values, PERCENTILES, axis=values.dims.index("time"))
        for percentile, layer in zip(PERCENTILES, found, strict=True):
            features[f"{name}_{percentile}"] = values.isel(time=0, drop=True).copy(data=layer.astype("float32"))
    return xr.Dataset(features)


def plant_errors(training: TrainingSet) -> TrainingSet:
    """The samples with a fifth of the labels replaced by another class of the same group."""
    random, codes = np.random.default_rng(SEED), training.codes.copy()
    groups = class_traits()["group"]
    for sample in np.flatnonzero(random.random(len(codes)) < PLANTED_SHARE):
        alike = groups.index[(groups == groups[codes[sample]]) & (groups.index != codes[sample])]
        codes[sample] = random.choice(alike if len(alike) else groups.index)
    changed = training.take(np.arange(len(training)))
    changed.codes[:] = codes
    return changed


def find_wrong(training: TrainingSet, true_codes: np.ndarray) -> dict[str, str]:
    """Precision and recall of each way to flag wrong labels."""
    wrong, classes = training.codes != true_codes, np.unique(training.codes)
    splits = {"random folds": random_folds(training.codes, seed=SEED), "blocked folds": folds_of(training)}
    flags = {}
    for rule in ("agreement", "contradiction"):
        verdict = judge_by_map(training.features, training.codes, rule=rule)["verdict"]
        flags[f"self-organizing map, {rule}"] = (verdict == DROP).to_numpy()
    for name, folds in splits.items():
        shares = cross_predict(training, folds, classes, candidate=THOROUGH, seed=SEED)
        for rule in ("joint", "both"):
            issues = find_label_issues(training.codes, shares, classes, by=rule)
            flags[f"confident learning, {name}, {rule}"] = issues["wrong"].to_numpy()
    flags["isolation forest, a tenth of each class"] = isolation_outliers(training)
    return {
        name: f"{flag.sum()} flagged, precision {wrong[flag].mean():.3f}, recall {flag[wrong].mean():.3f}"
        for name, flag in flags.items()
    } | {"by chance": f"precision {wrong.mean():.3f}"}


def folds_of(training: TrainingSet) -> np.ndarray:
    """Folds of whole blocks, the same whatever the labels are."""
    blocks = spatial_blocks(training.x, training.y, BLOCK_M)
    return blocked_folds(np.zeros(len(training), dtype="uint8"), blocks, seed=SEED)


def predict(train: TrainingSet, features: np.ndarray, *, classes: np.ndarray) -> np.ndarray:
    """Probabilities of a forest grown on ``train``."""
    forest = fit_candidate(THOROUGH, train.features, train.codes, seed=SEED)
    out = np.zeros((len(features), len(classes)), dtype="float32")
    out[:, np.searchsorted(classes, forest.classes)] = forest.predict_proba(features)
    return out


def confident(part: TrainingSet) -> np.ndarray:
    """Confident learning with random inner folds."""
    own = functools.partial(predict, classes=np.unique(part.codes))
    return confident_outliers(part, random_folds(part.codes, seed=SEED), own)


def measure_dropping(training: TrainingSet, true_codes: np.ndarray) -> dict[str, str]:
    """Accuracy on held-out blocks, by true labels, with the difference to leaving nothing out."""
    classes, folds = np.unique(training.codes), folds_of(training)
    blocks = spatial_blocks(training.x, training.y, BLOCK_M)
    own = functools.partial(predict, classes=classes)
    wrong = dict(zip(training.rows.tolist(), (training.codes != true_codes).tolist(), strict=True))
    proposers: Mapping[str, Callable] = {
        "nothing left out": keep_all,
        "isolation forest, a tenth": isolation_outliers,
        "isolation forest, a quarter": functools.partial(isolation_outliers, share=0.25),
        "self-organizing map, agreement": functools.partial(map_outliers, rule="agreement"),
        "self-organizing map, contradiction": map_outliers,
        "confident learning, both": confident,
        "what is known to be wrong": lambda part: spare_classes(
            np.array([wrong[row] for row in part.rows.tolist()]), part.codes, np.zeros(len(part))
        ),
    }
    figures, base = {}, None
    for name, propose in proposers.items():
        shares, dropped = cross_predict_cleaned(training, folds, propose, own, classes)
        right = classes[shares.argmax(axis=1)] == true_codes
        base = right if base is None else base
        low, high = paired_interval(right.astype(float) - base, blocks)
        figures[name] = f"{right.mean():.4f}, {dropped} left out, difference {low:+.4f} to {high:+.4f}"
    return figures


def paired_interval(difference: np.ndarray, blocks: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean difference whose samples come in blocks (ratio estimator)."""
    number = np.unique(blocks, return_inverse=True)[1].reshape(-1)
    count, mean = number.max() + 1, difference.mean()
    residual = np.bincount(number, weights=difference - mean)
    half = stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1) * (residual**2).sum()) / len(difference)
    return mean - half, mean + half


def measure_distances(training: TrainingSet) -> dict[str, float]:
    """Area between the distances of splits and those of the map [m]: the smaller, the better the split stands for the map."""
    corner = np.array([training.x.min(), training.y.min()])
    extent = np.array([training.x.max(), training.y.max()]) - corner
    points = corner + np.random.default_rng(SEED).random((5000, 2)) * extent
    folds = {"random folds [m]": random_folds(training.codes, seed=SEED), "blocked folds [m]": folds_of(training)}
    table = geographic_distances(np.column_stack([training.x, training.y]), points, folds)
    return {name: float(value) for name, value in compare_distances(table).items()}


if __name__ == "__main__":
    main()
