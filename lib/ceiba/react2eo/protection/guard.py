"""Everything that stands between the network and the services, put around an application in its right order."""

import time

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from ceiba.react2eo.protection.addresses import Clients
from ceiba.react2eo.protection.compression import PACKED_ALREADY, PackedFiles
from ceiba.react2eo.protection.headers import CrossOrigin, SecurityHeaders
from ceiba.react2eo.protection.limits import DeviceLimit, Protection
from ceiba.react2eo.protection.metrics import Metrics, Observation
from ceiba.react2eo.settings import Settings


def guard(app: FastAPI) -> None:
    """Put limits, headers, compression and metrics around an application, as ``app.state.settings`` says."""
    settings: Settings = app.state.settings
    metrics = app.state.metrics = Metrics()
    metrics.watch("ceiba_snapshot_age_seconds", "Age of what is known of the data cube [s].", lambda: snapshot_age_s(app))
    metrics.watch("ceiba_reactions_waiting", "Reactions not written yet.", lambda: app.state.reactions.waiting)
    app.state.device_limit = DeviceLimit(settings.limits["device"])
    # The last one is the outermost: who asks, then how long it takes, what the answer may do, and whether there is one at all.
    app.add_middleware(PackedFiles)
    app.add_middleware(GZipMiddleware, minimum_size=500, compresslevel=5, exclude_content_types=PACKED_ALREADY)
    app.add_middleware(Protection, limits=settings.limits, metrics=metrics)
    app.add_middleware(CrossOrigin, allowed=settings.allowed_origins, public_url=settings.public_url)
    app.add_middleware(SecurityHeaders, public_url=settings.public_url)
    app.add_middleware(Observation, metrics=metrics)
    app.add_middleware(Clients, trusted=settings.trusted_proxies)


def snapshot_age_s(app: FastAPI) -> float:
    """Seconds since the data cube was last asked whether it changed; NaN before the first time."""
    checked_s = app.state.snapshots.checked_s
    return time.monotonic() - checked_s if checked_s else float("nan")
