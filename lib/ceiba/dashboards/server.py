"""The dashboards of Panel as a part of the web server."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

PATH = "/dashboards"
REACTIONS_PATH = f"{PATH}/reactions"
SERVICE_PATH = f"{PATH}/service"
EXTENSIONS = {"geoviews": "dist", "ipywidgets_bokeh": "dist"}


def add_dashboards(app: FastAPI, *, read_metrics: Callable[[], str] | None = None) -> None:
    """Put the dashboards at ``/dashboards`` of an application, the others below it; they load no scripts from elsewhere.

    Parameters
    ----------
    read_metrics
        Gives the figures of the server in the text format of Prometheus; without it there is no dashboard of the service.
    """
    for name, folder in EXTENSIONS.items():
        # bokeh-fastapi serves only the extensions that were imported when it starts, and answers 404 for others.
        location = importlib.util.find_spec(name)
        if location and location.origin:
            app.mount(f"/static/extensions/{name}", StaticFiles(directory=Path(location.origin).parent / folder), name=name)
    from panel.io.fastapi import add_applications

    from ceiba.dashboards.app import build_app
    from ceiba.dashboards.reactions import build_reactions
    from ceiba.dashboards.service import build_service

    pages = {
        PATH: lambda: build_app(links=True, **read_query("area", "language")),
        REACTIONS_PATH: lambda: build_reactions(**read_query("region", "layer", "language")),
    }
    if read_metrics is not None:
        pages[SERVICE_PATH] = lambda: build_service(read_metrics, **read_query("language"))
    add_applications(pages, app=app, title=dict.fromkeys(pages, "Ceiba"))


def read_query(*names: str) -> dict[str, str]:
    """What a page's address says about some names: ``/dashboards/reactions?layer=ndvi&language=en``."""
    from panel.io.state import state

    given = state.session_args
    return {name: given[name][0].decode("utf-8", "replace") for name in names if given.get(name)}
