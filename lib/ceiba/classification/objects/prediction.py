"""Class probabilities of objects, in the same form as those of pixels."""

import numpy as np
import xarray as xr

from ceiba.classification.maps.prediction import predict_probabilities
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.classification.objects.segmentation import NO_OBJECT
from ceiba.errors import InputError
from ceiba.legends import Legend

BY = ("probabilities", "features", "majority")


def object_features(features: xr.Dataset, segments: xr.DataArray) -> xr.Dataset:
    """Mean and standard deviation of pixel features in each segment.

    Parameters
    ----------
    features
        Dims ``(y, x)``, NaN is no data.
    segments
        Numbers of segments, dims ``(y, x)``, 0 is none, see :func:`ceiba.classification.objects.segmentation.segment_objects`.

    Returns
    -------
    xr.Dataset
        For each feature its mean under its own name and its standard deviation as ``<name>_sd`` (of the pixels, not of a sample),
        in its units, dims ``(segment,)``, coordinate ``segment`` holds the numbers. Pixels without data do not count; NaN where
        a segment has no other.
    """
    names, place = _places(segments)
    out = {}
    for name, layer in features.items():
        values = layer.values.ravel()
        mean, deviation = _moments(values.astype("float64"), place, len(names))
        attrs = {"units": layer.attrs["units"]} if "units" in layer.attrs else {}
        out[str(name)] = ("segment", mean.astype("float32"), attrs)
        out[f"{name}_sd"] = ("segment", deviation.astype("float32"), attrs)
    return xr.Dataset(out, coords={"segment": names})


def predict_objects(
    model: LandCoverModel, features: xr.Dataset, legend: Legend, segments: xr.DataArray, *, by: str = "probabilities"
) -> xr.DataArray:
    """Class probabilities that are the same in all pixels of a segment; maps are made of them as of those of pixels.

    Parameters
    ----------
    model, features, legend
        As in :func:`ceiba.classification.maps.prediction.predict_probabilities`.
    segments
        Numbers of segments, dims ``(y, x)``, 0 is none.
    by
        "probabilities": the mean of the pixels' probabilities. "features": those of the mean features of the segment.
        "majority": the share of the pixels whose most probable class it is.

    Returns
    -------
    xr.DataArray
        Probabilities [1], dims ``(class, y, x)``, float32; NaN where there is no segment or none of its pixels has all features.

    Raises
    ------
    InputError
        On an unknown ``by``, segments of another grid, or features or legend of another training.
    """
    if by not in BY:
        raise InputError(f"objects are not predicted by {by!r}; allowed are {', '.join(BY)}")
    first = features[model.names[0]]
    if segments.shape != first.shape:
        raise InputError(f"segments have shape {segments.shape}, features {first.shape}")
    names, place = _places(segments)
    if by == "features":
        model.check_schema(features, legend)
        means = object_features(features, segments)
        columns = np.stack([means[name].values for name in model.names], axis=-1)
        seen = np.isfinite(columns).all(axis=1)
        share = np.full((len(model.codes), len(names)), np.nan, dtype="float32")
        if seen.any():
            share[:, seen] = model.predict_samples(columns[seen]).T
    else:
        pixels = predict_probabilities(model, features, legend).values.reshape(len(model.codes), -1)
        seen = np.isfinite(pixels).all(axis=0)
        if by == "majority":
            chosen = np.where(seen, np.where(seen, pixels, 0).argmax(axis=0), -1)
            pixels = np.where(seen, chosen == np.arange(len(model.codes))[:, None], np.nan)
        share = np.stack([_moments(layer.astype("float64"), place, len(names))[0] for layer in pixels]).astype("float32")
    coords = {"class": model.codes.astype("int64")} | {name: first.coords[name] for name in first.coords}
    spread = np.concatenate([share, np.full((len(share), 1), np.nan, dtype="float32")], axis=1)[:, place]
    return xr.DataArray(spread.reshape(-1, *first.shape), dims=("class", *first.dims), coords=coords, attrs={"units": "1"})


def _places(segments: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the segments, and the place of each pixel's among them; pixels without a segment come behind the last."""
    values = segments.values.ravel()
    names = np.unique(values[values != NO_OBJECT])
    return names, np.where(values != NO_OBJECT, np.searchsorted(names, values), len(names))


def _moments(values: np.ndarray, place: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the finite values of each segment, NaN where there is none."""
    seen = np.isfinite(values)
    at, finite = place[seen], values[seen]
    pixels = np.bincount(at, minlength=count + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(at, weights=finite, minlength=count + 1) / pixels
        # Around the mean of the segment, as squares of large numbers would cancel.
        square = np.bincount(at, weights=(finite - mean[at]) ** 2, minlength=count + 1) / pixels
    return mean[:count], np.sqrt(square)[:count]
