"""Map layers of other servers: catalogue, budgets, and the way through our origin, with a real server on loopback."""

import copy
import dataclasses
import io
import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient
from PIL import Image

from ceiba.config import project_root
from ceiba.errors import CatalogError, SettingsError, StoreError
from ceiba.react2eo import themes
from ceiba.react2eo.maps import external
from ceiba.react2eo.maps.budgets import BudgetError, Budgets

KEY = "secret/key 1"
TILE = (12, 1040, 1810)  # within the bounds of the layers below


def make_picture(color=(10, 120, 60), *, size=256, format="PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (size, size), color).save(content, format)
    return content.getvalue()


class MapServer(ThreadingHTTPServer):
    """Speaks XYZ and WMS, and fails as ``self.mood`` tells."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mood, self.paths, self.headers = "", [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802 - the library's name
        server = self.server
        server.paths.append(self.path)
        server.headers.append(dict(self.headers))
        mood = server.mood
        if mood == "slow":
            time.sleep(1.0)
        if mood == "drip":
            self._start(200, "image/png", None)
            try:
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            except OSError:
                return
        elif mood.startswith("status"):
            self._send(int(mood[6:]), "text/plain", b"sorry")
        elif mood == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere.png")
            self.end_headers()
        elif mood == "page":
            self._send(200, "text/html", b"<script>alert(1)</script>")
        elif mood == "disguised":
            self._send(200, "image/png", b"<script>alert(1)</script>")
        elif mood == "huge":
            self._send(200, "image/png", bytes(5_000_000))
        elif mood == "wide":
            self._send(200, "image/png", make_picture(size=2000))
        elif mood == "cut":
            self._send(200, "image/png", make_picture()[:-40])
        elif mood == "closed":
            self.connection.close()
        else:
            self._send(200, "image/jpeg" if mood == "jpeg" else "image/png", make_picture(format="JPEG" if mood == "jpeg" else "PNG"))

    def _send(self, status: int, kind: str, content: bytes) -> None:
        try:
            self._start(status, kind, len(content))
            self.wfile.write(content)
        except OSError:  # the client has seen enough
            return

    def _start(self, status: int, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_arguments):
        return


@pytest.fixture
def server():
    with MapServer() as running:
        yield running
        running.shutdown()


def entry(**changes) -> dict:
    plain = {
        "title": {"es": "Caminos", "en": "Roads"}, "kind": "xyz", "address": "https://maps.example/{z}/{x}/{y}.png",
        "attribution": "Maps", "terms": "https://maps.example/terms", "per_day": 5, "per_month": 8, "zooms": [4, 16],
        "bounds": [-95, 15, -85, 25],
    }  # fmt: skip
    return {name: value for name, value in (plain | changes).items() if value is not None}


@pytest.fixture
def offer(module_client, server, tmp_path, monkeypatch):
    """A function that has the application offer external layers of the server on loopback, as if it had just been started."""
    document = yaml.safe_load((project_root() / "catalogs" / "themes.yml").read_text("utf-8"))
    document["external"] = {
        "roads": entry(address=server.url + "/{z}/{x}/{y}.png"),
        "images": entry(
            kind="wms", address=server.url + "/ogc/{key}", key="CEIBA_TEST_KEY", parameters={"layers": "TRUE_COLOR", "version": "1.3.0"}
        ),
    }
    read = themes.read_themes(document)
    state = module_client.app.state
    snapshot = dataclasses.replace(state.snapshots.current(), themes=read)
    monkeypatch.setattr(external, "load_themes", lambda: read)
    monkeypatch.setattr(state.snapshots, "current", lambda: snapshot)
    monkeypatch.setenv("CEIBA_TEST_KEY", KEY)
    before = state.external

    def start(names: str = "roads images") -> TestClient:
        state.external = external.ExternalLayers(tuple(names.split()), folder=tmp_path)
        return module_client

    yield start
    state.external = before


def address(layer: str, z: int = TILE[0], x: int = TILE[1], y: int = TILE[2]) -> str:
    return f"/external/{layer}/{z}/{x}/{y}.png"


# ---- the catalogue ----


def test_shipped_layers_can_be_read_and_none_is_offered(module_client):
    shipped = themes.load_themes().external
    assert {"sentinel_hub", "inegi_topography"} <= set(shipped)
    assert all(layer.address.startswith("https://") and layer.per_day <= layer.per_month for layer in shipped.values())
    assert module_client.get("/api/products").json()["external"] == []
    answer = module_client.get(address("inegi_topography"))
    assert answer.status_code == 404 and "offered are none" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terms": None}, "lacks terms"),
        ({"user": "me"}, "not known: user"),
        ({"kind": "wmts"}, "no kind 'wmts'; there are xyz, wms"),
        ({"address": "http://maps.example/{z}/{x}/{y}.png"}, "must begin with https://"),
        ({"address": "https://me:pass@maps.example/{z}/{x}/{y}.png"}, "without a password"),
        ({"address": "https://{key}.example/{z}/{x}/{y}.png", "key": "K"}, "must begin with https://"),
        ({"address": "https://maps.example/{z}/{x}.png"}, "needed: x, y, z"),
        ({"address": "https://maps.example/{z}/{x}/{y}.png?k={key}"}, "needed: x, y, z"),
        ({"address": "https://maps.example/{z.__class__}/{x}/{y}"}, "in braces"),
        ({"kind": "wms", "address": "https://maps.example/wms"}, "needs parameters with layers"),
        ({"kind": "wms", "address": "https://maps.example/wms?map=a"}, "under parameters"),
        ({"per_day": 0}, "whole numbers from 1 on"),
        ({"title": {"es": "Caminos"}}, "needs title in es and en"),
    ],
)
def test_a_wrong_layer_is_told(changes, message):
    document = yaml.safe_load((project_root() / "catalogs" / "themes.yml").read_text("utf-8"))
    document = copy.deepcopy(document) | {"external": {"roads": entry(**changes)}}
    with pytest.raises(CatalogError, match=message):
        themes.read_themes(document)


def test_a_layer_without_its_key_or_name_is_told_at_the_start(offer, monkeypatch):
    with pytest.raises(SettingsError, match="no external layer 'rivers'; there are roads, images"):
        offer("rivers")
    monkeypatch.delenv("CEIBA_TEST_KEY")
    with pytest.raises(SettingsError, match="images, which needs its key in CEIBA_TEST_KEY"):
        offer("images")


# ---- tiles ----


def test_tiles_come_through_our_origin_and_are_kept(offer, server):
    client = offer()
    listed = client.get("/api/products").json()["external"]
    assert [layer["name"] for layer in listed] == ["roads", "images"]
    assert listed[0]["tiles"] == "/external/roads/{z}/{x}/{y}.png" and listed[0]["attribution"] == "Maps"
    assert server.url not in str(listed) and KEY not in str(listed)
    answers = [client.get(address("roads"), headers={"Cookie": "a=b", "X-Forwarded-For": "10.1.2.3"}) for _ in range(3)]
    assert {answer.content for answer in answers} == {make_picture()}
    assert answers[0].headers["content-type"] == "image/png" and answers[0].headers["cache-control"] == "public, max-age=86400"
    assert server.paths == ["/12/1040/1810.png"]
    told = {name.lower(): value for name, value in server.headers[0].items()}
    assert "cookie" not in told and "x-forwarded-for" not in told and told["user-agent"] == "React-2-EO"
    # Another process, or the same one after a restart, finds it too.
    assert offer().get(address("roads")).status_code == 200 and len(server.paths) == 1


def test_a_wms_is_asked_by_bounds(offer, server, caplog):
    caplog.set_level(logging.DEBUG)
    server.mood = "jpeg"
    answer = offer("images").get(address("images"))
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
    assert np.array(Image.open(io.BytesIO(answer.content))).shape == (256, 256, 3)
    (path,) = server.paths
    parts = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert parts.path == "/ogc/secret%2Fkey%201"
    assert query["REQUEST"] == "GetMap" and query["LAYERS"] == "TRUE_COLOR" and query["CRS"] == "EPSG:3857" and "SRS" not in query
    # Worked by hand: a tile of zoom 12 is 2 * 20037508.342789244 / 4096 wide, and row 0 is in the north.
    size = 2 * 20037508.342789244 / 4096
    left, bottom = -20037508.342789244 + TILE[1] * size, 20037508.342789244 - (TILE[2] + 1) * size
    assert [float(value) for value in query["BBOX"].split(",")] == pytest.approx([left, bottom, left + size, bottom + size], abs=1e-5)
    assert KEY not in caplog.text and "secret%2F" not in caplog.text


def test_only_tiles_that_there_may_be_are_asked_for(offer, server):
    client = offer("roads")
    for z, x, y in ((3, 2, 3), (17, 33280, 57920), (12, 0, 0), (12, 4096, 0)):
        assert client.get(address("roads", z, x, y)).status_code == 404
    assert client.get(address("images")).status_code == 404
    assert client.get("/external/roads/12/1040/-1.png").status_code == 422
    assert client.get("/external/..%2F..%2Fetc%2Fpasswd/12/1040/1810.png").status_code == 404
    assert not server.paths


@pytest.mark.parametrize(
    ("mood", "status", "message"),
    [
        ("status500", 502, "answered with status 500"),
        ("redirect", 502, "answered with status 302"),
        ("page", 502, "text/html instead of a picture"),
        ("disguised", 502, "cannot be read"),
        ("huge", 502, "more than 2000000 bytes"),
        ("wide", 502, "2000 x 2000 pixels"),
        ("cut", 502, "cannot be read"),
        ("closed", 502, "cannot be reached"),
        ("slow", 504, "not answer in time"),
        ("drip", 504, "not answer in time"),
        ("status404", 404, "its server has none"),
    ],
)
def test_a_failing_server_harms_nobody(offer, server, monkeypatch, mood, status, message):
    monkeypatch.setattr(external, "READ_S", 0.4)
    monkeypatch.setattr(external, "WHOLE_S", 0.6)
    client = offer("roads")
    server.mood = mood
    begun_s = time.monotonic()
    answer = client.get(address("roads"))
    assert answer.status_code == status and message in answer.json()["detail"]
    assert server.url not in answer.text and time.monotonic() - begun_s < 3
    server.mood = ""
    # What failed is not kept; that a server has no tile is.
    assert client.get(address("roads")).status_code == (404 if status == 404 else 200)


def test_a_server_that_fails_again_and_again_is_left_in_peace(offer, server):
    client = offer("roads")
    server.mood = "status503"
    answers = [client.get(address("roads", 12, 1040 + i, 1810)) for i in range(5)]
    assert [answer.status_code for answer in answers] == [502, 502, 502, 503, 503]
    assert len(server.paths) == 3 and answers[4].headers["retry-after"] == "30"


def test_many_who_want_one_tile_cost_one_request(offer, server):
    client = offer("roads")
    server.mood = "slow"
    with client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get(address("roads")).status_code, range(8)))
    assert answers == [200] * 8 and len(server.paths) == 1


# ---- budgets ----


def test_a_spent_budget_refuses_beforehand_and_survives_a_restart(offer, server):
    client = offer("roads")
    answers = [client.get(address("roads", 12, 1040 + i, 1810)) for i in range(7)]
    assert Counter(answer.status_code for answer in answers) == {200: 5, 503: 2}
    assert "budget of 5 requests" in answers[6].json()["detail"] and 0 < int(answers[6].headers["retry-after"]) <= 86400
    assert len(server.paths) == 5
    again = offer("roads")
    assert again.get(address("roads", 12, 1050, 1810)).status_code == 503 and len(server.paths) == 5
    assert again.get(address("roads", 12, 1040, 1810)).status_code == 200, "what is kept costs nothing"


def test_days_and_months_are_counted_apart(tmp_path):
    budgets = Budgets(tmp_path / "deep" / "budgets.sqlite")
    for day in (30, 30, 31, 31):
        budgets.spend("roads", per_day=2, per_month=5, now=datetime(2026, 12, day, 23, 59, tzinfo=UTC))
    with pytest.raises(BudgetError, match="2 requests for 2026-12-31 is spent; there is a new one on 2027-01-01") as told:
        budgets.spend("roads", per_day=2, per_month=5, now=datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert told.value.renewed_s == 60
    budgets.spend("roads", per_day=3, per_month=5, now=datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    with pytest.raises(BudgetError, match="5 requests for 2026-12 is spent; there is a new one on 2027-01-01"):
        budgets.spend("roads", per_day=9, per_month=5, now=datetime(2026, 12, 29, tzinfo=UTC))
    assert budgets.count("roads", "2026-12") == 5 and budgets.count("roads", "2026-12-29") == 0
    budgets.spend("roads", per_day=2, per_month=5, now=datetime(2027, 1, 1, tzinfo=UTC))
    budgets.spend("images", per_day=1, per_month=1, now=datetime(2026, 12, 31, tzinfo=UTC))


def test_no_thread_and_no_process_spends_more_than_there_is(tmp_path):
    budgets = [Budgets(tmp_path / "budgets.sqlite") for _ in range(8)]
    now = datetime(2026, 5, 1, tzinfo=UTC)

    def spend(number: int) -> bool:
        try:
            budgets[number % 8].spend("roads", per_day=40, per_month=1000, now=now)
        except BudgetError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(spend, range(80))) == 40
    assert budgets[0].count("roads", "2026-05-01") == 40


def test_where_nothing_can_be_counted_nothing_is_spent(tmp_path):
    (tmp_path / "budgets.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be used"):
        Budgets(tmp_path / "budgets.sqlite").spend("roads", per_day=1, per_month=1)
