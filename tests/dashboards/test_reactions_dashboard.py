"""What the dashboard of reactions shows, without a browser."""

import csv
import io
import sqlite3
from datetime import date

import h3
import numpy as np
import pandas as pd
import pytest
import rasterio
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ceiba import labels
from ceiba.react2eo.reactions.publication import K
from ceiba.react2eo.reactions.published import Figures, Unit

REGION = "land"


@pytest.fixture
def database(gallery, reacted, monkeypatch) -> str:
    """Path of the database that the page reads."""
    url, _said = reacted
    monkeypatch.setenv("CEIBA_REACTIONS_URL", url)
    from ceiba.dashboards import reactions

    reactions.find_snapshots.cache_clear()
    yield url.removeprefix("sqlite:///")
    reactions.find_snapshots.cache_clear()


@pytest.fixture
def page(database):
    """The page, on the layer of vegetation."""
    from ceiba.dashboards.reactions import Reactions

    return Reactions(layer="ndvi")


def rows_of(database: str, question: str) -> list[tuple]:
    """Rows of the database itself, by SQL of our own."""
    with sqlite3.connect(database) as connection:
        return connection.execute(question).fetchall()


# ---- what is read, and that it is what is published ----


def test_people_s_votes_are_never_read(page):
    asked = []
    sa.event.listen(page.engine, "before_cursor_execute", lambda *given: asked.append(given[2].lower()))
    from ceiba.dashboards.reactions import build_reactions

    build_reactions()
    again = type(page)(layer="ndvi")
    again.figures()
    again.table_view()
    again.csv_file()
    reading = [text for text in asked if text.startswith("select")]
    assert any("from published" in text for text in reading) and any("from animation_log" in text for text in reading)
    assert not [text for text in reading if any(f"{table}" in text for table in ("votes", "counted", "requests", "keys"))]
    assert not [text for text in reading if "near" in text], "people's own places are not even in the animations"


def test_file_and_cards_are_what_the_public_service_answers(page, database):
    from ceiba.react2eo.server import create_app

    client = TestClient(create_app())
    asked = {"region": REGION, "layer": "ndvi"}
    answered = list(csv.DictReader(io.StringIO(client.get("/api/reactions/cells", params=asked | {"format": "csv"}).text)))
    given = list(csv.DictReader(io.TextIOWrapper(page.csv_file(), "utf-8")))
    names = ("cell", "likes", "dislikes", "devices", "share", "interval_low", "interval_high", "published")
    assert sorted(tuple(row[name] for name in names) for row in given) == sorted(tuple(row[name] for name in names) for row in answered)
    assert len(given) >= 3
    summary = client.get("/api/reactions/summary", params=asked).json()
    low, high = summary["interval"]
    cards = page.cards(page.present(region=REGION, layer="ndvi")).object
    assert f"{100 * summary['share']:.0f} %" in cards and f"{100 * low:.0f}–{100 * high:.0f} %" in cards
    assert f"{summary['likes']} · {summary['dislikes']}" in cards


def test_an_earlier_day_shows_what_was_published_by_then(page, database):
    days = [day for (day,) in rows_of(database, "select distinct day from published order by day")]
    assert days[0] == "2021-01-04" and len(page.param.day.objects) == len(days) >= 3
    page.day = date(2021, 1, 4)
    (likes, dislikes) = rows_of(
        database, "select sum(likes), sum(dislikes) from published where day = '2021-01-04' and layer = 'ndvi' and devices >= 5"
    )[0]
    shown = page.published_table()
    assert (shown["likes"].sum(), shown["dislikes"].sum()) == (likes, dislikes)
    page.day = page.param.day.objects[-1]
    assert page.published_table()["likes"].sum() > likes


def test_no_figure_of_fewer_than_five_devices(page):
    page.layer = ""
    for day in page.param.day.objects:
        page.day = day
        assert (page.published_table()["devices"] >= K).all()


def test_terms_are_added_up_and_can_be_chosen(page):
    unit = Unit("2021-Q2", REGION, "ndvi", page.published_table()["cell"].iloc[0])
    before = page.published_table()
    page.history = [*page.history, (unit, Figures(likes=6, dislikes=0, devices=6, published=date(2021, 4, 5)))]
    page._region_changed()
    assert page.param.term.objects == ["", "2021-Q1", "2021-Q2"]
    cells = page.tabulate(page.present(region=REGION, layer="ndvi"), "cell").set_index("cell")
    assert cells.loc[unit.cell, "likes"] == before.set_index("cell").loc[unit.cell, "likes"] + 6
    page.term = "2021-Q2"
    assert list(page.published_table()["likes"]) == [6]


# ---- what is drawn ----


def test_cells_lie_where_they_are(page):
    from ceiba.dashboards import reaction_charts

    place = page.shown.place
    cells = page.tabulate(page.present(region=REGION, layer="ndvi"), "cell")
    finest = cells[[bool(cell) and h3.get_resolution(cell) == 7 for cell in cells["cell"]]]
    assert len(finest) == 3
    for cell in finest["cell"]:
        assert reaction_charts.find_cell(cells, place, *reaction_charts.cell_middle(cell, place.crs)) == cell
        ring = reaction_charts.cell_ring(cell, place.crs)
        x, y = ring.T
        area_km2 = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2e6
        # The Lambert projection of Mexico changes areas by up to some percent.
        assert area_km2 == pytest.approx(h3.cell_area(cell, unit="km^2"), rel=0.06)
    drawn = reaction_charts.draw_cells(cells, place, "es")
    hexagons = drawn.Polygons.I
    assert len(hexagons.data) == (cells["cell"] != "").sum()
    left, bottom, right, top = reaction_charts.frame(cells, place).bounds
    assert all(left <= low and high <= right for low, high in [drawn.range("x")])
    assert bottom <= drawn.range("y")[0] and drawn.range("y")[1] <= top


def test_share_can_be_told_without_colors_and_with_every_eye(page):
    from ceiba.dashboards import maps, reaction_charts

    texts = [reaction_charts.percent(share) for share in (0, 0.555, 1, np.nan)]
    assert texts == ["0 %", "56 %", "100 %", "–"]
    colors = maps.color_steps(reaction_charts.PALETTE)
    for share in np.linspace(0, 1, 21):
        color = colors[round(share * (len(colors) - 1))]
        assert contrast(color, reaction_charts.text_color(share)) >= 4.5, f"the number on {color} cannot be read"


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colors (WCAG 2.1)."""
    lights = []
    for color in (one, other):
        channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_values_at_a_point_are_those_of_the_files(page):
    layer = page.shown.layers["ndvi"]
    x, y = 3_000_000 + 705, 1_200_000 - 505
    table = page.point_table(layer, x, y)
    assert list(table["year"]) == [2018, 2019, 2020]
    for period, value in zip(layer.periods, table["ndvi"], strict=True):
        raster = next(each for each in layer.rasters[period] if each.tile.name == "x000y000")
        with rasterio.open(raster.bands[0].path) as file:
            assert value == pytest.approx(next(file.sample([(x, y)]))[0], abs=1e-6)
    assert page.point_table(layer, x, y + 10_000).empty


def test_classes_at_a_point_are_told_in_words(page):
    page.layer = "land_cover"
    markup = page.series_view(3_000_710, 1_199_490).object
    assert "2018" in markup and "2020" in markup
    names = [entry.name_es for entry in page.shown_layer.legend.classes]
    assert any(name in markup for name in names)


def test_shares_by_layer_and_trend_are_drawn(page):
    from ceiba.dashboards import reaction_charts

    table = page.tabulate(page.present(region=REGION), "layer")
    assert set(table["layer"]) == {"ndvi", "land_cover"}
    shares = reaction_charts.draw_shares(table.assign(label=table["layer"]), "en")
    points = shares.Points.I.dframe()
    assert len(points) == len(shares.Segments.I) == 2
    assert sorted(points["x"]) == sorted(table["share"])
    days = pd.DataFrame({"day": [date(2021, 1, 4)], "likes": 3, "dislikes": 2, "share": 0.6, "interval_low": 0.2, "interval_high": 0.9})
    assert len(reaction_charts.draw_trend(days, "es").Points.I) == 1


def test_animations_are_counted_in_steps_and_only_for_the_place(page, database):
    (made,) = rows_of(database, "select sum(count) from animation_log where layer = 'ndvi' and reaction = 0")[0]
    markup = page.animation_view()[1].object
    assert f">{made // K * K}<" in markup and "2018–2020" in markup


# ---- page and server ----


def test_choices_stay_when_the_language_changes(page):
    page.day = page.param.day.objects[0]
    page.language = "en"
    assert (page.region, page.layer, page.day) == (REGION, "ndvi", date(2021, 1, 4))
    assert "Published cells" in page.cards(page.present(region=REGION)).object


def test_a_place_without_reactions_says_what_is_needed(gallery, tmp_path, monkeypatch):
    monkeypatch.setenv("CEIBA_REACTIONS_URL", f"sqlite:///{tmp_path / 'empty.sqlite'}")
    from ceiba.dashboards.reactions import Reactions

    page = Reactions()
    shown = [pane.object for pane in page.figures().select() if hasattr(pane, "object")]
    assert labels.text("dashboards.reactions_nothing", "es").format(devices=K) in shown
    assert page.published_table().empty
    assert page.cards({}).object.count("<b>") == 4


def test_unknown_words_in_the_address_are_passed_over(database):
    from ceiba.dashboards.reactions import Reactions, build_reactions

    page = Reactions(region="<b>", layer="../..", language="xx")
    assert (page.region, page.language) == (REGION, "es") and page.layer in page.shown.layers
    assert build_reactions(language="xx").meta_viewport == "width=device-width, initial-scale=1"


def test_pages_lead_to_each_other(page, gallery):
    from ceiba.dashboards.app import Explorer

    links = page.links().object
    assert f"/?region={REGION}&amp;layer=ndvi&amp;language=es" in links and "/dashboards?language=es" in links
    assert "/dashboards/reactions?language=es" in Explorer(area="gallery").links().object


def test_server_has_both_dashboards(gallery):
    from ceiba.dashboards.server import add_dashboards

    app = FastAPI()
    add_dashboards(app)
    paths = {route.path for route in app.routes}
    assert {"/dashboards", "/dashboards/ws", "/dashboards/reactions", "/dashboards/reactions/ws"} <= paths
