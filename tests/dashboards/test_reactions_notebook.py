"""The notebook on reactions: what it reads, where it is planned, and that it maps what is published."""

import hashlib

import matplotlib
import nbformat
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ceiba.config import project_root
from ceiba.errors import InputError
from ceiba.grids import find_area
from ceiba.plan import list_units, make_unit
from ceiba.react2eo.reactions.reaction_sources import (
    PublishedReactionsSource,
    latest_figures,
    sum_figures,
    trend_figures,
)
from ceiba.sources import Selection

NOTEBOOK = "07_dashboards/02_map_reactions"


@pytest.fixture
def database(gallery, reacted, monkeypatch) -> str:
    """Address of the reactions to the gallery."""
    monkeypatch.setenv("CEIBA_REACTIONS_URL", reacted[0])
    return reacted[0]


def selection_of(area_name: str) -> Selection:
    area = find_area(area_name)
    place = area.place("dashboards")
    return Selection(area, place, place.whole, place.years, scope="area")


def test_it_is_planned_where_people_have_reacted(database, monkeypatch, tmp_path):
    (unit,) = list_units(NOTEBOOK, "gallery")
    assert (unit.place.name, unit.tile.name) == ("land", "all")
    assert list_units(NOTEBOOK, "sample") == [] and list_units(NOTEBOOK, "mexico") == []
    assert make_unit(NOTEBOOK, {"area": "mexico"}).area.name == "simulated", "by hand it runs on invented people"
    empty = tmp_path / "none" / "reactions.sqlite"
    monkeypatch.setenv("CEIBA_REACTIONS_URL", f"sqlite:///{empty}")
    assert list_units(NOTEBOOK, "gallery") == []
    assert not empty.parent.exists(), "looking must not make a database"
    with pytest.raises(InputError, match="no reactions are published of land"):
        PublishedReactionsSource().load(selection_of("gallery"), PublishedReactionsSource().find(selection_of("gallery")))


def test_an_area_with_an_older_catalog_is_left_out(database, monkeypatch):
    monkeypatch.setattr("ceiba.plan.list_sources", lambda area: ["recordings"])
    assert list_units(NOTEBOOK, "gallery") == []


def test_what_was_published_anew_meanwhile_is_not_taken_for_what_was_found(database):
    source, selection = PublishedReactionsSource(), selection_of("gallery")
    found = source.find(selection)
    assert source.find(selection).ids == found.ids
    other = type(found)(ids=(hashlib.sha256(b"").hexdigest(),))
    with pytest.raises(InputError, match="published anew"):
        source.load(selection, other)


def test_tables_add_up_like_the_service(database):
    from ceiba.react2eo.reactions import published
    from ceiba.react2eo.reactions.reaction_store import open_database

    history = PublishedReactionsSource().read(selection_of("gallery"))
    engine = open_database(database)
    units = published.read_units(engine, region="land")
    latest = latest_figures(history)
    assert len(latest) == len(units)
    by_layer = sum_figures(latest, "layer").set_index("layer")
    for (layer,), figures in published.sum_by(units, "layer").items():
        described = figures.describe()
        row = by_layer.loc[layer]
        assert (row["likes"], row["devices"], row["share"]) == (described["likes"], described["devices"], described["share"])
        assert [row["interval_low"], row["interval_high"]] == described["interval"]
    days = published.sum_by_day(published.read_history(engine, region="land"))
    assert list(trend_figures(history)["likes"]) == [figures.likes for figures in days.values()]
    engine.dispose()


def test_notebook_draws_and_writes_what_is_published(database, monkeypatch):
    matplotlib.use("Agg")
    written, figures = {}, []
    monkeypatch.setattr("ceiba.tasks.Task.write", lambda task, products, *, notes: written.update(products) or {})
    monkeypatch.setattr(plt, "show", lambda: figures.append(plt.gcf()))
    notebook = nbformat.read(project_root() / "notebooks" / f"{NOTEBOOK}.ipynb", as_version=4)
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), names)  # noqa: S102 - our own notebook
            names |= {"area": "gallery"} if "parameters" in cell.metadata.get("tags", []) else {}
    pd.testing.assert_frame_equal(written["reaction_figures"], PublishedReactionsSource().read(selection_of("gallery")))
    assert len(figures) == 3 and names["shown"] == "ndvi"
    texts = [text.get_text() for text in figures[0].axes[0].texts]
    assert len(texts) == 3 and all("%" in text for text in texts)
    plt.close("all")
