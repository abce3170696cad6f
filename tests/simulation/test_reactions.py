"""Invented people and their reactions: the same each time, true to what is known, and never to a real place."""

import h3
import numpy as np
import pandas as pd
import pytest
import rasterio
import sqlalchemy as sa

from ceiba.errors import AreaError
from ceiba.grids import Period, find_area
from ceiba.react2eo.reactions.reaction_sources import read_history
from ceiba.react2eo.reactions.reaction_store import open_database
from ceiba.simulation import reactions
from ceiba.simulation.land_cover import group_names, group_of
from ceiba.simulation.reactions import Crowd, SimulatedReactionsSource, draw_opinions, simulate_reactions, true_shares
from ceiba.sources import Selection


@pytest.fixture(scope="module")
def shares(area_folder):
    return true_shares(area_folder / "truth")


@pytest.fixture
def url(store, tmp_path):
    return f"sqlite:///{tmp_path / 'reactions.sqlite'}"


def history_of(url: str) -> pd.DataFrame:
    engine = open_database(url)
    try:
        return read_history(engine)
    finally:
        engine.dispose()


def test_people_like_nature_and_dislike_change_as_much_as_the_catalogue_says(shares, area_folder):
    row = shares[shares["layer"] == "change"].sort_values("area_share").iloc[-1]
    # 0 + 1.0 x natural - 2.0 x changed - 0.2, catalogs/simulation/reactions.yml.
    assert row["share"] == pytest.approx(row["natural"] - 2 * row["changed"] - 0.2)
    assert shares["share"].between(0.05, 0.95).all()
    assert shares.groupby("layer")["area_share"].sum().to_numpy() == pytest.approx(1)
    # Over the whole area the cells add up to what the truth says of its pixels.
    with rasterio.open(area_folder / "truth" / "land_cover_2020.tif") as codes:
        groups = group_of(codes.read(1))
    natural = np.isin(groups, [group_names().index(name) for name in ("forest", "shrub", "water")]).mean()
    one = shares[shares["layer"] == "ndvi"]
    assert (one["natural"] * one["area_share"]).sum() == pytest.approx(natural, abs=1e-6)


def test_an_opinion_is_given_once_and_follows_the_share(shares):
    opinions = draw_opinions(shares, Crowd(people=4000, undecided=0))
    assert not opinions.duplicated(["person", "layer", "cell"]).any()
    assert (opinions["later"] == opinions["verdict"]).all()
    seen = opinions.merge(shares, on=["layer", "cell"])
    largest = seen[seen["area_share"] > 0.3].assign(liked=seen["verdict"] > 0).groupby("layer")[["liked", "share"]].mean()
    assert (largest["liked"] - largest["share"]).abs().max() < 0.06


def test_published_figures_hold_the_truth_and_are_the_same_each_time(url, shares, tmp_path):
    said = simulate_reactions(url, "simulated", shares)
    first = history_of(url)
    again = f"sqlite:///{tmp_path / 'again.sqlite'}"
    simulate_reactions(again, "simulated", shares)
    pd.testing.assert_frame_equal(first, history_of(again))
    assert set(first["region"]) == {"simulated"}
    assert first["published"].dt.strftime("%Y-%m-%d").min() == "2021-01-04"
    latest = first.drop_duplicates(["layer", "cell", "term"], keep="last")
    assert (latest["devices"] >= 5).all()
    finest = latest[[bool(cell) and h3.get_resolution(cell) == 7 for cell in latest["cell"]]].merge(shares, on=["layer", "cell"])
    held = (finest["interval_low"] <= finest["share_y"]) & (finest["share_y"] <= finest["interval_high"])
    assert len(finest) >= 30 and held.mean() >= 0.9, "intervals of 95 % hold the true share of nearly every cell"
    # Opinions that are withdrawn leave late or never: hence a few more are counted than are still held.
    counted = int((latest["likes"] + latest["dislikes"]).sum())
    assert 0.97 * len(said) <= counted <= len(said)


def test_a_real_place_is_refused_before_anything_is_written(url, shares, tmp_path):
    with pytest.raises(AreaError, match="'romania' is no place of a simulated area"):
        simulate_reactions(url, "romania", shares)
    assert not (tmp_path / "reactions.sqlite").exists()


def test_command_writes_to_the_database_of_the_deployment_when_asked(url, area_folder, monkeypatch):
    from typer.testing import CliRunner

    from ceiba import samples
    from ceiba.cli import app

    monkeypatch.setenv("CEIBA_REACTIONS_URL", url)
    made = samples.Sample("simulated", {}, "made", "0", folder=area_folder)
    monkeypatch.setattr(samples, "find_sample", lambda name: made)
    answer = CliRunner().invoke(app, ["reactions", "simulate", "--area", "romania"])
    assert isinstance(answer.exception, AreaError)
    answer = CliRunner().invoke(app, ["reactions", "simulate", "--people", "60"])
    assert answer.exit_code == 0, answer.output
    assert len(history_of(url)) > 5


def test_devices_are_called_simulated_and_kept_as_everybody_s(url, shares):
    simulate_reactions(url, "simulated", shares, crowd=Crowd(people=40, publications=2))
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        devices = connection.scalars(sa.text("select distinct device from votes")).all()
        days = connection.scalars(sa.text("select distinct day from votes")).all()
    assert 30 <= len(devices) <= 40 and all(len(device) == 32 for device in devices)
    assert min(days) == "2021-01-04"
    text = (url.removeprefix("sqlite:///")).encode()
    assert b"simulated-simulated" not in open(text, "rb").read(), "tokens are kept as keyed hashes alone"


def test_source_of_notebooks_makes_them_anew_and_refuses_real_places(store, shares, monkeypatch):
    monkeypatch.setattr(reactions, "true_shares", lambda folder: shares)

    class Sample:
        def path(self, name):
            return name

    monkeypatch.setattr(reactions, "find_sample", lambda name: Sample())
    reactions.simulated_history.cache_clear()
    area = find_area("simulated")
    place = area.place("dashboards")
    selection = Selection(area, place, place.whole, Period(2018, 2020))
    source = SimulatedReactionsSource()
    found = source.find(selection)
    reactions.simulated_history.cache_clear()
    assert source.find(selection).ids == found.ids and len(found.ids) == 1
    table = source.load(selection, found, measurements=("layer", "cell", "share"))
    assert list(table.columns) == ["layer", "cell", "share"] and len(table) > 100
    real = find_area("sample")
    somewhere = real.place("mosaics")
    with pytest.raises(AreaError, match="no place of a simulated area"):
        source.find(Selection(real, somewhere, somewhere.whole, Period(2018, 2020)))
    reactions.simulated_history.cache_clear()
