"""The services described: ``/openapi.json`` for programs, and a list at ``/api`` for people."""

import html
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from ceiba import labels
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.shell import REVALIDATED

router = APIRouter(include_in_schema=False)

COMMON = (400, 408, 413, 414, 422, 429, 503)
"""What any service may answer: to what cannot be read or is too large or wrong, to too many requests, and when it cannot be used."""
TEXT = (
    "What React-2-EO shows, for other programs: regions, layers and years, map tiles and WMS, animations, slices of the data, and what "
    "people feel about them. No registration and no key. Every error is answered as `{error, detail}`; where `Retry-After` is given, "
    "wait as many seconds."
)
GROUPS = ("products", "tiles", "maps", "animations", "slices", "reactions", "decision", "other")


def name_operation(route: APIRoute) -> str:
    """Id of an operation: the name of its function."""
    return route.name


def describe_app(app: FastAPI) -> None:
    """Give the description its words; to be called before routers are added."""
    app.description = TEXT
    app.router.generate_unique_id_function = name_operation
    app.router.responses = describe_errors(*COMMON)


def list_operations(description: dict) -> Iterator[tuple[str, str, str, dict]]:
    """Group, method, path and operation of everything described, in the order of the groups."""
    found = []
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            group = next((tag for tag in operation.get("tags", ()) if tag in GROUPS), "other")
            found.append((GROUPS.index(group), group, method, path, operation))
    for _, group, method, path, operation in sorted(found, key=lambda entry: entry[0]):
        yield group, method, path, operation


@router.get("/api")
def list_services(
    request: Request,
    language: Annotated[Literal["es", "en"] | None, Query(description="Language of the page; that of the browser if left out.")] = None,
) -> Response:
    """The list for people: every service with what it takes, in Spanish or English."""
    chosen = language or ("en" if request.headers.get("accept-language", "").lower().startswith("en") else "es")
    return HTMLResponse(write_page(request.app.openapi(), chosen), headers=REVALIDATED | {"Vary": "Accept-Language"})


def write_page(description: dict, language: str) -> str:
    """HTML without scripts."""

    def say(key: str) -> str:
        return html.escape(labels.text(f"react2eo.{key}", language))

    other = next(each for each in labels.LANGUAGES if each != language)
    other_name = html.escape(labels.text("react2eo.api_language", other))
    parts = [
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{say("api_title")}</title><link rel="icon" href="/app/icons/icon.svg" type="image/svg+xml">',
        '<link rel="stylesheet" href="/app/services.css"></head><body><main>',
        f'<h1>{say("api_title")}</h1><p>{say("api_text")}</p>',
        '<p><a href="/">React-2-EO</a> · <a href="/openapi.json">openapi.json</a> · '
        f'<a href="/api?language={other}" hreflang="{other}" lang="{other}">{other_name}</a></p>',
    ]
    shown = ""
    for group, method, path, operation in list_operations(description):
        if group != shown:
            parts.append(f'<h2>{say(f"api_group_{group}")}</h2>')
            shown = group
        parts.append(f'<section><h3><code>{method.upper()} {html.escape(path)}</code></h3><p>{_summary(operation, language)}</p>')
        parts += _list_inputs(description, operation, say)
        parts.append("</section>")
    return "\n".join([*parts, "</main></body></html>\n"])


def _summary(operation: dict, language: str) -> str:
    # A service that is new here is better told in one language than not at all.
    return html.escape(labels.load_labels(language).get(f"react2eo.{summary_key(operation)}", operation.get("summary", "")))


def summary_key(operation: dict) -> str:
    """Label of what an operation does."""
    return f"api_{operation['operationId']}"


def _list_inputs(description: dict, operation: dict, say) -> Iterator[str]:
    rows = [
        (each["name"], each.get("required", False), each.get("schema", {}), each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    model = description["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2], {})
    for name, schema in model.get("properties", {}).items():
        rows.append((name, name in model.get("required", ()), schema, schema.get("description", "")))
    if rows:
        yield "<dl>"
        for name, required, schema, text in rows:
            marks = [say("api_required") if required else "", _values(schema)]
            yield f"<dt><code>{html.escape(name)}</code> {' · '.join(filter(None, marks))}</dt>"
            if text:
                # The details are for programmers, in the language of the code.
                yield f'<dd lang="en">{html.escape(text)}</dd>'
        yield "</dl>"


def _values(schema: dict) -> str:
    """What a value may be, in signs alone."""
    for option in (schema, *schema.get("anyOf", ())):
        if "enum" in option:
            return html.escape(" | ".join(map(str, option["enum"])))
    low, high = (schema.get(key) for key in ("minimum", "maximum"))
    return "" if low is None or high is None else f"{low} … {high}"
