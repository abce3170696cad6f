"""Tiles a second: this server, titiler and datacube-ows side by side on the same files, and the layout of our own products.

A file of 4096 x 4096 pixels with 4 bands of 16 bits (a COG of about 100 MB), one process a server (datacube-ows: two), four clients on
one connection each, on loopback. Nothing keeps tiles, so every one is read and drawn. Each of many short rounds measures all servers one
after the other; ratios are those of the tiles of all rounds together. The absolute figures are the best of the rounds: other work on the
machine only ever lowers them. CPU time a tile hardly depends on that.

datacube-ows runs where PostgreSQL with PostGIS is installed (Debian: postgresql-15-postgis-3), else its rows are left out and say so.
"""

import importlib.util
import io
import json
import os
import pwd
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import morecantile
import numpy as np
import psutil
import rasterio
import rasterio.shutil
import yaml
from PIL import Image
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

SIDE_PX = 4096
CLIENTS = 4
ROUNDS = int(os.environ.get("CEIBA_TILE_ROUNDS", "8"))
SECONDS = float(os.environ.get("CEIBA_TILE_SECONDS", "2"))
WARM_S = 3.0
ZOOM = 13
CRS, LEFT, TOP, PIXEL_M = "EPSG:32635", 500_000, 5_000_000, 10
BANDS = ("blue", "green", "red", "nir")
YEAR = 2020
PLACES = ("packed", "apart")
GRID = morecantile.tms.get("WebMercatorQuad")
CLIENT = Path(__file__).with_name("tile_client.py")
OWS_SCRIPT = Path(__file__).resolve().parents[2] / "environments" / "datacube-ows" / "write_configuration.py"
TITILER = """
from fastapi import FastAPI
from titiler.core.factory import TilerFactory
app = FastAPI()
app.include_router(TilerFactory().router)
"""


@dataclass(frozen=True)
class Server:
    """A server that runs: its port, and its process, whose children belong to it."""

    port: int
    process: int

    @property
    def cpu_s(self) -> float:
        """CPU time that it took so far [s]."""
        parent = psutil.Process(self.process)
        times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
        return sum(each.user + each.system for each in times)


OURS_RGB, OURS_NDVI = "this server, RGB JPEG", "this server, NDVI in colors PNG"


def main() -> dict[str, object]:
    """Everything; about five minutes."""
    with tempfile.TemporaryDirectory(prefix="ceiba-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # the database's own user must reach it
        address = stack.enter_context(postgresql(folder / "postgresql"))
        stack.enter_context(environment({"CEIBA_STORE": str(folder / "store"), "CEIBA_LOCAL": "", "CEIBA_DB_URL": address}))
        files = write_store(folder / "store")
        ours = stack.enter_context(our_server())
        titiler = stack.enter_context(titiler_server(folder))
        ows = stack.enter_context(ows_server(folder, address)) if address else None
        wanted = plan_requests(ours, titiler, ows, files)
        pictures = {label: fetch(server, paths[0]) for label, (server, paths) in wanted.items()}
        check_pictures(pictures)
        for server, paths in wanted.values():
            measure(server, paths, seconds=WARM_S)
        load = os.getloadavg()[0]
        rounds = [{label: measure(server, paths) for label, (server, paths) in wanted.items()} for _ in range(ROUNDS)]
        return describe(rounds, files, ows) | {"other work on the machine at the start (load)": load}


def describe(rounds: list[Mapping[str, Mapping[str, float]]], files: Mapping[str, Path], ows: Server | None) -> dict[str, object]:
    """The table: best rounds, and ratios of all rounds."""
    best = {label: max(each[label]["rate"] for each in rounds) for label in rounds[0]}
    slowest = {label: min(each[label]["p95_ms"] for each in rounds) for label in rounds[0]}

    def ratio(ours: str, others: str) -> float:
        return sum(each[ours]["rate"] for each in rounds) / sum(each[others]["rate"] for each in rounds)

    cpu = {label: statistics.median(each[label]["cpu_ms"] for each in rounds) for label in rounds[0]}
    ratios: dict[str, object] = {
        "titiler, RGB JPEG (asked: at least 2.5)": ratio(OURS_RGB, "titiler, RGB JPEG"),
        "titiler, NDVI (asked: at least 2.5)": ratio(OURS_NDVI, "titiler, NDVI in colors PNG"),
    }
    if ows:
        ratios["datacube-ows, RGB PNG (asked: at least 4.5)"] = ratio("this server, RGB PNG", "datacube-ows, RGB PNG")
        ratios["datacube-ows, NDVI (asked: at least 4.5)"] = ratio(OURS_NDVI, "datacube-ows, NDVI in colors PNG")
    else:
        ratios["datacube-ows"] = "not measured: PostgreSQL with PostGIS is not installed"
    return {
        "file of four bands [MB]": files["packed"].stat().st_size / 1e6,
        "clients, processes of this server": f"{CLIENTS}, 1",
        f"tiles a second, best of {len(rounds)} rounds": best,
        "95 % of tiles within [ms], best round": slowest,
        "CPU of the server a tile [ms], median": cpu,
        "size of a tile [kB]": {label: rounds[0][label]["kB"] for label in rounds[0]},
        "asked [tiles a second]": "RGB at least 110, NDVI at least 90, aim 150",
        "times as fast, all rounds together": ratios,
    }


# ---- files ----


def write_store(store: Path) -> dict[str, Path]:
    """Two areas of one tile: bands in one file of 16 bits, and bands apart as our products have them; NDVI of both."""
    from ceiba.grids import Period, find_area
    from ceiba.products import find_definition

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import gallery

    bands = make_bands()
    side_m = SIDE_PX * PIXEL_M
    for place in PLACES:
        home = store / "areas" / f"bench_{place}"
        home.mkdir(parents=True)
        entry = {
            "title": {"es": place, "en": place}, "catalog": "catalog.yml", "simulated": True,
            "places": {place: {
                "title": {"es": place, "en": place}, "stages": ["mosaics"], "crs": CRS,
                "bounds": [LEFT, TOP - side_m, LEFT + side_m, TOP], "years": [YEAR, YEAR],
            }},
        }  # fmt: skip
        (home / "area.yml").write_text(yaml.safe_dump(entry), "utf-8")
        (home / "catalog.yml").write_text("sources: {}\n", "utf-8")
    files: dict[str, Path] = {}
    for place in PLACES:
        (tile,) = find_area(f"bench_{place}").place("mosaics").tiles
        geobox, period = tile.geobox(PIXEL_M), Period(YEAR, YEAR)
        mosaic, ndvi = find_definition("geomedian_10m"), find_definition("ndvi")

        def write_mosaic(folder: Path, *, place=place, tile=tile, geobox=geobox, mosaic=mosaic, period=period) -> dict:
            if place == "packed":
                write_cog(folder / "bands.tif", bands, "uint16", 0, "deflate")
                files_of = {band.name: "bands.tif" for band in mosaic.measurements}
            else:
                for name, values in zip(BANDS, bands, strict=True):
                    write_cog(folder / f"{name}.tif", values[np.newaxis] / np.float32(10_000), "float32", np.nan, "zstd")
                files_of = {band.name: f"{band.name}.tif" if band.name in BANDS else "blue.tif" for band in mosaic.measurements}
            document = gallery.document(mosaic, tile, period, geobox, files_of)
            if place == "packed":
                for number, name in enumerate(BANDS, start=1):
                    document["measurements"][name]["band"] = number
            return document

        def write_ndvi(folder: Path, *, tile=tile, geobox=geobox, ndvi=ndvi, period=period) -> dict:
            red, nir = bands[2].astype("float32"), bands[3].astype("float32")
            write_cog(folder / "ndvi.tif", ((nir - red) / (nir + red))[np.newaxis], "float32", np.nan, "zstd")
            return gallery.document(ndvi, tile, period, geobox, {band.name: "ndvi.tif" for band in ndvi.measurements})

        gallery.save(mosaic, tile, period, write_mosaic)
        if place == "packed":
            gallery.save(ndvi, tile, period, write_ndvi)
    files["packed"] = next(store.rglob("bands.tif"))
    files["ndvi"] = next(store.rglob("ndvi.tif"))
    return files


def make_bands() -> np.ndarray:
    """Reflectance [1e-4] of a made-up land, uint16, dims ``(band, y, x)``: patches of all sizes with some noise, as clear scenes have."""
    random_numbers = np.random.default_rng(1)

    def patches(size_px: int) -> np.ndarray:
        coarse = random_numbers.standard_normal((SIDE_PX // size_px + 2,) * 2, dtype=np.float32)
        return cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)

    land = 0.5 * patches(64) + 0.3 * patches(16) + 0.15 * patches(4)
    bands = []
    for mean, spread, sign in ((600, 150, 1), (800, 200, 1), (900, 300, 1), (3000, 700, -1)):
        noise = 0.02 * random_numbers.standard_normal((SIDE_PX, SIDE_PX), dtype=np.float32)
        bands.append(np.clip(mean + spread * (sign * land + 0.2 * patches(8) + noise), 1, 10_000).astype(np.uint16))
    return np.stack(bands)


def write_cog(path: Path, bands: np.ndarray, dtype: str, nodata: float, compress: str) -> None:
    """A COG with the blocks and overviews that our products have."""
    profile = {
        "driver": "GTiff", "width": SIDE_PX, "height": SIDE_PX, "count": len(bands), "dtype": dtype, "nodata": nodata, "crs": CRS,
        "transform": from_origin(LEFT, TOP, PIXEL_M, PIXEL_M), "tiled": True, "blockxsize": 512, "blockysize": 512,
    }  # fmt: skip
    plain = path.with_suffix(".plain.tif")
    with rasterio.open(plain, "w", **profile) as file:
        file.write(bands.astype(dtype))
    rasterio.shutil.copy(
        plain, path, driver="COG", compress=compress, predictor="yes", blocksize=512, overview_resampling="average", num_threads="2"
    )
    plain.unlink()


# ---- servers ----


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Variables set for a while."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Address of a PostgreSQL with PostGIS, or "" where it is not installed."""
    programs = next((path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    extension = next(Path("/usr/share/postgresql").glob("*/extension/postgis.control"), None)
    if not programs or not extension:
        yield ""
        return
    folder.mkdir()
    user = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    port = free_port()
    data, quiet = folder / "data", {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([*user, programs / "initdb", "-D", data, "-A", "trust", "-U", "ceiba", "-E", "UTF8"], **quiet, cwd=folder)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    start = [*user, programs / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log"]
    subprocess.run([*start, "start"], **quiet, cwd=folder)
    try:
        subprocess.run([*user, programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "ceiba", "cube"], **quiet, cwd=folder)
        yield f"postgresql://ceiba@127.0.0.1:{port}/cube"
    finally:
        subprocess.run([*user, programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet, cwd=folder)


@contextmanager
def our_server() -> Iterator[Server]:
    """This server, one process, as ``ceiba serve`` starts it, with room for more requests than one network may send."""
    port = free_port()
    command = [sys.executable, "-m", "ceiba.cli", "serve", "--no-dashboards", "--port", str(port)]
    with running(command, {"CEIBA_LIMITS": "tiles=999999999"}) as process:
        wait_for(port, "/health")
        yield Server(port, process.pid)


@contextmanager
def titiler_server(folder: Path) -> Iterator[Server]:
    """titiler, one process."""
    (folder / "bench_titiler.py").write_text(TITILER, "utf-8")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench_titiler:app", "--port", str(port), "--log-level", "warning"]
    with running(command, {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}) as process:
        wait_for(port, "/docs")
        yield Server(port, process.pid)


@contextmanager
def ows_server(folder: Path, address: str) -> Iterator[Server]:
    """datacube-ows with the configuration that Ceiba writes for it, two processes."""
    configuration = folder / "ows.json"
    port = free_port()
    specification = importlib.util.spec_from_file_location("write_configuration", OWS_SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    script.main(["--url", f"http://127.0.0.1:{port}", str(configuration)])
    settings = {
        "DATACUBE_OWS_CFG": str(configuration), "ODC_DEFAULT_DB_URL": address.replace("postgresql://", "postgresql+psycopg2://"),
        "ODC_DEFAULT_INDEX_DRIVER": "postgres",
    }  # fmt: skip
    update = Path(sys.executable).with_name("datacube-ows-update")
    for arguments in (["--schema"], []):
        done = subprocess.run([update, *arguments], env=os.environ | settings, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"datacube-ows-update {arguments} ended with {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
    if importlib.util.find_spec("gunicorn"):
        command = [sys.executable, "-m", "gunicorn", "--workers", "2", "-b", f"127.0.0.1:{port}", "datacube_ows.wsgi"]
    else:
        command = [sys.executable, "-m", "uvicorn", "--interface", "wsgi", "--workers", "2", "--port", str(port),
                   "--log-level", "error", "datacube_ows.wsgi:application"]  # fmt: skip
    with running(command, settings) as process:
        wait_for(port, "/ping")
        yield Server(port, process.pid)


@contextmanager
def running(command: list[str], settings: Mapping[str, str]) -> Iterator[subprocess.Popen]:
    """A server that is ended afterwards."""
    # What a server warns of with each tile would slow it down on a terminal.
    server = subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]


def wait_for(port: int, path: str, *, patience_s: float = 180) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30).close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


# ---- requests ----


def plan_requests(
    ours: Server, titiler: Server, ows: Server | None, files: Mapping[str, Path]
) -> dict[str, tuple[Server, list[str]]]:
    """Server and paths of every row, the same tiles in the same order for all."""
    layers = {
        (region["name"], layer["name"]): layer
        for region in json.load(urllib.request.urlopen(f"http://127.0.0.1:{ours.port}/api/products", timeout=120))["regions"]
        for layer in region["layers"]
    }
    from ceiba.react2eo.layers import take_snapshot
    from ceiba.react2eo.maps import rendering

    limits = rendering.layer_limits(take_snapshot().find_layer("packed", "natural_color"))
    tiles = choose_tiles()
    quoted = {name: urllib.request.quote(str(path), safe="") for name, path in files.items()}

    def our_paths(region: str, layer: str, ending: str) -> list[str]:
        version = layers[region, layer]["version"]
        return [f"/tiles/{region}/{layer}/{YEAR}/{t.z}/{t.x}/{t.y}.{ending}?v={version}" for t in tiles]

    def titiler_paths(name: str, ending: str, query: str) -> list[str]:
        start = "/tiles/WebMercatorQuad"
        return [f"{start}/{t.z}/{t.x}/{t.y}.{ending}?url={quoted[name]}&{query}" for t in tiles]

    def ows_paths(layer: str) -> list[str]:
        paths = []
        for tile in tiles:
            box = ",".join(map(str, GRID.xy_bounds(tile)))
            paths.append(
                f"/?service=WMS&version=1.3.0&request=GetMap&layers={layer}&styles=&crs=EPSG:3857&bbox={box}&width=256&height=256"
                f"&format=image/png&transparent=true&time={YEAR}-01-01"
            )
        return paths

    rgb = "&".join(["bidx=3&bidx=2&bidx=1", *(f"rescale={low:.0f},{high:.0f}" for low, high in limits)])
    wanted = {
        OURS_RGB: (ours, our_paths("packed", "natural_color", "jpg")),
        "this server, RGB WebP": (ours, our_paths("packed", "natural_color", "webp")),
        "this server, RGB PNG": (ours, our_paths("packed", "natural_color", "png")),
        OURS_NDVI: (ours, our_paths("packed", "ndvi", "png")),
        "this server, RGB JPEG of three float files": (ours, our_paths("apart", "natural_color", "jpg")),
        "this server, RGB WebP of three float files": (ours, our_paths("apart", "natural_color", "webp")),
        "titiler, RGB JPEG": (titiler, titiler_paths("packed", "jpg", rgb)),
        "titiler, NDVI in colors PNG": (titiler, titiler_paths("ndvi", "png", "rescale=-0.2,1&colormap_name=ylgn")),
    }
    if ows:
        wanted["datacube-ows, RGB PNG"] = (ows, ows_paths("natural_color"))
        wanted["datacube-ows, NDVI in colors PNG"] = (ows, ows_paths("ndvi"))
    return wanted


def choose_tiles() -> list[morecantile.Tile]:
    """All tiles that lie within the file, in random order."""
    side_m = SIDE_PX * PIXEL_M
    bounds = transform_bounds(CRS, "EPSG:4326", LEFT, TOP - side_m, LEFT + side_m, TOP)
    west, south, east, north = transform_bounds(CRS, "EPSG:3857", LEFT, TOP - side_m, LEFT + side_m, TOP)
    tiles = [
        tile
        for tile in GRID.tiles(*bounds, ZOOM)
        if (box := GRID.xy_bounds(tile)).left > west and box.right < east and box.bottom > south and box.top < north
    ]
    random.Random(1).shuffle(tiles)
    return tiles


def fetch(server: Server, path: str) -> bytes:
    """One tile."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=120) as answer:
        return answer.read()


def check_pictures(pictures: Mapping[str, bytes]) -> None:
    """Raise ``ValueError`` where a server gave another place or nothing: an empty tile is quickly drawn."""
    folder = os.environ.get("CEIBA_TILE_PICTURES", "")
    shown = {label: np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(float) for label, content in pictures.items()}
    for label, picture in shown.items():
        if folder:
            Image.fromarray(picture.astype(np.uint8)).save(Path(folder) / f"{label}.png")
        same = shown[OURS_NDVI if "NDVI" in label else OURS_RGB]
        likeness = np.corrcoef(picture[..., :3].mean(axis=2).ravel(), same[..., :3].mean(axis=2).ravel())[0, 1]
        if picture[..., 3].min() < 255 or not likeness > 0.9:
            raise ValueError(f"{label}: {np.mean(picture[..., 3] < 255):.0%} is empty, likeness to ours is {likeness:.2f}")


def measure(server: Server, paths: list[str], *, seconds: float = SECONDS) -> dict[str, float]:
    """Tiles a second of all clients together."""
    start, cpu_s = time.time() + 0.5, server.cpu_s
    clients = []
    for number in range(CLIENTS):
        turn = number * len(paths) // CLIENTS
        client = subprocess.Popen([sys.executable, "-S", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        json.dump({"port": server.port, "start": start, "seconds": seconds, "paths": paths[turn:] + paths[:turn]}, client.stdin)
        client.stdin.close()
        clients.append(client)
    told = [json.loads(client.stdout.read()) for client in clients]
    for client in clients:
        client.wait()
    wrong = [each for one in told for each in one["wrong"]]
    if wrong:
        raise RuntimeError(f"not a tile: {wrong[0]}")
    took = [each for one in told for each in one["took"]]
    # The last answer of each client came a little after the end.
    rate = sum(len(one["took"]) / (seconds + max(one["over_s"], 0)) for one in told)
    return {
        "rate": rate,
        "p95_ms": 1000 * float(np.percentile(took, 95)),
        "cpu_ms": 1000 * (server.cpu_s - cpu_s) / len(took),
        "kB": sum(one["bytes"] for one in told) / len(took) / 1000,
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
