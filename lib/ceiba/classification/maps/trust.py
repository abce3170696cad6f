"""How far a map may be trusted, pixel by pixel: size of the label set, and whether the land resembles the training."""

import numpy as np
import xarray as xr

from ceiba.classification.models.land_cover_model import LandCoverModel

NO_DATA, KNOWN, UNKNOWN = 0, 1, 2


def trust_bands(model: LandCoverModel, features: xr.Dataset, probabilities: xr.DataArray) -> xr.Dataset:
    """Bands of what the model knows about its own limits.

    Parameters
    ----------
    model
        A trained model; what was not fitted with it leaves its band without data.
    features
        Features in the model's schema, dims ``(y, x)``, NaN is no data.
    probabilities
        Probabilities [1] of the model before any smoothing, dims ``(class, y, x)``: the label sets were calibrated with these.

    Returns
    -------
    xr.Dataset
        set_size: number of classes in the label set; applicable: 1 within the area of applicability, 2 beyond. uint8, 0 no data.
    """
    template = probabilities.isel({"class": 0}, drop=True)
    seen = np.isfinite(probabilities.values).all(axis=0)
    size, known = np.zeros(seen.shape, dtype="uint8"), np.full(seen.shape, NO_DATA, dtype="uint8")
    if model.sets is not None and seen.any():
        size[seen] = model.sets.contains(probabilities.values[:, seen].T).sum(axis=1)
    if model.applicability is not None and seen.any():
        columns = np.stack([features[name].values[seen] for name in model.names], axis=-1)
        known[seen] = np.where(model.applicability.contains(columns), KNOWN, UNKNOWN)
    bands = {"set_size": size, "applicable": known}
    return xr.Dataset({name: template.copy(data=band).assign_attrs(units="1") for name, band in bands.items()})
