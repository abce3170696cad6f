"""The whole journey once in Debian's Firefox, by real clicks."""

import io
import sqlite3
import time
from pathlib import Path

import firefox
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(not firefox.FIREFOX.exists(), reason=f"Firefox is not installed ({firefox.FIREFOX} does not exist)")

WISH = "/#region=land&layer=ndvi&years=2016..2020"
WHOLE = "window.react2eo?.ready && document.documentElement.dataset.whole"


def read_votes(store: str) -> list[int]:
    """Reactions in the store, the newest last."""
    (database,) = Path(store).rglob("reactions.sqlite")
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    found = [reaction for (reaction,) in connection.execute("select reaction from votes")]
    connection.close()
    return found


def wait_for_votes(store: str, before: int, expected: list[int], *, patience_s: float = 20) -> None:
    deadline = time.monotonic() + patience_s
    while (found := read_votes(store)[before:]) != expected:
        assert time.monotonic() < deadline, f"{found}, not {expected}"
        time.sleep(0.1)


def wait_for_file(folder: Path, pattern: str, *, patience_s: float = 20) -> Path:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found = [path for path in folder.glob(pattern) if path.stat().st_size and not list(folder.glob("*.part"))]
        if found:
            return found[0]
        time.sleep(0.1)
    pytest.fail(f"no {pattern} was saved; there are {[path.name for path in folder.iterdir()]}")


def test_the_whole_journey_in_firefox(react_url, react_store, tmp_path):
    store = react_store["CEIBA_STORE"]
    before = len(read_votes(store))
    with firefox.open_firefox(tmp_path) as page:
        page.set_viewport(390, 844)
        page.goto(react_url + WISH)
        page.wait_for(WHOLE)
        page.evaluate("(globalThis.years = new Set(), setInterval(() => years.add(react2eo.state.period), 50), 1)")
        page.wait_for("years.size >= 3")

        start = page.evaluate("react2eo.map.getCenter().lng")
        page.drag((200, 250), (140, 220))
        page.wait_for(f"react2eo.map.getCenter().lng > {start}")
        page.click("[data-layer=land_cover]")
        page.wait_for("react2eo.state.layer.name === 'land_cover'")
        page.click("#slider .noUi-handle")
        page.press("\ue014")  # arrow to the right
        page.wait_for("react2eo.state.first === '2017'")
        assert Image.open(io.BytesIO(page.screenshot())).width == 390

        page.click("#make")
        page.wait_for("document.querySelector('#send')")
        page.click("#send")
        film = Image.open(wait_for_file(tmp_path, "*.gif"))
        assert film.format == "GIF" and film.n_frames == 4
        for reaction, expected in (("like", 1), ("dislike", -1)):
            page.click(f"#export [data-reaction={reaction}]")
            wait_for_votes(store, before, [expected])
        page.click("#export .close")
        page.click("#feelings")
        page.wait_for("document.querySelector('#feelings-empty, #feelings-legend')")

        # Without network, from what the service worker kept; a reaction waits and is sent once.
        page.wait_for("navigator.serviceWorker.controller !== null")
        page.wait_for("caches.open('react2eo-kept').then(cache => cache.keys()).then(keys => keys.length >= 4)")
        assert page.errors() == []
        page.set_offline(True)
        page.reload()
        page.wait_for(WHOLE)
        page.click("#play")
        page.evaluate("(globalThis.years = new Set(), setInterval(() => years.add(react2eo.state.period), 50), 1)")
        page.wait_for("years.size >= 4")
        page.wait_for("document.querySelector('#dislike').getAttribute('aria-pressed') === 'true'")
        page.click("#like")
        page.wait_for("document.querySelector('#like').getAttribute('aria-pressed') === 'true'")
        page.wait_for("import('/app/outbox.js').then(box => box.countWaiting()).then(count => count === 1)")
        assert read_votes(store)[before:] == [-1]
        page.set_offline(False)
        page.reload()  # Firefox tells no "online" event of a network that is only emulated
        wait_for_votes(store, before, [1])
        assert [address for address in page.addresses() if not address.startswith((react_url, "data:", "blob:"))] == []
