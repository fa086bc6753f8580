"""What goes wrong inside a served app, in the house's problem+json. Bad input is never a 500."""

import logging
from collections.abc import Callable
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from core.errors import AppError, InvalidInput, InvalidParameters, NotFound, Transient, Unavailable
from infrastructure.postgresql import AWAY, PASSING, REFUSED
from triggers.http import PROBLEM, problem_body, problem_headers, status_of

log = logging.getLogger(__name__)
Translation = Callable[[Any], AppError]
METHOD_NOT_ALLOWED = 405
# SQLSTATEs of parameters that cannot be used: too complex; what pgSTAC raises; what PostGIS raises.
UNUSABLE = ("54", "P0001", "XX000")


def tell_problems(app: FastAPI, others: dict[type[Exception], Translation]) -> None:
    """Answer these and the common errors with problems; what is left is for the edge. `others`: the app's own."""
    known: dict[type[Exception], Translation] = {
        AppError: lambda error: error,
        RequestValidationError: invalid_request,
        HTTPException: refused,
        asyncpg.PostgresError: translated,
        asyncpg.InterfaceError: unreachable,
        OSError: unreachable,
        TimeoutError: unreachable,
        ValueError: unreadable,
        **others,
    }
    for kind, translate in known.items():
        app.add_exception_handler(kind, handler(translate))


def handler(translate: Translation) -> Callable[[Request, Exception], Response]:
    def answer(_request: Request, error: Exception) -> Response:
        told = translate(error)
        status = METHOD_NOT_ALLOWED if getattr(error, "status_code", None) == METHOD_NOT_ALLOWED else status_of(told)
        if status >= 500:
            log.error("serving failed", exc_info=error)
        # `description` is what the STAC API calls it.
        body = problem_body(told, status) | {"description": told.message}
        return JSONResponse(body, status, problem_headers(status), media_type=PROBLEM)

    return answer


def invalid_request(error: RequestValidationError) -> AppError:
    return InvalidParameters(
        [
            {"parameter": str(each["loc"][-1]), "code": "invalid_parameter", "detail": str(each["msg"])}
            for each in error.errors()
        ]
    )


def refused(error: HTTPException) -> AppError:
    match error.status_code:
        case 404:
            return NotFound(str(error.detail))
        case 405:
            return InvalidInput("method_not_allowed", "this resource is only read.")
        case status if status < 500:
            return InvalidInput("invalid_parameter", str(error.detail))
    return AppError(str(error.detail))


def translated(error: asyncpg.PostgresError) -> AppError:
    """As infrastructure.postgresql does for psycopg; but what the database refuses to read is the request's fault."""
    state = error.sqlstate or ""
    if isinstance(error, asyncpg.UndefinedTableError):
        return NotFound("the table is not there any more", code="collection_not_found")
    if state.startswith(PASSING):
        return Transient("the database could not do it just now, or not in time", code="database_busy")
    if state.startswith(AWAY):
        return Unavailable("the database does not answer")
    if state.startswith((*REFUSED, *UNUSABLE)):
        log.info("the database refused to read", exc_info=error)
        message = "a value is not what its column or function takes" if state.startswith("22") else error.message
        return InvalidInput("invalid_parameter", sentence(message))
    return AppError("the database could not answer", code="database_error")


def sentence(text: object) -> str:
    return f"{text}".rstrip(".") + "."


def unreachable(_error: Exception) -> AppError:
    return Unavailable("the database does not answer")


def unreadable(error: ValueError) -> AppError:
    """The libraries parse what the request says, and let the errors of parsers through."""
    log.info("a request could not be read", exc_info=error)
    return InvalidInput("invalid_parameter", sentence(f"a parameter cannot be read: {error}"))
