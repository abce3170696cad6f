"""Land-cover legends: classes by name, their colours and their parents in coarser legends.

A legend is a CSV file of ``catalogs/legends`` (its README tells the columns). Numbers live only there: code speaks of
classes by name, and a map is recoded either completely or not at all.
"""

import csv
import difflib
import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from ceiba.config import project_root
from ceiba.errors import LegendError

NODATA = 0
LARGEST_CODE = 255
_COLUMNS = ("code", "name_es", "name_en", "color")


@dataclass(frozen=True)
class LandCoverClass:
    """One class of a legend.

    Attributes
    ----------
    code
        Value in the map, 1 to 255.
    name_es, name_en
        What people read.
    color
        ``#rrggbb``.
    parents
        Legend name to the code of the parent class there.
    facts
        Other columns of the file, as text.
    """

    code: int
    name_es: str
    name_en: str
    color: str
    parents: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def label(self, language: str) -> str:
        """Name in ``language``, "es" or "en"; raises :class:`LegendError` on another one."""
        names = {"es": self.name_es, "en": self.name_en}
        if language not in names:
            raise LegendError(f"no class names in language {language!r}; there are es, en")
        return names[language]


@dataclass(frozen=True)
class Legend:
    """The classes of a land-cover map, validated when made.

    Raises :class:`LegendError` naming every fault: codes or names given twice or missing, colours malformed or shared.
    """

    name: str
    classes: tuple[LandCoverClass, ...]

    def __post_init__(self):
        faults = _faults(self.classes)
        if faults:
            raise LegendError(f"legend {self.name}: {'; '.join(faults)}")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def codes(self) -> np.ndarray:
        """Codes of all classes, ascending, dims ``(class,)``."""
        return np.array(sorted(entry.code for entry in self.classes), dtype="uint8")

    @property
    def parent_legends(self) -> tuple[str, ...]:
        """Names of the coarser legends that classes of this one point to."""
        return tuple(sorted({legend for entry in self.classes for legend in entry.parents}))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over codes and English names: what a model learnt to tell apart (colours may change)."""
        words = "\n".join(
            f"{entry.code}\t{entry.name_en}" for entry in sorted(self.classes, key=lambda entry: entry.code)
        )
        return hashlib.sha256(words.encode()).hexdigest()

    def find(self, name_or_code: str | int) -> LandCoverClass:
        """Class by Spanish name, English name or code, small letters and missing accents forgiven.

        Raises :class:`LegendError` with the nearest names.
        """
        if not isinstance(name_or_code, str):
            for entry in self.classes:
                if entry.code == int(name_or_code):
                    return entry
            raise LegendError(
                f"legend {self.name} has no code {name_or_code}; it has {', '.join(map(str, self.codes))}"
            )
        for entry in self.classes:
            if name_or_code.strip() in (entry.name_es, entry.name_en):
                return entry
        # "agua" and "tierras agricolas" too, where that fits one class alone.
        plain = _plain_name(name_or_code)
        alike = [entry for entry in self.classes if plain in (_plain_name(entry.name_es), _plain_name(entry.name_en))]
        if len(alike) == 1:
            return alike[0]
        names = [name for entry in self.classes for name in (entry.name_es, entry.name_en)]
        near = difflib.get_close_matches(name_or_code, names, n=3, cutoff=0.4) or names[:6]
        raise LegendError(f"legend {self.name} has no class {name_or_code!r}; did you mean {', '.join(near)}?")

    def code(self, name: str) -> int:
        """Code of a class by its Spanish or English name; raises :class:`LegendError`."""
        return self.find(name).code

    def codes_of(self, labels: Iterable[object]) -> np.ndarray:
        """Codes of many labels (names or codes), dims ``(label,)``; raises :class:`LegendError` naming every unknown one."""
        # Arrow-backed strings become plain Python objects here, which is what scikit-learn and dictionaries understand.
        values = [value.item() if isinstance(value, np.generic) else value for value in labels]
        known, unknown = {}, []
        for value in dict.fromkeys(values):
            text = isinstance(value, str) and not value.strip().isdigit()
            try:
                known[value] = self.find(value if text else int(value)).code
            except LegendError:
                unknown.append(value)
        if unknown:
            shown = ", ".join(repr(value) for value in unknown)
            names = ", ".join(entry.name_en for entry in self.classes[:8])
            raise LegendError(f"labels without a class in legend {self.name}: {shown}; its classes are {names}, ...")
        return np.array([known[value] for value in values], dtype="uint8")

    def names(self, language: str = "en") -> dict[int, str]:
        """Names by code in ``language``."""
        return {entry.code: entry.label(language) for entry in self.classes}

    def colors(self) -> dict[int, str]:
        """Colours ``#rrggbb`` by code."""
        return {entry.code: entry.color for entry in self.classes}

    def colormap(self):
        """``(colormap, norm)`` of matplotlib for a map of codes: one colour a class, no data transparent."""
        from matplotlib.colors import BoundaryNorm, ListedColormap

        colors = self.colors()
        codes = [int(code) for code in self.codes]
        # One bin a code: it ends half-way to the next code, so gaps between codes need no colour of their own.
        edges = [
            codes[0] - 0.5,
            *((low + high) / 2 for low, high in zip(codes, codes[1:], strict=False)),
            codes[-1] + 0.5,
        ]
        colormap = ListedColormap([colors[code] for code in codes], name=self.name)
        colormap.set_under((0, 0, 0, 0))
        colormap.set_bad((0, 0, 0, 0))
        return colormap, BoundaryNorm(edges, len(codes))

    def parents(self, to: "Legend") -> dict[int, int]:
        """Code to the parent's code in ``to``; raises :class:`LegendError` naming every class without a parent there."""
        orphans = [entry.name_en for entry in self.classes if entry.parents.get(to.name) not in set(to.codes.tolist())]
        if orphans:
            raise LegendError(f"legend {self.name}: no parent in {to.name} for {', '.join(orphans)}")
        return {entry.code: entry.parents[to.name] for entry in self.classes}

    def children(self, code: int, finer: "Legend") -> tuple[int, ...]:
        """Codes of ``finer`` whose parent is class ``code`` here; raises :class:`LegendError` where ``finer`` knows no parents here."""
        return tuple(child for child, parent in finer.parents(self).items() if parent == code)

    def check_map(self, land_cover: np.ndarray) -> None:
        """Raise :class:`LegendError` naming the codes of ``land_cover`` that are neither a class nor no data (0)."""
        strange = sorted(set(np.unique(land_cover).tolist()) - set(self.codes.tolist()) - {NODATA})
        if strange:
            raise LegendError(
                f"the map holds codes that legend {self.name} does not have: {', '.join(map(str, strange))}"
            )


def load_legend(name: str, folder: Path | None = None) -> Legend:
    """Legend ``name`` of ``catalogs/legends`` (or of ``folder``), its parents checked against their own legends.

    Raises :class:`LegendError` where the file is missing or malformed, or where a class has no parent, or one that its
    coarser legend does not know.
    """
    return _load(name, folder or project_root() / "catalogs" / "legends")


@functools.cache
def _load(name: str, folder: Path, finer: tuple[str, ...] = ()) -> Legend:
    path = folder / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in folder.glob("*.csv")))
        raise LegendError(f"no legend {name!r} in {folder}; there are {known}")
    if name in finer:
        raise LegendError(f"legends are each other's parents: {' -> '.join((*finer, name))}")
    legend = Legend(name, tuple(_read_rows(path)))
    coarser = {parent: _load(parent, folder, (*finer, name)) for parent in legend.parent_legends}
    for parent in coarser.values():
        direct = legend.parents(parent)
        for between in (other for other in coarser.values() if parent.name in other.parent_legends):
            above = between.parents(parent)
            astray = [code for code, middle in legend.parents(between).items() if above[middle] != direct[code]]
            if astray:
                names = ", ".join(legend.find(code).name_en for code in astray)
                raise LegendError(f"legend {name}: {names}: parent in {parent.name} is another one by way of {between.name}")
    return legend


def aggregate(land_cover: xr.DataArray, legend: Legend, to: Legend) -> xr.DataArray:
    """Recode a map to a coarser legend.

    Parameters
    ----------
    land_cover
        Codes of ``legend``, 0 is no data, integer, any dims; lazy arrays stay lazy.
    legend, to
        Legend of the map, and the coarser one; every class of the first must have its parent in the second.

    Returns
    -------
    xr.DataArray
        Codes of ``to``, uint8, same dims; attrs ``legend`` and ``nodata`` set.

    Raises
    ------
    LegendError
        Naming every class without a parent, or every code of the map that ``legend`` does not have.
    """
    table = np.zeros(LARGEST_CODE + 1, dtype="uint8")
    for code, parent in legend.parents(to).items():
        table[code] = parent

    def recode(codes: np.ndarray) -> np.ndarray:
        legend.check_map(codes)
        return table[codes]

    coarser = xr.apply_ufunc(recode, land_cover, dask="parallelized", output_dtypes=["uint8"], keep_attrs=True)
    return coarser.assign_attrs(units="class", legend=to.name, nodata=NODATA)


def _read_rows(path: Path) -> list[LandCoverClass]:
    """Classes of a CSV file; raises :class:`LegendError` naming missing columns and unreadable numbers."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    missing = [column for column in _COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise LegendError(f"{path} lacks columns {', '.join(missing)}")
    family = re.sub(r"_\d+$", "", path.stem)
    parents = [column for column in rows[0] if column.startswith("parent_")]
    faults, classes = [], []
    for row in rows:
        # A cell that is no number becomes 0, which no class may have: one message then lists all such cells.
        numbers = {
            column: int(row[column]) if (row[column] or "").strip().isdigit() else 0 for column in ("code", *parents)
        }
        faults += [
            f"class {row['name_es'] or row['code']} has {row[c]!r} as {c}"
            for c, number in numbers.items()
            if not number
        ]
        facts = {column: text for column, text in row.items() if column not in _COLUMNS and column not in parents}
        above = {f"{family}_{column.removeprefix('parent_')}": numbers[column] for column in parents}
        classes.append(LandCoverClass(numbers["code"], row["name_es"], row["name_en"], row["color"], above, facts))
    if faults:
        raise LegendError(f"{path}: {'; '.join(faults)}")
    return classes


def _plain_name(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name)
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).casefold().split())


def _faults(classes: tuple[LandCoverClass, ...]) -> list[str]:
    """Everything wrong with the classes of one legend, in words."""
    faults = [] if classes else ["it has no class"]
    for what in ("code", "name_es", "name_en", "color"):
        values = [getattr(entry, what) for entry in classes]
        twice = sorted({str(value) for value in values if value and values.count(value) > 1})
        if twice:
            faults.append(f"{what} used by two classes: {', '.join(twice)}")
    for entry in classes:
        if not 1 <= entry.code <= LARGEST_CODE:
            faults.append(f"class {entry.name_en} has code {entry.code}, allowed are 1 to {LARGEST_CODE}")
        if not (entry.name_es and entry.name_en):
            faults.append(f"class {entry.code} lacks a Spanish or an English name")
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", entry.color or ""):
            faults.append(f"class {entry.name_en} has color {entry.color!r}, expected #rrggbb")
    return faults
