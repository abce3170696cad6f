"""Published figures: read from the published table alone, summed, with intervals, as hexagons."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import h3
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ceiba.errors import StoreError
from ceiba.react2eo.reactions import reaction_store as store
from ceiba.react2eo.reactions.publication import REGION, K

Z_95 = 1.959963984540054
"""Of the standard normal distribution 95 % lie within so many standard deviations."""


def wilson_interval(share: float, count: int, *, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a proportion, 95 % by default (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Parameters
    ----------
    share
        Observed proportion [1], 0 to 1.
    count
        Independent observations, 1 at least.
    """
    spread = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    low, high = ((share + z**2 / (2 * count) + side * spread) / (1 + z**2 / count) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class Figures:
    """Likes and dislikes of at least :data:`ceiba.react2eo.reactions.publication.K` devices, or of none.

    Attributes
    ----------
    devices
        Distinct devices of a cell. Sums count a device once a cell, layer and term.
    published
        Day on which it last changed.
    """

    likes: int = 0
    dislikes: int = 0
    devices: int = 0
    published: date | None = None

    def __add__(self, other: "Figures") -> "Figures":
        days = [day for day in (self.published, other.published) if day]
        return Figures(
            self.likes + other.likes, self.dislikes + other.dislikes, self.devices + other.devices, max(days, default=None)
        )  # fmt: skip

    def describe(self) -> dict:
        """Figures with the share of likes and its interval [1], both None where nothing is published."""
        opinions = self.likes + self.dislikes
        share = self.likes / opinions if opinions else None
        # A device with opinions on several cells of a larger unit is no more than one observation.
        interval = [round(each, 4) for each in wilson_interval(share, self.devices)] if opinions else None
        return {
            "likes": self.likes,
            "dislikes": self.dislikes,
            "devices": self.devices,
            "share": None if share is None else round(share, 4),
            "interval": interval,
            "published": self.published.isoformat() if self.published else None,
        }


@dataclass(frozen=True)
class Unit:
    """A published unit; ``cell`` is empty for what is left of the region."""

    term: str
    region: str
    layer: str
    cell: str


def read_history(engine: sa.Engine, *, region: str = "", layer: str = "", term: str = "") -> list[tuple[Unit, Figures]]:
    """Figures of each unit at the end of each day on which they changed, oldest first; raises :class:`StoreError`."""
    columns = store.published.c
    query = sa.select(store.published).order_by(columns.day, columns.term, columns.region, columns.layer, columns.cell)
    for column, value in ((columns.region, region), (columns.layer, layer), (columns.term, term)):
        query = query.where(column == value) if value else query
    try:
        with engine.connect() as connection:
            rows = connection.execute(query).all()
    except SQLAlchemyError as error:
        raise StoreError(f"the database of reactions cannot be read ({type(error).__name__})") from error
    return [
        (Unit(row.term, row.region, row.layer, row.cell), Figures(row.likes, row.dislikes, row.devices, row.day)) for row in rows
    ]


def read_units(engine: sa.Engine, *, region: str = "", layer: str = "", term: str = "") -> dict[Unit, Figures]:
    """Present figures of each unit; raises :class:`StoreError`."""
    latest = dict(read_history(engine, region=region, layer=layer, term=term))
    return {unit: figures for unit, figures in latest.items() if figures.devices >= K}


def total(figures: Iterable[Figures]) -> Figures:
    """Sum of figures."""
    return sum(figures, Figures())


def sum_by(units: Mapping[Unit, Figures], *names: str) -> dict[tuple, Figures]:
    """Sums of the units that agree in some of their attributes, such as ``"region", "layer"``."""
    sums: dict[tuple, Figures] = {}
    for unit, figures in units.items():
        key = tuple(getattr(unit, name) for name in names)
        sums[key] = sums.get(key, Figures()) + figures
    return dict(sorted(sums.items()))


def sum_by_day(history: Sequence[tuple[Unit, Figures]]) -> dict[date, Figures]:
    """Sum of all units at the end of each day on which one of them changed."""
    present: dict[Unit, Figures] = {}
    sums = {}
    for unit, figures in history:
        present[unit] = figures
        sums[figures.published] = total(present.values())
    return sums


def coarsen(units: Mapping[Unit, Figures], resolution: int) -> dict[Unit, Figures]:
    """Units whose cells are finer than an H3 resolution, summed in its cells; coarser ones stay what they are."""
    sums: dict[Unit, Figures] = {}
    for unit, figures in units.items():
        fine = unit.cell != REGION and h3.get_resolution(unit.cell) > resolution
        cell = h3.cell_to_parent(unit.cell, resolution) if fine else unit.cell
        unit = Unit(unit.term, unit.region, unit.layer, cell)
        sums[unit] = sums.get(unit, Figures()) + figures
    return sums


def count_animations(engine: sa.Engine, *, region: str = "", layer: str = "") -> list[dict]:
    """Animations made by region, layer and years, in steps of ``publication.K``; raises :class:`StoreError`."""
    columns = store.animation_log.c
    names = (columns.region, columns.layer, columns.first, columns.last)
    query = sa.select(*names, sa.func.sum(columns.count).label("count")).where(columns.reaction == 0).group_by(*names).order_by(*names)
    for column, value in ((columns.region, region), (columns.layer, layer)):
        query = query.where(column == value) if value else query
    try:
        with engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
    except SQLAlchemyError as error:
        raise StoreError(f"the database of reactions cannot be read ({type(error).__name__})") from error
    counts = [dict(row) | {"count": int(row["count"]) // K * K} for row in rows]
    return [row for row in counts if row["count"]]
