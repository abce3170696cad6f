"""Training and reference samples: points with a year and a class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer

from ceiba.classification.features.seasons import annual_features
from ceiba.errors import InputError
from ceiba.legends import Legend


@dataclass(frozen=True)
class TrainingSet:
    """Features and classes of samples, in the order of the table.

    Attributes
    ----------
    features
        Dims ``(sample, feature)``, float32, finite.
    names
        Feature names, in the order of the columns.
    codes
        Class of each sample, dims ``(sample,)``, uint8.
    x, y
        Position in the CRS of the features [units of the CRS].
    years
        Year of each sample.
    rows
        Row of each sample in the table it came from.
    outside, unseen
        Samples left out: beyond the extent of the features, or where a feature has no data.
    """

    features: np.ndarray
    names: tuple[str, ...]
    codes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    years: np.ndarray
    rows: np.ndarray
    outside: int = 0
    unseen: int = 0

    def __len__(self) -> int:
        return len(self.codes)


def read_samples(table: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    """Bring a table of labelled points to one form.

    Parameters
    ----------
    table
        Columns ``longitude``, ``latitude`` [degrees, WGS 84]; ``code`` or ``label`` (a class of ``legend``, either
        language); ``year``, or ``to`` (a date: the sample's season ends then).
    legend
        Legend of the classes.

    Returns
    -------
    pd.DataFrame
        Columns longitude, latitude, year (int), code (uint8); one row a row of ``table``.

    Raises
    ------
    InputError
        Where columns or values are missing, or a coordinate is no coordinate.
    LegendError
        Naming every label that the legend does not have.
    """
    missing = [name for name in ("longitude", "latitude") if name not in table]
    missing += [" or ".join(pair) for pair in (("code", "label"), ("year", "to")) if not set(pair) & set(table.columns)]
    if missing:
        raise InputError(
            f"the samples lack columns {', '.join(missing)}; they have {', '.join(map(str, table.columns))}"
        )
    longitude = table["longitude"].to_numpy(dtype="float64")
    latitude = table["latitude"].to_numpy(dtype="float64")
    wrong = ~((np.abs(longitude) <= 180) & (np.abs(latitude) <= 90))
    if wrong.any():
        raise InputError(
            f"{int(wrong.sum())} samples have no valid longitude and latitude; the first is row {int(np.argmax(wrong))}"
        )
    labels = table["code"] if "code" in table else table["label"]
    if "year" in table:
        years = table["year"].to_numpy(dtype="int64")
    else:
        years = pd.to_datetime(table["to"].astype(str)).dt.year.to_numpy(dtype="int64")
    codes = legend.codes_of(labels.to_numpy(dtype=object))
    return pd.DataFrame({"longitude": longitude, "latitude": latitude, "year": years, "code": codes})


def locate(samples: pd.DataFrame, geobox) -> pd.DataFrame:
    """Position of samples on a pixel grid.

    Parameters
    ----------
    samples
        Columns longitude, latitude [degrees, WGS 84].
    geobox
        ``odc.geo`` GeoBox.

    Returns
    -------
    pd.DataFrame
        Columns x, y [units of the grid's CRS], row, column (of the pixel that contains the point), inside (bool).
    """
    transformer = Transformer.from_crs("EPSG:4326", geobox.crs.proj, always_xy=True)
    x, y = transformer.transform(samples["longitude"].to_numpy(), samples["latitude"].to_numpy())
    x, y = np.asarray(x, dtype="float64"), np.asarray(y, dtype="float64")
    column, row = ~geobox.affine * (x, y)
    column, row = np.floor(column).astype("int64"), np.floor(row).astype("int64")
    height, width = geobox.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return pd.DataFrame({"x": x, "y": y, "row": row, "column": column, "inside": inside})


def extract_features(
    source: xr.Dataset, samples: pd.DataFrame, *, season_start_month: int = 1, years: Sequence[int] | None = None
) -> TrainingSet:
    """Features at samples, by the function that makes the map's features.

    Parameters
    ----------
    source
        Land-cover features as :func:`ceiba.classification.features.seasons.annual_features` takes them, with a geobox (``.odc``).
    samples
        From :func:`read_samples`.
    season_start_month
        First month of a season.
    years
        Years to use; all that the samples have where it is None.

    Returns
    -------
    TrainingSet
        Without samples of other years, beyond the extent, or with a feature that has no data.

    Raises
    ------
    InputError
        Where no sample is left.
    """
    place = locate(samples, source.odc.geobox)
    wanted = (
        np.isin(samples["year"].to_numpy(), list(years)) if years is not None else np.ones(len(samples), dtype=bool)
    )
    chosen = np.flatnonzero(place["inside"].to_numpy() & wanted)
    sample_years = samples["year"].to_numpy()[chosen]
    parts, names = {}, ()
    for year in np.unique(sample_years):
        rows = chosen[sample_years == year]
        at = {
            source.odc.spatial_dims[0]: xr.DataArray(place["row"].to_numpy()[rows], dims="sample"),
            source.odc.spatial_dims[1]: xr.DataArray(place["column"].to_numpy()[rows], dims="sample"),
        }
        features = annual_features(source.isel(at), int(year), season_start_month=season_start_month)
        names = tuple(str(name) for name in features.data_vars)
        parts[year] = (rows, np.stack([features[name].values for name in names], axis=-1))
    if not parts:
        raise InputError(
            f"none of the {len(samples)} samples lies within the extent and the years of the land-cover features "
            f"({int((~place['inside']).sum())} lie outside)"
        )
    rows = np.concatenate([rows for rows, _ in parts.values()])
    values = np.concatenate([values for _, values in parts.values()]).astype("float32")
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    seen = np.isfinite(values).all(axis=1)
    if not seen.any():
        raise InputError(f"the land-cover features have no data at any of the {len(rows)} samples")
    rows, values = rows[seen], values[seen]
    return TrainingSet(
        features=values,
        names=names,
        codes=samples["code"].to_numpy(dtype="uint8")[rows],
        x=place["x"].to_numpy()[rows],
        y=place["y"].to_numpy()[rows],
        years=samples["year"].to_numpy()[rows],
        rows=rows,
        outside=int((~place["inside"].to_numpy() & wanted).sum()),
        unseen=int((~seen).sum()),
    )
