"""React-2-EO as a web application: the app at ``/``, its services below ``/api``, and maps for other programs."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from ceiba.errors import CeibaError, StoreError
from ceiba.react2eo import products, tiles
from ceiba.react2eo.layers import Snapshots

STATIC = Path(__file__).parent / "static"


def create_app() -> FastAPI:
    """The application, without the dashboards (:mod:`ceiba.serving` puts both together)."""
    app = FastAPI(title="React-2-EO", version="1", docs_url=None, redoc_url=None)
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


async def answer_error(request: Request, error: CeibaError) -> JSONResponse:
    """What was asked wrongly is answered by 4xx with the error's own words; a store that cannot be used by 503."""
    status = 503 if isinstance(error, StoreError) else 404 if "no " in str(error)[:40] else 422
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=status)
