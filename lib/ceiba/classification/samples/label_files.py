"""Labelled points and polygons from files of any kind: vector formats of GDAL, GeoPackage, Parquet, CSV."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pyproj
import shapely

from ceiba.crosswalks import Crosswalk
from ceiba.errors import InputError, LegendError
from ceiba.legends import Legend

PROVENANCE = ("sample_id", "source", "interpreter", "confidence")
COLUMNS = ("label", "code", "year", "to", "group", "x", "y", "geometry", *PROVENANCE)
TEXT_FILES = (".csv", ".tsv", ".txt")
PARQUET_FILES = (".parquet", ".geoparquet")
FIRST_YEAR, LAST_YEAR = 1900, 2100
POSITIONS = (("longitude", "latitude"), ("x", "y"))
SEPARATORS = (",", ";", "\t", "|")
# Shapefiles cut names at ten letters.
SHAPEFILE_NAMES = {"interprete": "interpreter"}
DECIMAL_COMMA = r"\s*([-+]?\d+),(\d+)\s*"


def read_label_file(
    path: Path,
    legend: Legend,
    *,
    columns: Mapping[str, str] | None = None,
    layer: str = "",
    crs: str = "",
    crosswalk: Mapping[object, str | int] | Crosswalk | None = None,
    defaults: Mapping[str, object] | None = None,
) -> gpd.GeoDataFrame:
    """Read labelled points or polygons and bring them to one form.

    Parameters
    ----------
    path
        A vector file of any format of GDAL, a (Geo)Parquet file, or a text table (``.csv``, ``.tsv``, ``.txt``) with
        positions in two columns or with WKT.
    legend
        Legend of the classes.
    columns
        Our name of a column to the file's: label or code (the class), year, or to (a date in the year), group, sample_id,
        source, interpreter, confidence; in tables also x and y, or geometry (WKT). What is not named is looked for under our
        own names.
    layer
        Layer of a file that has several.
    crs
        CRS of the positions, where the file does not say it. Columns longitude and latitude are WGS 84 by themselves.
    crosswalk
        Label of the file to class (name or code) of ``legend``; labels that it leaves out are looked up in the legend. Or a
        crosswalk of ``catalogs/crosswalks`` from the scheme of the labels: it must know each label, and labels that have no class
        in the legend are left out, counted by their note in ``attrs["without_class"]``.
    defaults
        Values of columns that the file lacks, by our name: ``{"year": 2018, "source": "field visit"}``.

    Returns
    -------
    gpd.GeoDataFrame
        Columns geometry, year (int), code (uint8), group, sample_id, source, interpreter (text, empty where unknown),
        confidence [1] (NaN where unknown); CRS of the file; one row a row of the file, but for what a crosswalk leaves out.

    Raises
    ------
    InputError
        Where the file cannot be read, or columns, positions, years or confidences are missing or impossible; the first such
        row is named.
    LegendError
        Naming every label that the legend does not have.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    table = _read_table(path, layer)
    own = {*COLUMNS, *(name for pair in POSITIONS for name in pair)}
    small = {name: str(name).lower() for name in table if str(name).lower() in own and str(name).lower() not in table}
    table = rename_columns(table.rename(columns=small), columns or {}, str(path))
    for name, value in (defaults or {}).items():
        if name not in COLUMNS:
            raise InputError(f"no column {name!r} to give a default; there are {', '.join(COLUMNS)}")
        table = table if name in table else table.assign(**{name: value})
    geometry, without = _find_geometry(table, crs, str(path)), {}
    if isinstance(crosswalk, Crosswalk):
        crosswalk, kept, without = _cross(table, crosswalk, str(path))
        table, geometry = table[kept].reset_index(drop=True), geometry[kept]
    facts = label_columns(table, legend, crosswalk=crosswalk, where=str(path))
    labels = gpd.GeoDataFrame(facts, geometry=geometry.reset_index(drop=True))
    labels.attrs["without_class"] = without
    return labels


def label_columns(
    table: pd.DataFrame,
    legend: Legend,
    *,
    crosswalk: Mapping[object, str | int] | None = None,
    where: str = "the samples",
) -> pd.DataFrame:
    """Year, class and provenance of labels, checked; see :func:`read_label_file`, whose columns but geometry these are."""
    years = read_years(table, where)
    codes = read_codes(table, legend, crosswalk or {}, where)
    confidence = read_numbers(table["confidence"]) if "confidence" in table else np.nan
    facts = pd.DataFrame({"year": years, "code": codes, "confidence": confidence})
    if "confidence" in table:
        given = table["confidence"].notna().to_numpy() & (table["confidence"].astype(str).str.strip() != "").to_numpy()
        wrong = given & ~facts["confidence"].between(0, 1).to_numpy()
        _refuse(wrong, table["confidence"], where, "a confidence that is no number from 0 to 1")
    for name in ("group", "sample_id", "source", "interpreter"):
        values = table[name].astype(object) if name in table else pd.Series("", index=table.index, dtype=object)
        facts[name] = ["" if pd.isna(value) else _plain_text(value) for value in values]
    return facts


def read_years(table: pd.DataFrame, where: str) -> np.ndarray:
    """Year of each row, from column year, or from the date in column to; raises :class:`InputError` naming the first bad row."""
    if "year" in table:
        values = pd.to_numeric(table["year"], errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
        given = table["year"]
    elif "to" in table:
        dates = pd.to_datetime(table["to"].astype(str), errors="coerce", format="ISO8601")
        values, given = dates.dt.year.to_numpy(dtype="float64", na_value=np.nan), table["to"]
    else:
        raise InputError(f"{where} lacks columns year or to; it has {_names(table)}; name them, or give a default year")
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= FIRST_YEAR) & (values <= LAST_YEAR) & (values == np.floor(values)))
    _refuse(wrong, given, where, f"no year from {FIRST_YEAR} to {LAST_YEAR}")
    return values.astype("int64")


def read_codes(table: pd.DataFrame, legend: Legend, crosswalk: Mapping[object, str | int], where: str) -> np.ndarray:
    """Code of each row's class in ``legend``, dims ``(sample,)``, uint8; see :func:`read_label_file`."""
    given = _class_column(table, where)
    column = given.name
    labels = [_plain_label(value) for value in given.astype(object)]
    bridge = {_plain_label(label): found for label, found in crosswalk.items()}
    labels = [bridge.get(label, label) for label in labels]
    # int() cuts a fraction off, and text such as "²" counts as digits but is no number.
    strange = dict.fromkeys(
        repr(label)
        for label in labels
        if isinstance(label, float | bool) or (isinstance(label, str) and label.isdigit() and not label.isdecimal())
    )
    if strange:
        raise LegendError(
            f"{where}, column {column}: labels without a class in legend {legend.name}: {', '.join(strange)}; codes are whole numbers"
        )
    try:
        return legend.codes_of(labels)
    except LegendError as error:
        places = {label: row for row, label in reversed(list(enumerate(labels))) if not _is_class(label, legend)}
        first = ", ".join(f"{label!r} in row {row}" for label, row in sorted(places.items(), key=lambda item: item[1]))
        raise LegendError(f"{where}, column {column}: {error} (first, counted from 0: {first})") from error


def _class_column(table: pd.DataFrame, where: str) -> pd.Series:
    """The labels as given; raises :class:`InputError` where there is no such column, or a row has none."""
    column = next((name for name in ("code", "label") if name in table), None)
    if column is None:
        raise InputError(f"{where} lacks columns code or label; it has {_names(table)}; name the column of the class")
    missing = table[column].isna().to_numpy() | (table[column].astype(str).str.strip() == "").to_numpy()
    _refuse(missing, table[column], where, "no label")
    return table[column]


def _cross(table: pd.DataFrame, crosswalk: Crosswalk, where: str) -> tuple[dict[object, int], np.ndarray, dict[str, int]]:
    """Class of each label, rows that have one, and how many have none, by the crosswalk's note; raises :class:`LegendError`."""
    labels = pd.Series([_plain_label(value) for value in _class_column(table, where).astype(object)])
    found, without = {}, {}
    for label, count in labels.value_counts(sort=False).items():
        try:
            if crosswalk.targets_of(label):
                found[label] = int(crosswalk.target_of(label))
            else:
                without[f"{label}, {crosswalk.links_of(label)[0].note}"] = int(count)
        except LegendError as error:
            row = int(np.argmax(labels == label))
            raise LegendError(f"{where}, row {row} (counted from 0) and {count - 1} more: {error}") from error
    return found, labels.isin(list(found)).to_numpy(), without


def rename_columns(table: pd.DataFrame, columns: Mapping[str, str], where: str) -> pd.DataFrame:
    """The table under our column names; raises :class:`InputError` on a name that we or the table do not have."""
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise InputError(f"no column {', '.join(unknown)} of samples; there are {', '.join(COLUMNS)}")
    absent = [name for name in columns.values() if name not in table]
    if absent:
        raise InputError(f"{where} has no column {', '.join(absent)}; it has {_names(table)}")
    hidden = [name for name, theirs in columns.items() if name in table and theirs != name and name != "geometry"]
    renamed = table.drop(columns=hidden).rename(columns={theirs: name for name, theirs in columns.items()})
    twice = sorted(set(renamed.columns[renamed.columns.duplicated()].astype(str)))
    if twice:
        raise InputError(f"{where} has several columns named {', '.join(twice)}")
    return renamed


def _read_table(path: Path, layer: str) -> pd.DataFrame:
    kind = path.suffix.lower()
    try:
        if kind in TEXT_FILES:
            table = _read_text(path)
        elif kind in PARQUET_FILES:
            table = _read_parquet(path)
        else:
            table = gpd.read_file(path, layer=_choose_layer(path, layer)).rename(columns=SHAPEFILE_NAMES)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} cannot be read: {error}; save it as UTF-8") from error
    except (OSError, ValueError, RuntimeError, csv.Error, pyarrow.ArrowException, shapely.errors.ShapelyError) as error:
        # GDAL's errors come as RuntimeError.
        raise InputError(f"{path} cannot be read: {error}") from error
    if not len(table):
        raise InputError(f"{path} holds no sample")
    return table.reset_index(drop=True)


def _read_text(path: Path) -> pd.DataFrame:
    """Cells as text, None where empty; raises :class:`InputError` naming the first line that has other cells than the header."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        header = lines.readline()
        separator = max(SEPARATORS, key=header.count)
        lines.seek(0)
        rows = csv.reader(lines, delimiter=separator)
        names = [name.strip() for name in next(rows, [])]
        columns: list[list] = [[] for _ in names]
        for row in rows:
            if not row:
                continue
            # A row moved by one cell would be read as another place, year or class.
            if len(row) != len(names):
                raise InputError(f"{path}, line {rows.line_num}: {len(row)} cells, the header has {len(names)}: {names}")
            for column, cell in zip(columns, row, strict=True):
                column.append(cell if cell else None)
    return pd.concat([pd.Series(column, name=name, dtype=object) for name, column in zip(names, columns, strict=True)], axis=1)


def _read_parquet(path: Path) -> pd.DataFrame:
    metadata = pyarrow.parquet.read_schema(path).metadata or {}
    return gpd.read_parquet(path) if b"geo" in metadata else pd.read_parquet(path)


def _choose_layer(path: Path, layer: str) -> str | None:
    layers = [str(name) for name in gpd.list_layers(path)["name"]]
    if layer and layer not in layers:
        raise InputError(f"{path} has no layer {layer!r}; it has {', '.join(layers)}")
    if not layer and len(layers) > 1:
        raise InputError(f"{path} has {len(layers)} layers, choose one: {', '.join(layers)}")
    return layer or None


def _find_geometry(table: pd.DataFrame, crs: str, where: str) -> gpd.GeoSeries:
    """Geometries with their CRS; raises :class:`InputError` where one is missing, empty, endless or invalid."""
    found = _read_geometry(table, where)
    if found.crs is None and not crs:
        raise InputError(f"{where} does not say its CRS; give it, for example crs='EPSG:4326'")
    if found.crs is None:
        try:
            found = found.set_crs(crs)
        except pyproj.exceptions.CRSError as error:
            raise InputError(f"{crs!r} is no CRS: {error}") from error
    elif crs and pyproj.CRS.from_user_input(crs) != found.crs:
        raise InputError(f"{where} says its CRS is {found.crs.to_string()}, you say {crs}; correct one of them")
    empty = (found.isna() | found.is_empty).to_numpy()
    _refuse(empty, found.astype(object), where, "no geometry")
    flat = found.force_2d()
    wrong = ~np.isfinite(flat.bounds.to_numpy()).all(axis=1)
    _refuse(wrong, flat.astype(object), where, "coordinates that are no numbers")
    if flat.crs.is_geographic:
        bounds = flat.bounds
        wrong = ((bounds.abs() > [180, 90, 180, 90]).any(axis=1)).to_numpy()
        _refuse(wrong, flat.astype(object), where, "a position that is no longitude and latitude (are they swapped?)")
    elif (flat.bounds.abs() <= 360).to_numpy().all():
        raise InputError(f"{where}: all positions lie within 360 of 0, as degrees do, but the CRS {flat.crs.to_string()[:60]} is in meters")
    invalid = ~flat.is_valid.to_numpy()
    if invalid.any():
        row = int(np.argmax(invalid))
        raise InputError(f"{where}, row {row}: the polygon is invalid ({shapely.is_valid_reason(flat.iloc[row])})")
    return flat


def _read_geometry(table: pd.DataFrame, where: str) -> gpd.GeoSeries:
    if isinstance(table, gpd.GeoDataFrame):
        return table.geometry
    if "geometry" in table:
        texts = table["geometry"].astype(object).where(table["geometry"].notna(), None)
        with np.errstate(over="ignore"):  # a number too large becomes endless, and is refused as such
            geometry = shapely.from_wkt(
                [text if isinstance(text, str) else None for text in texts], on_invalid="ignore"
            )
        return gpd.GeoSeries(geometry)
    for east, north in POSITIONS:
        if east in table and north in table:
            place = [
                read_numbers(table[name]) if east == "longitude"
                else pd.to_numeric(table[name], errors="coerce").to_numpy("float64", na_value=np.nan)
                for name in (east, north)
            ]  # fmt: skip
            for name, values in zip((east, north), place, strict=True):
                _refuse(~np.isfinite(values), table[name], where, "no position")
            return gpd.GeoSeries(gpd.points_from_xy(*place), crs="EPSG:4326" if east == "longitude" else None)
    raise InputError(
        f"{where} has no positions: it has columns {_names(table)}, needed are longitude and latitude, x and y, or geometry"
    )


def _plain_label(label: object) -> object:
    """A label as whole number, text or, where it is neither, as it is: 3, 3.0 and " 3 " are one label."""
    value = label.item() if isinstance(label, np.generic) else label
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        whole = text.removesuffix(".0")
        return int(whole) if whole.isdecimal() and len(whole) < 10 else text
    return value


def _is_class(label: object, legend: Legend) -> bool:
    try:
        legend.find(label)
    except LegendError:
        return False
    return True


def _plain_text(value: object) -> str:
    return str(_plain_label(value))


def _names(table: pd.DataFrame) -> str:
    return ", ".join(map(str, table.columns)) or "none"


def read_numbers(values: pd.Series) -> np.ndarray:
    """Numbers of a column, NaN where a cell is none; a decimal comma is read where no thousands can be meant: degrees and shares."""
    text = values.astype(object).where(values.notna(), None)
    commas = text.map(lambda cell: re.sub(f"^{DECIMAL_COMMA}$", r"\1.\2", cell) if isinstance(cell, str) else cell)
    return pd.to_numeric(commas, errors="coerce").to_numpy("float64", na_value=np.nan)


def _refuse(wrong: np.ndarray, values: pd.Series, where: str, what: str) -> None:
    wrong = np.asarray(wrong, dtype=bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        value = values.iloc[row]
        shown = repr(value.item() if isinstance(value, np.generic) else value)[:80]
        raise InputError(
            f"{where}, column {values.name or 'geometry'}: {int(wrong.sum())} samples have {what}; "
            f"the first is row {row}, {shown} (rows counted from 0)"
        )
