"""React-2-EO on the gallery (a small store with a product of every kind, ``tests/gallery.py``)."""

import pytest
from fastapi.testclient import TestClient


@pytest.fixture
def snapshot(gallery):
    """Everything that the gallery can show."""
    from ceiba.react2eo.layers import take_snapshot

    return take_snapshot()


@pytest.fixture
def client(gallery) -> TestClient:
    """The application on the gallery, without the dashboards."""
    from ceiba.react2eo.server import create_app

    return TestClient(create_app())
