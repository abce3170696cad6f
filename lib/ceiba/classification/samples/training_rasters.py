"""Training labels from rasters: counted and drawn block by block, rare classes more densely than common ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from pyproj import Transformer
from rasterio.windows import Window

from ceiba.errors import InputError, LegendError
from ceiba.legends import Legend

BLOCK_PX = 2048


def count_raster_classes(
    path: Path, legend: Legend, *, crosswalk: Mapping[int, str | int] | None = None, block_px: int = BLOCK_PX
) -> pd.Series:
    """Pixels of each class of a raster of labels, read in blocks.

    Parameters
    ----------
    path
        Raster with one band of whole numbers; its no-data value and 0 are no label.
    legend
        Legend of the classes.
    crosswalk
        Value in the raster to class (name or code) of ``legend``, None or "" for what is no label; where it is not given, values are codes.
    block_px
        Side of a block [px]: memory does not grow with the raster.

    Returns
    -------
    pd.Series
        Pixels by code, classes without pixels left out.

    Raises
    ------
    InputError
        Where the file is no raster with one band of whole numbers.
    LegendError
        Naming every value without a class.
    """
    counts = np.zeros(256, dtype="int64")
    with _open_labels(path) as source:
        table = _recoding(source, legend, crosswalk)
        for _, codes in _read_blocks(source, table, block_px, str(path), legend.name):
            counts += np.bincount(codes.ravel(), minlength=256)
    found = np.flatnonzero(counts[1:]) + 1
    return pd.Series(counts[found], index=pd.Index(found, name="code"), name="pixels")


def semibalanced_fractions(counts: pd.Series, per_class: int, *, cap: float = 1.0) -> pd.Series:
    """Share of each class to draw: proportional to 1 over its count, capped.

    The rule of antares3's semi-balanced ingestion of training rasters (CONABIO, GPL-3, not copied): the same number of
    samples of every class, except of those so rare that the cap forbids it.

    Parameters
    ----------
    counts
        Samples or pixels of each class, by code, positive.
    per_class
        Samples wanted of each class.
    cap
        Largest share [1] of a class that is drawn, over 0 and at most 1.

    Returns
    -------
    pd.Series
        Share [1] of each class, by code.
    """
    _check_counts(counts)
    if per_class < 1 or not 0 < cap <= 1:
        raise InputError(f"{per_class} samples of each class, cap {cap}: at least 1, and over 0 to 1")
    return np.minimum(cap, per_class / counts).rename("share")


def semibalanced_numbers(counts: pd.Series, total: int, *, power: float = 0.5, cap: float = 0.5) -> pd.Series:
    """Number to draw of each class, between proportional and equal.

    Parameters
    ----------
    counts
        Samples or pixels of each class, by code, positive.
    total
        Samples wanted in all.
    power
        1 draws in proportion to the counts, 0 the same number of each, 0.5 in proportion to their square root.
    cap
        Largest share [1] of a class that is drawn, so that a rare class is not used up; one sample all the same.

    Returns
    -------
    pd.Series
        Number of samples by code. What a capped class leaves over goes to the others, so the numbers sum to ``total`` but for
        rounding, or to fewer where all are capped.
    """
    _check_counts(counts)
    if total < 1 or not 0 <= power <= 1 or not 0 < cap <= 1:
        raise InputError(f"total {total}, power {power}, cap {cap}: at least 1, 0 to 1, and over 0 to 1")
    values = counts.to_numpy(dtype="float64")
    most, weights = np.maximum(1, np.floor(values * cap)), values**power
    capped = np.zeros(len(values), dtype=bool)
    while not capped.all():
        share = (total - most[capped].sum()) * weights / weights[~capped].sum()
        beyond = ~capped & (share >= most)
        if not beyond.any():
            break
        capped |= beyond
    wanted = most if capped.all() else np.where(capped, most, np.maximum(1, np.rint(share)))
    return pd.Series(wanted.astype("int64"), index=counts.index, name="samples")


def _check_counts(counts: pd.Series) -> None:
    if not len(counts) or (counts <= 0).any():
        raise InputError(f"every class needs samples to draw from; the counts are {counts.to_dict()}")


def draw_from_raster(
    path: Path,
    legend: Legend,
    numbers: Mapping[int, int] | pd.Series,
    *,
    year: int,
    source: str,
    confidence: float = np.nan,
    crosswalk: Mapping[int, str | int] | None = None,
    block_px: int = BLOCK_PX,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw pixels of a raster of labels at random within each class, reading it twice in blocks.

    Parameters
    ----------
    path, legend, crosswalk, block_px
        As :func:`count_raster_classes` takes them.
    numbers
        Samples of each class, by code.
    year, source, confidence
        Facts that every sample keeps: year of the labels, where they come from, confidence [1].
    seed
        Seed of the draw.

    Returns
    -------
    pd.DataFrame
        Samples as :func:`ceiba.classification.samples.points.read_samples` gives them, at the centers of pixels, in the order
        of blocks. Every subset of a class is equally likely: each block gets a hypergeometric part of what is still to draw.

    Raises
    ------
    InputError
        Where more is asked of a class than the raster has, naming it.
    """
    left = count_raster_classes(path, legend, crosswalk=crosswalk, block_px=block_px).to_dict()
    wanted = {int(code): int(number) for code, number in dict(numbers).items() if number}
    short = [
        f"{legend.find(code).name_en}: {number} of {left.get(code, 0)}"
        for code, number in wanted.items()
        if number > left.get(code, 0)
    ]
    if short:
        raise InputError(f"{path} has fewer pixels than asked for of {'; '.join(short)}")
    random = np.random.default_rng(seed)
    rows, columns, codes = [], [], []
    with _open_labels(path) as raster:
        table = _recoding(raster, legend, crosswalk)
        for window, block in _read_blocks(raster, table, block_px, str(path), legend.name):
            flat = block.ravel()
            for code in np.intersect1d(np.unique(flat), list(wanted)):
                here = np.flatnonzero(flat == code)
                number = random.hypergeometric(len(here), left[code] - len(here), wanted[code])
                left[code] -= len(here)
                wanted[code] -= number
                chosen = np.sort(random.choice(here, number, replace=False))
                row, column = np.unravel_index(chosen, block.shape)
                rows.append(row + window.row_off)
                columns.append(column + window.col_off)
                codes.append(np.full(number, code))
        row, column = (np.concatenate(parts) if parts else np.array([], dtype="int64") for parts in (rows, columns))
        x, y = raster.transform * (column + 0.5, row + 0.5)
        to_degrees = Transformer.from_crs(raster.crs.to_wkt(), "EPSG:4326", always_xy=True)
        longitude, latitude = to_degrees.transform(np.asarray(x, dtype="float64"), np.asarray(y, dtype="float64"))
    return pd.DataFrame(
        {
            "longitude": longitude,
            "latitude": latitude,
            "year": int(year),
            "code": np.concatenate(codes).astype("uint8") if codes else np.array([], dtype="uint8"),
            "confidence": confidence,
            "group": "",
            "sample_id": "",
            "source": source,
            "interpreter": "",
        }
    )


@contextmanager
def _open_labels(path: Path) -> Iterator[rasterio.DatasetReader]:
    try:
        source = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path} cannot be read as a raster: {error}") from error
    with source:
        if source.count != 1 or np.dtype(source.dtypes[0]).kind not in "ui":
            raise InputError(
                f"{path} has {source.count} bands of {source.dtypes[0]}; a raster of labels has one band of whole numbers"
            )
        if source.crs is None:
            raise InputError(f"{path} does not say its CRS")
        yield source


def _recoding(source: rasterio.DatasetReader, legend: Legend, crosswalk: Mapping | None) -> dict[int, int]:
    """Code of each value; 0 where it is no label."""
    table = {int(code): int(code) for code in legend.codes} if crosswalk is None else {}
    for value, found in (crosswalk or {}).items():
        table[int(value)] = legend.find(found).code if found not in (None, "") else 0
    nothing = {0} if 0 not in table else set()
    if source.nodata is not None:
        nothing.add(int(source.nodata))
    return table | dict.fromkeys(nothing, 0)


def _read_blocks(
    source: rasterio.DatasetReader, table: Mapping[int, int], block_px: int, path: str, legend: str
) -> Iterator[tuple[Window, np.ndarray]]:
    if block_px < 1:
        raise InputError(f"blocks of {block_px} px; at least 1")
    for top in range(0, source.height, block_px):
        for left in range(0, source.width, block_px):
            window = Window(left, top, min(block_px, source.width - left), min(block_px, source.height - top))
            try:
                values = source.read(1, window=window)
            except rasterio.errors.RasterioError as error:
                raise InputError(f"{path} cannot be read at row {top}, column {left}: {error}") from error
            found, place = np.unique(values, return_inverse=True)
            strange = [int(value) for value in found if int(value) not in table]
            if strange:
                raise LegendError(
                    f"{path} holds values without a class in legend {legend}: {', '.join(map(str, strange[:20]))}; "
                    "give them in the crosswalk, empty where they are no label"
                )
            codes = np.array([table[int(value)] for value in found], dtype="uint8")
            yield window, codes[place.reshape(values.shape)]
