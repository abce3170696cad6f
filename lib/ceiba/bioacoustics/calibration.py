"""How well a classifier of sounds does, and probabilities that mean what they say."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

BACKGROUND = "background"


def measure_accuracy(truth: np.ndarray, guess: np.ndarray, classes: Sequence[str]) -> dict[str, object]:
    """Accuracy, macro F1 and confusion matrix (rows true) of class positions, and how well background is told from the rest."""
    heard = np.array(classes) != BACKGROUND
    return {
        "n": len(truth),
        "accuracy": float(accuracy_score(truth, guess)),
        "macro_f1": float(f1_score(truth, guess, average="macro", labels=np.unique(truth), zero_division=0)),
        "background_balanced_accuracy": float(balanced_accuracy_score(heard[truth], heard[guess])),
        "confusion": confusion_matrix(truth, guess, labels=np.arange(len(classes))).tolist(),
    }


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Divisor of the logits, dims (patch, class), that makes their probabilities fit the labels best [1]."""
    choices = np.geomspace(0.25, 8.0, 61)
    rows = np.arange(len(labels))
    losses = [-np.log(softmax(logits / choice)[rows, labels] + 1e-12).mean() for choice in choices]
    return float(choices[int(np.argmin(losses))])


def best_threshold(probability: np.ndarray, truth: np.ndarray) -> float:
    """Probability from which calling a class has the best F1, between 0.3 and 0.9."""
    choices = np.linspace(0.3, 0.9, 61)
    hits = [np.count_nonzero(truth & (probability >= choice)) for choice in choices]
    called = [np.count_nonzero(probability >= choice) for choice in choices]
    return float(choices[int(np.argmax([2 * h / max(c + truth.sum(), 1) for h, c in zip(hits, called, strict=True)]))])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [1] of logits along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
