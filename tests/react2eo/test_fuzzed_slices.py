"""Requests for slices and animations that were changed at random: none fails here, hangs, or reads a file outside the store."""

import json
import os
import random
import string
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import rasterio
import rio_tiler.io

REQUESTS = int(os.environ.get("CEIBA_FUZZ", "1500"))
SLOWEST_S = 20.0
EXPECTED = {200, 201, 400, 404, 405, 413, 414, 422, 503}
NUMBERS = (
    0, -1, 1, 1e-300, -1e308, 1e400, float("nan"), float("inf"), float("-inf"), 2**63, -(2**64), 0.1, 180, -180.0000001, 90, 85.06,
    1e9, None, True, "1", "NaN", "1e5", [], {},
)  # fmt: skip
TEXTS = (
    "", "..", "../../etc/passwd", "%2e%2e%2f", "/vsicurl/http://127.0.0.1:9/x.tif", "/vsimem/a", "file:///etc/passwd", "EPSG:4326",
    "land\0", "ndvi; drop table agdc.dataset", "' or 1=1 --", "${jndi:ldap://x}", "{{7*7}}", "a" * 5000, "ñandú", "\u202e", "\U0001f600",
    "2018--2020", "2019", "99999", "b1*0+1", "<VRTDataset/>", "/vsizip//vsicurl/x", "\\\\server\\share", "land/ndvi", "null", "-1",
    "1e999", "\ud800",
)  # fmt: skip
SQUARE = [[-97.1, 22.74], [-97.09, 22.74], [-97.09, 22.745], [-97.1, 22.745], [-97.1, 22.74]]
VIEW = {"region": "land", "layer": "ndvi", "first": "2018", "last": "2020"}
VALID = (
    (
        "POST", "/api/animations",
        VIEW | {"bounds": [-97.1, 22.739, -97.09, 22.745], "width": 160, "format": "gif", "frame_ms": 500, "language": "es"},
    ),
    ("POST", "/api/slices/statistics", VIEW | {"polygon": {"type": "Polygon", "coordinates": [SQUARE]}}),
    ("POST", "/api/slices/statistics", VIEW | {"polygon": {"type": "MultiPolygon", "coordinates": [[SQUARE]]}}),
    ("GET", "/api/slices/series", {"region": "land", "layer": "land_cover", "lon": -97.095, "lat": 22.742, "format": "json"}),
    (
        "GET", "/api/slices/clip",
        {"region": "land", "layer": "ndvi", "period": "2018", "bounds": "-97.1,22.739,-97.09,22.745", "format": "tif"},
    ),
    ("GET", "/api/slices/clip", {"region": "land", "layer": "natural_color", "bounds": "-97.1,22.739,-97.095,22.741", "format": "nc"}),
    ("GET", "/api/animations/0123456789abcdef0123456789abcdef.gif", {}),
)  # fmt: skip


class Changes:
    """Random changes of valid requests, the same ones for the same seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def request(self) -> tuple[str, str, dict]:
        """Method, path and what goes with it."""
        method, path, parameters = self.random.choice(VALID)
        kind = self.random.random()
        if kind < 0.04:
            return method, path, {"content": self.garbage(), "headers": {"content-type": "application/json"}}
        if kind < 0.07:
            return method, path, {"content": self.deep(), "headers": {"content-type": "application/json"}}
        if kind < 0.12:
            path = self.path(path)
        changed = json.loads(json.dumps(parameters))
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 3, 6))):
            changed = self.change(changed)
        if self.random.random() < 0.02:
            method = self.random.choice(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"))
        if method != "POST":
            query = changed.items() if isinstance(changed, dict) else []
            return method, path, {"params": [(name, self.as_text(value)) for name, value in query]}
        # Python writes NaN and Infinity, which are no JSON; servers must bear it.
        return method, path, {"content": json.dumps(changed).encode(), "headers": {"content-type": "application/json"}}

    def change(self, value: object) -> object:
        """Change something somewhere in it."""
        if isinstance(value, dict) and value and self.random.random() < 0.93:
            name = self.random.choice(list(value))
            act = self.random.random()
            if act < 0.08:
                return {key: each for key, each in value.items() if key != name}
            if act < 0.12:
                return value | {self.random.choice(("path", "crs", "expression", "url", "v", "bidx")): self.text()}
            return value | {name: self.change(value[name])}
        if isinstance(value, list) and value and self.random.random() < 0.85:
            place = self.random.randrange(len(value))
            act = self.random.random()
            if act < 0.1:
                return value[:place] + value[place + 1 :]
            if act < 0.2:
                return value * self.random.choice((2, 3, 40))
            if act < 0.3:
                return self.random.sample(value, len(value))
            return value[:place] + [self.change(value[place])] + value[place + 1 :]
        if isinstance(value, int | float) and self.random.random() < 0.7:
            return value + self.random.choice((1e-12, 1e-4, 0.01, 1, 30, 1000, -1e-4, -0.01, -1, -200)) * self.random.random()
        return self.random.choice((*NUMBERS, *TEXTS, self.text()))

    def text(self) -> str:
        """A text of letters that mean something to somebody."""
        if self.random.random() < 0.5:
            return self.random.choice(TEXTS)
        return "".join(self.random.choices(string.printable, k=self.random.randrange(40)))

    def path(self, path: str) -> str:
        """An address that climbs or holds what it should not."""
        parts = path.split("/")
        climbs = ("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a" * 300, "%ff", ".")
        parts[self.random.randrange(1, len(parts))] = self.random.choice(climbs)
        return "/".join(parts)

    def garbage(self) -> bytes:
        """Bytes that are no JSON, mostly."""
        return self.random.randbytes(self.random.randrange(200)) if self.random.random() < 0.7 else b'{"region": "land", "layer":'

    def deep(self) -> bytes:
        """JSON nested far beyond any polygon."""
        depth = self.random.choice((10, 500, 5000, 30_000))
        nested = "[" * depth + "1" + "]" * depth
        if self.random.random() < 0.5:
            nested = '{"a":' * depth + "1" + "}" * depth
        return f'{{"region": "land", "layer": "ndvi", "polygon": {{"type": "Polygon", "coordinates": {nested}}}}}'.encode()

    @staticmethod
    def as_text(value: object) -> str:
        """A value of a query."""
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else str(value)


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Files that Python opens, processes and connections, and files that GDAL is given, while the test runs."""
    seen: list[str] = []
    watching = [True]

    def watch(event: str, arguments: tuple) -> None:
        if not watching[0]:
            return
        if event == "open" and isinstance(arguments[0], str | bytes):
            seen.append(os.fsdecode(arguments[0]))
        elif event in ("subprocess.Popen", "os.system", "socket.connect", "os.exec"):
            seen.append(f"{event} {arguments[1:]}")

    def watched(function):
        def call(path, *arguments, **options):
            seen.append(str(path))
            return function(path, *arguments, **options)

        return call

    for module in (rasterio, rio_tiler.io.rasterio.rasterio):
        monkeypatch.setattr(module, "open", watched(module.open))
    sys.addaudithook(watch)  # cannot be taken away again, only told to look away
    yield seen
    watching[0] = False


def allowed(path: str, folders: list[str]) -> bool:
    """Whether an opened file belongs to the store, the program, or what every program reads."""
    # The data cube's own database; a host of 127.0.0.1 would be a request forged by the server.
    if path.startswith("socket.connect") and ("postgres" in path.lower() or ".s.PGSQL" in path):
        return True
    return path.startswith(tuple(folders)) or path.isdigit()


def test_changed_requests_neither_fail_nor_hang_nor_leave_the_store(
    module_client, gallery_environment, opened, tmp_path_factory
):
    changes, statuses, slowest = Changes(seed=2), Counter(), (0.0, "")
    store = gallery_environment["CEIBA_STORE"]
    for number in range(REQUESTS):
        method, path, rest = changes.request()
        started = time.perf_counter()
        try:
            answer = module_client.request(method, path, **rest)
        except UnicodeError:  # the client itself cannot send it
            continue
        took_s = time.perf_counter() - started
        asked = f"request {number}: {method} {path} {str(rest)[:500]}"
        assert answer.status_code in EXPECTED, f"{asked}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code != 503 or "Retry-After" in answer.headers, asked
        if answer.status_code >= 400 and method != "HEAD":
            assert set(answer.json()) >= {"error", "detail"}, f"{asked}: {answer.text[:300]}"
        statuses[answer.status_code] += 1
        slowest = max(slowest, (took_s, asked))
    assert slowest[0] < SLOWEST_S, slowest
    assert statuses[503] == 0, statuses
    assert statuses[200] + statuses[201] > REQUESTS / 20 and statuses[422] > REQUESTS / 4, statuses
    root = str(Path(__file__).resolve().parents[2])
    clips = str(Path(tempfile.gettempdir()) / "ceiba-clip-")
    folders = [store, root, sys.prefix, sys.base_prefix, clips, "/proc/", "/dev/", "/sys/", "/usr/"]
    folders.append(str(tmp_path_factory.getbasetemp().parent))  # where pytest keeps what is its own
    strange = sorted({path for path in opened if not allowed(path, folders)})
    assert not strange, strange[:20]
    print(f"{REQUESTS} requests: {dict(statuses)}, slowest {slowest[0]:.2f} s")
