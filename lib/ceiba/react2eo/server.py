"""React-2-EO as a web application: the app at ``/``, its services below ``/api``, and maps for other programs."""

from fastapi import FastAPI

from ceiba.react2eo import description, page, products, shell
from ceiba.react2eo.animations import api as animations
from ceiba.react2eo.answers import add_error_answers
from ceiba.react2eo.layers import Snapshots
from ceiba.react2eo.maps import external, tiles, wms, wmts
from ceiba.react2eo.maps.preparation import Preparation
from ceiba.react2eo.protection import metrics
from ceiba.react2eo.protection.guard import guard
from ceiba.react2eo.reactions import about, figures
from ceiba.react2eo.reactions import api as reactions
from ceiba.react2eo.reactions.votes import Votes
from ceiba.react2eo.settings import Settings
from ceiba.react2eo.slices import api as slices


def create_app() -> FastAPI:
    """The application, without the dashboards (:mod:`ceiba.serving` puts both together)."""
    app = FastAPI(title="React-2-EO", version="1", docs_url=None, redoc_url=None)
    app.state.settings = Settings.from_environment()
    # Whoever adds the dashboards says so.
    app.state.dashboards = False
    app.state.snapshots = Snapshots()
    app.state.preparation = Preparation(app.state.snapshots)
    app.state.reactions = Votes(app.state.settings.reactions_url, term=app.state.settings.reactions_term)
    app.state.animations = animations.Animations()
    app.state.slices = slices.make_workers()
    app.state.external = external.ExternalLayers(app.state.settings.external_layers, folder=app.state.settings.folder)
    add_error_answers(app)
    description.describe_app(app)
    guard(app)
    app.include_router(shell.router)
    app.include_router(description.router)
    app.include_router(animations.router)
    app.include_router(slices.router)
    app.include_router(page.router)
    app.include_router(products.router)
    app.include_router(tiles.router)
    app.include_router(about.router)
    app.include_router(external.router)
    # Before the routes with a subject in their address.
    app.include_router(figures.router)
    app.include_router(wms.router)
    app.include_router(wmts.router)
    app.include_router(reactions.router)
    app.include_router(metrics.router)

    @app.get("/health", include_in_schema=False)
    def health() -> dict[str, str]:
        return {"status": "ok"}

    app.mount("/app", shell.Files(directory=shell.STATIC), name="app")
    return app
