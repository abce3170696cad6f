"""From features to a land-cover map: probabilities of every pixel, then classes."""

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.classification.maps.uncertainty import normalized_entropy
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.legends import Legend

PIXELS_AT_ONCE = 65536
RANKS = (
    ("land_cover", "probability"), ("second_class", "second_probability"), ("third_class", "third_probability"),
)  # fmt: skip


def predict_probabilities(model: LandCoverModel, features: xr.Dataset, legend: Legend) -> xr.DataArray:
    """Class probabilities of every pixel.

    Parameters
    ----------
    model
        A trained model.
    features
        From :func:`ceiba.classification.features.seasons.annual_features`, dims ``(y, x)``, NaN is no data.
    legend
        Legend of the map.

    Returns
    -------
    xr.DataArray
        Probabilities [1], dims ``(class, y, x)``, coordinate ``class`` holds codes, float32; NaN where a feature has no data.

    Raises
    ------
    InputError
        Where features or legend are not those the model was trained on.
    """
    model.check_schema(features, legend)
    first = features[model.names[0]]
    columns = np.stack([features[name].values.ravel() for name in model.names], axis=-1)
    seen = np.flatnonzero(np.isfinite(columns).all(axis=1))
    out = np.full((len(model.codes), columns.shape[0]), np.nan, dtype="float32")
    for start in range(0, len(seen), PIXELS_AT_ONCE):
        pixels = seen[start : start + PIXELS_AT_ONCE]
        out[:, pixels] = model.predict_samples(columns[pixels]).T
    coords = {"class": model.codes.astype("int64")} | {name: first.coords[name] for name in first.coords}
    return xr.DataArray(out.reshape(-1, *first.shape), dims=("class", *first.dims), coords=coords, attrs={"units": "1"})


def map_land_cover(probabilities: xr.DataArray, land_cover: np.ndarray | None = None) -> xr.Dataset:
    """The land-cover map of class probabilities, with what else a pixel might be and how sure that is.

    Parameters
    ----------
    probabilities
        From :func:`predict_probabilities`, dims ``(class, y, x)``.
    land_cover
        Classes decided elsewhere (coarse classes first, minimum mapping unit), uint8, dims ``(y, x)``; the most probable where None.

    Returns
    -------
    xr.Dataset
        land_cover, second_class, third_class (uint8 codes, 0 no data), probability, second_probability, third_probability, entropy,
        margin [1] (float32, NaN no data). The second and third class are the most probable ones beside the mapped class; the
        margin is that of the two largest probabilities, whichever class is mapped. A tie falls to the smaller code.
    """
    values = probabilities.values
    codes = probabilities["class"].values.astype("uint8")
    seen = np.isfinite(values).all(axis=0)
    left = np.where(seen, values, 0)
    place_of = np.zeros(256, dtype="int64")
    place_of[codes] = np.arange(len(codes))
    bands, largest = {}, np.sort(left, axis=0)[-2:] if len(codes) > 1 else left
    for rank, (name, share) in enumerate(RANKS):
        if rank >= len(codes):
            bands[name], bands[share] = np.zeros(seen.shape, "uint8"), np.full(seen.shape, np.nan, "float32")
            continue
        place = left.argmax(axis=0) if rank or land_cover is None else place_of[land_cover]
        bands[name] = np.where(seen, codes[place], 0).astype("uint8")
        bands[share] = np.where(seen, np.take_along_axis(left, place[None], axis=0)[0], np.nan).astype("float32")
        np.put_along_axis(left, place[None], -1.0, axis=0)
    bands["entropy"] = normalized_entropy(probabilities).values.astype("float32")
    bands["margin"] = np.where(seen, largest[-1] - largest[0] if len(codes) > 1 else 1.0, np.nan).astype("float32")
    template = probabilities.isel({"class": 0}, drop=True)
    return xr.Dataset(
        {
            name: template.copy(data=band).assign_attrs(units="class" if band.dtype == "uint8" else "1")
            for name, band in bands.items()
        }
    )


def label_table(legend: Legend, codes: np.ndarray) -> pd.DataFrame:
    """Code, Spanish and English name of classes, one row a code."""
    rows = [(int(code), legend.find(int(code)).name_es, legend.find(int(code)).name_en) for code in codes]
    return pd.DataFrame(rows, columns=["code", "name_es", "name_en"])
