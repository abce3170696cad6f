"""Coarser maps sum the finer one's probabilities and never contradict it."""

import numpy as np
import pytest
import xarray as xr

from ceiba.classification.maps.hierarchy import aggregate_probabilities, decide_coherently
from ceiba.errors import InputError
from ceiba.legends import aggregate, load_legend

FINE, MIDDLE, COARSE = (load_legend(name) for name in ("mexico_31", "mexico_17", "mexico_8"))


def draw(seed=0, shape=(20, 30)):
    share = np.random.default_rng(seed).dirichlet(np.full(31, 0.3), shape).astype("float32")
    array = xr.DataArray(np.moveaxis(share, -1, 0), dims=("class", "y", "x"), coords={"class": FINE.codes.astype("int64")})
    array[:, 0, 0] = np.nan
    return array


def test_sums_by_hand():
    """Fir 0.2 and pine 0.3 are one class of the 17; oak 0.5 is another; all three are one class of the 8."""
    share = xr.DataArray([[0.2], [0.3], [0.5]], dims=("class", "x"), coords={"class": [1, 2, 3]})
    middle = aggregate_probabilities(share, FINE, MIDDLE)
    assert middle["class"].values.tolist() == [1, 2] and middle.values[:, 0] == pytest.approx([0.5, 0.5])
    assert aggregate_probabilities(middle, MIDDLE, COARSE).values == pytest.approx(np.array([[1.0]]))
    with pytest.raises(InputError, match=r"no classes \[99\]"):
        aggregate_probabilities(share.assign_coords({"class": [1, 2, 99]}), FINE, MIDDLE)


@pytest.mark.parametrize("first", ["coarse", "fine"])
def test_maps_never_contradict_each_other(first):
    share = draw()
    maps = decide_coherently(share, FINE, (MIDDLE, COARSE), first=first)
    fine = xr.DataArray(maps["mexico_31"], dims=("y", "x"))
    assert (aggregate(fine, FINE, MIDDLE).values == maps["mexico_17"]).all()
    assert (aggregate(fine, FINE, COARSE).values == maps["mexico_8"]).all()
    assert all(each[0, 0] == 0 and (each.ravel()[1:] > 0).all() for each in maps.values())
    if first == "fine":
        assert (maps["mexico_31"].ravel()[1:] == FINE.codes[share.values.reshape(31, -1)[:, 1:].argmax(axis=0)]).all()
    else:
        best = aggregate_probabilities(share, FINE, COARSE)
        assert (maps["mexico_8"].ravel()[1:] == best["class"].values[best.values.reshape(8, -1)[:, 1:].argmax(axis=0)]).all()


def test_the_coarse_class_decides_first_where_two_sisters_share_it():
    """Oak 0.4 is the most probable single class, but fir and pine together hold 0.6."""
    share = xr.DataArray([[0.25], [0.35], [0.4]], dims=("class", "x"), coords={"class": [1, 2, 3]})
    assert decide_coherently(share, FINE, (MIDDLE,), first="coarse")["mexico_31"].tolist() == [2]
    assert decide_coherently(share, FINE, (MIDDLE,), first="fine")["mexico_31"].tolist() == [3]
    with pytest.raises(InputError, match="allowed are coarse, fine"):
        decide_coherently(share, FINE, (MIDDLE,), first="both")
