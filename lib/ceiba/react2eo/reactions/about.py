"""``/about``: how reactions are kept, what is published of them, and what the protection cannot do. Also ``/api/decision``."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import jinja2
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from ceiba import labels
from ceiba.errors import NotFoundError
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.reactions.publication import K

router = APIRouter()

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = ("kept", "change", "published", "term", "limits")


@router.get("/about", include_in_schema=False)
def show_about(
    request: Request, language: Annotated[Literal["es", "en"] | None, Query(description="That of the browser if left out.")] = None
) -> HTMLResponse:
    """The page in Spanish or English."""
    chosen = language or preferred_language(request.headers.get("accept-language", ""))
    return HTMLResponse(render(chosen), headers={"Cache-Control": "no-cache", "Vary": "Accept-Language", "Content-Language": chosen})


def preferred_language(header: str) -> str:
    """Spanish or English, whichever a browser names first; Spanish where it names neither."""
    for part in header.lower().split(","):
        if (named := part.strip()[:2]) in labels.LANGUAGES:
            return named
    return labels.LANGUAGES[0]


@functools.cache
def render(language: str) -> str:
    """The page in a language."""
    text = {
        key.removeprefix("about."): words.replace("{devices}", str(K))
        for key, words in labels.load_labels(language).items()
        if key.startswith("about.")
    }
    sections = [
        {"title": text[name], "items": [words for key, words in sorted(text.items()) if key.startswith(f"{name}_")]} for name in SECTIONS
    ]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    other = next(each for each in labels.LANGUAGES if each != language)
    return environment.get_template("about.html").render(language=language, other=other, text=text, sections=sections)


@router.get("/api/decision", tags=["decision"], summary="Decision sheet of a place (not provided yet)", responses=describe_errors(404))
def show_decision(
    region: Annotated[str, Query(max_length=100, description="Name of a region.")] = "",
    lon: Annotated[float | None, Query(ge=-180, le=180, description="Longitude [degrees].")] = None,
    lat: Annotated[float | None, Query(ge=-90, le=90, description="Latitude [degrees].")] = None,
) -> dict[str, object]:
    """Room for the sheet that the integrity stage will provide; until then always 404 with a word."""
    raise NotFoundError("no decision sheets are provided by this server yet; /api/slices gives series and statistics of a place")
