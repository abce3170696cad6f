"""A small store with a product of every kind, written directly: what the dashboards and React-2-EO are tested on."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import xarray as xr
import yaml
from odc.geo.xr import xr_coords

AREA = "gallery"
YEARS = (2018, 2019, 2020)
TILE_M = 960
SOUND_S = 3.0
SITES = ("cenote", "milpa")
VOICE_FILE, BAT_FILE, SAW_FILE = "voice.wav", "bats.wav", "saw.wav"
SOURCE = "Datos simulados: Galería, {tile}, {period} | Simulated data: Gallery, {tile}, {period}"
AREA_FILE = {
    "title": {"es": "Galería de pruebas", "en": "Gallery of trials"},
    "catalog": "catalog.yml",
    "simulated": True,
    "places": {
        "land": {
            "title": {"es": "Galería", "en": "Gallery"},
            "stages": ["ard", "mosaics", "classification", "change", "integrity", "dashboards"],
            "crs": "EPSG:6372",
            "origin": [3_000_000, 1_200_000],
            "tile_size_m": TILE_M,
            "rows": {0: ["0-1"]},
            "years": [YEARS[0], YEARS[-1]],
            "settings": {"classification": {"legend": "mexico_31"}},
        },
        "sounds": {
            "title": {"es": "Grabaciones", "en": "Recordings"},
            "stages": ["bioacoustics"],
            "crs": "EPSG:4326",
            "bounds": [-90.0, 20.0, -89.0, 21.0],
            "years": [YEARS[0], YEARS[-1]],
        },
    },
}


def write_gallery(store: Path, *, tile_m: int = TILE_M) -> None:
    """Write the area and its products into a store (``CEIBA_STORE`` must name it)."""
    AREA_FILE["places"]["land"]["tile_size_m"] = tile_m
    recordings = store / "recordings"
    write_recordings(recordings)
    home = store / "areas" / AREA
    home.mkdir(parents=True)
    (home / "area.yml").write_text(yaml.safe_dump(AREA_FILE, sort_keys=False), "utf-8")
    source = {
        "driver": "ceiba.file_sources.RecordingsSource",
        "args": {"urlpath": str(recordings), "table": "recordings.csv"},
    }
    reactions = {"driver": "ceiba.react2eo.reactions.reaction_sources.PublishedReactionsSource"}
    (home / "catalog.yml").write_text(yaml.safe_dump({"sources": {"recordings": source, "published_reactions": reactions}}), "utf-8")

    from ceiba.grids import Period, find_area

    land, sounds = find_area(AREA).places
    span = Period(YEARS[0], YEARS[-1])
    for tile in land.tiles:
        for year in YEARS:
            period = Period(year, year)
            for name, resolution_m in (
                ("ndvi", 10), ("geomedian_10m", 10), ("land_cover", 20), ("integrity", 80)
            ):  # fmt: skip
                write_raster(name, tile, period, resolution_m)
        write_raster("land_change", tile, span, 10)
    for name, table in make_tables().items():
        write_table(name, sounds.whole, span, table)


def write_recordings(folder: Path) -> None:
    """Bat sweeps at 192 kHz, a saw's hum and a "voice" at 22 kHz, with their table."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for name, rate in ((BAT_FILE, 192_000), (SAW_FILE, 22_050), (VOICE_FILE, 22_050)):
        time_s = np.arange(int(SOUND_S * rate)) / rate
        noise = 0.01 * random.standard_normal(time_s.size)
        if name == BAT_FILE:
            phase = 2 * np.pi * (60_000 * (time_s % 0.1) - 2e6 * (time_s % 0.1) ** 2)
            sound = np.where(time_s % 0.1 < 0.008, 0.5 * np.sin(phase), 0)
        else:
            sound = 0.2 * np.sign(np.sin(2 * np.pi * 110 * time_s)) * (time_s > 1)
        soundfile.write(folder / name, sound + noise, rate)
    rows = [
        (BAT_FILE, SITES[0], 20.5, -89.5),
        (SAW_FILE, SITES[1], 20.6, -89.4),
        (VOICE_FILE, SITES[1], 20.6, -89.4),
    ]
    table = pd.DataFrame(rows, columns=["file", "site", "latitude", "longitude"])
    table.to_csv(folder / "recordings.csv", index=False)


def make_tables() -> dict[str, pd.DataFrame]:
    """The three tables of the bioacoustics stage."""
    starts = np.arange(0.1, 2.9, 0.1)
    calls = pd.DataFrame({"path": BAT_FILE, "start_time_s": starts, "end_time_s": starts + 0.008})
    calls = calls.assign(low_freq_hz=40e3, high_freq_hz=60e3, peak_freq_hz=50e3)
    sounds = pd.DataFrame(
        [(SAW_FILE, 1.0, 3.0, "power_tool", 0.9), (VOICE_FILE, 1.0, 3.0, "human", 0.8)],
        columns=["path", "start_time_s", "end_time_s", "sound_class", "probability"],
    )
    nights = pd.DataFrame({"site": SITES, "night": pd.to_datetime(["2019-04-01", "2019-04-02"])})
    nights = nights.assign(recorded_s=[3.0, 6.0], ultrasound_s=[3.0, 0.0])
    nights["bat_passes"] = pd.array([1, None], dtype="Int64")
    nights = nights.assign(power_tool_s=[0.0, 2.0], human_s=[0.0, 2.0])
    return {"bat_calls": calls, "sound_detections": sounds, "site_nights": nights}


def make_bands(definition, geobox, period) -> xr.Dataset:
    """Smooth patterns in the range of each measurement."""
    rows, columns = geobox.shape
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    drift = 0.1 * (period.last_year - YEARS[0])
    bands = {}
    for position, band in enumerate(definition.measurements):
        pattern = 0.5 + 0.4 * np.sin(5 * x + position + 10 * drift) * np.cos(4 * y - position)
        if band.name == "land_cover" or band.name == "second_class":
            values = np.choose((pattern * 5).astype(int).clip(0, 4), [3, 7, 14, 28, 31])
        elif band.name == "change":
            values = 1 + (pattern > 0.7)
        elif np.dtype(band.dtype).kind == "u":
            values = (pattern * 20).astype(int)
        elif definition.name == "geomedian_10m":
            values = pattern * 0.3
        else:
            values = pattern
        if band.dtype.startswith("float"):
            values = np.where(x + y < 0.15, np.nan, values)
        bands[band.name] = (("y", "x"), values.astype(band.dtype))
    return xr.Dataset(bands, coords=xr_coords(geobox, dims=("y", "x")))


def write_raster(name: str, tile, period, resolution_m: float) -> None:
    """Write a raster product as a task would."""
    from ceiba.products import find_definition
    from ceiba.rasters import write_cog

    definition = find_definition(name)
    geobox = tile.geobox(resolution_m)
    data = make_bands(definition, geobox, period)

    def write(folder: Path) -> dict:
        for band in definition.measurements:
            write_cog(
                folder / f"{band.name}.tif", data[band.name], geobox, dtype=band.dtype, nodata=band.nodata,
                categorical=band.units == "class",
            )  # fmt: skip
        return document(
            definition, tile, period, geobox, {band.name: f"{band.name}.tif" for band in definition.measurements}
        )

    save(definition, tile, period, write)


def write_table(name: str, tile, period, table: pd.DataFrame) -> None:
    """Write a table product as a task would."""
    from ceiba.products import find_definition

    definition = find_definition(name)
    (file,) = definition.assets.values()

    def write(folder: Path) -> dict:
        table.to_parquet(folder / file, index=False)
        return document(definition, tile, period, tile.geobox(1.0), {}, {Path(file).stem: file})

    save(definition, tile, period, write)


def document(definition, tile, period, geobox, measurements: dict, accessories: dict | None = None) -> dict:
    from ceiba.products import eo3_document, period_times

    return eo3_document(
        dataset_id=dataset_id(definition, tile, period),
        definition=definition,
        region_code=tile.region_code,
        period=period_times(period),
        geobox=geobox,
        measurements=measurements,
        accessories=accessories or {},
        lineage={},
        properties={
            "ceiba:area": AREA,
            "ceiba:tile": tile.name,
            "ceiba:period": str(period),
            "ceiba:simulated": True,
            "ceiba:settings": {"legend": "mexico_31"} if definition.stage == "classification" else {},
            "ceiba:source": SOURCE.format(tile=tile.name, period=period),
            "ceiba:notes": {},
        },
    )


def dataset_id(definition, tile, period):
    from ceiba.products import product_id

    return product_id(definition, tile, period, parameters={}, inputs={}, files={}, settings={})


def save(definition, tile, period, write) -> None:
    from ceiba import store

    folder = f"products/{definition.name}/{definition.version}/{tile.region_code}/{period}"
    store.save_dataset(dataset_id(definition, tile, period), folder, write)


@pytest.fixture(scope="session")
def gallery_environment() -> Iterator[dict[str, str]]:
    """Settings of a store that holds the gallery."""
    folder = Path(tempfile.mkdtemp(prefix="ceiba-gallery-"))
    folder.chmod(0o755)  # the database's own system user must reach it
    settings = {"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": ""}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        write_gallery(folder / "store")
    yield settings
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def gallery(gallery_environment, monkeypatch) -> Path:
    """The gallery's store, set in the environment."""
    for name, value in gallery_environment.items():
        monkeypatch.setenv(name, value)
    return Path(gallery_environment["CEIBA_STORE"])


@pytest.fixture(scope="session")
def server_url(gallery_environment) -> Iterator[str]:
    """Address of the real server, started as ``ceiba serve`` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ceiba.cli", "serve", "--port", str(port)]
    log = Path(gallery_environment["CEIBA_STORE"]).with_name("server.log")
    # Into a file: a pipe that nobody empties is full after 64 KiB, and the server would wait for ever.
    with log.open("wb") as written:
        server = subprocess.Popen(
            command, env=os.environ | gallery_environment, stdout=written, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(server, f"{address}/health", log)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_healthy(server: subprocess.Popen, address: str, log: Path, *, patience_s: float = 180) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"the server ended with code {server.returncode}: {log.read_text('utf-8')}")
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the server did not answer within {patience_s:.0f} s")
