"""One simulated area for all tests of the simulation."""

import pytest

from ceiba.simulation.area import write_area
from ceiba.simulation.world import make_world

SEED = 7


@pytest.fixture(scope="session")
def area_folder(tmp_path_factory):
    """Folder with the files of the simulated area."""
    folder = tmp_path_factory.mktemp("simulated") / "area"
    write_area(folder, seed=SEED)
    return folder


@pytest.fixture(scope="session")
def world():
    """The truth behind them."""
    return make_world(SEED)
