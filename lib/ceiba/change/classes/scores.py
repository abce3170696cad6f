"""How well change is found and dated, as LCMAP reports it: within the same year, one year, two years."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ceiba.errors import InputError


def score_change_years(
    true_years: np.ndarray, found_years: np.ndarray, tolerances: Sequence[int] = (0, 1, 2)
) -> pd.DataFrame:
    """User's and producer's accuracy of change by years of tolerance (Stehman et al. 2021, doi:10.1016/j.rse.2021.112646).

    Parameters
    ----------
    true_years, found_years
        Year in which each pixel changed, 0 is never, same dims.
    tolerances
        Years by which a change may be dated wrongly.

    Returns
    -------
    pd.DataFrame
        One row a tolerance: tolerance_years, true_changes, found_changes, met, users_accuracy, producers_accuracy, f1 [1]; NaN
        where there is no change to be found or none was.

    Raises
    ------
    InputError
        Where shapes differ.
    """
    truth, found = np.asarray(true_years).astype("int64"), np.asarray(found_years).astype("int64")
    if truth.shape != found.shape:
        raise InputError(f"true years have shape {truth.shape}, found years {found.shape}")
    both = (truth > 0) & (found > 0)
    late = np.abs(truth - found)
    true_count, found_count = int((truth > 0).sum()), int((found > 0).sum())
    rows = []
    for tolerance in tolerances:
        met = int((both & (late <= tolerance)).sum())
        rows.append(
            {
                "tolerance_years": tolerance,
                "true_changes": true_count,
                "found_changes": found_count,
                "met": met,
                "users_accuracy": met / found_count if found_count else np.nan,
                "producers_accuracy": met / true_count if true_count else np.nan,
                "f1": 2 * met / (found_count + true_count) if found_count + true_count else np.nan,
            }
        )
    return pd.DataFrame(rows)
