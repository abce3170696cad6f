"""Classifiers on published samples of Mato Grosso and Costa Rica, and the speed of maps beside scikit-learn's forest.

The ensemble of three is the default where nothing says that features are series: extremely randomised trees, support vectors and a
small network; here they also see the changes between dates. Its members were chosen on other draws of folds (seeds 100 to 102) of the
same samples than those measured here (seeds 0 to 4). With temporal convolutions as a fourth member, and with members chosen inside
the training samples alone, it is measured in ``bench_series_networks.py``.
"""

import json
import os
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from rasterio.features import rasterize
from scipy import stats
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ceiba.classification.models.classifiers import MEMBERS, Trained, fit_classifier

ROOT = Path(__file__).resolve().parents[2]
BANDS, DATES = ("NDVI", "EVI", "NIR", "MIR"), 23
RARE = ("Fallow_Cotton", "Soy_Sunflower")
MODELS = {
    "random forest": ("random_forest", {"trees": 100}),
    "ensemble of three": ("ensemble", {"members": MEMBERS, "dates": DATES}),
}
SEEDS, GROUPED_SEEDS = range(5), range(2)
PIXELS, FEATURES, CLASSES, TAUGHT = 40_000, 40, 17, 10_000


def main() -> dict[str, object]:
    """Every figure by name."""
    figures: dict[str, object] = {"map speed, 40 features, 17 classes": measure_speed()}
    folder = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data") / "eo"
    if folder.is_dir():
        features, codes, places = read_brazil(folder / "landcover_samples_brazil")
        figures["Mato Grosso, 1,837 samples"] = measure_folds(features, codes, places)
        figures["Mato Grosso, distilled"] = measure_distilled(features, codes)
        figures["Costa Rica, one polygon left out"] = measure_polygons(
            folder / "landsat5_sr_change_costa_rica_1986_2001", kind="random_forest"
        )
    print(json.dumps(figures, indent=1))
    return figures


def read_brazil(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (all dates of a band after another), class and place of each sample of the seven classes."""
    table = pd.read_parquet(folder / "mato_grosso_mod13q1_1892_9classes.parquet")
    table = table[~table.label.isin(RARE)].sort_values(["sample_id", "date"])
    samples = table.groupby("sample_id").first()
    series = table[list(BANDS)].to_numpy("float32").reshape(len(samples), DATES, len(BANDS))
    codes = pd.factorize(samples.label, sort=True)[0] + 1
    places = samples.groupby(["longitude", "latitude"]).ngroup().to_numpy()
    return series.transpose(0, 2, 1).reshape(len(samples), -1), codes, places


def measure_folds(
    features: np.ndarray, codes: np.ndarray, places: np.ndarray, *, seeds=SEEDS, grouped_seeds=GROUPED_SEEDS
) -> dict[str, float]:
    """Overall accuracy of five folds: drawn at random as published (random forest 0.9673), and with places held out whole."""
    figures = {}
    for name, (kind, options) in MODELS.items():
        at_random = [StratifiedKFold(5, shuffle=True, random_state=seed).split(features, codes) for seed in seeds]
        grouped = [
            StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(features, codes, places)
            for seed in grouped_seeds
        ]
        for split, draws in (("random folds", at_random), ("folds by place", grouped)):
            right = [judge(kind, options, features, codes, list(folds)) for folds in draws]
            figures[f"{name}, {split}, mean [1]"] = float(np.mean(right))
            figures[f"{name}, {split}, standard deviation of draws [1]"] = float(np.std(right, ddof=1))
    return figures


def judge(kind: str, options: dict, features: np.ndarray, codes: np.ndarray, folds: list) -> float:
    """Share [1] of samples that models of the other folds name rightly."""
    right = np.zeros(len(codes), dtype=bool)
    for train, test in folds:
        model = fit_classifier(kind, features[train], codes[train], seed=0, options=options)
        right[test] = name_classes(model, features[test]) == codes[test]
    return float(right.mean())


def name_classes(model: Trained, features: np.ndarray) -> np.ndarray:
    """The likeliest class of each sample."""
    return model.classes[model.predict_proba(features).argmax(axis=1)]


def measure_distilled(features: np.ndarray, codes: np.ndarray) -> dict[str, float]:
    """Accuracy of teacher, student and a random forest on the same five folds of real series."""
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(features, codes))
    kinds = {
        "teacher (ensemble) [1]": ("ensemble", {}),
        "distilled network [1]": ("distilled", {"teacher": "ensemble"}),
        "random forest [1]": ("random_forest", {"trees": 100}),
    }
    return {name: judge(kind, options, features, codes, folds) for name, (kind, options) in kinds.items()}


def measure_polygons(folder: Path, *, kind: str) -> dict[str, float]:
    """Overall accuracy with each of the 30 polygons left out in turn; the interval takes a polygon as one observation."""
    polygons = gpd.read_file(folder / "training_polygons_epsg32616.gpkg")
    figures = {}
    for year, baseline in ((1986, 0.892), (2001, 0.958)):
        with rasterio.open(folder / f"L5TSR_{year}.tif") as source:
            image, transform = source.read(), source.transform
        shapes = [(shape, place + 1) for place, shape in enumerate(polygons.geometry)]
        owner = rasterize(shapes, image.shape[1:], transform=transform)
        features, group = image[:, owner > 0].T.astype("float32"), owner[owner > 0] - 1
        codes = pd.factorize(polygons[f"class_{year}"], sort=True)[0][group] + 1
        right = np.zeros(len(codes))
        for place in np.unique(group):
            held = group == place
            model = fit_classifier(kind, features[~held], codes[~held], seed=0)
            right[held] = name_classes(model, features[held]) == codes[held]
        shares = np.array([right[group == place].mean() for place in np.unique(group)])
        half = stats.t.ppf(0.975, len(shares) - 1) * shares.std(ddof=1) / np.sqrt(len(shares))
        figures |= {
            f"{year}, pixels": len(codes),
            f"{year}, overall accuracy [1]": float(right.mean()),
            f"{year}, 95 % half-width over polygons [1]": float(half),
            f"{year}, README's baseline [1]": baseline,
        }
    return figures


def measure_speed(*, taught: int = TAUGHT, pixels: int = PIXELS) -> dict[str, float]:
    """Distilled network against an unlimited forest of 100 trees fitted to the same samples, in turn in one process.

    Classes of two clusters each in 25 informative and 15 derived or idle features, 3 % of the labels wrong, whole numbers.
    """
    features, index = make_classification(
        taught + pixels,
        FEATURES,
        n_informative=25,
        n_redundant=10,
        n_classes=CLASSES,
        n_clusters_per_class=2,
        flip_y=0.03,
        class_sep=2.0,
        random_state=0,
    )
    features, codes = np.round(features * 100).astype("float32"), index + 1
    forest = RandomForestClassifier(100, random_state=0, n_jobs=1).fit(features[:taught], codes[:taught])
    network = fit_classifier("distilled", features[:taught], codes[:taught], seed=0)
    teacher = fit_classifier("extra_trees", features[:taught], codes[:taught], seed=0, options={"trees": 100})
    new, truth = features[taught:], codes[taught:]
    network.predict_proba(new[:100])
    seconds: dict[str, list[float]] = {"forest": [], "network": []}
    for _ in range(3):
        for name, model in (("forest", forest), ("network", network)):
            start = time.process_time()
            model.predict_proba(new)
            seconds[name].append(time.process_time() - start)
    theirs, ours = (float(np.median(seconds[name])) for name in ("forest", "network"))
    return {
        "scikit-learn [s CPU per Mpx]": theirs / pixels * 1e6,
        "distilled network [s CPU per Mpx]": ours / pixels * 1e6,
        "times faster": theirs / ours,
        "accuracy of scikit-learn's forest [1]": float((forest.predict(new) == truth).mean()),
        "accuracy of the distilled network [1]": float((name_classes(network, new) == truth).mean()),
        "accuracy of its teacher [1]": float((name_classes(teacher, new) == truth).mean()),
    }


if __name__ == "__main__":
    main()
