"""Published figures of reactions as tables, for dashboards and notebooks; people's votes cannot be reached from here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import pandas as pd
import sqlalchemy as sa

from ceiba import labels
from ceiba.errors import InputError
from ceiba.products import content_id
from ceiba.react2eo import published, reaction_store
from ceiba.react2eo.published import Figures
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


class PublishedReactionsSource(Source):
    """Reactions of a place as they are published, from the database that the server uses."""

    name = "published_reactions"

    def find(self, selection: Selection) -> Found:
        """Id of the figures as they are now; nothing where none is published of the place."""
        history = self.read(selection)
        if history.empty:
            return Found()
        title = {language: labels.text("react2eo.reactions_attribution", language) for language in labels.LANGUAGES}
        return Found(ids=(content_id(history.to_csv()),), title=title)

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> pd.DataFrame:
        """The table of :func:`read_history`; raises :class:`InputError` where nothing, or something newer, is published."""
        history = self.read(selection)
        if history.empty:
            raise InputError(f"no reactions are published of {selection.place.name}; a cell needs {published.K} devices")
        if found.ids and found.ids != (content_id(history.to_csv()),):
            raise InputError(f"reactions of {selection.place.name} were published anew meanwhile; run again")
        return history[list(measurements)] if measurements else history

    def read(self, selection: Selection) -> pd.DataFrame:
        """The table of :func:`read_history` for the place of a selection."""
        engine = reaction_store.open_database(self.urlpath or Settings.from_environment().reactions_url)
        try:
            return read_history(engine, region=selection.place.name)
        finally:
            engine.dispose()
