"""Class change block by block: the memory is that of one block in all years, the result that of the whole at once."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from ceiba.change.classes.series import ChangeModel, change_model, class_change, learning_pixels
from ceiba.change.classes.transitions import TransitionRules
from ceiba.classification.features.seasons import annual_features
from ceiba.classification.maps.blocks import block_slices
from ceiba.classification.maps.prediction import predict_probabilities
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.legends import Legend
from ceiba.sources import load_block

BLOCK_PX = 256  # 31 classes in 20 years: 160 MB of probabilities


def change_model_of_source(
    model: LandCoverModel,
    source: xr.Dataset,
    legend: Legend,
    years: Sequence[int],
    rules: TransitionRules,
    *,
    season_start_month: int = 1,
    weight_of_rules: float = 100.0,
) -> ChangeModel:
    """:func:`ceiba.change.classes.series.change_model` of the probabilities that ``model`` gives to features.

    Only the pixels that transitions are learnt from are predicted: the result is that of the probabilities of all.

    Parameters
    ----------
    model, source, legend, years, season_start_month
        As of :func:`class_change_by_blocks`.
    rules, weight_of_rules
        As of :func:`ceiba.change.classes.series.change_model`, with its errors.
    """
    rows, columns = np.unravel_index(learning_pixels(source.sizes["y"] * source.sizes["x"]), _shape(source))
    learning = source.isel(y=xr.DataArray(rows, dims="pixel"), x=xr.DataArray(columns, dims="pixel"))
    bar = tqdm(years, desc="years", unit="year", mininterval=1)
    probabilities = [
        _predict(model, learning, legend, year, season_start_month=season_start_month).reset_coords(drop=True) for year in bar
    ]
    return change_model(probabilities, years, rules, weight_of_rules=weight_of_rules)


def class_change_by_blocks(
    model: LandCoverModel,
    source: xr.Dataset,
    legend: Legend,
    known: ChangeModel,
    *,
    season_start_month: int = 1,
    threshold: float = 0.5,
    block_px: int = BLOCK_PX,
) -> xr.Dataset:
    """Change of class over the years of ``known``, from features instead of their probabilities.

    Parameters
    ----------
    model
        A trained land-cover model.
    source
        Features of every year, dims ``(time, y, x)``, as of :func:`ceiba.classification.features.seasons.annual_features`; lazy
        ones are read one block and year at a time.
    legend
        Legend of the model.
    known
        From :func:`change_model_of_source`.
    season_start_month
        First month of a season.
    threshold
        As of :func:`ceiba.change.classes.series.class_change`, with its errors.
    block_px
        Side of a block [pixels]; it changes memory and time, never the result.

    Returns
    -------
    xr.Dataset
        The bands with dims ``(y, x)`` of :func:`ceiba.change.classes.series.class_change`.

    Raises
    ------
    InputError
        Where features or legend are not those of the model, a year has none, a file cannot be read, or a block has no pixel.
    """
    first = next(iter(source.data_vars.values())).isel(time=0, drop=True)
    bands: dict[str, xr.DataArray] = {}
    blocks = list(block_slices(*_shape(source), block_px))
    for rows, columns in tqdm(blocks, desc="blocks", unit="block", mininterval=1):
        near = source.isel(y=rows, x=columns)
        probabilities = [_predict(model, near, legend, year, season_start_month=season_start_month) for year in known.years]
        for name, band in class_change(probabilities, known, threshold=threshold).drop_dims("year").items():
            if name not in bands:
                whole = np.empty(first.shape, dtype=band.dtype)
                bands[name] = xr.DataArray(whole, dims=first.dims, coords=first.coords, attrs=band.attrs)
            bands[name].values[rows, columns] = band.values
    return xr.Dataset(bands)


def _predict(
    model: LandCoverModel, source: xr.Dataset, legend: Legend, year: int, *, season_start_month: int
) -> xr.DataArray:
    # One year after the other: their features together would be larger than their probabilities.
    features = load_block(annual_features(source, year, season_start_month=season_start_month))
    return predict_probabilities(model, features, legend)


def _shape(source: xr.Dataset) -> tuple[int, int]:
    return source.sizes["y"], source.sizes["x"]
