"""Gradient boosted trees of LightGBM and XGBoost, kept in the libraries' own open formats."""

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm
import numpy as np
import xgboost

from ceiba.classification.models import array_files

# With its own floor under the second derivatives (0.001) LightGBM goes astray where classes are many and labels wrong: of 31 simulated
# classes it was right in 58 %, with these in 66 %.
LIGHTGBM_DEFAULTS = {
    "rounds": 100,
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 1,
    "min_sum_hessian_in_leaf": 2.0,
    "lambda_l2": 1.0,
    "feature_fraction": 0.5,
}
XGBOOST_DEFAULTS = {"rounds": 150, "max_depth": 6, "eta": 0.1, "min_child_weight": 2.0, "colsample_bynode": 0.5, "subsample": 0.8}


@dataclass(frozen=True)
class Boosted:
    """Boosted trees.

    Attributes
    ----------
    kind
        "lightgbm" or "xgboost".
    classes
        Codes, dims ``(class,)``, ascending.
    model
        LightGBM's model text, or XGBoost's JSON.
    """

    kind: str
    classes: np.ndarray
    model: bytes

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities [1], dims ``(sample, class)``, float32."""
        rows = np.ascontiguousarray(features, dtype="float32")
        booster = self._booster()
        share = booster.predict(rows, num_threads=1) if self.kind == "lightgbm" else booster.inplace_predict(rows)
        share = np.asarray(share)
        if share.ndim == 1:  # two classes: the probability of the second
            share = np.stack([1 - share, share], axis=1)
        return share.astype("float32")

    def _booster(self):
        loaded = self.__dict__.get("_loaded")
        if loaded is None:
            if self.kind == "lightgbm":
                loaded = lightgbm.Booster(model_str=self.model.decode("utf-8"))
            else:
                loaded = xgboost.Booster({"nthread": 1})
                loaded.load_model(bytearray(self.model))
            # Reading a model takes longer than predicting a block: it is read once.
            object.__setattr__(self, "_loaded", loaded)
        return loaded

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """What :func:`ceiba.classification.models.array_files.to_bytes` takes."""
        return {"classes": self.classes, "model": np.frombuffer(self.model, dtype="uint8")}, {}

    def to_bytes(self) -> bytes:
        """The model as a file."""
        return array_files.to_bytes(*self.to_arrays())


def fit_lightgbm(
    features: np.ndarray,
    codes: np.ndarray,
    *,
    seed: int,
    sample_weight: np.ndarray | None = None,
    options: Mapping[str, float] | None = None,
) -> Boosted:
    """Fit LightGBM (Ke et al. 2017), one thread, deterministic; ``options`` replace :data:`LIGHTGBM_DEFAULTS`."""
    chosen = LIGHTGBM_DEFAULTS | dict(options or {})
    classes, index = np.unique(codes, return_inverse=True)
    goal = {"objective": "binary"} if len(classes) == 2 else {"objective": "multiclass", "num_class": len(classes)}
    fixed = {"seed": seed, "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1}
    rounds = int(chosen.pop("rounds"))
    data = lightgbm.Dataset(np.ascontiguousarray(features, dtype="float32"), index.reshape(-1), weight=sample_weight)
    booster = lightgbm.train(goal | fixed | chosen, data, num_boost_round=rounds)
    return Boosted("lightgbm", classes, booster.model_to_string().encode("utf-8"))


def fit_xgboost(
    features: np.ndarray,
    codes: np.ndarray,
    *,
    seed: int,
    sample_weight: np.ndarray | None = None,
    options: Mapping[str, float] | None = None,
) -> Boosted:
    """Fit XGBoost (Chen & Guestrin 2016, doi:10.1145/2939672.2939785), one thread; ``options`` replace :data:`XGBOOST_DEFAULTS`."""
    chosen = XGBOOST_DEFAULTS | dict(options or {})
    classes, index = np.unique(codes, return_inverse=True)
    goal = {"objective": "binary:logistic"} if len(classes) == 2 else {"objective": "multi:softprob", "num_class": len(classes)}
    rounds = int(chosen.pop("rounds"))
    chosen["max_depth"] = int(chosen["max_depth"])
    data = xgboost.DMatrix(np.ascontiguousarray(features, dtype="float32"), index.reshape(-1), weight=sample_weight)
    booster = xgboost.train(goal | {"seed": seed, "nthread": 1} | chosen, data, num_boost_round=rounds)
    return Boosted("xgboost", classes, bytes(booster.save_raw("json")))


def read_arrays(kind: str, arrays: Mapping[str, np.ndarray]) -> Boosted:
    """The model of :meth:`Boosted.to_arrays`."""
    return Boosted(kind, arrays["classes"], arrays["model"].tobytes())
