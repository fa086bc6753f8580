"""The HTTP edge: JSON in, JSON or problem+json (RFC 9457) out."""

import functools
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import azure.functions as func
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import AppError, Conflict, InvalidInput, InvalidParameters, NotFound, Transient, problem_of
from triggers.addresses import base_of

log = logging.getLogger(__name__)
M = TypeVar("M", bound=BaseModel)
Endpoint = Callable[[func.HttpRequest], func.HttpResponse]
AsyncEndpoint = Callable[[func.HttpRequest, func.Context], Awaitable[func.HttpResponse]]

PROBLEM = "application/problem+json"
TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    500: "Internal error",
    503: "Service unavailable",
}

# What the type of a problem tells beyond its code; OGC API - Processes, Part 1, 7.8 to 7.13.
TYPES = {
    code: f"http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/{name}"
    for code, name in (
        ("process_not_found", "no-such-process"),
        ("job_not_found", "no-such-job"),
        ("result_not_ready", "result-not-ready"),
    )
}


class ProblemParameter(BaseModel):
    """One parameter that is wrong."""

    parameter: str
    code: str
    detail: str


class Problem(BaseModel):
    """RFC 9457. `code` is stable, and docs/errors.md explains it; what helps to understand the problem may stand
    beside."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemParameter] | None = None


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> func.HttpResponse:
    """body: a model, or what json knows."""
    text = body.model_dump_json() if isinstance(body, BaseModel) else json.dumps(body, default=str)
    return func.HttpResponse(text, status_code=status, headers=headers, mimetype="application/json")


def edge(endpoint: Endpoint) -> Endpoint:
    """Turn whatever an endpoint raises into a problem. Never a traceback, never a secret."""

    @functools.wraps(endpoint)
    def answered(req: func.HttpRequest) -> func.HttpResponse:
        try:
            return endpoint(req)
        except Exception as error:  # noqa: BLE001 - the edge
            return failure(req, error)

    return answered


def async_edge(endpoint: AsyncEndpoint) -> AsyncEndpoint:
    """`edge`, for an endpoint that runs on the worker's event loop."""

    @functools.wraps(endpoint)
    async def answered(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        try:
            return await endpoint(req, context)
        except Exception as error:  # noqa: BLE001 - the edge
            return failure(req, error)

    return answered


def failure(req: func.HttpRequest, error: Exception) -> func.HttpResponse:
    known = (
        error if isinstance(error, AppError) else AppError("something went wrong in the app; its log has the details")
    )
    if status_of(known) == 500:
        log.error("request failed", exc_info=error, extra={"url": req.url.split("?")[0]})
    return problem(known)


def problem(error: AppError) -> func.HttpResponse:
    status = status_of(error)
    body = json.dumps(problem_body(error, status))
    return func.HttpResponse(body, status_code=status, headers=problem_headers(status), mimetype=PROBLEM)


def problem_body(error: AppError, status: int) -> dict[str, Any]:
    told = {
        "type": TYPES.get(error.code, "about:blank"),
        "title": TITLES[status],
        "status": status,
        "code": error.code,
        "detail": error.message,
        **({"errors": errors} if (errors := errors_of(error)) else {}),
        **error.details,
    }
    return Problem.model_validate(told).model_dump(exclude_unset=True)


def problem_headers(status: int) -> dict[str, str] | None:
    return {"Retry-After": "10"} if status == 503 else None


def status_of(error: AppError) -> int:
    match error:
        case InvalidInput() | InvalidParameters():
            return 400
        case NotFound():
            return 404
        case Conflict():
            return 409
        case Transient():
            return 503
    return 500


def errors_of(error: AppError) -> list[dict[str, str]]:
    if isinstance(error, InvalidParameters):
        return error.errors
    if isinstance(error, InvalidInput) and error.parameter:
        return [{"parameter": error.parameter, "code": error.code, "detail": error.message}]
    return []


def json_object(req: func.HttpRequest) -> dict[str, Any]:
    """The body as a JSON object. Raises InvalidInput("malformed_json")."""
    try:
        body = json.loads(req.get_body() or b"{}", parse_constant=refuse_constant)
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidInput("malformed_json", f"the body is not JSON in UTF-8: {error}.", parameter="body") from error
    if not isinstance(body, dict):
        raise InvalidInput("malformed_json", "the body is not a JSON object.", parameter="body")
    refuse_nul(body)
    return body


def parsed(model: type[M], given: dict[str, Any]) -> M:
    """Raises InvalidParameters naming each parameter that is wrong."""
    try:
        return model.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        raise InvalidParameters([problem_of(found) for found in error.errors(include_url=False)]) from None


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def refuse_nul(value: Any, parameter: str = "body") -> None:
    """Postgres holds no text with NUL. Raises InvalidInput naming the outermost parameter."""
    if isinstance(value, str) and "\x00" in value:
        raise InvalidInput("invalid_text", "the text contains a NUL character.", parameter=parameter)
    if isinstance(value, dict):
        for name, inner in value.items():
            refuse_nul(name, parameter)
            refuse_nul(inner, name if parameter == "body" else parameter)
    if isinstance(value, list):
        for inner in value:
            refuse_nul(inner, parameter)


def job_url(req: func.HttpRequest, endpoint: str, job_id: str) -> str:
    """As the client reaches the app, so that it holds behind a proxy too."""
    return f"{base_of(req)}/jobs/{endpoint}/{job_id}"
