"""Fixtures that every test may use."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """Folder with the real sample data, or a skip that says why."""
    folder = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real sample data not found: CEIBA_SAMPLES is unset and {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def local_gateway():
    """A Dask Gateway on loopback: ``environment`` for processes, ``settings`` for ``dask.config.set``."""
    if sys.platform == "win32":
        pytest.skip("dask-gateway-server runs on Linux and macOS only")
    specification = importlib.util.spec_from_file_location(
        "start_gateway", ROOT / "environments" / "local" / "start_gateway.py"
    )
    module = importlib.util.module_from_spec(specification)
    sys.modules["start_gateway"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    # A closed client closes again when it is collected, and raises. Python 3.11 can crash when pytest shows
    # that while a module is being compiled, even after the last test: so this is not undone.
    client = importlib.import_module("dask_gateway").Gateway
    if "__del__" in vars(client):
        del client.__del__
    with module.run_gateway() as gateway:
        yield gateway
