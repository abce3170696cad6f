"""``/metrics``: what the server does and how well, in totals that tell nothing of a person or a place."""

import time
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ceiba import labels
from ceiba.react2eo.protection.addresses import find_address, is_within
from ceiba.react2eo.protection.failures import log_failure

router = APIRouter(tags=["metrics"])

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
KINDS = {"tiles": "tiles", "wmts": "tiles", "wms": "wms", "external": "external", "dashboards": "dashboards"}
WRITING = frozenset({"POST", "DELETE"})
MOUNTED = ("/app", "/static", "/components")
OTHER = "other"


def kind_of(scope: Scope) -> str:
    """Kind of a request by what it costs: a key of :data:`ceiba.react2eo.settings.LIMITS`; "pages" where it costs little."""
    parts = scope["path"].split("/", 3)
    first, second = parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""
    if first == "api":
        if second == "slices":
            return "slices"
        if second in {"animations", "reactions"} and scope.get("method") in WRITING:
            return second
        return "pages"
    return KINDS.get(first, "pages")


class Metrics:
    """Counters of one application, in a registry of its own."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self._requests = Counter("ceiba_requests", "Answers.", ["route", "method", "status"], registry=self.registry)
        self._seconds = Histogram(
            "ceiba_request_seconds", "Time until an answer is sent [s].", ["kind"], buckets=BUCKETS_S, registry=self.registry
        )
        self._bytes = Counter("ceiba_response_bytes", "Bodies of answers [bytes].", ["kind"], registry=self.registry)
        self._running = Gauge("ceiba_running", "Requests being answered.", ["kind"], registry=self.registry)
        self._sockets = Gauge("ceiba_websockets", "Open WebSockets (dashboards).", registry=self.registry)
        self._refused = Counter("ceiba_refused", "Requests refused.", ["kind", "reason"], registry=self.registry)
        self._failures = Counter("ceiba_failures", "Errors that nobody expected.", registry=self.registry)
        self._caches = Counter("ceiba_cache_requests", "Look-ups in caches.", ["cache", "result"], registry=self.registry)
        self._reactions = Counter("ceiba_reactions_acknowledged", "Reactions acknowledged.", registry=self.registry)
        started_s = time.monotonic()
        self.watch("ceiba_uptime_seconds", "Time since the server started [s].", lambda: time.monotonic() - started_s)
        ProcessCollector(registry=self.registry)

    def text(self) -> str:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry).decode()

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show a figure that is read whenever it is asked for."""
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def count_refusal(self, kind: str, reason: str) -> None:
        """Count a request that was refused."""
        self._refused.labels(kind, reason).inc()

    def count_cache(self, cache: str, *, hit: bool) -> None:
        """Count a look-up in a cache."""
        self._caches.labels(cache, "hit" if hit else "miss").inc()

    def count_failure(self) -> None:
        """Count an error that nobody expected."""
        self._failures.inc()

    def start(self, kind: str) -> None:
        """Count a request as being answered."""
        self._running.labels(kind).inc()

    def finish(self, kind: str, scope: Scope, *, status: int, seconds: float, sent_bytes: int) -> None:
        """Count a request as answered."""
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self._running.labels(kind).dec()
        self._requests.labels(route_of(scope), method, f"{status // 100}xx").inc()
        self._seconds.labels(kind).observe(seconds)
        self._bytes.labels(kind).inc(sent_bytes)
        if kind == "reactions" and status == 200:
            self._reactions.inc()
        if kind == "animations" and status in {200, 201}:
            self.count_cache("animations", hit=status == 200)

    def open_socket(self, number: int) -> None:
        """Count WebSockets that opened, or closed by a negative number."""
        self._sockets.inc(number)


def route_of(scope: Scope) -> str:
    """Template of the route that answered, "/tiles/{region}/..."; "other" where none did, so that nobody can invent labels."""
    template = getattr(scope.get("route"), "path", None)
    if template:
        return template
    if "endpoint" in scope:
        return next((prefix for prefix in MOUNTED if scope["path"].startswith(f"{prefix}/")), OTHER)
    return OTHER


class Observation:
    """ASGI middleware that measures every request and answers those that fail."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._observe(scope, receive, send)
        elif scope["type"] == "websocket":
            self.metrics.open_socket(1)
            try:
                await self.app(scope, receive, send)
            finally:
                self.metrics.open_socket(-1)
        else:
            await self.app(scope, receive, send)

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind, start, status, sent_bytes = kind_of(scope), time.perf_counter(), 0, 0
        self.metrics.start(kind)

        async def send_and_count(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, send_and_count)
        except Exception as error:  # noqa: BLE001 - logged under a number, and answered by it
            number = log_failure(error)
            self.metrics.count_failure()
            if status:  # the answer has begun: all that is left is to break it off
                raise BrokenAnswerError(number) from None
            detail = {"error": "UnexpectedError", "detail": labels.both("react2eo.failed"), "request": number}
            await JSONResponse(detail, status_code=500)(scope, receive, send_and_count)
        finally:
            seconds = time.perf_counter() - start
            self.metrics.finish(kind, scope, status=status or 499, seconds=seconds, sent_bytes=sent_bytes)


class BrokenAnswerError(Exception):
    """An answer broke off after it had begun; the message is the number under which it was logged."""


@router.get("/metrics", include_in_schema=False)
def get_metrics(request: Request) -> Response:
    """Figures for Prometheus, only for the networks of the operator."""
    if not is_within(find_address(request.scope), request.app.state.settings.metrics_networks):
        return JSONResponse({"error": "NotForYouError", "detail": labels.both("react2eo.not_for_you")}, status_code=403)
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
