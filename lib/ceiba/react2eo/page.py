"""The words of the app, and the app to be embedded into other people's pages at ``/embed``."""

import functools
import hashlib
import json
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from ceiba import labels
from ceiba.react2eo.shell import PAGE, REVALIDATED, STATIC

router = APIRouter()

Words = dict[str, str] | dict[str, dict[str, str]]
PREFIX = "react2eo."
APP_MODE, EMBED_MODE = 'data-mode="app"', 'data-mode="embed"'


@functools.cache
def words(language: str) -> dict[str, str]:
    """Every text of the app in a language, by its key without ``react2eo.``."""
    return {key.removeprefix(PREFIX): text for key, text in labels.load_labels(language).items() if key.startswith(PREFIX)}


@functools.cache
def words_tag() -> str:
    """Entity tag of all words: where it is the same, so are they."""
    texts = json.dumps({language: words(language) for language in labels.LANGUAGES}, sort_keys=True)
    return f'"{hashlib.sha256(texts.encode()).hexdigest()[:16]}"'


@router.get("/api/words", tags=["products"], summary="Words of the app", response_model=None, responses={200: {"model": Words}})
def list_words(
    request: Request,
    language: Annotated[Literal["es", "en"] | None, Query(description="One language alone; both by name if left out.")] = None,
) -> Response:
    """Texts by key, ``{key: text}``, or ``{language: {key: text}}``."""
    headers = REVALIDATED | {"ETag": words_tag()}
    if words_tag() in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = words(language) if language else {each: words(each) for each in labels.LANGUAGES}
    return JSONResponse(content, headers=headers)


@router.get("/embed", include_in_schema=False)
def show_embedded() -> HTMLResponse:
    """The app's page with the map, the years and the legend alone."""
    page = (STATIC / PAGE).read_text("utf-8")
    return HTMLResponse(page.replace(APP_MODE, EMBED_MODE), headers=REVALIDATED)
