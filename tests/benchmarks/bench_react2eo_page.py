"""First visit of React-2-EO on an emulated phone, beside a bare Leaflet page and a page of Panel, in the same run."""

import importlib.util
import json
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from playwright.sync_api import sync_playwright
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

TESTS = Path(__file__).resolve().parents[1]
REPEATS = 5
PANEL_REPEATS = 2
"""The slowest page by far, and no bar hangs on it."""
WIDTH_PX, HEIGHT_PX = 390, 844
PHONE = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
CPU_SLOWER = 4
PATIENCE_MS = 120_000
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# Both marks are the app's own: the first whole frame is on the map, and all controls of the first screen answer.
OURS = """() => {
    const marks = ["react2eo-first-frame", "react2eo-usable"].map(name => performance.getEntriesByName(name)[0]?.startTime);
    return marks.every(Boolean) && Math.max(...marks);
}"""
BARE = "() => globalThis.usable_ms"
PANEL = """() => {
    if (!globalThis.usable_ms && globalThis.Bokeh?.documents?.[0]?.is_idle) globalThis.usable_ms = performance.now();
    return globalThis.usable_ms;
}"""
BARE_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="/leaflet/leaflet.css">
<style>html, body, #map {{ height: 100%; margin: 0 }}</style></head><body><div id="map"></div>
<script src="/leaflet/leaflet.js"></script><script>
const map = L.map("map").fitBounds({bounds});
L.tileLayer("{tiles}").on("load", () => {{ globalThis.usable_ms ??= performance.now(); }}).addTo(map);
</script></body></html>"""


@dataclass
class Visit:
    """One first visit.

    Attributes
    ----------
    usable_s
        From the start of the navigation until a picture is shown and the page reacts [s].
    answers_s
        From then until a tap has its effect [s]; not a number where nothing was tapped.
    page_kb, tile_kb
        What came over the wire until then, with headers: all but tiles, and tiles [kB].
    requests
        Requests until then, without tiles.
    largest
        The largest of them by address [kB].
    """

    usable_s: float
    answers_s: float
    page_kb: float
    tile_kb: float
    requests: int
    largest: dict[str, float]


def load(name: str, path: Path):
    """A module of the tests, which are no package."""
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@contextmanager
def serve_bare_page(layer: dict, bounds: list[float], origin: str) -> Iterator[str]:
    """Address of a page of Leaflet and one layer of tiles, without anything else, compressed as ours is."""
    west, south, east, north = bounds
    tiles = origin + layer["tiles"].replace("{period}", layer["periods"][0])
    page = BARE_PAGE.format(bounds=json.dumps([[south, west], [north, east]]), tiles=tiles)
    vendor = TESTS.parent / "lib" / "ceiba" / "react2eo" / "static" / "vendor"
    routes = [Route("/", lambda _request: HTMLResponse(page)), Mount("/leaflet", StaticFiles(directory=vendor / "leaflet"))]
    app = Starlette(routes=routes, middleware=[Middleware(GZipMiddleware)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(timeout=10)


def visit(browser, address: str, usable: str, tap: Callable | None = None) -> Visit:
    """Open a page as a phone that was never there before."""
    context = browser.new_context(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, has_touch=True, is_mobile=True, locale="es-MX")
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": False})
    session.send("Network.emulateNetworkConditions", PHONE)
    session.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWER})
    addresses: dict[str, str] = {}
    done: list[tuple[float, str, float]] = []
    session.on("Network.requestWillBeSent", lambda event: addresses.__setitem__(event["requestId"], event["request"]["url"]))
    session.on(
        "Network.loadingFinished",
        lambda event: done.append((event["timestamp"], addresses.get(event["requestId"], ""), event["encodedDataLength"] / 1000)),
    )
    started = {}
    session.on("Network.requestWillBeSent", lambda event: started.setdefault("s", event["timestamp"]))
    page.goto(address, wait_until="commit")
    usable_s = page.wait_for_function(usable, timeout=PATIENCE_MS, polling=50).json_value() / 1000
    answers_s = tap(page) if tap else float("nan")
    page.wait_for_timeout(500)
    context.close()
    before = [(address, size) for at, address, size in done if at - started["s"] <= usable_s]
    rest = [(address, size) for address, size in before if "/tiles/" not in address]
    largest = sorted(rest, key=lambda each: -each[1])[:8]
    return Visit(
        usable_s=usable_s,
        answers_s=answers_s,
        page_kb=sum(size for _, size in rest),
        tile_kb=sum(size for address, size in before if "/tiles/" in address),
        requests=len(rest),
        largest={address.partition("://")[2].partition("/")[2][-60:] or "/": size for address, size in largest},
    )


def tap_play(page) -> float:
    """Seconds from a tap on the button until the film rests."""
    page.evaluate(
        """() => {
            const button = document.querySelector("#play");
            button.addEventListener("pointerdown", () => { globalThis.tapped = performance.now(); }, { capture: true });
            new MutationObserver(() => { globalThis.reacted ??= performance.now(); }).observe(button, { attributes: true });
        }"""
    )
    page.tap("#play")
    page.wait_for_function("() => globalThis.tapped && globalThis.reacted")
    return page.evaluate("(reacted - tapped) / 1000")


def summarize(visits: list[Visit]) -> dict[str, float]:
    """Medians, and the slowest."""
    figures = {
        "until usable, s (median)": statistics.median(each.usable_s for each in visits),
        "until usable, s (slowest)": max(each.usable_s for each in visits),
        "on the wire before tiles, kB": statistics.median(each.page_kb for each in visits),
        "tiles until then, kB": statistics.median(each.tile_kb for each in visits),
        "requests before tiles": statistics.median(each.requests for each in visits),
    }
    if visits[0].answers_s == visits[0].answers_s:
        figures["a tap has its effect after, s"] = statistics.median(each.answers_s for each in visits)
    return figures


def main() -> dict[str, object]:
    """Visit each page several times, in turns; returns figures by page."""
    load("gallery", TESTS / "gallery.py")
    decades = load("decades", TESTS / "react2eo" / "browser" / "decades.py")
    with decades.make_decades() as settings, decades.serve_store(settings) as origin, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        request = browser.new_context().request
        region = request.get(f"{origin}/api/products").json()["regions"][0]
        layer = region["layers"][0]
        # The server's own first reading is not what is measured.
        request.get(origin + "/dashboards")
        with serve_bare_page(layer, region["bounds"], origin) as bare:
            pages = {
                "React-2-EO": (f"{origin}/", OURS, tap_play),
                "bare Leaflet page": (bare, BARE, None),
                "Panel page": (f"{origin}/dashboards", PANEL, None),
            }
            for address, usable, _ in pages.values():
                visit(browser, address, usable)
            visits = {name: [] for name in pages}
            for number in range(REPEATS):
                for name, (address, usable, tap) in pages.items():
                    if usable != PANEL or number < PANEL_REPEATS:
                        visits[name].append(visit(browser, address, usable, tap))
        browser.close()
    figures: dict[str, object] = {
        "phone": f"{WIDTH_PX} x {HEIGHT_PX}, 1.6 Mbit/s, 150 ms, CPU {CPU_SLOWER}x slower, cold cache, gzip",
        "bars": "150 kB before tiles, usable in 2.0 s",
    }
    figures |= {name: summarize(each) for name, each in visits.items()}
    figures["largest files of React-2-EO, kB"] = visits["React-2-EO"][-1].largest
    for name, each in figures.items():
        print(name, json.dumps(each, indent=1) if isinstance(each, dict) else each)
    return figures


if __name__ == "__main__":
    main()
