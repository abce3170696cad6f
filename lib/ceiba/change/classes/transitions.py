"""Which class can become which, how fast and how often: prior knowledge of change, from ``catalogs/transitions``."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ceiba.config import project_root
from ceiba.errors import InputError, LegendError
from ceiba.legends import Legend


@dataclass(frozen=True)
class TransitionRules:
    """Prior knowledge of the transitions between the classes of a legend.

    Attributes
    ----------
    codes
        Classes, ascending, dims ``(class,)``.
    groups
        Group of each class, dims ``(class,)``.
    fewest_years
        Years that each transition takes at least, rows from, columns to; 0 on the diagonal, dims ``(class, class)``.
    yearly_rates
        Share of the land of a class that becomes another in a year [1], rows sum to 1, dims ``(class, class)``.
    """

    codes: np.ndarray
    groups: np.ndarray
    fewest_years: np.ndarray
    yearly_rates: np.ndarray

    def forbidden(self, years: int) -> np.ndarray:
        """Transitions that take longer than ``years``, dims ``(class, class)``, bool; raises :class:`InputError` below 1."""
        if years < 1:
            raise InputError(f"two dates lie {years} years apart; at least 1 is needed")
        return self.fewest_years > years

    def prior(self, years: int, *, known_years: int = 0) -> np.ndarray:
        """Probability [1] of each class ``years`` later, rows sum to 1, forbidden ones are 0, dims ``(class, class)``.

        ``known_years``, at least ``years``, have passed since the series began: slow growth shows in the map of one year, but may
        have been under way since then.
        """
        matrix = np.linalg.matrix_power(self.yearly_rates, years)
        matrix = np.where(self.forbidden(max(years, known_years)), 0.0, matrix)
        return matrix / matrix.sum(axis=1, keepdims=True)


def load_rules(legend: Legend, codes: np.ndarray | None = None, folder: Path | None = None) -> TransitionRules:
    """Rules for the classes of a legend.

    Parameters
    ----------
    legend
        Legend of the maps.
    codes
        Classes that a model tells apart, ascending; all of the legend where it is None.
    folder
        Of the three tables; ``catalogs/transitions`` where it is None.

    Raises
    ------
    LegendError
        Where the legend or one of its classes has no group, naming the legends and classes.
    """
    groups, years, rates = _read_tables(folder or project_root() / "catalogs" / "transitions")
    known = groups[groups["legend"] == legend.name].set_index("code")["group"]
    if known.empty:
        named = ", ".join(dict.fromkeys(groups["legend"]))
        raise LegendError(f"no groups for legend {legend.name} in catalogs/transitions/groups.csv; there are {named}")
    wanted = np.asarray(legend.codes if codes is None else codes).astype("int64")
    absent = [legend.find(int(code)).name_en for code in wanted if code not in known.index]
    if absent:
        raise LegendError(f"classes of legend {legend.name} without a group: {', '.join(absent)}")
    names = known.loc[wanted].to_numpy(dtype=object)
    fewest = years.loc[names, names].to_numpy(dtype="int64").copy()
    np.fill_diagonal(fewest, 0)
    # The rate to a group is shared alike by its classes, the own class not among them.
    among = (names[:, None] == names[None, :]).sum(axis=0)[None, :] - (names[:, None] == names[None, :])
    moves = rates.loc[names, names].to_numpy(dtype="float64") / np.maximum(among, 1)
    np.fill_diagonal(moves, 0.0)
    return TransitionRules(wanted, names, fewest, moves + np.diag(1 - moves.sum(axis=1)))


@functools.cache
def _read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The three tables; raises :class:`LegendError` naming what does not fit together."""
    groups = pd.read_csv(folder / "groups.csv")
    tables = [pd.read_csv(folder / f"{name}.csv", index_col="from_group") for name in ("fewest_years", "yearly_rates")]
    for table, name in zip(tables, ("fewest_years.csv", "yearly_rates.csv"), strict=True):
        if list(table.index) != list(table.columns):
            raise LegendError(f"{folder / name}: rows and columns must be the same groups in the same order")
        strange = sorted(set(groups["group"]) - set(table.index))
        if strange:
            raise LegendError(f"{folder / name} lacks groups {', '.join(strange)}")
        if not (table.to_numpy() >= 0).all():
            raise LegendError(f"{folder / name} holds numbers below 0 or none")
    if not (tables[1].sum(axis=1) < 1).all():
        raise LegendError(f"{folder / 'yearly_rates.csv'}: rates of a row must sum to less than 1")
    return groups, *tables
