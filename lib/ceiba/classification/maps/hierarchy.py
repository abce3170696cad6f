"""Maps in coarser legends that never contradict the finer one."""

import numpy as np
import xarray as xr

from ceiba.errors import InputError
from ceiba.legends import Legend

FIRST = ("coarse", "fine")


def aggregate_probabilities(probabilities: xr.DataArray, legend: Legend, to: Legend) -> xr.DataArray:
    """Probabilities of a coarser legend: sums over the children of each class.

    Parameters
    ----------
    probabilities
        Probabilities [1] of classes of ``legend``, dims ``(class, ...)``, coordinate ``class`` holds codes; NaN is no data.
    legend, to
        The legend, and one in which all its classes have a parent.

    Returns
    -------
    xr.DataArray
        Probabilities [1], dims ``(class, ...)``, one entry a class of ``to`` that has a child among those given, float32.

    Raises
    ------
    LegendError
        Where a class has no parent in ``to``.
    InputError
        Where ``probabilities`` names a class that ``legend`` does not have.
    """
    parents = legend.parents(to)
    given = probabilities["class"].values.tolist()
    strange = [code for code in given if code not in parents]
    if strange:
        raise InputError(f"legend {legend.name} has no classes {strange}, of which probabilities are given")
    values = probabilities.transpose("class", ...)
    codes = sorted({parents[code] for code in given})
    out = np.zeros((len(codes), *values.shape[1:]), dtype="float32")
    for place, code in enumerate(given):
        out[codes.index(parents[code])] += values.values[place]
    coords = {name: values.coords[name] for name in values.coords if "class" not in values.coords[name].dims}
    return xr.DataArray(out, dims=values.dims, coords={"class": codes} | coords, attrs={"units": "1"})


def decide_coherently(
    probabilities: xr.DataArray, legend: Legend, coarser: tuple[Legend, ...], *, first: str = "coarse"
) -> dict[str, np.ndarray]:
    """Maps in a legend and in coarser ones of which each is what the next finer one sums to.

    Parameters
    ----------
    probabilities
        Probabilities [1] of classes of ``legend``, dims ``(class, ...)``; NaN is no data.
    legend
        The finest legend.
    coarser
        Its coarser legends from fine to coarse; each has parents in the next.
    first
        "coarse": the most probable class of the coarsest legend is chosen first, then the most probable among its children, and so
        on: the coarse maps are as good as they can be. "fine": the most probable class of the finest legend, its parents follow.

    Returns
    -------
    dict
        Legend name to codes, uint8, dims of ``probabilities`` without ``class``; 0 is no data. A tie falls to the smaller code.
    """
    if first not in FIRST:
        raise InputError(f"first is {first!r}; allowed are {', '.join(FIRST)}")
    chain = [legend, *coarser]
    shares = [probabilities.transpose("class", ...)]
    for finer, next_coarser in zip(chain, chain[1:], strict=False):
        shares.append(aggregate_probabilities(shares[-1], finer, next_coarser))
    seen = np.isfinite(shares[0].values).all(axis=0)
    maps: dict[str, np.ndarray] = {}
    if first == "fine":
        maps[legend.name] = _most_probable(shares[0], seen)
        for finer, next_coarser in zip(chain, chain[1:], strict=False):
            table = np.zeros(256, dtype="uint8")
            for code, parent in finer.parents(next_coarser).items():
                table[code] = parent
            maps[next_coarser.name] = table[maps[finer.name]]
        return maps
    above: np.ndarray | None = None
    for level in range(len(chain) - 1, -1, -1):
        share = shares[level]
        if above is not None:
            parents = chain[level].parents(chain[level + 1])
            parent = np.array([parents[code] for code in share["class"].values.tolist()], dtype="uint8")
            inside = parent.reshape(-1, *[1] * above.ndim) == above
            share = share.copy(data=np.where(inside, share.values, -1.0))
        above = _most_probable(share, seen)
        maps[chain[level].name] = above
    return {each.name: maps[each.name] for each in chain}


def _most_probable(share: xr.DataArray, seen: np.ndarray) -> np.ndarray:
    codes = share["class"].values.astype("uint8")
    return np.where(seen, codes[np.where(seen, share.values, 0).argmax(axis=0)], 0).astype("uint8")
