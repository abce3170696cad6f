"""The service worker: what was seen is there without network, and versions of the app never mix."""

import json
import shutil
import threading
import time

import pytest
import uvicorn
from fastapi import FastAPI
from watched_pages import wait_for_worker, wait_until

from ceiba.react2eo import shell

PAGE = """<!doctype html><html lang="es"><head><meta charset="utf-8"><title>{version}</title>
<script type="module" src="/app/main.js"></script></head><body></body></html>"""
MAIN = """import {{ keepForOffline }} from "./offline.js";
globalThis.version = "{version}";
globalThis.load = () => import("./later.js");
globalThis.registered = keepForOffline({{ onUpdate: (take) => {{ globalThis.take = take; }} }});
"""
LATER = """export const version = "{version}";
"""
LOAD_PICTURE = """address => new Promise(done => {
    const picture = new Image();
    picture.onload = () => done(picture.naturalWidth);
    picture.onerror = () => done(0);
    picture.src = address;
})"""


class Site:
    """A small site of the shell's own routes, whose files change."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("offline.js", shell.QUEUE, shell.WORKER):
            shutil.copy(shell.STATIC / name, folder / name)
        self.deploy("one")

    def deploy(self, version: str) -> None:
        for name, text in (("index.html", PAGE), ("main.js", MAIN), ("later.js", LATER)):
            (self.folder / name).write_text(text.format(version=version), "utf-8")


@pytest.fixture
def site(tmp_path, monkeypatch):
    site = Site(tmp_path)
    monkeypatch.setattr(shell, "STATIC", tmp_path)
    app = FastAPI()
    app.include_router(shell.router)
    app.mount("/app", shell.Files(directory=tmp_path))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    site.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield site
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def context(chromium):
    opened = chromium.new_context()
    opened.set_default_timeout(20_000)
    yield opened
    opened.close()


def open_site(context, site):
    page = context.new_page()
    page.goto(site.url)
    wait_for_worker(page)
    page.evaluate("registered.then(() => undefined)")
    return page


def versions(page) -> set[str]:
    """Versions of the page, of its script and of a module that it loads later."""
    return {page.title(), page.evaluate("version"), page.evaluate("load().then(module => module.version)")}


def test_a_new_version_is_offered_and_taken_at_once(context, site):
    page = open_site(context, site)
    assert versions(page) == {"one"}
    site.deploy("two")
    page.evaluate("registered.then(registration => registration.update()).then(() => undefined)")
    page.wait_for_function("() => globalThis.take !== undefined")
    assert versions(page) == {"one"}, "until it is taken everything is of the old version"
    with page.expect_navigation():
        page.evaluate("take()")
    page.wait_for_function("() => globalThis.version === 'two'")
    assert versions(page) == {"two"}


def test_a_new_version_is_taken_at_the_next_start(context, site):
    page = open_site(context, site)
    other = open_site(context, site)
    site.deploy("two")
    page.evaluate("registered.then(registration => registration.update()).then(() => undefined)")
    page.wait_for_function("() => globalThis.take !== undefined")
    page.reload()
    assert versions(page) == {"one"}, "another tab still shows the old version"
    other.close()
    page.close()
    page = context.new_page()
    page.goto(site.url)
    page.wait_for_function("() => globalThis.version === 'two'")
    assert versions(page) == {"two"}


def test_half_a_deployment_is_not_kept(context, site, monkeypatch):
    page = open_site(context, site)
    old = shell.read_shell()
    site.deploy("two")
    (site.folder / "later.js").write_text(LATER.format(version="three"), "utf-8")
    whole = shell.read_shell()
    mixed = shell.Shell({**whole.files, "/app/later.js": old.files["/app/later.js"]}, "mixed")
    monkeypatch.setattr(shell, "read_shell", lambda: mixed)
    failed = page.evaluate(
        """async () => {
            const registration = await registered;
            await registration.update();
            const worker = registration.installing ?? registration.waiting;
            for (let tries = 0; tries < 100 && worker.state === "installing"; tries += 1) await new Promise(done => setTimeout(done, 50));
            const shells = (await caches.keys()).filter(name => name.startsWith("react2eo-shell-"));
            return [worker.state, shells.length];
        }"""
    )
    assert failed == ["redundant", 1]
    context.set_offline(True)
    page.reload()
    assert versions(page) == {"one"}


def test_what_one_visit_saw_is_there_without_network(open_profile, react_url):
    profile = open_profile()
    page = profile.open("/health")
    layer = page.evaluate("fetch('/api/products').then(answer => answer.json())")["regions"][0]["layers"][0]
    tile = find_tile(page, layer)
    old = tile.replace(layer["version"], "0000000000")
    for address in (tile, old):
        assert page.evaluate(LOAD_PICTURE, address) == 256
    assert page.evaluate(LOAD_PICTURE, "/tiles/mars/ndvi/2018/1/1/1.webp?v=1") == 0
    page.evaluate("import('/app/offline.js').then(module => module.keepForOffline()).then(() => undefined)")
    wait_for_worker(page)
    kept = wait_until(page, "() => caches.open('react2eo-kept').then(cache => cache.keys()).then(keys => keys.map(key => key.url))")
    assert kept == [react_url + tile], "errors, and what may still change, are never kept"
    profile.context.set_offline(True)
    assert page.evaluate(LOAD_PICTURE, tile) == 256
    assert page.evaluate("fetch('/api/products').then(answer => answer.json())")["regions"][0]["name"] == "land"
    assert page.evaluate("fetch('/api/reactions/summary').then(() => 'answered', () => 'no network')") == "no network"
    for address in ("/", "/?layer=ndvi", "/elsewhere"):
        assert page.goto(address).ok, "any page of the site opens as the app"
        assert page.title().startswith("React-2-EO")
    assert profile.outside == []


def test_the_oldest_of_what_was_seen_goes_first(open_profile):
    profile = open_profile()
    page = profile.open("/health")
    page.evaluate("import('/app/offline.js').then(module => module.keepForOffline()).then(() => undefined)")
    wait_for_worker(page)
    layer = page.evaluate("fetch('/api/products').then(answer => answer.json())")["regions"][0]["layers"][0]
    tile = find_tile(page, layer)
    # As if 2,001 tiles had been seen before this one.
    page.evaluate(
        """async () => {
            await import("/app/sending.js");
            const cache = await caches.open("react2eo-kept");
            for (const number of [0, 1, 2]) await cache.put(`/tiles/old/${number}`, new Response("old"));
            await self.reactionQueue.change(["kept"], async (store) => {
                for (let number = 0; number <= 2000; number += 1) {
                    store("kept").put({ url: `${location.origin}/tiles/old/${number}`, bytes: 3, at: number });
                }
            });
        }"""
    )
    assert page.evaluate(LOAD_PICTURE, tile) == 256
    keys = "caches.open('react2eo-kept').then(cache => cache.keys()).then(keys => keys.map(key => new URL(key.url).pathname))"
    left = wait_until(page, f"async () => {{ const left = await {keys}; return left.includes('/tiles/old/1') ? null : left }}")
    assert json.dumps(left) == json.dumps(["/tiles/old/2", tile.partition("?")[0]])


def test_reactions_leave_by_themselves_when_the_network_is_back(open_profile):
    """Background Sync: the worker sends what waits, whatever pages are open."""
    profile = open_profile()
    page = profile.open("/health")
    page.evaluate("import('/app/offline.js').then(module => module.keepForOffline()).then(() => undefined)")
    wait_for_worker(page)
    page.evaluate(
        """async () => {
            await import("/app/sending.js");
            const { regions } = await (await fetch("/api/products")).json();
            const view = { region: "land", layer: "ndvi", first: "2018", last: "2020", bounds: regions[0].bounds };
            const device = "background-sync-0123456789";
            await self.reactionQueue.add({ id: "6f1c2a3e-0000-4000-8000-000000000001", device, view, reaction: "like", near: null });
        }"""
    )
    session = profile.context.new_cdp_session(page)
    registrations = []
    session.on("ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(event["registrations"]))
    session.send("ServiceWorker.enable")
    while not registrations:
        page.wait_for_timeout(50)
    sync = {"origin": profile.origin, "registrationId": registrations[0]["registrationId"], "tag": "react2eo-reactions"}
    session.send("ServiceWorker.dispatchSyncEvent", sync | {"lastChance": False})
    vote = wait_until(
        page,
        """async () => {
            const { read } = self.reactionQueue;
            const waiting = await read(["queue"], (store, ask) => ask(store("queue").count()));
            const [vote] = await read(["votes"], (store, ask) => ask(store("votes").getAll()));
            return waiting === 0 ? vote : null;
        }""",
    )
    assert vote["confirmed"] == "like" and len(vote["subject"]) == 16 and not vote["pending"]
    profile.verify()


def find_tile(page, layer: dict) -> str:
    """Address of a tile of the region, of which the gallery is a small part."""
    west, south, east, north = page.evaluate("fetch('/api/products').then(answer => answer.json())")["regions"][0]["bounds"]
    import morecantile

    tile = morecantile.tms.get("WebMercatorQuad").tile((west + east) / 2, (south + north) / 2, 14)
    address = layer["tiles"].replace("{period}", layer["periods"][0])
    return address.format(z=tile.z, x=tile.x, y=tile.y)
