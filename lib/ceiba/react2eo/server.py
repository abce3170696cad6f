"""React-2-EO as a web application: the app at ``/``, its services below ``/api``, and maps for other programs."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from ceiba.errors import CeibaError
from ceiba.react2eo import products, tiles
from ceiba.react2eo.failures import answer_error
from ceiba.react2eo.layers import Snapshots
from ceiba.react2eo.settings import Settings

STATIC = Path(__file__).parent / "static"


def create_app() -> FastAPI:
    """The application, without the dashboards (:mod:`ceiba.serving` puts both together)."""
    app = FastAPI(title="React-2-EO", version="1", docs_url=None, redoc_url=None)
    app.state.settings = Settings.from_environment()
    app.state.snapshots = Snapshots()
    app.add_exception_handler(CeibaError, answer_error)
    app.include_router(products.router)
    app.include_router(tiles.router)

    @app.get("/health", include_in_schema=False)
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/", include_in_schema=False)
    def start() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/app", StaticFiles(directory=STATIC), name="app")
    return app
