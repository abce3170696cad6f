"""React-2-EO on the gallery (a small store with a product of every kind, ``tests/gallery.py``)."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

PLENTY = 100_000_000


@pytest.fixture(scope="session", autouse=True)
def no_limits() -> Iterator[None]:
    """Tests ask more often than people; those of the limits set their own."""
    from ceiba.react2eo.settings import LIMITS

    kinds = [name for name in LIMITS if name not in {"device", "body_kb"}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CEIBA_LIMITS", " ".join(f"{name}={PLENTY}" for name in kinds))
        yield


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


@pytest.fixture(scope="module")
def module_client(gallery_environment) -> Iterator[TestClient]:
    """The same for all tests of a module, where they are many and change nothing."""
    from ceiba.react2eo.server import create_app
    from ceiba.react2eo.settings import LIMITS

    with pytest.MonkeyPatch.context() as patch:
        for name, value in gallery_environment.items():
            patch.setenv(name, value)
        # All tests come from one address, faster than any person.
        patch.setenv("CEIBA_LIMITS", " ".join(f"{name}=100000000" for name in LIMITS if name != "body_kb"))
        yield TestClient(create_app())


@pytest.fixture(scope="module")
def module_snapshot(module_client):
    """Everything that the gallery can show, as the application of the module sees it."""
    return module_client.app.state.snapshots.current()
