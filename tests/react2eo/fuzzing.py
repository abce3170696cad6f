"""Ways to send many odd requests to the application itself, and to see which files are opened for them."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rasterio

from ceiba.react2eo.maps.readers import READERS

SUSPICIOUS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.getaddrinfo", "os.remove", "os.rename")
"""Audit events that no request of a map has any reason for."""


@dataclass(frozen=True)
class Asked:
    """A request: method, path, raw query, body and its type."""

    query: bytes
    path: str = "/wms"
    method: str = "GET"
    body: bytes = b""
    content_type: str = ""


@dataclass(frozen=True)
class Answered:
    status: int
    content_type: str
    body: bytes
    seconds: float
    error: str = ""


def send_all(
    app, requests: Iterator[Asked], check: Callable[[int, Asked, Answered], None], *, together: int = 4, patience_s: float = 20.0
) -> int:
    """Send requests over ASGI, so that any bytes may stand in a query, a few at one time; returns how many."""
    numbered = enumerate(requests, 1)
    sent = 0

    async def work() -> None:
        nonlocal sent
        for number, asked in numbered:
            check(number, asked, await _send(app, asked, patience_s))
            sent += 1

    async def run() -> None:
        await asyncio.gather(*(work() for _ in range(together)))

    asyncio.run(run())
    return sent


async def _send(app, asked: Asked, patience_s: float) -> Answered:
    headers = [(b"host", b"testserver")]
    if asked.body or asked.content_type:
        headers += [(b"content-type", asked.content_type.encode()), (b"content-length", str(len(asked.body)).encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": asked.method, "scheme": "http", "path": asked.path,
        "raw_path": asked.path.encode(), "query_string": asked.query, "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 50_000), "server": ("testserver", 80),
    }  # fmt: skip
    answer = {"status": 0, "type": "", "body": b""}
    waiting = [{"type": "http.request", "body": asked.body, "more_body": False}]

    async def receive() -> dict:
        if waiting:
            return waiting.pop()
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
            answer["type"] = dict(message.get("headers", ())).get(b"content-type", b"").decode("latin-1")
        elif message["type"] == "http.response.body":
            answer["body"] += message.get("body", b"")

    begun_s, error = time.monotonic(), ""
    try:
        await asyncio.wait_for(app(scope, receive, send), patience_s)
    except TimeoutError:
        error = f"no answer within {patience_s:g} s"
    except Exception as raised:  # noqa: BLE001 - whatever it is, it is what the test looks for
        error = f"{type(raised).__name__}: {raised}"
    return Answered(answer["status"], answer["type"], answer["body"], time.monotonic() - begun_s, error)


class Opened:
    """Files that Python or GDAL opened, and hosts that were connected to, while it watches.

    Python tells every opening by its audit events; GDAL opens files itself, so the door to it is watched.
    """

    _instance: "Opened | None" = None
    _hooked = False

    def __init__(self):
        self.files: set[str] = set()
        self.others: set[str] = set()

    @classmethod
    @contextmanager
    def watching(cls) -> Iterator["Opened"]:
        """Watch from here on to the end of the block, in every thread."""
        if not cls._hooked:
            sys.addaudithook(_hook)  # there is no way to take it off again, so it looks whether anybody watches
            cls._hooked = True
        READERS.close()  # what other tests left open would not be seen to be opened
        opened = cls()
        real_open = rasterio.open

        def watched(path, *arguments, **options):
            opened.files.add(str(path))
            return real_open(path, *arguments, **options)

        rasterio.open, cls._instance = watched, opened
        try:
            yield opened
        finally:
            rasterio.open, cls._instance = real_open, None

    def outside(self, *allowed: Path) -> list[str]:
        """What was opened and lies in none of the folders, with everything else that was done."""
        folders = [Path(folder).resolve() for folder in allowed]
        found = []
        for name in sorted(self.files):
            place = Path(name).resolve()
            if not any(place.is_relative_to(folder) for folder in folders):
                found.append(name)
        return found + sorted(self.others)


def _hook(event: str, arguments: tuple) -> None:
    opened = Opened._instance
    if opened is None or threading.current_thread().name == "pytest-timeout":
        return
    if event == "open" and not isinstance(arguments[0], int):
        opened.files.add(arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0]))
    elif event in SUSPICIOUS:
        opened.others.add(f"{event} {arguments!r}"[:200])
