"""What browsers are told of an answer: what a page may do, who may frame it, and which other web sites may use it."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ceiba.react2eo.protection.limits import Refusal
from ceiba.react2eo.protection.metrics import WRITING

BASE = {
    "default-src": "'self'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' blob:",
    "worker-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
EMBEDDED = BASE | {"frame-ancestors": "*"}
# Bokeh and Panel make code in the browser, and their pages hold data and styles inline; they also play sounds from data.
DASHBOARDS = BASE | {
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "font-src": "'self' data:",
    "media-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "frame-ancestors": "'self'",
}
ALWAYS = {
    "x-content-type-options": "nosniff",
    # Addresses of views hold places.
    "referrer-policy": "no-referrer",
    "permissions-policy": "geolocation=(self), camera=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
}
YEAR_S = 31_536_000
STATIC = ("/app/", "/static/", "/components/")
PREFLIGHT_S = 7200


def join_policy(rules: dict[str, str]) -> str:
    """A Content-Security-Policy of rules by directive."""
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


POLICIES = {"dashboards": join_policy(DASHBOARDS), "embed": join_policy(EMBEDDED)}
POLICY = join_policy(BASE)


class SecurityHeaders:
    """ASGI middleware that adds the headers by which browsers protect people; what an answer has set itself stays."""

    def __init__(self, app: ASGIApp, *, public_url: str):
        self.app = app
        self.always = dict(ALWAYS)
        if public_url.startswith("https://"):
            self.always["strict-transport-security"] = f"max-age={YEAR_S}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.always.items():
                    headers.setdefault(name, value)
                # Pictures run nothing, and a map has hundreds of them; a drawing (SVG) may.
                media_type = headers.get("content-type", "")
                if not media_type.startswith("image/") or "svg" in media_type:
                    headers.setdefault("content-security-policy", POLICIES.get(path.split("/", 2)[1], POLICY))
                if path.startswith(STATIC):
                    headers.setdefault("cache-control", cache_control(path, scope["query_string"]))
            await send(message)

        await self.app(scope, receive, send_with_headers)


def cache_control(path: str, query: bytes) -> str:
    """How long a browser keeps a file: until it has asked whether it changed, or a week where the address tells its version."""
    # Not in caches that people share: there anyone could put today's file under tomorrow's address.
    return "private, max-age=604800" if path.startswith("/static/") and query.startswith(b"v=") else "no-cache"


class CrossOrigin:
    """ASGI middleware: pages of every web site may read, only our own and those of ``allowed`` may write.

    Reading answers always say so, also where nobody asked: a browser keeps tiles for a year, and one kept from a page of ours
    must serve another site's too.
    """

    def __init__(self, app: ASGIApp, *, allowed: Iterable[str], public_url: str):
        self.app = app
        self.allowed = frozenset(allowed)
        self.public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        welcome = origin in self.allowed
        if scope["type"] == "websocket":
            if origin and not welcome and not self._is_own(origin, headers):
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        method = scope["method"]
        if method == "OPTIONS" and origin and "access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": self._preflight(scope["path"], origin, welcome)})
            await send({"type": "http.response.body"})
            return
        writing = is_writing(method, scope["path"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                if not writing:
                    answer["access-control-allow-origin"] = "*"
                elif welcome:
                    answer["access-control-allow-origin"] = origin
                    answer.add_vary_header("Origin")
                if origin:
                    answer["access-control-expose-headers"] = "Retry-After, Content-Disposition"
            await send(message)

        if writing and origin and not welcome and not self._is_own(origin, headers):
            await Refusal(403, "wrong_origin").answer(send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _is_own(self, origin: str, headers: Headers) -> bool:
        if headers.get("sec-fetch-site") == "same-origin" or origin == self.public_url:
            return True
        try:
            host = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        return bool(host) and host == headers.get("host", "").lower()

    def _preflight(self, path: str, origin: str, welcome: bool) -> list[tuple[bytes, bytes]]:
        methods = "GET, HEAD, POST, DELETE" if welcome else "GET, HEAD, POST" if is_slice(path) else "GET, HEAD"
        answer = {
            "access-control-allow-origin": origin if welcome else "*",
            "access-control-allow-methods": methods,
            # Who may not write must not learn how a device reacted either.
            "access-control-allow-headers": "Content-Type, X-Device" if welcome else "Content-Type",
            "access-control-max-age": str(PREFLIGHT_S),
            "vary": "Origin",
        }
        return [(name.encode(), value.encode()) for name, value in answer.items()]


def is_writing(method: str, path: str) -> bool:
    """Whether a request changes something; slices are asked for by POST where a polygon is too long for an address."""
    return method in WRITING and not is_slice(path)


def is_slice(path: str) -> bool:
    """Whether an address is one of the slices."""
    return path.startswith("/api/slices/")
