"""A small application behind the guard of React-2-EO, on a socket of loopback: for what only real HTTP shows."""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles

from ceiba.react2eo.answers import add_error_answers
from ceiba.react2eo.protection.guard import guard
from ceiba.react2eo.protection.limits import limit_device
from ceiba.react2eo.protection.metrics import router
from ceiba.react2eo.settings import LIMITS, Settings

SECRET_PLACE = "19.4326"


def make_app(
    folder: Path, *, trusted: str = "", origins: tuple[str, ...] = (), public_url: str = "", limits: dict[str, int] | None = None
) -> FastAPI:
    """Routes of every kind, with files in ``folder``."""
    app = FastAPI()
    app.state.settings = Settings(
        folder=folder, reactions_url="", trusted_proxies=tuple(ipaddress.ip_network(each) for each in trusted.split()),
        allowed_origins=origins, public_url=public_url, metrics_networks=(ipaddress.ip_network("127.0.0.0/8"),),
        limits={**LIMITS, **(limits or {})},
    )  # fmt: skip
    app.state.snapshots = SimpleNamespace(checked_s=time.monotonic())
    app.state.reactions = SimpleNamespace(waiting=0)
    add_error_answers(app)
    guard(app)
    app.include_router(router)

    @app.get("/tiles/{name}")
    def tile(name: str, wait_s: float = 0) -> Response:
        time.sleep(wait_s)
        return Response(b"\0" * 2000, media_type="image/webp")

    @app.get("/api/animations/{name}")
    def name_of(name: str, request: Request) -> dict:
        return {"name": name, "scheme": request.url.scheme}

    @app.post("/api/animations", status_code=201)
    def animate(wait_s: float = 0) -> dict:
        time.sleep(wait_s)
        return {}

    @app.post("/api/reactions")
    def react(request: Request, body: dict) -> dict:
        limit_device(request, body["device"])
        return {"size": len(str(body))}

    @app.get("/api/failing")
    def fail(lat: float = 0) -> dict:
        try:
            raise ValueError(f"no tile at {lat}")
        except ValueError as error:
            raise RuntimeError(f"cannot read {lat}") from error

    @app.get("/api/stream")
    def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"part %d " % number * 100
                await asyncio.sleep(0.3)

        return StreamingResponse(parts(), media_type="text/plain")

    @app.get("/dashboards")
    def dashboard() -> Response:
        return Response("<p>dashboard</p>", media_type="text/html")

    @app.get("/embed")
    def embed() -> Response:
        return Response("<p>embedded</p>", media_type="text/html")

    @app.websocket("/dashboards/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())

    app.mount("/app", StaticFiles(directory=folder), name="app")
    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application as ``ceiba serve`` does, in a thread; gives its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        options = {"log_level": "warning", "access_log": False, "server_header": False, "proxy_headers": False}
        server = uvicorn.Server(uvicorn.Config(app, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
