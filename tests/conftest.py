"""Fixtures that every test may use."""

import os
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
