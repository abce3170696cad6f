"""What keeps the server quick for everybody: limits on how often, how much and how slowly a client may ask.

Everything is a plain ASGI middleware: streams and the WebSockets of the dashboards go through untouched.
"""

import asyncio
import json
import logging
import math
import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ceiba import labels
from ceiba.react2eo.protection.addresses import find_key
from ceiba.react2eo.protection.limiter import CrowdedError, MinuteBuckets, TokenBuckets, TooManyError, Turns
from ceiba.react2eo.protection.metrics import Metrics, kind_of

log = logging.getLogger(__name__)

CORES = os.cpu_count() or 1
LONGEST_ADDRESS = 8192
HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
BODY_PATIENCE_S = 15.0
"""How long the body of a request may take to arrive [s]."""
DRAIN_S, DRAIN_BYTES = 2.0, 32 * 2**20
"""How much of a body that is too large is read and thrown away, so that its sender reads the answer instead of a broken pipe."""
PATIENT_REFUSALS = 20
"""Refusals of a client that are answered at once; further ones wait, so that being refused does not cost a whole core."""
HOLD_S = 1.0
AFTER_TILES_S = 0.5
"""How long other work that costs waits for tiles at most [s]."""
HELD_EACH, HELD = 64, 1000
BUSY_S = 5


@dataclass(frozen=True)
class Place:
    """How much of a kind of request is worked on at once, in all and of one client, and how many may wait for how long."""

    at_once: int
    each: int
    waiting_each: int
    waiting: int
    patience_s: float = 20.0
    after_tiles: bool = False


PLACES: Mapping[str, Place] = {
    "tiles": Place(max(6, min(2 * CORES, 12)), max(2, min(CORES, 6)), 200, 2000),
    "external": Place(6, 4, 100, 500),
    "wms": Place(max(2, min(CORES, 4)), max(1, min(CORES - 1, 3)), 32, 200),
    "slices": Place(2, 1, 4, 24, after_tiles=True),
    "animations": Place(4, 2, 4, 24, after_tiles=True),
    "reactions": Place(8, 4, 100, 1000),
    "dashboards": Place(2, 1, 8, 40, after_tiles=True),
}
"""Kinds of request that cost; those that are not here cost little and start at once. Together they leave some of Starlette's 40
threads to these."""


class Refusal(Exception):
    """An answer instead of the one asked for."""

    def __init__(self, status: int, reason: str, *, wait_s: float = 0, **words: object):
        super().__init__(reason)
        self.status, self.reason, self.wait_s = status, reason, wait_s
        self.words = {**words, "seconds": max(1, math.ceil(wait_s))}

    async def answer(self, send: Send) -> None:
        """Send the refusal as JSON."""
        detail = labels.both(f"react2eo.{self.reason}").format(**self.words)
        name = "".join(part.capitalize() for part in self.reason.split("_")) + "Error"
        body = json.dumps({"error": name, "detail": detail}, ensure_ascii=False).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        if self.wait_s:
            headers.append((b"retry-after", str(self.words["seconds"]).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Protection:
    """ASGI middleware that holds clients to their limits and gives each its turn.

    Parameters
    ----------
    limits
        As in :data:`ceiba.react2eo.settings.LIMITS`.
    """

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int], metrics: Metrics):
        self.app = app
        self.metrics = metrics
        self.body_kb = limits["body_kb"]
        self._buckets = {kind: TokenBuckets(number) for kind, number in limits.items() if kind not in {"device", "body_kb"}}
        self._turns = {
            kind: Turns(
                place.at_once, each=place.each, waiting_each=place.waiting_each, waiting=place.waiting, patience_s=place.patience_s
            )
            for kind, place in PLACES.items()
        }
        self._refusals = TokenBuckets(PATIENT_REFUSALS)
        self._held: Counter[bytes] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._answer(scope, receive, send)
            except Refusal as refusal:
                kind = kind_of(scope)
                self.metrics.count_refusal(kind, refusal.reason)
                if refusal.reason == "too_many":
                    await self._hold(find_key(scope))
                await refusal.answer(send)
        elif scope["type"] == "websocket":
            if self._buckets[kind_of(scope)].take(find_key(scope)):
                self.metrics.count_refusal(kind_of(scope), "too_many")
                await receive()
                await send({"type": "websocket.close", "code": 1013})
                return
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_ADDRESS:
            raise Refusal(414, "too_long", limit=LONGEST_ADDRESS)
        if not HOST.fullmatch(headers.get("host", "")):
            raise Refusal(400, "wrong_host")
        kind, key = kind_of(scope), find_key(scope)
        if wait_s := self._buckets[kind].take(key):
            raise Refusal(429, "too_many", wait_s=wait_s)
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            receive = await self._read_body(headers, receive)
        if kind not in PLACES:
            await self.app(scope, receive, send)
            return
        turns = self._turns[kind]
        try:
            if PLACES[kind].after_tiles:
                await self._let_tiles_go_first()
            await turns.enter(key)
        except CrowdedError as error:
            raise Refusal(429 if error.own else 503, "too_many" if error.own else "busy", wait_s=BUSY_S) from error
        entered = True

        async def send_and_leave(message: Message) -> None:
            # The work is done when the answer begins; a slow line must not keep the place.
            nonlocal entered
            if entered:
                entered = False
                turns.leave(key)
            await send(message)

        try:
            await self.app(scope, receive, send_and_leave)
        finally:
            if entered:
                turns.leave(key)

    async def _let_tiles_go_first(self) -> None:
        deadline = time.monotonic() + AFTER_TILES_S
        while self._turns["tiles"].crowded and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _hold(self, key: bytes) -> None:
        if not self._refusals.take(key) or self._held[key] >= HELD_EACH or self._held.total() >= HELD:
            return
        self._held[key] += 1
        try:
            await asyncio.sleep(HOLD_S)
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    async def _read_body(self, headers: Headers, receive: Receive) -> Receive:
        """The body at once, so that no handler waits for a slow one; returns the function that hands it on."""
        limit = self.body_kb * 1000
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > limit and headers.get("expect"):
            raise Refusal(413, "too_large", limit=self.body_kb)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_PATIENCE_S):
                while (message := await receive())["type"] == "http.request":
                    body += message.get("body", b"")
                    if len(body) > limit:
                        await _drain(receive, message)
                        raise Refusal(413, "too_large", limit=self.body_kb)
                    if not message.get("more_body"):
                        break
        except TimeoutError as error:
            raise Refusal(408, "too_slow") from error
        pending: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]
        if message["type"] != "http.request":
            pending = [message]

        async def receive_again() -> Message:
            return pending.pop() if pending else await receive()

        return receive_again


async def _drain(receive: Receive, message: Message) -> None:
    drained, deadline = 0, time.monotonic() + DRAIN_S
    while message.get("more_body") and drained < DRAIN_BYTES:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return
        drained += len(message.get("body", b""))


class DeviceLimit:
    """How often one device may react, whatever network it is in; ``app.state.device_limit``."""

    def __init__(self, per_minute: int):
        self._buckets = MinuteBuckets(per_minute)

    def check(self, device: str) -> None:
        """Count a request of a device (its token); raises :class:`TooManyError`."""
        if wait_s := self._buckets.take(hash(device)):
            raise TooManyError(wait_s)


def limit_device(request: Request, device: str) -> None:
    """Count a reaction of a device; raises :class:`TooManyError`, which is answered by 429 and Retry-After."""
    request.app.state.device_limit.check(device)
