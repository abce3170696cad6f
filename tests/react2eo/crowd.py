"""Many people at once: a light client that acts as the phones of a crowd behind a proxy, and one that asks as fast as it can.

    python tests/react2eo/crowd.py ADDRESS PATH SECONDS CLIENT     # the second one, which prints what it was answered
"""

import asyncio
import json
import math
import random
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE_S = 3.0
"""Connections that were idle for longer are not used again: servers close theirs after 5 s."""
TOGETHER = 6
"""Tiles that a browser asks for at once."""
TILE_ZOOMS = (14, 15, 16, 17)
ACROSS, DOWN = 3, 3
"""Tiles of a phone's screen."""
ACTIONS = {"open": 0.05, "years": 0.25, "animation again": 0.10, "new animation": 0.02, "like": 0.33, "map of reactions": 0.25}
"""Share of each in what people do; with 9 tiles a view, 20 actions a second ask for 54 tiles a second."""


@dataclass
class Answers:
    """What was answered: seconds by kind of request, statuses, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, kind: str, status: int, seconds: float, allowed: tuple[int, ...] = (200, 201)) -> None:
        """Note an answer; a status that is not allowed is wrong."""
        self.seconds[kind].append(seconds)
        self.statuses[status] += 1
        if status not in allowed:
            self.wrong.append(f"{kind}: {status}")

    def quantile(self, kind: str, share: float) -> float:
        """Time that a share of the answers of a kind stayed below [s]."""
        ordered = sorted(self.seconds[kind])
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else float("nan")


class Proxy:
    """Asks a server on behalf of others, as a reverse proxy does: connections are kept and shared."""

    def __init__(self, address: str):
        self.host, _, port = address.removeprefix("http://").partition(":")
        self.port = int(port)
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str, path: str, *, client: str, body: dict | None = None, headers: str = "") -> tuple[int, bytes]:
        """Status and body of an answer; a connection that the server had closed meanwhile is opened again."""
        content = json.dumps(body).encode() if body is not None else b""
        kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if body is not None else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nX-Forwarded-For: {client}\r\n{kind}{headers}\r\n"
        request = head.encode() + content
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since > IDLE_S:
                writer.close()
                continue
            try:
                return await self._exchange(reader, writer, request)
            except (ConnectionError, asyncio.IncompleteReadError):
                writer.close()
        return await self._exchange(*await asyncio.open_connection(self.host, self.port), request)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        body = await reader.readexactly(length) if length else b""
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((time.monotonic(), reader, writer))
        return int(head[9:12]), body

    def close(self) -> None:
        """Close what is open."""
        for _, _, writer in self._idle:
            writer.close()


class Pace:
    """At most so many a second, all together."""

    def __init__(self, each_second: float):
        self._interval, self._next = 1 / each_second, 0.0

    async def wait(self) -> None:
        """Wait for one's turn."""
        now = time.monotonic()
        self._next = max(self._next + self._interval, now)
        if self._next > now:
            await asyncio.sleep(self._next - now)


class Person:
    """Somebody with a phone, an address and a device token, who looks at a region and does something now and then."""

    def __init__(self, number: int, proxy: Proxy, region: dict, answers: Answers, pace: Pace, *, seed: int = 0):
        self.proxy, self.region, self.answers, self.pace = proxy, region, answers, pace
        self.random = random.Random(f"{seed}/{number}")
        self.client = f"198.18.{number % 256}.{1 + number // 256}"
        self.device = f"{number:024d}"

    async def act(self) -> None:
        """Do one thing."""
        (action,) = self.random.choices(list(ACTIONS), list(ACTIONS.values()))
        layer = self.random.choice([each for each in self.region["layers"] if each["periods"]])
        await {
            "open": self.open, "years": self.look, "animation again": self.animate, "new animation": self.animate_elsewhere,
            "like": self.like, "map of reactions": self.see_reactions,
        }[action](layer)  # fmt: skip

    async def open(self, layer: dict) -> None:
        """Open the app: its page and words, the products, the first view."""
        for path in ("/", "/app/main.js", "/api/words?language=es", "/api/products"):
            await self.ask("page", "GET", path)
        await self.look(layer)

    async def look(self, layer: dict) -> None:
        """Change the year: the tiles of a screen."""
        west, south, east, north = self.region["bounds"]
        zoom = self.random.choice(TILE_ZOOMS)
        column, row = tile_at(self.random.uniform(west, east), self.random.uniform(south, north), zoom)
        period = self.random.choice(layer["periods"])
        places = [(column + right, row + down) for right in range(ACROSS) for down in range(DOWN)]
        together = asyncio.Semaphore(TOGETHER)

        async def get(x: int, y: int) -> None:
            async with together:
                await self.pace.wait()
                path = layer["tiles"].format(period=period, z=zoom, x=x, y=y)
                await self.ask("tile", "GET", path)

        await asyncio.gather(*(get(x, y) for x, y in places))

    async def animate(self, layer: dict) -> None:
        """Ask for an animation that others have had already."""
        await self._animate(layer, self.region["bounds"], "animation again")

    async def animate_elsewhere(self, layer: dict) -> None:
        """Ask for an animation that nobody has had."""
        west, south, east, north = self.region["bounds"]
        left, low = self.random.uniform(0, 0.5), self.random.uniform(0, 0.5)
        bounds = [west + left * (east - west), south + low * (north - south)]
        bounds += [bounds[0] + 0.4 * (east - west), bounds[1] + 0.4 * (north - south)]
        await self._animate(layer, bounds, "new animation")

    async def _animate(self, layer: dict, bounds: list[float], kind: str) -> None:
        asked = {"region": self.region["name"], "layer": layer["name"], "bounds": bounds, "format": "gif"}
        asked |= {"first": layer["periods"][0], "last": layer["periods"][-1]}
        body = await self.ask(kind, "POST", "/api/animations", asked)
        if body:
            await self.ask("file", "GET", json.loads(body)["url"])

    async def like(self, layer: dict) -> None:
        """Like, dislike, or take it back."""
        view = {"region": self.region["name"], "layer": layer["name"], "bounds": self.region["bounds"]}
        view |= {"first": layer["periods"][0], "last": layer["periods"][-1]}
        reaction = self.random.choice(["like", "dislike", "none"])
        vote = {"id": str(uuid.UUID(int=self.random.getrandbits(128))), "device": self.device, "view": view, "reaction": reaction}
        await self.ask("reaction", "POST", "/api/reactions", vote)

    async def see_reactions(self, layer: dict) -> None:
        """Look at the map of everybody's reactions."""
        query = f"region={self.region['name']}&layer={layer['name']}"
        await self.ask("map of reactions", "GET", f"/api/reactions/cells?{query}")

    async def ask(self, kind: str, method: str, path: str, body: dict | None = None) -> bytes:
        """Ask and note the answer; returns its body, empty where something went wrong."""
        start = time.perf_counter()
        try:
            status, content = await self.proxy.ask(method, path, client=self.client, body=body)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.answers.wrong.append(f"{kind}: {type(error).__name__}")
            return b""
        self.answers.note(kind, status, time.perf_counter() - start)
        return content if status < 400 else b""


def tile_at(longitude: float, latitude: float, zoom: int) -> tuple[int, int]:
    """Column and row of the tile of Web Mercator at a place [degrees]."""
    sine = math.sin(math.radians(latitude))
    row = (0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)) * 2**zoom
    return int((longitude + 180) / 360 * 2**zoom), int(row)


async def crowd(
    address: str, region: dict, *, people: int, seconds: float, every_s: float = 10.0, tiles_a_second: float = 60.0,
    seed: int = 0, watch: Callable[[float], None] = lambda second: None,
) -> Answers:  # fmt: skip
    """Let so many people do something each ``every_s`` for a while.

    Parameters
    ----------
    region
        As in the answer of ``/api/products``.
    seed
        What people do follows from it.
    watch
        Called about once a second with the seconds since the beginning.
    """
    proxy, answers, pace = Proxy(address), Answers(), Pace(tiles_a_second)
    start = time.monotonic()

    async def live(number: int) -> None:
        person = Person(number, proxy, region, answers, pace, seed=seed)
        due = start + every_s * number / people
        while due < start + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await person.act()
            due += every_s

    async def observe() -> None:
        while time.monotonic() < start + seconds:
            watch(time.monotonic() - start)
            await asyncio.sleep(1)
        watch(seconds)

    # What everybody has had already has been made before.
    first = Person(0, proxy, region, Answers(), pace)
    for layer in region["layers"]:
        await first.animate(layer)
    start = time.monotonic()
    await asyncio.gather(observe(), *(live(number) for number in range(people)))
    proxy.close()
    return answers


async def flood(address: str, path: str, *, seconds: float, client: str, at_once: int = 16) -> Answers:
    """Ask for one address as fast as it is answered, from one network, over so many connections."""
    proxy, answers = Proxy(address), Answers()
    end = time.monotonic() + seconds

    async def ask() -> None:
        while time.monotonic() < end:
            start = time.perf_counter()
            status, _ = await proxy.ask("GET", path, client=client)
            answers.note("flood", status, time.perf_counter() - start, allowed=(200, 429))

    await asyncio.gather(*(ask() for _ in range(at_once)))
    proxy.close()
    return answers


if __name__ == "__main__":
    answered = asyncio.run(flood(sys.argv[1], sys.argv[2], seconds=float(sys.argv[3]), client=sys.argv[4]))
    print(json.dumps({"statuses": answered.statuses, "wrong": answered.wrong[:5]}))
