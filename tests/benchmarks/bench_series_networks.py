"""The default ensemble on regular series, which has temporal convolutions, and the same with members chosen anew in every fold.

The four members were settled on other draws of folds of the same samples. What that choice flatters is told by the nested figure:
inside the training samples of each fold, three inner folds say which members to average, and the fold's test samples are never asked.
"""

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from bench_land_cover_models import DATES, ROOT, judge, read_brazil
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ceiba.classification.models.classifiers import MEMBERS, fit_classifier

CANDIDATES = (*MEMBERS, "tempcnn")
# As many draws as the minutes of a benchmark allow.
RANDOM_SEEDS, PLACE_SEEDS = (0, 1), (0,)
INNER_FOLDS = 3


def main() -> dict[str, object]:
    """Overall accuracy of five folds on the 1,837 samples, as published and with places held out whole."""
    folder = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data") / "eo" / "landcover_samples_brazil"
    figures: dict[str, object] = {}
    if folder.is_dir():
        features, codes, places = read_brazil(folder)
        alone = np.arange(len(codes))
        figures = {
            "random folds": measure_folds(features, codes, alone, seeds=RANDOM_SEEDS),
            "folds by place": measure_folds(features, codes, places, seeds=PLACE_SEEDS),
        }
        first = list(StratifiedKFold(5, shuffle=True, random_state=0).split(features, codes))
        figures["lighttae, random folds, one draw [1]"] = judge("lighttae", {"dates": DATES}, features, codes, first)
    print(json.dumps(figures, indent=1))
    return figures


def measure_folds(features: np.ndarray, codes: np.ndarray, groups: np.ndarray, *, seeds: tuple[int, ...]) -> dict[str, float]:
    """Mean over draws of the share right [1]: of each member, of all together, and of those that inner folds choose."""
    draws = [measure_draw(features, codes, groups, seed) for seed in seeds]
    figures = {f"{name}, mean of {len(seeds)} draws [1]": float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    spread = [draw["all four"] for draw in draws]
    return figures | ({"all four, standard deviation of draws [1]": float(np.std(spread, ddof=1))} if len(seeds) > 1 else {})


def measure_draw(features: np.ndarray, codes: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, float]:
    """One draw of five folds."""
    right: dict[str, np.ndarray] = {name: np.zeros(len(codes), dtype=bool) for name in (*CANDIDATES, "all four", "chosen by inner folds")}
    for train, test in split(5, codes, groups, seed):
        inner = {name: np.zeros((len(train), int(codes.max())), dtype="float32") for name in CANDIDATES}
        for learn, held in split(INNER_FOLDS, codes[train], groups[train], 0):
            for name, share in predict(features[train[learn]], codes[train[learn]], features[train[held]]).items():
                inner[name][held] = share
        found = predict(features[train], codes[train], features[test])
        named = {name: (name,) for name in CANDIDATES}
        named |= {"all four": CANDIDATES, "chosen by inner folds": choose_members(inner, codes[train])}
        for name, members in named.items():
            right[name][test] = sum(found[member] for member in members).argmax(axis=1) + 1 == codes[test]
    return {name: float(values.mean()) for name, values in right.items()}


def split(count: int, codes: np.ndarray, groups: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Folds with groups held out whole; drawn at random as published where every sample is a group."""
    if len(np.unique(groups)) == len(groups):
        return StratifiedKFold(count, shuffle=True, random_state=seed).split(codes, codes)
    return StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(codes, codes, groups)


def predict(features: np.ndarray, codes: np.ndarray, new: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities [1] of each member by itself, fitted and asked as in the ensemble."""
    found = {}
    for name in CANDIDATES:
        options = {"members": (name,), "dates": DATES}
        found[name] = fit_classifier("ensemble", features, codes, seed=0, options=options).predict_proba(new)
    return found


def choose_members(shares: Mapping[str, np.ndarray], codes: np.ndarray) -> tuple[str, ...]:
    """The members whose mean is right most often on inner folds; of equals, those that give the true class more."""

    def judge_members(members: tuple[str, ...]) -> tuple[float, float]:
        share = sum(shares[member] for member in members) / len(members)
        true = share[np.arange(len(codes)), codes - 1]
        return float((share.argmax(axis=1) + 1 == codes).mean()), float(np.log(np.clip(true, 1e-9, 1)).mean())

    sets = (each for count in range(1, len(CANDIDATES) + 1) for each in itertools.combinations(CANDIDATES, count))
    return max(sets, key=judge_members)


if __name__ == "__main__":
    main()
