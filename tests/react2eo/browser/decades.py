"""A small store of twenty years, and the real server on it: what browsers open."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gallery
import pytest
import yaml

YEARS = range(2001, 2021)
TILE_M = 1920
PRODUCTS = ("ndvi", "land_cover")
RESOLUTION_M = 20


@contextmanager
def make_decades() -> Iterator[dict[str, str]]:
    """Settings of a store with greenness and land cover of one tile in twenty years; it is removed at the end."""
    from ceiba.grids import Period, find_area

    folder = Path(tempfile.mkdtemp(prefix="ceiba-decades-"))
    folder.chmod(0o755)  # the database's own system user must reach it
    settings = {"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": ""}
    land = gallery.AREA_FILE["places"]["land"] | {"rows": {0: ["0-0"]}, "tile_size_m": TILE_M, "years": [YEARS[0], YEARS[-1]]}
    home = folder / "store" / "areas" / gallery.AREA
    home.mkdir(parents=True)
    (home / "area.yml").write_text(yaml.safe_dump(gallery.AREA_FILE | {"places": {"land": land}}, sort_keys=False), "utf-8")
    (home / "catalog.yml").write_text("sources: {}\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        (place,) = find_area(gallery.AREA).places
        for year in YEARS:
            for product in PRODUCTS:
                gallery.write_raster(product, place.whole, Period(year, year), RESOLUTION_M)
    yield settings
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serve_store(settings: dict[str, str], *options: str) -> Iterator[str]:
    """Address of the real server, started as ``ceiba serve`` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ceiba.cli", "serve", "--port", str(port), *options]
    log = Path(settings["CEIBA_STORE"]).with_name(f"server-{port}.log")
    with log.open("wb") as written:
        server = subprocess.Popen(command, env=os.environ | settings, stdout=written, stderr=subprocess.STDOUT)
    try:
        gallery.wait_until_healthy(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
