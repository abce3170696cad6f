"""The web server of the dashboards, on this machine by default."""

import importlib.util
import logging
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

log = logging.getLogger(__name__)

PATH = "/dashboards"
EXTENSIONS = {"geoviews": "dist", "ipywidgets_bokeh": "dist"}


def create_server_app() -> FastAPI:
    """The application: dashboards at ``/dashboards``, ``/health`` for a proxy, no pages that load scripts from elsewhere."""
    app = FastAPI(title="Ceiba", docs_url=None, redoc_url=None, openapi_url=None)
    for name, folder in EXTENSIONS.items():
        # bokeh-fastapi serves only the extensions that were imported when it starts, and answers 404 for others.
        location = importlib.util.find_spec(name)
        if location and location.origin:
            app.mount(f"/static/extensions/{name}", StaticFiles(directory=Path(location.origin).parent / folder), name=name)
    from panel.io.fastapi import add_application

    from ceiba.dashboards.app import build_app

    add_application(PATH, app=app, title="Ceiba")(build_app)

    @app.get("/", include_in_schema=False)
    def start() -> RedirectResponse:
        return RedirectResponse(PATH)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def serve(*, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the dashboards until interrupted.

    Parameters
    ----------
    host, port
        Address to listen on; only this machine by default.
    """
    from ceiba import cube

    cube.connect()
    log.info("dashboards at http://%s:%d%s", host, port, PATH)
    uvicorn.run(create_server_app(), host=host, port=port, log_level="warning")
