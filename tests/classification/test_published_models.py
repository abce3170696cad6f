"""Classifiers on published samples of Mato Grosso, in small; tests/benchmarks/bench_land_cover_models.py measures whole."""

import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from ceiba.classification.models.classifiers import fit_classifier

DATES, BANDS = 23, ["NDVI", "EVI", "NIR", "MIR"]


@pytest.fixture(scope="module")
def fold(sample_folder):
    """Features and classes of one fold's training samples, and of those held out."""
    table = pd.read_parquet(sample_folder / "eo" / "landcover_samples_brazil" / "mato_grosso_mod13q1_1892_9classes.parquet")
    table = table[~table.label.isin(["Fallow_Cotton", "Soy_Sunflower"])].sort_values(["sample_id", "date"])
    features = table[BANDS].to_numpy("float32").reshape(1837, DATES, 4).transpose(0, 2, 1).reshape(1837, -1)
    codes = pd.factorize(table.groupby("sample_id").label.first(), sort=True)[0] + 1
    train, test = next(StratifiedKFold(5, shuffle=True, random_state=0).split(features, codes))
    return features[train], codes[train], features[test], codes[test]


def test_the_ensemble_tells_the_classes_of_mato_grosso_apart(fold):
    """The published random forest is right in 0.9673 of them."""
    features, codes, new, truth = fold
    model = fit_classifier("ensemble", features, codes, seed=0, options={"dates": DATES})
    assert (model.classes[model.predict_proba(new).argmax(axis=1)] == truth).mean() > 0.96


def test_a_distilled_network_is_no_worse_than_a_forest(fold):
    """Within 1.5 points on a fold of 368 samples; how much faster it is, the benchmark measures on a quiet machine."""
    features, codes, new, truth = fold
    forest = RandomForestClassifier(100, random_state=0, n_jobs=1).fit(features, codes)
    options = {"steps": 1500, "copies": 2}
    network = fit_classifier("distilled", features, codes, seed=0, options=options)
    taught = network.classes[network.predict_proba(new).argmax(axis=1)]
    assert (taught == truth).mean() > (forest.predict(new) == truth).mean() - 0.015
