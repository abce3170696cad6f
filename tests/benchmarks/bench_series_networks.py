"""Networks for series on the 1,837 samples of Mato Grosso, alone and in the ensemble; on one draw of folds, for they take long."""

import json
import os
from pathlib import Path

from bench_land_cover_models import DATES, ROOT, judge, read_brazil
from sklearn.model_selection import StratifiedKFold

QUICK = {"dates": DATES, "epochs": 40, "batch": 128}
MEMBERS = ("extra_trees", "svm", "network", ("tempcnn", QUICK))
MODELS = {
    "tempcnn [1]": ("tempcnn", QUICK),
    "lighttae [1]": ("lighttae", {"dates": DATES, "epochs": 60}),
    "ensemble with tempcnn [1]": ("ensemble", {"dates": DATES, "members": MEMBERS}),
}


def main() -> dict[str, object]:
    """Overall accuracy of five folds as published, by model."""
    folder = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data") / "eo" / "landcover_samples_brazil"
    figures: dict[str, object] = {}
    if folder.is_dir():
        features, codes, _ = read_brazil(folder)
        folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(features, codes))
        for name, (kind, options) in MODELS.items():
            figures[f"Mato Grosso, 1,837 samples, {name}"] = judge(kind, options, features, codes, folds)
    print(json.dumps(figures, indent=1))
    return figures


if __name__ == "__main__":
    main()
