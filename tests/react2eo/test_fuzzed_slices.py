"""Requests for slices and animations that were changed at random: none fails here, hangs, or reads a file outside the store.

``CEIBA_FUZZ=50000`` sends so many instead of the small share.
"""

import json
import os
import random
import string
import sys
import tempfile
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fuzzing  # noqa: E402

REQUESTS = int(os.environ.get("CEIBA_FUZZ", "1500"))
SLOWEST_S = 20.0
EXPECTED = {200, 201, 400, 404, 405, 413, 414, 422}
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

    def request(self) -> fuzzing.Asked:
        """A valid request with none to several changes, or something that is none."""
        method, path, parameters = self.random.choice(VALID)
        kind = self.random.random()
        if kind < 0.07:
            body = self.garbage() if kind < 0.04 else self.deep()
            return fuzzing.Asked(b"", path, method, body, "application/json")
        if kind < 0.12:
            path = self.path(path)
        changed = json.loads(json.dumps(parameters))
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 3, 6))):
            changed = self.change(changed)
        if self.random.random() < 0.02:
            method = self.random.choice(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"))
        if method != "POST":
            query = changed.items() if isinstance(changed, dict) else []
            return fuzzing.Asked(urlencode([(name, str(value)) for name, value in query], errors="replace").encode(), path, method)
        # Python writes NaN and Infinity, which are no JSON; servers must bear it.
        return fuzzing.Asked(b"", path, method, json.dumps(changed).encode(), "application/json")

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
        climbs = ("..", "%2e%2e", "../../etc/passwd", "\0", "a" * 300, "\xff", ".")
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


def allowed(name: str, store: str) -> bool:
    """Whether something that was opened or done belongs to the store, the program, its passing files, or every program."""
    root, clips = str(Path(__file__).resolve().parents[2]), str(Path(tempfile.gettempdir()) / "ceiba-clip-")
    if name.startswith(("os.remove", "os.rename")):
        # A folder of passing files is emptied by names relative to it.
        return store in name or clips in name or name.split("'")[1] in ("clip.nc", "clip.tif", "plain.tif")
    return name.startswith((store, root, sys.prefix, sys.base_prefix, clips, "/proc/", "/dev/", "/sys/"))


@pytest.mark.timeout(max(900, REQUESTS // 10))
def test_changed_requests_neither_fail_nor_hang_nor_leave_the_store(module_client, gallery_environment):
    changes, statuses, faults, slowest = Changes(seed=2), Counter(), [], (0.0, "")

    def check(number: int, asked: fuzzing.Asked, answered: fuzzing.Answered) -> None:
        nonlocal slowest
        statuses[answered.status] += 1
        slowest = max(slowest, (answered.seconds, str(asked)[:500]))
        known = answered.status in EXPECTED and not answered.error and answered.seconds < SLOWEST_S
        if known and answered.status >= 400 and asked.method != "HEAD":
            known = set(json.loads(answered.body)) >= {"error", "detail"}
        if not known:
            faults.append((number, str(asked)[:500], answered.status, answered.error, answered.body[:300]))

    module_client.app.state.snapshots.current()
    with fuzzing.Opened.watching() as opened:
        sent = fuzzing.send_all(module_client.app, (changes.request() for _ in range(REQUESTS)), check)
    print(f"{sent} requests: {dict(statuses)}, slowest {slowest[0]:.2f} s: {slowest[1]}")
    assert sent == REQUESTS and not faults, f"{len(faults)} faults, the first: {faults[:3]}"
    assert statuses[200] + statuses[201] > REQUESTS / 20 and statuses[422] > REQUESTS / 4, statuses
    strange = [name for name in opened.outside() if not allowed(name, gallery_environment["CEIBA_STORE"])]
    assert not strange, strange[:20]
    assert any(name.endswith(".tif") for name in opened.files), "pixels were read"
