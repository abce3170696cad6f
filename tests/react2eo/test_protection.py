"""What the guard lets through, over real HTTP."""

import gzip
import json
import logging
import socket
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.staticfiles import StaticFiles
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

sys.path.insert(0, str(Path(__file__).parent))
from guarded_server import SECRET_PLACE, make_app, serving  # noqa: E402

from ceiba.react2eo.protection import limits as protection  # noqa: E402
from ceiba.react2eo.protection.compression import PackedFiles  # noqa: E402

SCRIPT = "export const years = [1999, 2000, 2001];\n" * 2000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "app.js").write_text(SCRIPT)
    (folder / "photo.webp").write_bytes(b"\1" * 5000)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """Behind a trusted proxy on loopback, with one other web site that may write."""
    app = make_app(folder, trusted="127.0.0.1", origins=("https://maps.example",), public_url="https://ceiba.example")
    with serving(app) as address:
        yield address


@pytest.fixture
def ask(server):
    with httpx.Client(base_url=server, timeout=20) as client:
        yield client


def send_raw(address: str, request: bytes) -> bytes:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


# ---- how often ----


def test_the_thirty_first_reaction_of_a_device_within_a_minute_is_refused(ask):
    answers = [ask.post("/api/reactions", json={"device": "d" * 22}) for _ in range(31)]
    assert [each.status_code for each in answers] == [200] * 30 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    detail = answers[-1].json()["detail"]
    assert "Demasiadas peticiones; espere" in detail and "Too many requests; wait" in detail
    assert ask.post("/api/reactions", json={"device": "e" * 22}).status_code == 200, "another device may"
    elsewhere = ask.post("/api/reactions", json={"device": "d" * 22}, headers={"X-Forwarded-For": "198.51.100.200"})
    assert elsewhere.status_code == 429, "a device stays the same in another network"


def ask_from(client: httpx.Client, *forwarded: str) -> int:
    return client.get("/tiles/a", headers=[("X-Forwarded-For", each) for each in forwarded]).status_code


def test_each_network_behind_a_trusted_proxy_has_a_budget_of_its_own(folder):
    with serving(make_app(folder, trusted="127.0.0.1", limits={"tiles": 3})) as address, httpx.Client(base_url=address) as client:
        assert [ask_from(client, "203.0.113.7") for _ in range(4)] == [200, 200, 200, 429]
        assert ask_from(client, "203.0.113.99") == 429, "the same /24"
        assert ask_from(client, "203.0.114.7") == 200
        assert ask_from(client, "198.51.100.1, 203.0.113.7") == 429, "a forged address at the left changes nothing"
        assert ask_from(client, "198.51.100.1", "203.0.113.7") == 429, "nor as a line of its own"
        assert [ask_from(client, f"2001:db8:1:{number:x}::1") for number in range(4)] == [200, 200, 200, 429], "one /48"
        assert ask_from(client, "2001:db8:2::1") == 200


def test_without_a_trusted_proxy_nobody_can_choose_an_address(folder):
    with serving(make_app(folder, limits={"tiles": 3})) as address, httpx.Client(base_url=address) as client:
        answers = [client.get("/tiles/a", headers={"X-Forwarded-For": f"203.0.{number}.7"}) for number in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert client.get("/api/animations/a").status_code == 200, "other kinds of request have budgets of their own"
        assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


def test_who_goes_on_after_being_refused_is_answered_slowly(folder, monkeypatch):
    monkeypatch.setattr(protection, "HOLD_S", 0.3)
    with serving(make_app(folder, limits={"tiles": 1})) as address, httpx.Client(base_url=address) as client:
        client.get("/tiles/a")
        seconds = []
        for _ in range(protection.PATIENT_REFUSALS + 3):
            start = time.perf_counter()
            assert client.get("/tiles/a").status_code == 429
            seconds.append(time.perf_counter() - start)
        assert max(seconds[: protection.PATIENT_REFUSALS - 1]) < 0.25 and max(seconds[-2:]) > 0.25


# ---- in which turn ----


def test_what_costs_leaves_threads_to_what_does_not():
    assert sum(place.at_once for place in protection.PLACES.values()) <= 40 - 4, "AnyIO has 40"


@dataclass
class Asked:
    """What became of a request: status, how long it took [s], when it ended [s] and ``Retry-After``."""

    status: int
    seconds: float
    ended: float
    retry_after: str


def ask_many(address: str, method: str, path: str, client: str, wait_s: float, count: int, *, until: threading.Event | None = None):
    """Start so many threads that ask, once or until an event; gives the threads and the list that they fill."""
    asked: list[Asked] = []

    def work() -> None:
        with httpx.Client(base_url=address, timeout=60, verify=False, headers={"X-Forwarded-For": client}) as connection:
            while True:
                start = time.perf_counter()
                answer = connection.request(method, path, params={"wait_s": wait_s})
                end = time.perf_counter()
                asked.append(Asked(answer.status_code, end - start, end, answer.headers.get("retry-after", "")))
                if until is None or until.is_set():
                    return

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, asked


def test_costly_work_does_not_queue_without_end(folder):
    """One client asks for many animations at once: most are refused quickly, and another client's turn comes before its last."""
    with serving(make_app(folder, trusted="127.0.0.1")) as address:
        flood, answers = ask_many(address, "POST", "/api/animations", "203.0.113.7", 0.4, 16)
        while len(answers) < 8:
            time.sleep(0.01)
        other, others = ask_many(address, "POST", "/api/animations", "198.51.100.7", 0, 1)
        tiles, tile_answers = ask_many(address, "GET", "/tiles/a", "203.0.113.7", 0, 1)
        for thread in (*flood, *other, *tiles):
            thread.join()
    refused = [each for each in answers if each.status == 429]
    made = [each for each in answers if each.status == 201]
    assert len(refused) + len(made) == 16 and len(refused) >= 8 and all(int(each.retry_after) >= 1 for each in refused)
    assert max(each.ended for each in refused) < max(each.ended for each in made)
    assert others[0].status == 201 and others[0].ended < max(each.ended for each in made) - 0.3
    assert tile_answers[0].status == 200 and tile_answers[0].ended < others[0].ended + 0.2, "tiles do not wait for animations"


def test_one_who_floods_with_tiles_does_not_slow_another_down(folder):
    with serving(make_app(folder, trusted="127.0.0.1", limits={"tiles": 100_000})) as address:
        stop = threading.Event()
        flood, floods = ask_many(address, "GET", "/tiles/a", "203.0.113.7", 0.1, 40, until=stop)
        time.sleep(0.5)
        seconds = []
        with httpx.Client(base_url=address, timeout=30, headers={"X-Forwarded-For": "198.51.100.7"}) as client:
            for _ in range(8):
                start = time.perf_counter()
                assert client.get("/tiles/b", params={"wait_s": 0.1}).status_code == 200
                seconds.append(time.perf_counter() - start)
        stop.set()
        for thread in flood:
            thread.join()
    assert statistics.median(seconds) < statistics.median(each.seconds for each in floods) * 0.7


# ---- how much, and how slowly ----


def test_ten_megabytes_are_refused(ask):
    answer = ask.post("/api/reactions", content=b"x" * 10_000_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413 and "64 kB" in answer.json()["detail"]
    assert ask.post("/api/reactions", json={"device": "f" * 22, "more": "x" * 60_000}).status_code == 200


def test_a_body_without_a_length_is_refused_where_it_becomes_too_large(ask):
    def parts(count: int):
        yield b'{"device": "gggggggggggggggggggggg", "more": "'
        for _ in range(count):
            yield b"x" * 1000
        yield b'"}'

    headers = {"Content-Type": "application/json"}
    assert ask.post("/api/reactions", content=parts(50), headers=headers).status_code == 200
    assert ask.post("/api/reactions", content=parts(500), headers=headers).status_code == 413


def test_who_asks_before_sending_is_told_before_sending(server):
    head = b"POST /api/reactions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\nConnection: close\r\n\r\n"
    answer = send_raw(server, head)
    assert answer.startswith(b"HTTP/1.1 413") and b"100 Continue" not in answer


def test_a_body_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(protection, "BODY_PATIENCE_S", 0.4)
    start = time.perf_counter()
    answer = send_raw(server, b'POST /api/reactions HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{"dev')
    assert answer.startswith(b"HTTP/1.1 408") and time.perf_counter() - start < 3


def test_a_long_address_is_refused(ask):
    assert ask.get("/api/animations/a", params={"q": "x" * 8300}).status_code == 414
    assert ask.get("/api/animations/a", params={"q": "x" * 8000}).status_code == 200


@pytest.mark.parametrize("host", [b"", b"a b", b"evil.example/path", b"a@b", b"a:99999999", b"<script>"])
def test_a_host_that_is_none_is_refused(server, host):
    answer = send_raw(server, b"GET /api/animations/a HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")


def test_headers_cannot_be_injected(server):
    for path in (b"/api/animations/a%0d%0aSet-Cookie:%20x=1", b"/nowhere%0d%0aSet-Cookie:%20x=1", b"/app/..%2f..%0d%0aSet-Cookie:%20x=1"):
        answer = send_raw(server, b"GET " + path + b"/ HTTP/1.1\r\nHost: a\r\nOrigin: x%0d%0aSet-Cookie: x\r\nConnection: close\r\n\r\n")
        assert b"\nset-cookie" not in answer.partition(b"\r\n\r\n")[0].lower()
        assert answer[9:12] in {b"200", b"307", b"404"}


# ---- streams and sockets ----


def test_a_stream_is_not_held_back(ask):
    with ask.stream("GET", "/api/stream") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        times, text = [], ""
        for part in answer.iter_text():
            times.append(time.perf_counter())
            text += part
    assert text.count("part 2") == 100 and times[-1] - times[0] > 0.4


def test_websockets_of_the_dashboards_pass(server):
    address = server.replace("http", "ws") + "/dashboards/ws"
    with connect(address) as socket_:
        socket_.send("hola" * 100_000)
        assert socket_.recv() == "hola" * 100_000
    with connect(address, origin=server) as socket_:
        socket_.send("hola")
        assert socket_.recv() == "hola"
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        connect(address, origin="https://evil.example")


def test_websockets_count_as_openings_of_a_dashboard(folder):
    with serving(make_app(folder, limits={"dashboards": 2})) as address:
        socket_address = address.replace("http", "ws") + "/dashboards/ws"
        for _ in range(2):
            connect(socket_address).close()
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            connect(socket_address)


# ---- what browsers are told ----


def test_pages_may_only_use_what_is_ours(ask):
    page = ask.get("/api/animations/a").headers
    policy = dict(rule.split(" ", 1) for rule in page["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'" and policy["frame-ancestors"] == "'none'" and policy["object-src"] == "'none'"
    assert "unsafe" not in page["content-security-policy"]
    assert page["x-content-type-options"] == "nosniff" and page["referrer-policy"] == "no-referrer"
    assert "geolocation=(self)" in page["permissions-policy"] and page["cross-origin-opener-policy"] == "same-origin"
    assert page["strict-transport-security"].startswith("max-age=31536000")
    assert "frame-ancestors *" in ask.get("/embed").headers["content-security-policy"]
    dashboard = ask.get("/dashboards").headers["content-security-policy"]
    assert "'unsafe-eval'" in dashboard and "frame-ancestors 'self'" in dashboard
    assert "content-security-policy" not in ask.get("/tiles/a").headers


def test_every_site_may_read_and_only_ours_may_write(ask):
    for address in ("/tiles/a", "/api/animations/a", "/app/app.js"):
        assert ask.get(address).headers["access-control-allow-origin"] == "*"
    body = {"device": "h" * 22}
    evil = ask.post("/api/reactions", json=body, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403 and "access-control-allow-origin" not in evil.headers
    assert ask.post("/api/reactions", json=body, headers={"Origin": "null"}).status_code == 403
    friend = ask.post("/api/reactions", json=body, headers={"Origin": "https://maps.example"})
    assert friend.status_code == 200 and friend.headers["access-control-allow-origin"] == "https://maps.example"
    for own in (str(ask.base_url).rstrip("/"), "https://ceiba.example"):
        assert ask.post("/api/reactions", json=body, headers={"Origin": own}).status_code == 200
    assert ask.post("/api/reactions", json=body, headers={"Origin": "https://inner", "Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "path", "methods", "device"),
    [
        ("https://evil.example", "/api/reactions", "GET, HEAD", False),
        ("https://evil.example", "/api/slices/statistics", "GET, HEAD, POST", False),
        ("https://maps.example", "/api/reactions", "GET, HEAD, POST, DELETE", True),
    ],
)
def test_browsers_are_told_before_what_a_site_may_do(ask, origin, path, methods, device):
    answer = ask.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 204 and answer.headers["access-control-allow-methods"] == methods
    assert ("X-Device" in answer.headers["access-control-allow-headers"]) == device


def test_addresses_of_the_proxy_are_https_where_it_says_so(ask):
    assert ask.get("/api/animations/a", headers={"X-Forwarded-Proto": "https"}).json()["scheme"] == "https"
    assert ask.get("/api/animations/a").json()["scheme"] == "http"


# ---- files ----


def test_files_are_packed_once_and_asked_for_again(ask, folder):
    first = ask.get("/app/app.js")
    assert first.headers["content-encoding"] == "gzip" and first.text == SCRIPT
    assert int(first.headers["content-length"]) < len(SCRIPT) / 50
    assert first.headers["cache-control"] == "no-cache" and "Accept-Encoding" in first.headers["vary"]
    again = ask.get("/app/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content
    plain = ask.get("/app/app.js", headers={"Accept-Encoding": "identity"})
    assert plain.text == SCRIPT and "content-encoding" not in plain.headers
    part = ask.get("/app/app.js", headers={"Range": "bytes=0-9"})
    assert part.status_code == 206 and part.text == SCRIPT[:10]
    assert "content-encoding" not in ask.get("/app/photo.webp").headers
    assert ask.get("/app/../pyproject.toml").status_code == ask.get("/app/nothing.js").status_code == 404
    (folder / "changed.js").write_text(SCRIPT)
    ask.get("/app/changed.js")
    (folder / "changed.js").write_text(SCRIPT + "// changed")
    assert ask.get("/app/changed.js").text.endswith("// changed")


def test_half_a_file_is_not_kept_for_others(folder):
    """A browser that goes away ends the reading of a file."""
    packed = PackedFiles(StaticFiles(directory=folder))
    scope = {
        "type": "http", "asgi": {"spec_version": "2.3"}, "method": "GET", "path": "/app/app.js", "root_path": "/app",
        "headers": [(b"accept-encoding", b"gzip")],
    }  # fmt: skip

    async def ask(receive) -> bytes:
        body = bytearray()

        async def send(message) -> None:
            body.extend(message.get("body", b""))

        await packed(dict(scope), receive, send)
        return bytes(body)

    async def leave() -> dict:
        return {"type": "http.disconnect"}

    anyio.run(ask, leave)
    assert gzip.decompress(anyio.run(ask, anyio.sleep_forever)).decode() == SCRIPT


# ---- errors ----


def test_a_failure_is_told_by_a_number_and_logged_without_the_place(ask, caplog):
    with caplog.at_level(logging.DEBUG):
        answer = ask.get("/api/failing", params={"lat": SECRET_PLACE}, headers={"X-Forwarded-For": "203.0.113.77"})
    assert answer.status_code == 500
    told = answer.json()
    assert told["error"] == "UnexpectedError" and "Algo falló" in told["detail"] and SECRET_PLACE not in answer.text
    logged = "\n".join(record.getMessage() + str(record.exc_info or "") for record in caplog.records if "httpx" not in record.name)
    assert told["request"] in logged and "RuntimeError" in logged and "ValueError" in logged
    assert "guarded_server.py" in logged, "where it failed is told"
    assert SECRET_PLACE not in logged and "203.0.113" not in logged and "lat=" not in logged


# ---- figures ----


def test_figures_have_no_labels_that_a_client_can_invent(ask):
    for number in range(5):
        ask.get(f"/invented{number}/path")
        ask.get(f"/tiles/invented{number}")
        ask.get(f"/app/invented{number}")
        ask.request(f"INVENTED{number}", "/tiles/a")
    text = ask.get("/metrics").text
    assert "nvented" not in text.lower().replace('"other"', "")
    assert 'ceiba_requests_total{method="GET",route="/tiles/{name}",status="2xx"}' in text
    assert 'route="other",status="4xx"' in text and 'ceiba_request_seconds_bucket{kind="tiles",le="0.25"}' in text
    for name in ("ceiba_reactions_acknowledged_total", "ceiba_snapshot_age_seconds", "process_resident_memory_bytes"):
        assert f"\n{name} " in text


def test_figures_are_for_the_operator_alone(ask):
    assert ask.get("/metrics").status_code == 200
    refused = ask.get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"})
    assert refused.status_code == 403 and json.loads(refused.content)["error"] == "NotForYouError"
    assert ask.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1, 203.0.113.7"}).status_code == 403
