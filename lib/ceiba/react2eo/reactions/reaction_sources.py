"""Published figures of reactions as tables, for dashboards and notebooks; people's votes cannot be reached from here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ceiba import labels
from ceiba.errors import InputError, StoreError
from ceiba.products import content_id
from ceiba.react2eo.reactions import published, reaction_store
from ceiba.react2eo.reactions.publication import K
from ceiba.react2eo.reactions.published import Figures, Unit
from ceiba.react2eo.settings import Settings
from ceiba.sources import Found, Selection, Source

FIGURES = ("likes", "dislikes", "devices", "share", "interval_low", "interval_high", "published")
KEYS = ("region", "layer", "cell", "term")


def tabulate(rows: Iterable[tuple[Mapping[str, str], Figures]], *, keys: Sequence[str] = KEYS) -> pd.DataFrame:
    """Figures as a table.

    Parameters
    ----------
    rows
        What each figure is of, as ``{"region": ..., "layer": ...}``, and the figure.
    keys
        Columns that tell what a row is of.

    Returns
    -------
    pd.DataFrame
        ``keys``, ``likes``, ``dislikes``, ``devices`` [1], ``share`` of likes with its 95 % interval (Wilson) ``interval_low`` and
        ``interval_high`` [1], and ``published``, the day (UTC) of the last change.
    """
    records = []
    for key, figures in rows:
        described = figures.describe()
        low, high = described.pop("interval") or (None, None)
        records.append({**key, **described, "interval_low": low, "interval_high": high})
    table = pd.DataFrame(records, columns=[*keys, *FIGURES])
    kinds = dict.fromkeys(FIGURES[:3], "int64") | dict.fromkeys(FIGURES[3:6], "float64")
    return table.astype(kinds).assign(published=pd.to_datetime(table["published"]))


def read_history(engine: sa.Engine, *, region: str = "") -> pd.DataFrame:
    """Figures of each unit at the end of each day on which they changed, oldest first.

    Columns as of :func:`tabulate`; ``cell`` is an H3 cell, or empty for what is left of the region. A unit's latest row is what holds.
    Raises :class:`~ceiba.errors.StoreError`.
    """
    return tabulate((asdict(unit), figures) for unit, figures in published.read_history(engine, region=region))


def latest_figures(history: pd.DataFrame) -> pd.DataFrame:
    """What holds now of the table of :func:`read_history`: the last row of each unit, none of fewer than K devices."""
    latest = history.drop_duplicates(list(KEYS), keep="last")
    return latest[latest["devices"] >= K].reset_index(drop=True)


def sum_figures(latest: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Sums of the rows of :func:`latest_figures` that agree in ``keys``, with their shares and intervals."""
    sums: dict[tuple, Figures] = {}
    for row in latest.itertuples():
        key = tuple(getattr(row, name) for name in keys)
        sums[key] = sums.get(key, Figures()) + _figures_of(row)
    return tabulate(((dict(zip(keys, key, strict=True)), figures) for key, figures in sorted(sums.items())), keys=keys)


def trend_figures(history: pd.DataFrame) -> pd.DataFrame:
    """Sum of all units of the table of :func:`read_history` at the end of each ``day`` on which one of them changed."""
    units = [(Unit(row.term, row.region, row.layer, row.cell), _figures_of(row)) for row in history.itertuples()]
    return tabulate((({"day": day}, figures) for day, figures in published.sum_by_day(units).items()), keys=["day"])


def _figures_of(row) -> Figures:
    return Figures(row.likes, row.dislikes, row.devices, row.published.date())


class PublishedReactionsSource(Source):
    """Reactions of a place as they are published, from the database that the server uses."""

    name = "published_reactions"
    often_empty = True
    words = "react2eo.reactions_attribution"
    """Key of the words on whose reactions these are."""

    def find(self, selection: Selection) -> Found:
        """Id of the figures as they are now; nothing where none is published of the place."""
        history = self.read(selection)
        if history.empty:
            return Found()
        title = {language: labels.text(self.words, language) for language in labels.LANGUAGES}
        return Found(ids=(content_id(history.to_csv()),), title=title)

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> pd.DataFrame:
        """The table of :func:`read_history`; raises :class:`InputError` where nothing, or something newer, is published."""
        history = self.read(selection)
        if history.empty:
            raise InputError(f"no reactions are published of {selection.place.name}; a cell needs {K} devices")
        if found.ids and found.ids != (content_id(history.to_csv()),):
            raise InputError(f"reactions of {selection.place.name} were published anew meanwhile; run again")
        return history[list(measurements)] if measurements else history

    def read(self, selection: Selection) -> pd.DataFrame:
        """The table of :func:`read_history` for the place of a selection."""
        url = sa.make_url(self.urlpath or Settings.from_environment().reactions_url)
        # Looking whether there are reactions must not make a database.
        if url.get_backend_name() == "sqlite" and not Path(url.database).exists():
            return tabulate([])
        try:
            engine = reaction_store.open_database(url)
        except SQLAlchemyError as error:
            raise StoreError(f"the database of reactions cannot be opened ({type(error).__name__}); see CEIBA_REACTIONS_URL") from error
        try:
            return read_history(engine, region=selection.place.name)
        finally:
            engine.dispose()
