"""React-2-EO in real browsers, from the real server, on a small store of twenty years."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def load(name: str) -> ModuleType:
    """A module beside this file: the folder is no package, and pytest imports each test by itself."""
    specification = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


watched_pages, decades = load("watched_pages"), load("decades")
load("page_checks")
load("firefox")

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def react_store() -> Iterator[dict[str, str]]:
    """Settings of the store of twenty years."""
    with decades.make_decades() as settings:
        yield settings


@pytest.fixture(scope="session")
def react_url(react_store) -> Iterator[str]:
    """Address of the real server on that store, without the dashboards."""
    with decades.serve_store(react_store, "--no-dashboards") as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """Debian's Chromium. Playwright's event loop runs as long as it is open: not while the tests of other folders run theirs."""
    if not CHROMIUM.exists():
        pytest.skip(f"Chromium is not installed ({CHROMIUM} does not exist)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_profile(chromium, react_url) -> Iterator:
    """A function that gives a new profile of the browser, ``open_profile(width=390, ...)``."""
    profiles = []

    def make(*, width: int = 390, height: int = 844, **options: object) -> watched_pages.Profile:
        context = chromium.new_context(
            base_url=react_url, viewport={"width": width, "height": height}, has_touch=width < 600,
            locale=options.pop("locale", "es-MX"), accept_downloads=True, **options,
        )  # fmt: skip
        profiles.append(context)
        return watched_pages.Profile(context, react_url)

    yield make
    for context in profiles:
        context.close()


@pytest.fixture(scope="session")
def axe():
    """The rules of axe-core, for Chromium."""
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed").Axe()
