"""Training and reference samples: points with a year and a class."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer

from ceiba.classification.features.seasons import annual_features
from ceiba.classification.maps.smoothing import WINDOW_PX
from ceiba.classification.samples.label_files import label_columns, read_numbers
from ceiba.errors import InputError, NoDateError
from ceiba.legends import Legend

log = logging.getLogger(__name__)


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
    groups
        What must not be split between training and test, such as the polygon of each sample, dims ``(sample,)``; text, empty
        where a sample stands alone.
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
    groups: np.ndarray | None = None
    outside: int = 0
    unseen: int = 0

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, chosen: np.ndarray) -> "TrainingSet":
        """The samples at ``chosen`` positions, or where the mask is true."""
        columns = ("features", "codes", "x", "y", "years", "rows", "groups")
        parts = {name: getattr(self, name) for name in columns}
        return replace(self, **{name: values[chosen] for name, values in parts.items() if values is not None})


@dataclass(frozen=True)
class Windows:
    """Features of the pixels around samples, which the smoothing of a map looks at.

    Attributes
    ----------
    samples
        Positions in the training set, ascending, dims ``(sample,)``.
    features
        Dims ``(sample, pixel, feature)``, float32, pixels row by row; NaN beyond the extent and where a feature has no data.
    """

    samples: np.ndarray
    features: np.ndarray


def read_samples(table: pd.DataFrame, legend: Legend) -> pd.DataFrame:
    """Bring a table of labelled points to one form.

    Parameters
    ----------
    table
        Columns ``longitude``, ``latitude`` [degrees, WGS 84]; ``code`` or ``label`` (a class of ``legend``, either
        language); ``year``, or ``to`` (a date: the sample's season ends then).
        Optional: ``source``, ``interpreter``, ``group``, ``sample_id``, and ``confidence`` [1].
    legend
        Legend of the classes.

    Returns
    -------
    pd.DataFrame
        Columns longitude, latitude, year (int), code (uint8), confidence [1] (NaN where unknown), group, sample_id, source,
        interpreter (text, empty where unknown); one row a row of ``table``.

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
    longitude, latitude = read_numbers(table["longitude"]), read_numbers(table["latitude"])
    wrong = ~((np.abs(longitude) <= 180) & (np.abs(latitude) <= 90))
    if wrong.any():
        row = int(np.argmax(wrong))
        given = f"{table['longitude'].iloc[row]}, {table['latitude'].iloc[row]}"
        raise InputError(
            f"{int(wrong.sum())} samples have no valid longitude and latitude (are they swapped?); "
            f"the first is row {row}, {given} (rows counted from 0)"
        )
    place = pd.DataFrame({"longitude": longitude, "latitude": latitude})
    return pd.concat([place, label_columns(table, legend)], axis=1)


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
    source: xr.Dataset,
    samples: pd.DataFrame,
    *,
    season_start_month: int = 1,
    years: Sequence[int] | None = None,
    make_features: Callable[[xr.Dataset, int], xr.Dataset] | None = None,
) -> TrainingSet:
    """Features at samples, by the function that makes the map's features.

    Parameters
    ----------
    source
        What features are made from, with a geobox (``.odc``): for the default function, as
        :func:`ceiba.classification.features.seasons.annual_features` takes it.
    samples
        From :func:`read_samples`, :func:`ceiba.classification.samples.polygons.samples_of_labels` or
        :func:`ceiba.classification.samples.training_rasters.draw_from_raster`.
    season_start_month
        First month of a season, for the default function.
    years
        Years to use; all that the samples have where it is None.
    make_features
        Another function of the source and a year. It must work pixel by pixel: it is given the source with the dim ``sample``
        in place of rows and columns.

    Returns
    -------
    TrainingSet
        Without samples of other years, beyond the extent, or with a feature that has no data.

    Raises
    ------
    InputError
        Where no sample is left, or the features of two years differ in name. Samples of a year without any date count as unseen.
    """
    make = make_features or functools.partial(annual_features, season_start_month=season_start_month)
    place = locate(samples, source.odc.geobox)
    wanted = (
        np.isin(samples["year"].to_numpy(), list(years)) if years is not None else np.ones(len(samples), dtype=bool)
    )
    chosen = np.flatnonzero(place["inside"].to_numpy() & wanted)
    sample_years = samples["year"].to_numpy()[chosen]
    rows, values, names, missing = [], [], (), []
    for year in np.unique(sample_years):
        here = chosen[sample_years == year]
        try:
            given, columns = _features_of_pixels(source, place[["row", "column"]].to_numpy()[here], int(year), make)
        except NoDateError as error:
            # Samples are often of more years than there are mosaics of: those without count as samples without data.
            log.warning("%d samples of %d are left out: %s", len(here), year, error)
            missing.append(here)
            continue
        if names and given != names:
            raise InputError(
                f"the features of {year} are {', '.join(given)}, those of earlier years {', '.join(names)}"
            )
        names = given
        rows.append(here)
        values.append(columns)
    if missing and not rows:
        years_asked = ", ".join(map(str, np.unique(sample_years)))
        raise NoDateError(f"the land-cover features have no date in any year of the samples: {years_asked}")
    rows += missing
    values += [np.full((len(here), len(names)), np.nan, dtype="float32") for here in missing]
    return assemble(samples, place, wanted, rows, values, names)


def extract_windows(
    source: xr.Dataset,
    training: TrainingSet,
    *,
    window_px: int = WINDOW_PX,
    most: int = 10_000,
    season_start_month: int = 1,
    make_features: Callable[[xr.Dataset, int], xr.Dataset] | None = None,
) -> Windows:
    """Features of the pixels around samples.

    Parameters
    ----------
    source, season_start_month, make_features
        As of :func:`extract_features`, which the samples came from.
    training
        The samples.
    window_px
        Side of the window around each sample [pixels], odd; usually that of the smoothing.
    most
        Samples at most; of more, so many are drawn at random, always the same.
    """
    if window_px < 1 or window_px % 2 == 0:
        raise InputError(f"the window is {window_px} pixels; it needs an odd number, 1 or more")
    chosen = np.arange(len(training))
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, most, replace=False))
    make = make_features or functools.partial(annual_features, season_start_month=season_start_month)
    geobox = source.odc.geobox
    column, row = ~geobox.affine * (training.x[chosen], training.y[chosen])
    steps = np.arange(window_px) - window_px // 2
    down, across = (offset.ravel() for offset in np.meshgrid(steps, steps, indexing="ij"))
    rows = np.floor(row).astype("int64")[:, None] + down
    columns = np.floor(column).astype("int64")[:, None] + across
    inside = (rows >= 0) & (rows < geobox.shape[0]) & (columns >= 0) & (columns < geobox.shape[1])
    features = np.full((*rows.shape, len(training.names)), np.nan, dtype="float32")
    years = training.years[chosen]
    for year in np.unique(years):
        here = inside & (years == year)[:, None]
        features[here] = _features_of_pixels(source, np.stack([rows[here], columns[here]], axis=-1), int(year), make)[1]
    return Windows(chosen, features)


def _features_of_pixels(
    source: xr.Dataset, pixels: np.ndarray, year: int, make: Callable[[xr.Dataset, int], xr.Dataset]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of features, and their values at rows and columns, dims ``(pixel, feature)``."""
    # Many samples of a pixel, as of a polygon and a point, have its features computed once.
    pixel, of_sample = np.unique(pixels, axis=0, return_inverse=True)
    at = {dim: xr.DataArray(pixel[:, axis], dims="sample") for axis, dim in enumerate(source.odc.spatial_dims)}
    features = make(source.isel(at), year)
    names = tuple(str(name) for name in features.data_vars if name != "spatial_ref")
    values = np.stack([np.asarray(features[name].values, dtype="float32") for name in names], axis=-1)
    return names, values[of_sample.reshape(-1)]


def assemble(
    samples: pd.DataFrame,
    place: pd.DataFrame,
    wanted: np.ndarray,
    rows: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    names: tuple[str, ...],
) -> TrainingSet:
    """A training set of features that were taken part by part, in the order of the table.

    Parameters
    ----------
    samples, place
        Samples, and where they lie, from :func:`locate`.
    wanted
        Whether a sample's year is asked for, dims ``(sample,)``.
    rows, values
        Rows of ``samples`` and their features, dims ``(sample, feature)``, a part each.
    names
        Names of the features.

    Raises
    ------
    InputError
        Where no sample is left.
    """
    if not rows:
        raise InputError(
            f"none of the {len(samples)} samples lies within the extent and the years of the land-cover features "
            f"({int((~place['inside']).sum())} lie outside; the first is at longitude {samples['longitude'].iloc[0]:g}, "
            f"latitude {samples['latitude'].iloc[0]:g})"
        )
    rows, values = np.concatenate(rows), np.concatenate(values)
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order]
    seen = np.isfinite(values).all(axis=1)
    if not seen.any():
        raise InputError(f"the land-cover features have no data at any of the {len(rows)} samples")
    rows, values = rows[seen], values[seen]
    groups = samples["group"].to_numpy(dtype=object) if "group" in samples else np.full(len(samples), "", dtype=object)
    return TrainingSet(
        features=values,
        names=names,
        codes=samples["code"].to_numpy(dtype="uint8")[rows],
        x=place["x"].to_numpy()[rows],
        y=place["y"].to_numpy()[rows],
        years=samples["year"].to_numpy()[rows],
        rows=rows,
        groups=groups[rows],
        outside=int((~place["inside"].to_numpy() & wanted).sum()),
        unseen=int((~seen).sum()),
    )
