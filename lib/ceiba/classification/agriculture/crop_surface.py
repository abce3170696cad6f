"""Crop surface: what was found in the field, helped by what imagery says of all segments."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial import cKDTree

from ceiba.errors import InputError

METHODS = ("separate", "combined")


@dataclass(frozen=True)
class CropSurface:
    """An estimated crop surface.

    Attributes
    ----------
    area_ha, half_width_ha
        By the regression estimator, with half the width of its 95 % interval [ha].
    expansion_ha, expansion_half_width_ha
        By the field sample alone [ha].
    mapped_ha
        Counted in the map [ha].
    efficiency
        Variance of the field sample alone over that of the regression estimator [1]: as many times more segments would have had to be
        visited without imagery.
    slopes
        Slope of found on mapped surface, by stratum (the same in all for the combined estimator).
    samples
        Segments visited.
    """

    area_ha: float
    half_width_ha: float
    expansion_ha: float
    expansion_half_width_ha: float
    mapped_ha: float
    efficiency: float
    slopes: Mapping[int, float]
    samples: int


def estimate_crop_surface(
    segments: pd.DataFrame, visited: pd.DataFrame, *, method: str = "combined", level: float = 0.95
) -> CropSurface:
    """Regression estimator of a total from a stratified sample of segments.

    Cochran 1977, Sampling Techniques, sections 7.9 (separate) and 7.10 (combined); for crop surfaces from imagery Gallego 2004
    (doi:10.1080/01431160410001619607). Bias of the map cancels: it enters through the difference between the mean of all segments and
    that of those visited alone.

    Parameters
    ----------
    segments
        All segments: stratum, mapped_ha, as :class:`ceiba.classification.agriculture.frames.Frame` has them.
    visited
        A random sample in each stratum: stratum, mapped_ha, found_ha (crop surface found in the field).
    method
        "separate": a slope a stratum, for many visits a stratum (ten or more); "combined": one slope, steadier with few.
    level
        Confidence level of the intervals; Student's t with the degrees of freedom of the residuals.

    Raises
    ------
    InputError
        Where columns or values are missing, a stratum was not visited or only once, or the method is unknown.
    """
    if method not in METHODS:
        raise InputError(f"no method {method!r}; there are {', '.join(METHODS)}")
    _check(segments, visited)
    strata = sorted(segments["stratum"].unique().tolist())
    sizes = segments["stratum"].value_counts()
    groups = {stratum: visited[visited["stratum"] == stratum] for stratum in strata}
    few = [stratum for stratum, group in groups.items() if len(group) < 2 and len(group) < sizes[stratum]]
    if few:
        raise InputError(f"strata {few} have fewer than two visited segments: their variance cannot be told")
    slopes = _slopes(groups, sizes, method)
    degrees = sum(len(group) - 1 for group in groups.values()) - (len(strata) if method == "separate" else 1)
    if degrees < 1:
        raise InputError(f"{len(visited)} visited segments in {len(strata)} strata are too few for a regression")
    total = variance = plain = plain_variance = 0.0
    for stratum, group in groups.items():
        size, count = float(sizes[stratum]), len(group)
        x, y = group["mapped_ha"].to_numpy("float64"), group["found_ha"].to_numpy("float64")
        slope = slopes[stratum]
        everywhere = segments.loc[segments["stratum"] == stratum, "mapped_ha"].mean()
        total += size * (y.mean() + slope * (everywhere - x.mean()))
        plain += size * y.mean()
        if count == size:
            continue  # a stratum visited as a whole has no sampling error
        factor = size**2 * (1 - count / size) / count
        residual = (y - y.mean()) - slope * (x - x.mean())
        lost = 2 if method == "separate" and count > 2 else 1
        variance += factor * float((residual**2).sum()) / (count - lost)
        plain_variance += factor * float(y.var(ddof=1))
    t = float(stats.t.ppf(0.5 + level / 2, degrees))
    t_plain = float(stats.t.ppf(0.5 + level / 2, max(1, len(visited) - len(strata))))
    return CropSurface(
        area_ha=float(total),
        half_width_ha=t * float(np.sqrt(variance)),
        expansion_ha=float(plain),
        expansion_half_width_ha=t_plain * float(np.sqrt(plain_variance)),
        mapped_ha=float(segments["mapped_ha"].sum()),
        efficiency=plain_variance / variance if variance > 0 else float("inf"),
        slopes=slopes,
        samples=len(visited),
    )


def join_visits(drawn: pd.DataFrame, visits: pd.DataFrame, *, year: int, tolerance: float = 1.0) -> pd.DataFrame:
    """Drawn segments with what was found in them.

    Parameters
    ----------
    drawn
        From :func:`ceiba.classification.agriculture.frames.draw_segments`.
    visits
        Columns x, y (center of the segment, units of the CRS), found_ha, and year where there are visits of several.
    year
        Year of the visits.
    tolerance
        Largest distance of the centers, in each direction [units of the CRS].

    Raises
    ------
    InputError
        Where columns are missing, or drawn segments were not visited: to leave them out could bias the estimate.
    """
    missing = [column for column in ("x", "y", "found_ha") if column not in visits]
    if missing:
        raise InputError(f"the visits lack columns {', '.join(missing)}; they have {', '.join(map(str, visits.columns))}")
    of_year = visits[visits["year"] == year] if "year" in visits else visits
    if of_year.empty:
        raise InputError(f"no visit of {year} is on file")
    distance, nearest = cKDTree(of_year[["x", "y"]].to_numpy("float64")).query(drawn[["x", "y"]].to_numpy("float64"), p=np.inf)
    far = distance > tolerance
    if far.any():
        shown = ", ".join(map(str, drawn.loc[far, "segment"].tolist()[:10]))
        raise InputError(f"{int(far.sum())} drawn segments were not visited in {year}, such as {shown}; visit them or draw anew")
    return drawn.assign(found_ha=of_year["found_ha"].to_numpy("float64")[nearest])


def _slopes(groups: Mapping[int, pd.DataFrame], sizes: pd.Series, method: str) -> dict[int, float]:
    products, squares = {}, {}
    for stratum, group in groups.items():
        x = group["mapped_ha"].to_numpy("float64") - group["mapped_ha"].mean()
        y = group["found_ha"].to_numpy("float64") - group["found_ha"].mean()
        products[stratum], squares[stratum] = float((x * y).sum()), float((x * x).sum())
    if method == "separate":
        # Where the map says the same of all visited segments it has nothing to tell.
        return {key: products[key] / squares[key] if squares[key] > 0 else 0.0 for key in groups}
    weight = {}
    for stratum, group in groups.items():
        count, size = len(group), float(sizes[stratum])
        weight[stratum] = size**2 * (1 - count / size) / (count * max(count - 1, 1))
    below = sum(weight[key] * squares[key] for key in groups)
    slope = sum(weight[key] * products[key] for key in groups) / below if below > 0 else 0.0
    return dict.fromkeys(groups, slope)


def _check(segments: pd.DataFrame, visited: pd.DataFrame) -> None:
    for name, table, columns in (
        ("frame", segments, ("stratum", "mapped_ha")),
        ("field table", visited, ("stratum", "mapped_ha", "found_ha")),
    ):
        missing = [column for column in columns if column not in table]
        if missing:
            raise InputError(f"the {name} lacks columns {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
        bad = ~np.isfinite(table[list(columns)].to_numpy("float64")).all(axis=1)
        if bad.any():
            raise InputError(f"{int(bad.sum())} rows of the {name} lack a number; the first is row {int(np.argmax(bad))}")
    if (visited["found_ha"] < 0).any():
        raise InputError("a visited segment has a negative crop surface")
    unknown = sorted(set(visited["stratum"]) - set(segments["stratum"]))
    missed = sorted(set(segments["stratum"]) - set(visited["stratum"]))
    if unknown or missed:
        raise InputError(f"strata visited but not in the frame: {unknown or 'none'}; in the frame but not visited: {missed or 'none'}")
