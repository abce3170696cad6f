"""``/external``: map layers of other servers through our own origin, within a hard budget, so that neither a visitor nor a key is told."""

import hashlib
import io
import logging
import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated

import httpx
from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from PIL import Image

from ceiba.errors import CeibaError, NotFoundError, SettingsError
from ceiba.react2eo.animations.file_cache import FileCache
from ceiba.react2eo.animations.workers import Workers
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.maps.budgets import BudgetError, Budgets
from ceiba.react2eo.maps.external_catalog import ExternalLayer
from ceiba.react2eo.themes import Themes, load_themes

log = logging.getLogger(__name__)
# It would log every address, and with it the keys.
logging.getLogger("httpx").setLevel(logging.WARNING)
router = APIRouter(tags=["tiles"])

CONNECT_S, READ_S, WHOLE_S = 4.0, 8.0, 12.0
"""How long a server may take to be reached, between two parts of its answer, and for all of it [s]."""
BYTES_AT_MOST = 2_000_000
SIDE_PX_AT_MOST = 1024
MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
CACHE_BYTES = 100_000_000
FAILURES, REST_S = 3, 30.0
"""After so many failures one after the other a server is left in peace for a while [s]."""
THREADS, WAITING = 6, 60
AGENT = "React-2-EO"
DAY_S = 86_400


class UpstreamError(CeibaError):
    """Another server did not answer with a map; ``status`` is what is told to the browser."""

    def __init__(self, message: str, *, status: int = 502):
        super().__init__(message)
        self.status = status


class ExternalLayers:
    """The external layers that a deployment offers; none unless its settings name them.

    Parameters
    ----------
    names
        Names in ``catalogs/themes.yml``; raises :class:`SettingsError` on one that is not there or lacks its key.
    folder
        Where tiles are kept for a day, and what is spent is counted.
    """

    def __init__(self, names: tuple[str, ...], *, folder: FilePath):
        self._names = names
        known = load_themes().external if names else {}
        for name in names:
            if name not in known:
                raise SettingsError(f"CEIBA_EXTERNAL_LAYERS: no external layer {name!r}; there are {', '.join(known) or 'none'}")
            _read_key(known[name])
        self._budgets = Budgets(folder / "budgets.sqlite")
        self._cache = FileCache(folder / "external", max_bytes=CACHE_BYTES)
        self._servers = {name: Server(name) for name in names}

    def offered(self, themes: Themes) -> dict[str, ExternalLayer]:
        """Layers by name, in the order of the settings."""
        return {name: themes.external[name] for name in self._names if name in themes.external}

    async def fetch(self, layer: ExternalLayer, z: int, x: int, y: int) -> bytes:
        """A tile, empty where the server has none; raises :class:`BudgetError`, :class:`UpstreamError` or ``BusyError``."""
        server = self._servers[layer.name]
        return await server.workers.run((z, x, y), lambda: self._fetch(server, layer, z, x, y))

    def _fetch(self, server: "Server", layer: ExternalLayer, z: int, x: int, y: int) -> bytes:
        # The day is part of the name, so a tile of yesterday is asked for anew; its file goes when room is needed.
        parts = f"{layer.name}\n{layer.address}\n{sorted(layer.parameters.items())}\n{z}/{x}/{y}\n{datetime.now(UTC):%Y-%m-%d}"
        name = hashlib.sha256(parts.encode()).hexdigest()[:32]
        kept = self._cache.find(name)
        if kept:
            try:
                return kept.read_bytes()
            except FileNotFoundError:  # it made room for another one just now
                log.debug("a tile of layer %s was let go while it was asked for", layer.name)
        server.check_rest()
        self._budgets.spend(layer.name, per_day=layer.per_day, per_month=layer.per_month)
        content = server.ask(layer.tile_address(z, x, y, key=_read_key(layer)))
        self._cache.save(name, content)
        return content


class Server:
    """One external server: connections, the few threads that wait for it, and its rest after failures."""

    def __init__(self, name: str):
        self.name = name
        self.workers = Workers(f"layer {name}", threads=THREADS, most=WAITING)
        # Redirects are not followed: they could lead to a host that nobody chose.
        self._client = httpx.Client(
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            follow_redirects=False,
            headers={"User-Agent": AGENT, "Accept": "image/*", "Accept-Encoding": "identity"},
        )
        self._lock = threading.Lock()
        self._failures, self._rest_until_s = 0, 0.0

    def check_rest(self) -> None:
        """Raise :class:`UpstreamError` while the server is left in peace."""
        if time.monotonic() < self._rest_until_s:
            raise UpstreamError(f"layer {self.name}: its server failed several times and is asked again in a moment", status=503)

    def ask(self, address: str) -> bytes:
        """A picture, empty where there is none; raises :class:`UpstreamError`, which never holds the address."""
        try:
            content = self._ask(address)
        except httpx.TimeoutException as error:
            self._note(failed=True)
            raise UpstreamError(f"layer {self.name}: its server did not answer in time", status=504) from error
        except httpx.HTTPError as error:
            self._note(failed=True)
            raise UpstreamError(f"layer {self.name}: its server cannot be reached ({type(error).__name__})") from error
        except UpstreamError:
            self._note(failed=True)
            raise
        self._note(failed=False)
        return content

    def _ask(self, address: str) -> bytes:
        end_s = time.monotonic() + WHOLE_S
        content = bytearray()
        with self._client.stream("GET", address) as answer:
            if answer.status_code in (204, 404):
                return b""
            if answer.status_code != 200:
                raise UpstreamError(f"layer {self.name}: its server answered with status {answer.status_code}")
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in MEDIA_TYPES.values() or answer.headers.get("content-encoding", "identity") != "identity":
                raise UpstreamError(f"layer {self.name}: its server answered with {kind[:60] or 'nothing known'} instead of a picture")
            for part in answer.iter_bytes():
                content += part
                if len(content) > BYTES_AT_MOST:
                    raise UpstreamError(f"layer {self.name}: its server sent more than {BYTES_AT_MOST} bytes")
                if time.monotonic() > end_s:
                    raise UpstreamError(f"layer {self.name}: its server did not answer in time", status=504)
        check_picture(bytes(content), self.name)
        return bytes(content)

    def _note(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if self._failures >= FAILURES:
                self._failures, self._rest_until_s = 0, time.monotonic() + REST_S


def check_picture(content: bytes, name: str) -> None:
    """Raise :class:`UpstreamError` where a picture cannot be read whole, or is larger than a tile may be."""
    try:
        with Image.open(io.BytesIO(content), formats=tuple(MEDIA_TYPES)) as picture:
            if max(picture.size) > SIDE_PX_AT_MOST:
                raise UpstreamError(f"layer {name}: its server sent a picture of {picture.size[0]} x {picture.size[1]} pixels")
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UpstreamError(f"layer {name}: its server sent a picture that cannot be read") from error


def describe_external(layers: Mapping[str, ExternalLayer]) -> list[dict]:
    """What a program needs to show the layers; nothing tells where they come from but the attribution."""
    return [
        {
            "name": layer.name,
            "title": layer.title,
            "tiles": f"/external/{layer.name}/{{z}}/{{x}}/{{y}}.png",
            "attribution": layer.attribution,
            "terms": layer.terms,
            "zooms": layer.zooms,
            "bounds": layer.bounds,
        }
        for layer in layers.values()
    ]


def _read_key(layer: ExternalLayer) -> str:
    key = os.environ.get(layer.key, "").strip() if layer.key else ""
    if layer.key and not key:
        raise SettingsError(f"CEIBA_EXTERNAL_LAYERS names {layer.name}, which needs its key in {layer.key}; set that too")
    return key


@router.get(
    "/external/{name}/{z}/{x}/{y}.png", summary="A tile of another server", response_class=Response,
    responses={200: {"content": {each: {} for each in MEDIA_TYPES.values()}}} | describe_errors(404, 422, 503),
)  # fmt: skip
async def get_external_tile(
    request: Request,
    name: Annotated[str, Path(max_length=60)],
    z: Annotated[int, Path(ge=0, le=22)],
    x: Annotated[int, Path(ge=0, lt=2**22)],
    y: Annotated[int, Path(ge=0, lt=2**22)],
) -> Response:
    """A tile of a layer that ``/api/products`` lists under ``external``; 503 where its budget is spent."""
    external: ExternalLayers = request.app.state.external
    snapshot = await run_in_threadpool(request.app.state.snapshots.current)
    offered = external.offered(snapshot.themes)
    if name not in offered:
        raise NotFoundError(f"no external layer {name!r} is offered; offered are {', '.join(offered) or 'none'}")
    layer = offered[name]
    if not layer.covers(z, x, y):
        lowest, highest = layer.zooms
        raise NotFoundError(f"no tile {z}/{x}/{y} in layer {name}: it has zoom {lowest} to {highest} within {list(layer.bounds)}")
    try:
        content = await external.fetch(layer, z, x, y)
    except BudgetError as error:
        raise HTTPException(503, str(error), {"Retry-After": str(error.renewed_s)}) from error
    except UpstreamError as error:
        raise HTTPException(error.status, str(error), {"Retry-After": str(round(REST_S))}) from error
    if not content:
        raise NotFoundError(f"no tile {z}/{x}/{y} in layer {name}: its server has none")
    with Image.open(io.BytesIO(content), formats=tuple(MEDIA_TYPES)) as picture:
        media_type = MEDIA_TYPES[picture.format]
    return Response(content, media_type=media_type, headers={"Cache-Control": f"public, max-age={DAY_S}"})
