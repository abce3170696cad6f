"""What is answered where something went wrong: always ``{"error", "detail"}``, with what was given and what is allowed."""

from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ceiba.errors import CeibaError
from ceiba.react2eo.animations.workers import RETRY_S, BusyError
from ceiba.react2eo.protection.failures import answer_error

LONGEST_INPUT = 80


class ErrorAnswer(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="Kind of the error.", examples=["InputError"])
    detail: str = Field(description="What was given, what there is, what to do.", examples=["no region 'mars'; there are romania"])


def describe_errors(*codes: int) -> dict[int | str, dict]:
    """The ``responses`` of a route that can fail so."""
    words = {
        400: "The request cannot be read.",
        403: "Not allowed.",
        404: "There is no such thing; the answer names those that exist.",
        408: "The request took too long to arrive.",
        409: "It contradicts what is there.",
        413: "Too much at once; the answer says what is allowed.",
        414: "The address is too long.",
        422: "A value is not allowed; the answer names it.",
        429: "Too many requests; try again after the seconds of Retry-After.",
        503: "Busy, or the store cannot be used; try again later.",
    }
    return {code: {"model": ErrorAnswer, "description": words[code]} for code in codes}


def add_error_answers(app: FastAPI) -> None:
    """Have every error answered alike."""
    app.add_exception_handler(CeibaError, answer_error)
    app.add_exception_handler(BusyError, answer_busy)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(HTTPException, answer_http)


async def answer_busy(request: Request, error: BusyError) -> JSONResponse:
    """Work in excess: 503 that says when to ask again."""
    content = {"error": type(error).__name__, "detail": str(error)}
    return JSONResponse(content, status_code=503, headers={"Retry-After": str(RETRY_S)})


async def answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """Values that do not fit the description: 422 that names each."""
    return JSONResponse({"error": "ParameterError", "detail": describe_faults(error.errors())}, status_code=422)


async def answer_http(request: Request, error: HTTPException) -> JSONResponse:
    """Unknown addresses, methods and bodies that cannot be read."""
    content = {"error": "RequestError", "detail": str(error.detail)}
    return JSONResponse(content, status_code=error.status_code, headers=error.headers)


def describe_faults(faults: Sequence[Mapping]) -> str:
    """Place, fault and given value of each; long values are cut."""
    lines = []
    for fault in faults[:10]:
        place = ".".join(str(part) for part in fault["loc"][1:]) or "the request"
        given = ascii(fault.get("input"))
        given = given if len(given) <= LONGEST_INPUT else f"{given[:LONGEST_INPUT]}..."
        lines.append(f"{place}: {fault['msg']}, given {given}")
    return "; ".join(lines)
