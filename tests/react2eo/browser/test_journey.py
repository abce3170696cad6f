"""The whole journey on a phone: open, move, choose, GIF, like, everybody's reactions; again without network, and as an app of iOS."""

import re
import sqlite3
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from page_checks import check_state, read_picture
from PIL import Image
from watched_pages import wait_for_worker, wait_until

FIRST, LAST = "2016", "2020"
WISH = f"/#region=land&layer=ndvi&years={FIRST}..{LAST}"
SENT = "async () => (await (await import('/app/outbox.js')).countWaiting()) === 0"
WAITING = SENT.replace("=== 0", "=== 1")
INNER_PART = """() => {
    const { map, state } = react2eo;
    const [west, south, east, north] = state.layer.bounds;
    const [a, b] = [map.latLngToContainerPoint([north, west]), map.latLngToContainerPoint([south, east])];
    const [width, height] = [b.x - a.x, b.y - a.y];
    return { x: a.x + 0.4 * width, y: a.y + 0.3 * height, width: 0.3 * width, height: 0.2 * height };
}"""
STANDALONE = """
Object.defineProperty(navigator, "standalone", { value: true });
globalThis.shared = [];
navigator.canShare = ({ files }) => files.every(file => file instanceof File);
navigator.share = async ({ files, title }) => {
    shared.push({ name: files[0].name, type: files[0].type, bytes: files[0].size, title, active: navigator.userActivation.isActive,
        start: String.fromCharCode(...new Uint8Array(await files[0].slice(0, 6).arrayBuffer())) });
};
"""


@pytest.fixture
def votes(react_store):
    """A function that counts the votes in the store, by their reaction (1 or -1)."""
    (database,) = Path(react_store["CEIBA_STORE"]).rglob("reactions.sqlite")

    def count() -> Counter:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            found = Counter(reaction for (reaction,) in connection.execute("select reaction from votes"))
        connection.close()
        return found

    return count


@pytest.fixture
def publish(react_store, monkeypatch):
    """A function that publishes what waits, as the server does each hour."""

    def run() -> None:
        from ceiba.react2eo.reactions import publication
        from ceiba.react2eo.reactions.reaction_store import open_database
        from ceiba.react2eo.settings import Settings

        for name, value in react_store.items():
            monkeypatch.setenv(name, value)
        engine = open_database(Settings.from_environment().reactions_url)
        publication.publish(engine, roll_up=True)
        engine.dispose()

    return run


def wait_until_whole(page) -> None:
    """Wait until a frame is on the map and everything else is loaded too."""
    page.wait_for_function("() => window.react2eo?.ready && document.documentElement.dataset.whole")


def see_years(page, count: int, *, patience_s: float = 30) -> list[str]:
    """Years that are shown one after the other, until so many different ones were."""
    return wait_until(
        page,
        """count => {
            globalThis.years ??= new Set();
            years.add(react2eo.state.period);
            return years.size >= count ? [...years] : null;
        }""",
        count,
        patience_s=patience_s,
    )


def press_and_count(page, selector: str, votes, expected: Counter) -> None:
    """Press a button and wait until the store holds what is expected, and nothing waits on the device."""
    page.locator(selector).click()
    deadline = time.monotonic() + 15
    while (found := votes()) != expected:
        assert time.monotonic() < deadline, f"{selector}: {found}, not {expected}"
        page.wait_for_timeout(50)
    wait_until(page, SENT)


def test_the_whole_journey(open_profile, votes, publish, axe):
    profile = open_profile()
    page = profile.open("/")
    wait_until_whole(page)
    before = votes()
    see_years(page, 2)

    # Move the map: it shows a frame again, and the address tells where.
    start = page.evaluate("react2eo.map.getCenter()")
    page.mouse.move(200, 250)
    page.mouse.down()
    page.mouse.move(150, 210, steps=4)
    page.mouse.up()
    page.wait_for_function("start => react2eo.map.getCenter().lng > start.lng + 1e-4", arg=start)
    page.wait_for_function("() => location.hash.includes('at=')")

    # Choose a product and the years.
    page.locator("[data-layer=land_cover]").click()
    page.wait_for_function("() => react2eo.state.layer.name === 'land_cover'")
    low, high = page.get_by_role("slider").nth(0), page.get_by_role("slider").nth(1)
    low.focus()
    page.keyboard.press("End")
    low.press("ArrowLeft")
    page.wait_for_function("() => react2eo.state.first !== '2001'")
    page.evaluate("() => document.activeElement.blur()")
    handle, track = low.bounding_box(), page.locator("#slider").bounding_box()
    page.mouse.move(handle["x"] + 22, handle["y"] + 22)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.79, handle["y"] + 22, steps=4)
    page.mouse.up()
    page.wait_for_function("() => react2eo.state.first === '2016'")
    assert high.get_attribute("aria-valuetext").startswith("2020")

    # The film of what is on the screen.
    page.locator("#make").click()
    page.locator("#preview img").wait_for()
    with page.expect_download() as saved:
        page.locator("#send").click()
    assert saved.value.suggested_filename == "react2eo_land_land_cover_2016-2020.gif"
    film = Image.open(saved.value.path())
    assert film.format == "GIF" and film.n_frames == 5 and film.width == 640

    # Like, change, remove, like again.
    for reaction, own in (("like", [1]), ("dislike", [-1]), ("dislike", []), ("like", [1])):
        press_and_count(page, f"#export [data-reaction={reaction}]", votes, before + Counter(own))
        assert page.locator("#export [data-reaction][aria-pressed=true]").count() == len(own)
    page.keyboard.press("Escape")

    # Everybody's reactions: a map where enough devices reacted.
    view = page.evaluate("react2eo.view()")
    for number in range(6):
        body = {"id": str(uuid.uuid4()), "device": f"{number:032d}", "view": view, "reaction": "dislike" if number == 5 else "like"}
        assert page.request.post("/api/reactions", data=body).ok
    publish()
    page.locator("#feelings").click()
    page.locator("#feelings-legend").wait_for()
    page.locator("#feelings-box summary").click()
    page.locator("#feelings-list button").first.click()
    devices = int(re.search(r"según (\d+) dispositivos", page.locator("#feelings-detail").inner_text()).group(1))
    assert devices >= 7
    assert page.locator("path.cell").count() == 1
    faults: dict[str, list[str]] = {}
    check_state(page, axe, "reactions of everybody", faults)
    assert faults == {}
    profile.verify()


def test_without_network_after_one_visit(open_profile, votes):
    profile = open_profile()
    page = profile.open(WISH)
    wait_until_whole(page)
    see_years(page, 5)
    wait_for_worker(page)
    seen = wait_until(page, "() => caches.open('react2eo-kept').then(cache => cache.keys()).then(keys => keys.length >= 5)")
    assert seen
    before = votes()
    page.close()
    profile.context.set_offline(True)
    page = profile.open(WISH)
    wait_until_whole(page)
    assert see_years(page, 5) == [str(year) for year in range(2016, 2021)]
    page.locator("#like").click()
    page.locator("#like[aria-pressed=true]").wait_for()
    wait_until(page, WAITING)
    page.reload()
    wait_until_whole(page)
    page.locator("#like[aria-pressed=true]").wait_for()
    assert votes() == before
    profile.context.set_offline(False)
    wait_until(page, SENT)
    after = votes()
    assert after == before + Counter([1])
    page.reload()
    wait_until_whole(page)
    page.locator("#like[aria-pressed=true]").wait_for()
    wait_until(page, SENT)
    assert votes() == after, "sent once"
    assert profile.outside == []


def test_two_tabs_are_one_vote(open_profile, votes):
    profile = open_profile()
    first, second = profile.open(WISH), profile.open(WISH)
    before = votes()
    for page in (first, second):
        page.bring_to_front()
        wait_until_whole(page)
    press_and_count(first, "#like", votes, before + Counter([1]))
    second.locator("#like[aria-pressed=true]").wait_for()
    press_and_count(second, "#dislike", votes, before + Counter([-1]))
    first.locator("#dislike[aria-pressed=true]").wait_for()
    profile.verify()


def test_an_app_of_ios_shares_the_file(open_profile):
    profile = open_profile()
    profile.context.add_init_script(STANDALONE)
    page = profile.open(WISH)
    wait_until_whole(page)
    page.locator("#make").click()
    page.locator("#preview img").wait_for()
    assert page.locator("#export a[download]").count() == 0, "a download fails silently there"
    page.locator("#send").click()
    (shared,) = wait_until(page, "() => shared.length ? shared : null")
    assert shared["type"] == "image/gif" and shared["start"] == "GIF89a" and shared["bytes"] > 1000
    assert shared["name"] == "react2eo_land_ndvi_2016-2020.gif" and shared["active"]
    profile.verify()


def test_twenty_years_without_a_blank_frame(open_profile):
    profile = open_profile(height=700)
    page = profile.open("/#region=land&layer=ndvi")
    wait_until_whole(page)
    page.locator("#handle").click()
    page.locator("#speed input[value='2']").check()  # waits until the sheet stands still
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    inner = page.evaluate(INNER_PART)
    background = read_picture(page.screenshot(clip={"x": 4, "y": 120, "width": 4, "height": 4}))[0, 0]
    page.evaluate("() => { globalThis.years = new Set(); }")
    shots, seen = 0, []
    while not seen:
        picture = read_picture(page.screenshot(clip=inner))
        blank = (abs(picture - background) < 12).all(axis=2)
        assert blank.mean() < 0.02, f"a blank frame after {shots} screenshots"
        shots += 1
        seen = page.evaluate("() => { years.add(react2eo.state.period); return years.size === 20 ? [...years] : []; }")
    assert shots >= 40
    assert page.evaluate("react2eo.shown") >= 20
    profile.verify()
