"""How sure a map is of a pixel: entropy and margin of its class probabilities."""

import numpy as np
import xarray as xr


def normalized_entropy(probabilities: xr.DataArray, dim: str = "class") -> xr.DataArray:
    """Shannon entropy of class probabilities over its largest value.

    Parameters
    ----------
    probabilities
        Probabilities [1] that sum to 1 over ``dim``; NaN is no data.
    dim
        Dim of the classes.

    Returns
    -------
    xr.DataArray
        0 (one class is certain) to 1 (all are equally likely) [1], dims without ``dim``; NaN where a probability is.
    """
    count = probabilities.sizes[dim]
    if count < 2:
        return probabilities.isel({dim: 0}, drop=True) * 0.0
    # xlogy would keep this shorter, but p log p at 0 must be 0 while NaN stays NaN.
    terms = probabilities * np.log(probabilities.where(probabilities != 0, 1.0))
    entropy = -terms.sum(dim, skipna=False) / np.log(count)
    return entropy.clip(0, 1).assign_attrs(units="1")


def margin(probabilities: xr.DataArray, dim: str = "class") -> xr.DataArray:
    """Difference of the two largest probabilities [1], 0 (a tie) to 1 (certain), dims without ``dim``."""
    ordered = np.sort(probabilities.transpose(dim, ...).values, axis=0)
    first = probabilities.isel({dim: 0}, drop=True)
    if len(ordered) < 2:
        return first
    return first.copy(data=ordered[-1] - ordered[-2]).assign_attrs(units="1")
