"""The dashboard in a real browser, from the real server: it draws, is quiet, stays on this machine and fits the screen."""

import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"
]  # fmt: skip
WIDTHS = (390, 1280)
PATIENCE_MS = 120_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"Chromium is not installed ({CHROMIUM} does not exist)"),
]


@dataclass
class Watched:
    """A page with what went wrong on it."""

    page: object
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def verify(self) -> None:
        """No console error, no request to another host, nothing not found, no horizontal scroll."""
        assert self.errors == []
        assert self.outside == []
        assert self.failed == []
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{wide} px wider than the screen"
        main = self.page.evaluate(
            "(() => { const e = document.querySelector('#main'); return e ? e.scrollWidth - e.clientWidth : 0 })()"
        )
        assert main <= 0, f"the page scrolls sideways by {main} px"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser, server_url):
    """A function that opens a dashboard at a width and waits for the first map."""
    pages = []

    def visit(width: int, path: str = "/dashboards") -> Watched:
        page = browser.new_page(viewport={"width": width, "height": 1400}, has_touch=width < 600)
        pages.append(page)
        watched = Watched(page)
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: watched.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("request", lambda request: note_outside(watched, request.url, server_url))
        page.on("websocket", lambda socket: note_outside(watched, socket.url, server_url))
        page.on(
            "response",
            lambda answer: watched.failed.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
        )
        page.goto(f"{server_url}{path}")
        wait_for_drawing(page)
        return watched

    yield visit
    for page in pages:
        page.close()


def note_outside(watched: Watched, address: str, own: str) -> None:
    host = own.partition("://")[2]
    if not address.startswith((own, f"ws://{host}", "data:", "blob:")):
        watched.outside.append(address)


def wait_for_drawing(page, *, at_least: int = 1) -> None:
    """Wait until so many figures are drawn: their canvases are there and not of one colour."""
    page.wait_for_function(
        "count => [...document.querySelectorAll('*')].length && window.Bokeh && Bokeh.documents.length"
        " && Bokeh.documents[0].is_idle && true",
        arg=at_least,
    )
    deadline = PATIENCE_MS
    while deadline > 0:
        if sum(drawn_colors(canvas) > 8 for canvas in page.locator("canvas").all() if canvas.is_visible()) >= at_least:
            return
        page.wait_for_timeout(500)
        deadline -= 500
    pytest.fail(f"fewer than {at_least} figures drawn")


def drawn_colors(canvas) -> int:
    """Number of colours on a canvas, as seen on the screen."""
    try:
        picture = Image.open(io.BytesIO(canvas.screenshot(timeout=5_000))).convert("RGB")
    except playwright.Error:  # replaced by a newer figure while it was looked at
        return 0
    return len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0))


def click_until(page, canvas, *, across: float, down: float, changed: Callable[[], bool]) -> None:
    """Click a point of a figure, given as shares of its width and height, again and again until what depends on it has changed.

    On a busy machine the first click may come before the server follows the figure.
    """
    deadline = PATIENCE_MS
    while deadline > 0:
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        page.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
        for _ in range(10):
            page.wait_for_timeout(500)
            if changed():
                return
        deadline -= 5_000
    pytest.fail(f"nothing changed after clicks at {across:.0%}, {down:.0%} of the figure")


def wait_for_other_picture(page, canvas, before: bytes) -> bytes:
    """Wait until a figure looks otherwise than ``before``; what it looks like then."""
    deadline = PATIENCE_MS
    while deadline > 0:
        page.wait_for_timeout(500)
        after = canvas.screenshot()
        if after != before:
            return after
        deadline -= 500
    pytest.fail("the figure stays as it was")


def choose(page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).select_option(label=option)


@pytest.mark.parametrize("width", WIDTHS)
def test_map_is_drawn(open_page, width):
    watched = open_page(width)
    source = watched.page.get_by_text("Datos simulados: Galería")
    source.wait_for()
    assert source.is_visible(), "the source of the data stands below the map"
    assert watched.page.locator("meta[name=viewport]").count() == 1
    watched.verify()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_view_in_both_languages(open_page, width):
    watched = open_page(width)
    page = watched.page
    page.get_by_text("English", exact=True).click()
    page.get_by_text("Integrity", exact=True).click()
    page.get_by_text("Expected integrity, from 0").wait_for()
    wait_for_drawing(page, at_least=3)
    assert page.get_by_text("Simulated data: Gallery").count() >= 1
    watched.verify()
    page.get_by_text("Sounds", exact=True).click()
    page.get_by_text("Ultrasound, ten times slower").wait_for()
    wait_for_drawing(page, at_least=3)
    assert page.locator("audio").count() == 1
    options = page.get_by_label("Recording (detections)").locator("option").all_inner_texts()
    assert any("bats.wav" in each for each in options)
    assert not any("voice.wav" in each for each in options), "a recording with a human voice is never offered"
    watched.verify()
    page.get_by_text("Español", exact=True).click()
    page.get_by_text("Ultrasonido, diez veces").wait_for()
    watched.verify()


def test_land_cover_has_a_legend_in_words(open_page):
    watched = open_page(390)
    choose(watched.page, "Producto", "Cobertura del suelo")
    watched.page.locator(".legend li").first.wait_for()
    wait_for_drawing(watched.page)
    words = watched.page.locator(".legend").inner_text()
    assert "Agua" in words and "%" in words
    watched.verify()


def test_year_slider_and_click_change_what_is_shown(open_page):
    watched = open_page(1280)
    page = watched.page
    page.get_by_text("Datos simulados").wait_for()
    wait_for_drawing(page, at_least=2)
    map_canvas = page.locator("canvas").first
    before = map_canvas.screenshot()
    handle = page.locator(".noUi-handle").first
    handle.focus()
    page.keyboard.press("Home")
    page.get_by_text("2018", exact=True).first.wait_for()
    wait_for_other_picture(page, map_canvas, before)
    page.wait_for_timeout(3000)  # until whatever else is drawn anew for the year stands
    after = map_canvas.screenshot()
    assert map_canvas.bounding_box()["height"] > 200, "the map keeps its height"
    # The ring moves to the point that was clicked.
    click_until(page, map_canvas, across=0.25, down=0.75, changed=lambda: map_canvas.screenshot() != after)
    watched.verify()


# ---- reactions ----


@pytest.mark.parametrize("width", WIDTHS)
def test_reactions_are_drawn(open_page, served_reactions, width):
    watched = open_page(width, "/dashboards/reactions?region=land&layer=ndvi")
    page = watched.page
    page.get_by_text("Mapa de las reacciones publicadas").wait_for()
    wait_for_drawing(page, at_least=4)
    assert page.locator("meta[name=viewport]").count() == 1
    assert page.get_by_text("Datos simulados: Galería").count() >= 1
    assert page.locator("table.figures tbody tr").count() >= 3
    watched.verify()


def test_reactions_follow_choices_and_lead_to_the_app_and_back(open_page, served_reactions, server_url):
    watched = open_page(390, "/dashboards/reactions?region=land&layer=ndvi")
    page = watched.page
    with page.expect_download() as download:
        page.get_by_text("Descargar CSV").click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert lines[0].startswith("region,layer,cell,term,likes,dislikes,devices,share")
    assert all(line.startswith("land,ndvi,8") for line in lines[1:]) and len(lines) > 3
    hexagons = page.locator("canvas").first
    before = page.get_by_text("En esta celda gusta").inner_text()
    shown = page.get_by_text(before, exact=True)
    click_until(page, hexagons, across=0.8, down=0.3, changed=lambda: shown.count() == 0)
    page.get_by_text("English", exact=True).click()
    page.get_by_text("Map of the published reactions").wait_for()
    choose(page, "Product", "Land cover")
    page.get_by_text("Trend · Land cover").wait_for()
    page.get_by_text("Español", exact=True).click()
    page.get_by_text("Evolución · Cobertura del suelo").wait_for()
    choose(page, "Producto", "Verdor (NDVI)")
    page.get_by_text("Evolución · Verdor (NDVI)").wait_for()
    watched.verify()
    address = page.get_by_text("Abrir la app").get_attribute("href")
    assert address == "/?region=land&layer=ndvi&language=es"
    page.goto(f"{server_url}{address}")
    back = page.locator("#analysts")
    back.wait_for(state="attached")
    page.wait_for_function("() => !document.querySelector('#analysts').hidden")
    page.wait_for_function("() => document.querySelector('#analysts').href.includes('region=land&layer=ndvi')")
    back.evaluate("link => link.click()")
    page.get_by_text("Mapas y productos").click()
    page.get_by_text("Reacciones de la gente").wait_for()
    watched.verify()
