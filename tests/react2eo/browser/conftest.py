"""React-2-EO in real browsers, from the real server, on a small store of twenty years."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gallery
import pytest

# Not a package: pytest imports each file by itself.
_specification = importlib.util.spec_from_file_location("watched_pages", Path(__file__).with_name("watched_pages.py"))
watched_pages = importlib.util.module_from_spec(_specification)
sys.modules["watched_pages"] = watched_pages
_specification.loader.exec_module(watched_pages)

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
YEARS = range(2001, 2021)
TILE_M = 1920


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


def write_decades(store: Path) -> None:
    """Greenness and land cover of one tile in twenty years, and natural color of the last three."""
    from ceiba.grids import Period, find_area

    described = gallery.AREA_FILE | {"places": {"land": dict(gallery.AREA_FILE["places"]["land"])}}
    described["places"]["land"] |= {"rows": {0: ["0-0"]}, "tile_size_m": TILE_M, "years": [YEARS[0], YEARS[-1]]}
    home = store / "areas" / gallery.AREA
    home.mkdir(parents=True)
    (home / "area.yml").write_text(gallery.yaml.safe_dump(described, sort_keys=False), "utf-8")
    (home / "catalog.yml").write_text("sources: {}\n", "utf-8")
    (place,) = find_area(gallery.AREA).places
    (tile,) = place.tiles
    for year in YEARS:
        for name, resolution_m in (("ndvi", 20), ("land_cover", 20)):
            gallery.write_raster(name, tile, Period(year, year), resolution_m)


@pytest.fixture(scope="session")
def decades() -> Iterator[dict[str, str]]:
    """Settings of the store of twenty years."""
    folder = Path(tempfile.mkdtemp(prefix="ceiba-decades-"))
    folder.chmod(0o755)  # the database's own system user must reach it
    settings = {"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": ""}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        write_decades(folder / "store")
    yield settings
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def react_url(decades) -> Iterator[str]:
    """Address of the real server on that store, without the dashboards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ceiba.cli", "serve", "--no-dashboards", "--port", str(port)]
    server = subprocess.Popen(command, env=os.environ | decades, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        gallery.wait_until_healthy(server, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """Debian's Chromium, one for all tests."""
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
