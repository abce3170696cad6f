"""Files of the pages, compressed once as far as possible and kept in memory."""

import gzip
from collections import OrderedDict

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ceiba.react2eo.protection.headers import STATIC

PACKED_ALREADY = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "image/tiff", "application/x-netcdf", "application/netcdf", "application/octet-stream")
"""Types of content that compression would only cost time."""
TEXTS = ("text/", "application/javascript", "application/json", "application/manifest+json", "application/wasm", "image/svg+xml")
SMALLEST_BYTES = 500
LARGEST_BYTES = 16 * 2**20
KEPT_BYTES = 48 * 2**20


class PackedFiles:
    """ASGI middleware that answers files of folders (:class:`starlette.staticfiles.StaticFiles`) compressed, from memory.

    The folder is asked for the headers each time, so that a file that changed is compressed again.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        self._packed: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._kept = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._may_pack(scope):
            await self.app(scope, receive, send)
            return
        asked = {**scope, "method": "HEAD"}
        start, _ = await _collect(self.app, asked, receive)
        if "endpoint" in asked:
            scope["endpoint"] = asked["endpoint"]
        headers = MutableHeaders(scope=start)
        tag = headers.get("etag", "")
        size = int(headers.get("content-length", "0"))
        worth = headers.get("content-type", "").startswith(TEXTS) and SMALLEST_BYTES <= size <= LARGEST_BYTES
        if start["status"] != 200 or not tag or not worth or "content-encoding" in headers:
            await self.app(scope, receive, send)
            return
        key = (scope["path"], tag)
        packed = self._packed.get(key)
        if packed is None:
            _, body = await _collect(self.app, scope, receive)
            if len(body) != size:
                # The browser went away, which ends the reading of a file: half a file must not be kept for others.
                await self.app(scope, receive, send)
                return
            packed = await anyio.to_thread.run_sync(lambda: gzip.compress(body, 9, mtime=0))
            self._keep(key, packed)
        headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(packed))
        headers["etag"] = f"W/{tag.removeprefix('W/')}"
        headers.add_vary_header("Accept-Encoding")
        del headers["accept-ranges"]
        await send(start)
        await send({"type": "http.response.body", "body": packed})

    @staticmethod
    def _may_pack(scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(STATIC):
            return False
        headers = Headers(scope=scope)
        return "gzip" in headers.get("accept-encoding", "") and "range" not in headers

    def _keep(self, key: tuple[str, str], packed: bytes) -> None:
        self._packed[key] = packed
        self._kept += len(packed)
        while self._kept > KEPT_BYTES:
            _, dropped = self._packed.popitem(last=False)
            self._kept -= len(dropped)


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    start: Message = {"type": "http.response.start", "status": 500, "headers": []}
    body = bytearray()

    async def keep(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = {**message, "headers": list(message["headers"])}
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, keep)
    return start, bytes(body)
