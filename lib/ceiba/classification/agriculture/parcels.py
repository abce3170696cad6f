"""Parcels of a register against the map: does a parcel still hold what it is registered with."""

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from ceiba.classification.samples.polygons import pixels_inside
from ceiba.errors import InputError
from ceiba.legends import Legend

CONFIRMED, DOUBTFUL, OTHER, UNSEEN = "confirmed", "doubtful", "other", "unseen"
VERDICTS = (CONFIRMED, DOUBTFUL, OTHER, UNSEEN)


def check_parcels(
    parcels: gpd.GeoDataFrame,
    probabilities: xr.DataArray,
    legend: Legend,
    *,
    confirmed_from: float = 0.7,
    other_below: float = 0.2,
    fewest_pixels: int = 4,
    edge_m: float = 0.0,
) -> gpd.GeoDataFrame:
    """Hold each parcel against the class probabilities of its pixels.

    The verdict is a proposal for an inspector: it says where to look, not what is true.

    Parameters
    ----------
    parcels
        The register: parcel (id), registered (a class of ``legend`` by name or code), polygons in any CRS.
    probabilities
        Class probabilities [1], dims ``(class, y, x)``, coordinate ``class`` holds codes, with a geobox (``.odc``); NaN is no data.
    legend
        Legend of the classes.
    confirmed_from, other_below
        Mean probability [1] of the registered class from which a parcel is "confirmed", and below which it is "other", if another class
        is the most probable then; "doubtful" lies between.
    fewest_pixels
        Pixels with data below which a parcel is "unseen".
    edge_m
        Parcels are narrowed by this much [m] first: pixels on an edge are mixtures.

    Returns
    -------
    gpd.GeoDataFrame
        The parcels with registered_code, pixels, registered_probability (mean over the parcel) [1], likely_code, likely_probability [1],
        verdict, in the order of the register.

    Raises
    ------
    InputError
        Where columns or a CRS are missing, an id stands twice, or limits do not fit together.
    LegendError
        Naming every registered class that the legend does not have.
    """
    missing = [column for column in ("parcel", "registered") if column not in parcels]
    if missing:
        raise InputError(f"the register lacks columns {', '.join(missing)}; it has {', '.join(map(str, parcels.columns))}")
    if parcels.crs is None:
        raise InputError("the register has no coordinate reference system; set it where it is read")
    twice = parcels["parcel"][parcels["parcel"].duplicated()].unique().tolist()
    if twice:
        raise InputError(f"parcels that stand twice in the register: {', '.join(map(str, twice[:10]))}")
    if not 0 <= other_below < confirmed_from <= 1:
        raise InputError(f"other_below {other_below} must lie below confirmed_from {confirmed_from}, both within 0 and 1")
    registered = legend.codes_of(parcels["registered"].to_numpy(dtype=object)).astype("int64")
    geobox = probabilities.odc.geobox
    values = probabilities.transpose("class", "y", "x").values
    codes = probabilities["class"].values.astype("int64")
    shapes = parcels.geometry.to_crs(geobox.crs.proj).buffer(-edge_m) if edge_m else parcels.geometry.to_crs(geobox.crs.proj)
    rows = []
    for shape, code in zip(shapes, registered, strict=True):
        found = _mean_shares(shape, values, geobox)
        if found is None or found[1] < fewest_pixels:
            rows.append((code, 0 if found is None else found[1], np.nan, 0, np.nan, UNSEEN))
            continue
        share, count = found
        own = float(share[codes == code].sum())
        likely = int(np.argmax(share))
        if own >= confirmed_from:
            verdict = CONFIRMED
        else:
            verdict = OTHER if own < other_below and codes[likely] != code else DOUBTFUL
        rows.append((code, count, own, int(codes[likely]), float(share[likely]), verdict))
    columns = ("registered_code", "pixels", "registered_probability", "likely_code", "likely_probability", "verdict")
    return parcels.assign(**pd.DataFrame(rows, columns=columns, index=parcels.index).to_dict("series"))


def _mean_shares(shape, values: np.ndarray, geobox) -> tuple[np.ndarray, int] | None:
    if shape is None or shape.is_empty:
        return None
    row, column = pixels_inside(shape, geobox)
    if not len(row):
        return None
    inside = values[:, row, column]
    seen = np.isfinite(inside).all(axis=0)
    return (inside[:, seen].mean(axis=1), int(seen.sum())) if seen.any() else None
