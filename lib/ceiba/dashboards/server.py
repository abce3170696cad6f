"""The dashboards of Panel as a part of the web server."""

import importlib.util
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

PATH = "/dashboards"
EXTENSIONS = {"geoviews": "dist", "ipywidgets_bokeh": "dist"}


def add_dashboards(app: FastAPI) -> None:
    """Put the dashboards at ``/dashboards`` of an application; their pages load no scripts from elsewhere."""
    for name, folder in EXTENSIONS.items():
        # bokeh-fastapi serves only the extensions that were imported when it starts, and answers 404 for others.
        location = importlib.util.find_spec(name)
        if location and location.origin:
            app.mount(f"/static/extensions/{name}", StaticFiles(directory=Path(location.origin).parent / folder), name=name)
    from panel.io.fastapi import add_application

    from ceiba.dashboards.app import build_app

    add_application(PATH, app=app, title="Ceiba")(build_app)
