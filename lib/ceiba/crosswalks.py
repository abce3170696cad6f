"""Crosswalks: which class of one legend or scheme stands for which of another, from ``catalogs/crosswalks``."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from ceiba.config import project_root
from ceiba.errors import LegendError
from ceiba.legends import LARGEST_CODE, NODATA, load_legend

# equal: the same content; narrower: all of it lies in the other class; overlaps: part of it; none: the other has no such class.
RELATIONS = ("equal", "narrower", "overlaps", "none")
STATUSES = ("source", "proposal")
_COLUMNS = ["from_code", "to_code", "relation", "status", "note"]


@dataclass(frozen=True)
class Link:
    """One row: a class of the first scheme and a class of the second; codes as text, ``to_code`` empty where there is none."""

    from_code: str
    to_code: str
    relation: str
    status: str
    note: str = ""


@dataclass(frozen=True)
class Crosswalk:
    """From one legend or scheme to another.

    Attributes
    ----------
    source, target
        Names of the two: a legend of ``catalogs/legends``, or a scheme of ``catalogs/crosswalks/schemes`` whose codes are words.
    links
        All rows. A ``from_code`` that ends in ``*`` stands for all codes that begin so; the longest one that fits counts.
    """

    source: str
    target: str
    links: tuple[Link, ...]

    @property
    def name(self) -> str:
        """Name of the file, ``source__target``."""
        return f"{self.source}__{self.target}"

    @property
    def proposals(self) -> tuple[Link, ...]:
        """Rows that no source gives: they are Ceiba's own proposal, and whoever shows them must say so."""
        return tuple(link for link in self.links if link.status == "proposal")

    def links_of(self, code: str | int) -> tuple[Link, ...]:
        """Rows of one code of the source; raises :class:`LegendError` where it has none.

        What stands before a slash, as in INEGI's ``VSA/BQ`` (secondary oak forest with trees), is a state of the class after it.
        """
        text = str(code) if any(link.from_code == str(code) for link in self.links) else str(code).rpartition("/")[2]
        exact = tuple(link for link in self.links if link.from_code == text)
        if exact:
            return exact
        stems = [link.from_code for link in self.links if link.from_code.endswith("*")]
        fitting = [stem for stem in stems if text.startswith(stem[:-1])]
        if not fitting:
            known = ", ".join(dict.fromkeys(link.from_code for link in self.links))
            raise LegendError(f"crosswalk {self.name} has no code {code!r}; it has {known}")
        longest = max(fitting, key=len)
        return tuple(link for link in self.links if link.from_code == longest)

    def targets_of(self, code: str | int) -> tuple[str, ...]:
        """Codes of the target that a code of the source may stand for, none where the target has no such class."""
        return tuple(link.to_code for link in self.links_of(code) if link.to_code)

    def target_of(self, code: str | int) -> str:
        """The one code of the target; raises :class:`LegendError` where there is none, or more than one."""
        targets = self.targets_of(code)
        if len(targets) != 1:
            what = f"could be {', '.join(targets)}" if targets else "has no class there"
            raise LegendError(f"crosswalk {self.name}: code {code!r} {what}; decide it by hand")
        return targets[0]

    def recode(self, land_cover: xr.DataArray, *, without_class: int | None = None) -> xr.DataArray:
        """Recode a map from the source legend to the target legend, completely or not at all.

        Parameters
        ----------
        land_cover
            Codes of the source, 0 is no data, integer, any dims; lazy arrays stay lazy.
        without_class
            Code for classes that the target does not have (0 to make them no data); they are refused where it is None.

        Returns
        -------
        xr.DataArray
            Codes of the target, uint8, same dims.

        Raises
        ------
        LegendError
            Where the target is no legend, or a code of the map is unknown, ambiguous or without a class there.
        """
        target = load_legend(self.target)

        def recode_block(codes: np.ndarray) -> np.ndarray:
            table = np.zeros(LARGEST_CODE + 1, dtype="uint8")
            for code in np.unique(codes).tolist():
                if code == NODATA:
                    continue
                if without_class is not None and not self.targets_of(code):
                    table[code] = without_class
                else:
                    table[code] = int(self.target_of(code))
            return table[codes]

        coded = xr.apply_ufunc(recode_block, land_cover, dask="parallelized", output_dtypes=["uint8"], keep_attrs=True)
        return coded.assign_attrs(units="class", legend=target.name, nodata=NODATA)


def list_crosswalks(folder: Path | None = None) -> list[str]:
    """Names of all crosswalks."""
    return sorted(path.stem for path in (folder or _folder()).glob("*__*.csv"))


@functools.cache
def load_crosswalk(source: str, target: str, folder: Path | None = None) -> Crosswalk:
    """The crosswalk from ``source`` to ``target``, checked.

    Raises :class:`LegendError` naming every fault: a code that a legend or scheme does not have, one that is left out, a
    relation or status that does not exist, a row given twice.
    """
    folder = folder or _folder()
    path = folder / f"{source}__{target}.csv"
    if not path.is_file():
        raise LegendError(f"no crosswalk from {source!r} to {target!r}; there are {', '.join(list_crosswalks(folder))}")
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != _COLUMNS:
            raise LegendError(f"{path} has columns {reader.fieldnames}, expected {', '.join(_COLUMNS)}")
        links = tuple(Link(*(row[column] or "" for column in _COLUMNS)) for row in reader)
    faults = _faults(links, scheme_codes(source, folder), scheme_codes(target, folder))
    if faults:
        raise LegendError(f"{path}: {'; '.join(faults)}")
    return Crosswalk(source, target, links)


def scheme_codes(name: str, folder: Path | None = None) -> dict[str, tuple[str, str]] | None:
    """Code to Spanish and English name of a legend or scheme; None where neither is on file, so codes cannot be checked."""
    path = (folder or _folder()) / "schemes" / f"{name}.csv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as lines:
            return {row["code"]: (row["name_es"], row["name_en"]) for row in csv.DictReader(lines)}
    if (project_root() / "catalogs" / "legends" / f"{name}.csv").is_file():
        return {str(entry.code): (entry.name_es, entry.name_en) for entry in load_legend(name).classes}
    return None


def _folder() -> Path:
    return project_root() / "catalogs" / "crosswalks"


def _faults(links: tuple[Link, ...], source: dict | None, target: dict | None) -> list[str]:
    faults = [] if links else ["it has no row"]
    pairs = [(link.from_code, link.to_code) for link in links]
    faults += [f"row {a} to {b} stands there twice" for a, b in dict.fromkeys(pairs) if pairs.count((a, b)) > 1]
    for link in links:
        if link.relation not in RELATIONS:
            faults.append(f"{link.from_code} has relation {link.relation!r}, allowed are {', '.join(RELATIONS)}")
        if link.status not in STATUSES:
            faults.append(f"{link.from_code} has status {link.status!r}, allowed are {', '.join(STATUSES)}")
        if (link.relation == "none") != (not link.to_code):
            faults.append(f"{link.from_code} has relation {link.relation!r} and to_code {link.to_code!r}")
        if target is not None and link.to_code and link.to_code not in target:
            faults.append(f"{link.from_code} goes to {link.to_code}, which the target does not have")
        if source is not None and not link.from_code.endswith("*") and link.from_code not in source:
            faults.append(f"{link.from_code} is no code of the source")
    for code in dict.fromkeys(link.from_code for link in links):
        own = [link for link in links if link.from_code == code]
        if len(own) > 1 and any(link.relation != "overlaps" for link in own):
            faults.append(f"{code} lies in {', '.join(link.to_code or 'none' for link in own)}: of several, all overlap")
    equal = [link.to_code for link in links if link.relation == "equal"]
    faults += [f"{code} is equal to several codes" for code in dict.fromkeys(equal) if equal.count(code) > 1]
    stems = tuple(link.from_code[:-1] for link in links if link.from_code.endswith("*"))
    known = {link.from_code for link in links}
    left_out = [code for code in source or () if code not in known and not code.startswith(stems or ("\0",))]
    if left_out:
        faults.append(f"codes left out: {', '.join(left_out)}")
    return faults
