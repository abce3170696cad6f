"""The web server of everything that people look at: React-2-EO with its services, and the dashboards."""

import logging
import sys

import uvicorn
from fastapi import FastAPI

log = logging.getLogger(__name__)

SWITCH_S = 0.0005


def create_server_app(*, dashboards: bool = True) -> FastAPI:
    """React-2-EO at ``/``, and the dashboards at ``/dashboards`` unless they run apart, as behind a hub."""
    from ceiba.react2eo.server import create_app

    app = create_app()
    if dashboards:
        from ceiba.dashboards.server import add_dashboards

        app.state.dashboards = True
        add_dashboards(app, read_metrics=app.state.metrics.text)
    return app


def serve(*, host: str = "127.0.0.1", port: int = 8000, dashboards: bool = True) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    host, port
        Address to listen on; only this machine by default.
    dashboards
        Whether the dashboards of Panel run in this process too.
    """
    from ceiba import cube

    cube.connect()
    log.info("React-2-EO at http://%s:%d, dashboards at /dashboards", host, port)
    app = create_server_app(dashboards=dashboards)
    app.state.preparation.start()
    # Threads that compute hold the interpreter for so long; the one that answers all must not wait 5 ms for each of its steps.
    sys.setswitchinterval(SWITCH_S)
    # An access log would hold the addresses of people and the places they look at.
    # uvicorn would believe what any program of this machine says of a client's address; CEIBA_TRUSTED_PROXIES tells whom to.
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False, proxy_headers=False)
