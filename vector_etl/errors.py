"""What can go wrong between a client and the app."""

from typing import Any

import httpx

from vector_etl.models import Job, Problem


class ClientError(Exception):
    """The family. `detail` is for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotConnected(ClientError):
    """Nobody answers at the URL, or it is unknown."""


class Unusable(ClientError):
    """The file cannot be used."""


class UnknownAnswer(ClientError):
    """Somebody else than the app answers, or a version of it that this client does not know."""


class ApiError(ClientError):
    """The app refused. code: stable, explained in docs/errors.md. errors: what is wrong, by parameter."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.status = problem.status
        self.code = problem.code
        self.errors = problem.errors
        self.problem = problem


class BadRequest(ApiError):
    """400: the request has to be corrected."""


class Unauthorized(ApiError):
    """401, 403: the key is missing or wrong."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: the job or its table is in another state than the request needs."""


class Unavailable(ApiError):
    """429, 503 and the like, still after trying again: a later try may work."""


class ServerError(ApiError):
    """The app failed."""


class JobEnded(ClientError):
    """The job did not complete. `job` tells why."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.error.message if job.error else f"the job is {job.status}")
        self.job = job


class JobFailed(JobEnded):
    """It failed for good."""


class JobCancelled(JobEnded):
    """Somebody cancelled it."""


KINDS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
# What the Functions host answers by itself, without a body.
WITHOUT_BODY = {
    401: "the function key is missing or wrong",
    403: "the function key does not open this endpoint",
    404: "there is no such endpoint: is the URL that of the app?",
    301: "the app has moved: try https://",
    307: "the app has moved: try https://",
    308: "the app has moved: try https://",
    413: "the request is larger than the app takes",
}


def api_error(answer: httpx.Response) -> ApiError:
    """The problem of an answer, or what can be told without one."""
    told = json_of(answer)
    status = answer.status_code
    plain = WITHOUT_BODY.get(status, f"{answer.request.url.host} answered {status} {answer.reason_phrase}".rstrip())
    problem = Problem.model_validate({"code": f"http_{status}", "detail": plain} | told | {"status": status})
    return KINDS.get(status, ServerError)(problem)


def json_of(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
