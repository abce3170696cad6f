"""Reactions of invented people to the gallery's simulated place, in databases of their own."""

from datetime import date
from pathlib import Path

import h3
import pandas as pd
import pytest
from pyproj import Transformer

REGION = "land"
MIDDLE = (3_000_960, 1_199_520)
"""Of the gallery's two tiles [m, EPSG:6372]."""
SHARES = (0.9, 0.5, 0.15)


def gallery_shares() -> pd.DataFrame:
    """What everybody would think of three cells in two layers."""
    longitude, latitude = Transformer.from_crs("EPSG:6372", "EPSG:4326", always_xy=True).transform(*MIDDLE)
    cells = h3.grid_disk(h3.latlng_to_cell(latitude, longitude, 7), 1)[: len(SHARES)]
    rows = [(layer, cell, share) for layer in ("ndvi", "land_cover") for cell, share in zip(cells, SHARES, strict=True)]
    return pd.DataFrame(rows, columns=["layer", "cell", "share"]).assign(area_share=1 / len(SHARES))


def let_react(url: str) -> pd.DataFrame:
    """Let 60 people react in the database at an address; returns what they said."""
    from ceiba.simulation.reactions import Crowd, simulate_reactions

    crowd = Crowd(people=60, views=4, publications=3, first_day=date(2021, 1, 4))
    return simulate_reactions(url, REGION, gallery_shares(), crowd=crowd)


@pytest.fixture(scope="module")
def reacted(gallery_environment, tmp_path_factory) -> tuple[str, pd.DataFrame]:
    """Address of a database with reactions to the gallery, and what was said."""
    url = f"sqlite:///{tmp_path_factory.mktemp('reactions') / 'reactions.sqlite'}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in gallery_environment.items():
            patch.setenv(name, value)
        return url, let_react(url)


@pytest.fixture(scope="module")
def served_reactions(server_url, gallery_environment):
    """The same in the database of the session's server, which holds nothing else of the place, and nothing of it afterwards."""
    from ceiba.react2eo.reactions.publication import remove_region
    from ceiba.react2eo.reactions.reaction_store import open_database

    url = f"sqlite:///{Path(gallery_environment['CEIBA_STORE']) / 'react2eo' / 'reactions.sqlite'}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in gallery_environment.items():
            patch.setenv(name, value)
        from ceiba.react2eo.settings import Settings

        assert Settings.from_environment().reactions_url == url
        engine = open_database(url)
        # Votes of other tests would lie among them, some far away: the map would reach as far.
        remove_region(engine, REGION)
        said = let_react(url)
    yield said
    remove_region(engine, REGION)
    engine.dispose()
