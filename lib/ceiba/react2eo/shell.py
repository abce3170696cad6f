"""The app's shell: its page and files, the service worker that keeps them for times without network, and the manifest."""

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from ceiba.errors import NotFoundError
from ceiba.react2eo.settings import Settings
from ceiba.react2eo.themes import Content, Theme

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
WORKER = "worker.js"
QUEUE = "sending.js"
KEPT_SUFFIXES = {".js", ".mjs", ".css", ".svg", ".html", ".json"}
"""Files that the worker keeps; icons and licences are asked for by nobody but the system and people who look for them."""
REVALIDATED = {"Cache-Control": "no-cache"}
"""A file's address does not change with its content: browsers ask whether it has, so that no old file meets a new one."""

SHORT_NAME = "React-2-EO"
SHORT_NAME_AT_MOST = 12
"""Letters that fit below an icon."""
SHORTCUTS = 4
"""More are not shown by any system."""
ICONS = (
    {"src": "/app/icons/icon-192.png", "sizes": "192x192", "type": "image/png", "purpose": "any"},
    {"src": "/app/icons/icon-512.png", "sizes": "512x512", "type": "image/png", "purpose": "any"},
    {"src": "/app/icons/maskable-512.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
)


@dataclass(frozen=True)
class Shell:
    """Files of the app by address, each with its digest for `fetch(..., {integrity})`, and a version that follows from both."""

    files: dict[str, str]
    version: str


class Files(StaticFiles):
    """Static files that browsers ask for anew each time, by their ETag."""

    def file_response(self, *args, **named) -> Response:
        """Answer of :class:`StaticFiles`, with the header."""
        answer = super().file_response(*args, **named)
        answer.headers.update(REVALIDATED)
        return answer


def read_shell(folder: Path | None = None) -> Shell:
    """Shell as it is on disk now, in :data:`STATIC` by default."""
    folder = folder or STATIC
    paths = sorted(path for path in folder.rglob("*") if path.suffix in KEPT_SUFFIXES or path.name == PAGE)
    return _read_cached(folder, tuple((path, path.stat().st_mtime_ns) for path in paths))


@functools.lru_cache(maxsize=8)
def _read_cached(folder: Path, paths: tuple[tuple[Path, int], ...]) -> Shell:
    files = {}
    whole = hashlib.sha256()
    for path, _changed in paths:
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        whole.update(name.encode() + b"\0" + content)
        if name != WORKER:
            address = "/" if name == PAGE else f"/app/{name}"
            files[address] = "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Shell(files, whole.hexdigest()[:12])


@router.get("/")
def show_app() -> Response:
    """The app's page."""
    return FileResponse(STATIC / PAGE, headers=REVALIDATED)


@router.get("/sw.js")
def give_worker() -> Response:
    """The service worker of this version of the shell; a changed file makes another worker, and browsers take it."""
    shell = read_shell()
    described = json.dumps({"version": shell.version, "files": shell.files}, indent=1)
    parts = (f"const SHELL = {described};", (STATIC / QUEUE).read_text("utf-8"), (STATIC / WORKER).read_text("utf-8"))
    return Response("\n".join(parts), media_type="text/javascript", headers=REVALIDATED)


@router.get("/manifest.webmanifest")
def give_manifest(
    request: Request, theme: Annotated[str, Query(max_length=60, description="Name of a theme; the default one if empty.")] = ""
) -> Response:
    """What an installed app is called and looks like."""
    themes = request.app.state.snapshots.current().themes
    chosen = themes.find(theme)
    start = "/" if chosen == themes.find("") else f"/?theme={chosen.name}"
    described = describe_app(chosen, [themes.contents[name] for name in chosen.contents], start=start)
    content = json.dumps(described, ensure_ascii=False, indent=1)
    return Response(content, media_type="application/manifest+json", headers=REVALIDATED)


@router.get("/.well-known/assetlinks.json")
def give_asset_links(request: Request) -> Response:
    """Tells Android that the app of the store and this site belong together, so that it shows no address bar."""
    settings = request.app.state.settings
    if not (settings.android_package and settings.android_fingerprints):
        raise NotFoundError("no app for Android: set CEIBA_ANDROID_PACKAGE and CEIBA_ANDROID_FINGERPRINTS")
    return JSONResponse(describe_asset_links(settings), headers=REVALIDATED)


def describe_asset_links(settings: Settings) -> list[dict]:
    """Digital Asset Links of the site: which app of Android's store, signed by which keys, may show it as its own."""
    target = {
        "namespace": "android_app",
        "package_name": settings.android_package,
        "sha256_cert_fingerprints": list(settings.android_fingerprints),
    }
    return [{"relation": ["delegate_permission/common.handle_all_urls"], "target": target}]


def describe_app(theme: Theme, contents: Sequence[Content], *, start: str = "/") -> dict:
    """Web app manifest of a theme.

    Parameters
    ----------
    contents
        Contents of the theme; the first ones are offered by a long press on the icon.
    start
        Address that the installed app opens.
    """
    name = theme.title["es"]
    return {
        "id": start,
        "name": name,
        "short_name": name if len(name) <= SHORT_NAME_AT_MOST else SHORT_NAME,
        "description": theme.text["es"],
        "lang": "es",
        "dir": "ltr",
        "start_url": start,
        "scope": "/",
        "display": "standalone",
        "orientation": "any",
        "theme_color": theme.color,
        # The plate of the icon has the first theme's color: on the screen that systems show at the start it has no edge.
        "background_color": theme.color,
        "categories": ["education", "weather", "utilities"],
        "icons": list(ICONS),
        "shortcuts": [describe_shortcut(content, start) for content in contents[:SHORTCUTS]],
    }


def describe_shortcut(content: Content, start: str) -> dict:
    """A content that the system opens from the app's icon."""
    address = f"{start}{'&' if '?' in start else '?'}layer={content.name}"
    return {"name": content.title["es"], "short_name": content.short["es"], "url": address, "icons": [ICONS[0]]}
