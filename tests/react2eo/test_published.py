"""Published figures: intervals against published values and truth, sums, hexagons, and the services that give them."""

import csv
import io
import math

import h3
import numpy as np
import pytest
from shapely.geometry import shape
from statsmodels.stats.proportion import proportion_confint

from ceiba.react2eo.reactions import cell_files, publication, published
from ceiba.react2eo.reactions import reaction_store as store
from ceiba.react2eo.reactions.published import Figures, Unit, wilson_interval
from ceiba.react2eo.reactions.terms import Keys
from ceiba.react2eo.reactions.votes import Vote, write
from ceiba.react2eo.subjects import Subject


@pytest.mark.parametrize(
    ("likes", "count", "low", "high"),
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_as_published(likes, count, low, high):
    assert wilson_interval(likes / count, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_as_statsmodels():
    for count in (5, 6, 17, 120, 4000):
        for likes in {0, 1, count // 3, count - 1, count}:
            assert wilson_interval(likes / count, count) == pytest.approx(
                proportion_confint(likes, count, method="wilson"), abs=1e-12
            )


def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path):
    """Votes simulated with a known share of likes in each cell, through the database and the publication."""
    random = np.random.default_rng(4)
    cells = sorted(h3.grid_disk(h3.latlng_to_cell(20.0, -89.0, 7), 11))
    truth = dict(zip(cells, random.uniform(0.05, 0.95, len(cells)), strict=True))
    votes = []
    for cell in cells:
        subject = Subject("land", "ndvi", "2018", "2020", cell)
        for device in range(random.integers(5, 60)):
            reaction = 1 if random.random() < truth[cell] else -1
            votes.append(Vote(subject.key, reaction, device=f"{cell} {device}", subject=subject))
    engine = store.open_database(f"sqlite:///{tmp_path / 'reactions.sqlite'}")
    write(engine, Keys(), votes)
    publication.publish(engine)
    figures = published.read_units(engine)
    engine.dispose()
    assert len(figures) == len(cells) and sum(each.devices for each in figures.values()) == len(votes)
    intervals = {unit.cell: each.describe()["interval"] for unit, each in figures.items()}
    held = np.mean([low <= truth[cell] <= high for cell, (low, high) in intervals.items()])
    # Three standard errors of a share of 0.95 among so many cells.
    assert held == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / len(cells)))


def test_a_device_with_several_cells_of_a_unit_is_one_observation():
    assert Figures(9, 1, 5).describe()["interval"] == pytest.approx(proportion_confint(4.5, 5, method="wilson"), abs=1e-4)
    nothing = Figures().describe()
    assert nothing["share"] is None and nothing["interval"] is None and nothing["published"] is None


def test_coarser_cells_are_sums_of_published_units_alone():
    cell = h3.latlng_to_cell(20.0, -89.0, 7)
    parent = h3.cell_to_parent(cell, 6)
    units = {
        Unit("2026-Q2", "land", "ndvi", each): Figures(5, number, 5 + number) for number, each in enumerate((cell, parent, ""))
    }
    assert published.coarsen(units, 7) == units
    summed = {unit.cell: figures for unit, figures in published.coarsen(units, 6).items()}
    assert summed == {parent: Figures(10, 1, 11), "": Figures(5, 2, 7)}
    assert published.total(published.coarsen(units, 2).values()) == published.total(units.values())


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(19.4, -99.1), (-16.5, 179.99), (65.0, -179.99), (0.0, 180.0), (90.0, 0.0), (-90.0, 0.0)]
)
@pytest.mark.parametrize("resolution", [2, 4, 7])
def test_hexagons_are_whole_wherever_they_lie(latitude, longitude, resolution):
    cell = h3.latlng_to_cell(latitude, longitude, resolution)
    drawn = shape(cell_files.draw_cell(cell))
    west, south, east, north = drawn.bounds
    assert drawn.is_valid and -180 <= west < east <= 180 and -90 <= south < north <= 90
    # On the sphere a strip of latitude is as wide as its cosine: H3's own area is met but for the bent edges.
    strips = sum(strip_area(part) for part in getattr(drawn, "geoms", [drawn]))
    assert strips == pytest.approx(h3.cell_area(cell, unit="km^2"), rel=0.25 if abs(latitude) == 90 else 0.02)


def strip_area(part) -> float:
    """Area of a polygon in degrees on a sphere [km2], by Green's theorem for the integral of cos(latitude)."""
    points = np.radians(np.array(part.segmentize(0.05).exterior.coords))
    x, y = points[:, 0], points[:, 1]
    return abs(np.sum(np.diff(x) * (np.sin(y[1:]) + np.sin(y[:-1])) / 2)) * 6371.007**2


@pytest.fixture
def votes_of_gallery(client):
    """The application with votes of eleven devices on two layers of the gallery, published."""
    votes = client.app.state.reactions
    with store.writing(votes.engine).begin() as connection:
        for table in store.tables.sorted_tables:
            connection.execute(table.delete())
    votes.keys = Keys()
    cells = [h3.latlng_to_cell(20.0, -89.0, 7), h3.latlng_to_cell(20.4, -89.0, 7)]
    for layer, cell, likes, dislikes in (("ndvi", cells[0], 6, 1), ("ndvi", cells[1], 2, 2), ("integrity", cells[0], 3, 2)):
        subject = Subject("land", layer, "2018", "2020", cell)
        for device in range(likes + dislikes):
            votes.put(Vote(subject.key, 1 if device < likes else -1, device=f"{cell} {device}", subject=subject))
    publication.publish(votes.engine, roll_up=True)
    return client


def test_summary_is_the_sum_of_what_is_published(votes_of_gallery):
    answer = votes_of_gallery.get("/api/reactions/summary", params={"region": "land"})
    assert answer.headers["cache-control"].startswith("public")
    summary = answer.json()
    # The four of the second cell are nowhere: not in the region's total either.
    assert (summary["likes"], summary["dislikes"], summary["devices"]) == (9, 3, 12)
    assert [(row["layer"], row["likes"]) for row in summary["layers"]] == [("integrity", 3), ("ndvi", 6)]
    assert summary["interval"] == pytest.approx(proportion_confint(9, 12, method="wilson"), abs=1e-4)
    assert "5" in summary["rule"] and summary["published"] and len(summary["terms"]) == 1
    none = votes_of_gallery.get("/api/reactions/summary", params={"region": "land", "layer": "change"}).json()
    assert (none["likes"], none["devices"], none["share"]) == (0, 0, None)
    assert votes_of_gallery.get("/api/reactions/summary", params={"region": "mars"}).status_code == 404


def test_cells_as_geojson_and_table_are_the_same(votes_of_gallery):
    query = {"region": "land"}
    answer = votes_of_gallery.get("/api/reactions/cells", params=query)
    assert answer.headers["content-type"].startswith("application/geo+json")
    features = answer.json()["features"]
    rows = list(csv.DictReader(io.StringIO(votes_of_gallery.get("/api/reactions/cells", params=query | {"format": "csv"}).text)))
    assert [row["cell"] for row in rows] == [feature["properties"]["cell"] for feature in features]
    assert {(row["layer"], row["likes"], row["dislikes"]) for row in rows} == {("ndvi", "6", "1"), ("integrity", "3", "2")}
    assert all(row["rule"] and row["attribution"] and row["published"] for row in rows)
    assert all(shape(feature["geometry"]).is_valid for feature in features)
    coarse = votes_of_gallery.get("/api/reactions/cells", params=query | {"layer": "ndvi", "resolution": 4}).json()["features"]
    assert [feature["properties"]["resolution"] for feature in coarse] == [4] and coarse[0]["properties"]["likes"] == 6
    assert votes_of_gallery.get("/api/reactions/cells", params=query | {"resolution": 9}).status_code == 422


def test_trend_and_animations(votes_of_gallery):
    trend = votes_of_gallery.get("/api/reactions/trend", params={"region": "land", "layer": "ndvi"}).json()
    assert [(day["likes"], day["dislikes"]) for day in trend] == [(6, 1)]
    votes = votes_of_gallery.app.state.reactions
    subject = Subject("land", "ndvi", "2018", "2020", h3.latlng_to_cell(20.0, -89.0, 7))
    for _ in range(7):
        votes.log_animation(subject)
    votes.find("none", subject.key)
    votes.put(Vote(subject.key, 0, device="last"))  # after those before it
    made = votes_of_gallery.get("/api/reactions/animations", params={"region": "land"}).json()
    assert made == [{"region": "land", "layer": "ndvi", "first": "2018", "last": "2020", "count": 5}]


def test_figures_are_kept_fresh_while_the_application_runs(votes_of_gallery):
    votes = votes_of_gallery.app.state.reactions
    subject = Subject("land", "water", "2018", "2020", h3.latlng_to_cell(20.0, -89.0, 7))
    for device in range(5):
        votes.put(Vote(subject.key, 1, device=f"fresh {device}", subject=subject))
    with votes_of_gallery:
        for _ in range(100):
            if votes_of_gallery.get("/api/reactions/summary", params={"region": "land", "layer": "water"}).json()["likes"] == 5:
                return
    pytest.fail("not published at start")
