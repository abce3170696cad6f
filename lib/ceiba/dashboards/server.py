"""The dashboards of Panel as a part of the web server."""

import importlib.util
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

PATH = "/dashboards"
REACTIONS_PATH = f"{PATH}/reactions"
EXTENSIONS = {"geoviews": "dist", "ipywidgets_bokeh": "dist"}


def add_dashboards(app: FastAPI) -> None:
    """Put the dashboards at ``/dashboards`` of an application, that of reactions below it; they load no scripts from elsewhere."""
    for name, folder in EXTENSIONS.items():
        # bokeh-fastapi serves only the extensions that were imported when it starts, and answers 404 for others.
        location = importlib.util.find_spec(name)
        if location and location.origin:
            app.mount(f"/static/extensions/{name}", StaticFiles(directory=Path(location.origin).parent / folder), name=name)
    from panel.io.fastapi import add_applications

    from ceiba.dashboards.app import build_app
    from ceiba.dashboards.reactions import build_reactions

    pages = {
        PATH: lambda: build_app(links=True, **read_query("area", "language")),
        REACTIONS_PATH: lambda: build_reactions(**read_query("region", "layer", "language")),
    }
    add_applications(pages, app=app, title={PATH: "Ceiba", REACTIONS_PATH: "Ceiba"})


def read_query(*names: str) -> dict[str, str]:
    """What a page's address says about some names: ``/dashboards/reactions?layer=ndvi&language=en``."""
    from panel.io.state import state

    given = state.session_args
    return {name: given[name][0].decode("utf-8", "replace") for name in names if given.get(name)}
