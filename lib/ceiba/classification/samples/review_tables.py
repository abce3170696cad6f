"""Tables of a review for people, worded in both languages."""

import numpy as np
import pandas as pd

from ceiba import labels


def answer_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers of each interpreter, and how many of them could not tell."""
    if answers.empty:
        return pd.DataFrame(
            {labels.both("classification.review_answers"): [labels.both("classification.review_no_answer")]}
        )
    found = answers.groupby("interpreter")["code"].agg(["size", lambda codes: int((codes == 0).sum())]).reset_index()
    names = ("review_interpreter", "review_points", "review_unsure")
    found.columns = [labels.both(f"classification.{name}") for name in names]
    return found


def agreement_table(agreement: pd.DataFrame) -> pd.DataFrame:
    """Agreement of :func:`ceiba.classification.samples.review.measure_agreement`, or that no two have read the same point."""
    if agreement.empty:
        return pd.DataFrame(
            {labels.both("classification.review_agreement"): [labels.both("classification.review_no_pair")]}
        )
    table = {
        labels.both("classification.review_first"): agreement["first"],
        labels.both("classification.review_second"): agreement["second"],
        labels.both("classification.review_points"): agreement["points"],
    }
    for name, key, form in (("agreement", "review_share", ".1%"), ("kappa", "review_kappa", ".2f")):
        low, high = agreement[f"{name}_low"], agreement[f"{name}_high"]
        table[labels.both(f"classification.{key}")] = [
            f"{value:{form}} ({least:{form}} - {most:{form}})" if np.isfinite(value) else "-"
            for value, least, most in zip(agreement[name], low, high, strict=True)
        ]
    return pd.DataFrame(table)
