"""What is answered when something goes wrong, and what is logged of it: never what was asked, which may hold a place."""

import logging
import secrets
import traceback

from fastapi import Request
from fastapi.responses import JSONResponse

from ceiba import labels
from ceiba.errors import CeibaError, InputError, NotFoundError, ParameterError
from ceiba.react2eo.protection.limiter import TooManyError

log = logging.getLogger(__name__)


async def answer_error(request: Request, error: CeibaError) -> JSONResponse:
    """What was asked wrongly is answered by 404, 422 or 429 in the error's own words; what is wrong here by 503 without them."""
    if isinstance(error, InputError | ParameterError):
        status = 404 if isinstance(error, NotFoundError) else 422
        return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=status)
    if isinstance(error, TooManyError):
        request.app.state.metrics.count_refusal("reactions", "too_many_of_device")
        headers = {"Retry-After": str(error.wait_s), "Cache-Control": "no-store"}
        return JSONResponse({"error": "TooManyError", "detail": str(error)}, status_code=429, headers=headers)
    number = log_failure(error)
    return JSONResponse(
        {"error": type(error).__name__, "detail": labels.both("react2eo.unavailable"), "request": number},
        status_code=503,
        headers={"Retry-After": "30"},
    )


def log_failure(error: BaseException) -> str:
    """Log where an error came from; returns a number by which the person who saw it can name it to the operator.

    Messages of Ceiba's own errors are told. Those of other libraries are not: they may repeat a request's coordinates.
    """
    number = secrets.token_hex(4)
    causes = []
    seen: BaseException | None = error
    while seen is not None and len(causes) < 5:
        message = f": {seen}" if isinstance(seen, CeibaError) else ""
        causes.append(f"{type(seen).__name__}{message}\n" + "".join(traceback.format_tb(seen.__traceback__, limit=-8)))
        seen = seen.__cause__ or seen.__context__
    log.error("request %s failed: %s", number, "caused by ".join(causes))
    return number
