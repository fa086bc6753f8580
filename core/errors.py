"""One error family. A class says whether trying again can help; a code is stable and documented."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

Details = dict[str, Any]


class AppError(Exception):
    """Something the app understands. `permanent`: trying again cannot help; None: nobody knows."""

    permanent: ClassVar[bool | None] = None
    default_code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, details: Details | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.details = details or {}

    def __reduce__(self) -> tuple[Any, ...]:
        """To be raised in another process: made anew from what it holds, whatever its class asks for."""
        return type(self).__new__, (type(self), *self.args), vars(self)


class InvalidInput(AppError):
    """What the user gave cannot be used. Names the parameter and the remedy where there is one; the message is the
    problem and the remedy."""

    permanent = True
    default_code = "invalid_input"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        parameter: str | None = None,
        remedy: str | None = None,
        details: Details | None = None,
    ) -> None:
        super().__init__(f"{message} {remedy}" if remedy else message, code=code, details=details)
        self.problem = message
        self.parameter = parameter
        self.remedy = remedy


class InvalidParameters(AppError):
    """Several parameters are wrong at once; `errors` names each: {parameter, code, detail}."""

    permanent = True
    default_code = "invalid_parameters"

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{error['parameter']}: {error['detail']}" for error in errors))
        self.errors = errors


def problem_of(found: Any) -> dict[str, str]:
    """One of the errors of a pydantic.ValidationError, as InvalidParameters names them."""
    parameter = ".".join(str(part) for part in found["loc"]) or "body"
    return {"parameter": parameter, "code": found["type"], "detail": found["msg"].removeprefix("Value error, ")}


class NotFound(AppError):
    permanent = True
    default_code = "not_found"


class Conflict(AppError):
    """Another active job holds what this one needs."""

    permanent = True
    default_code = "conflict"


class Transient(AppError):
    """It may work the next time."""

    permanent = False
    default_code = "temporary_failure"


class Unavailable(Transient):
    """The database or the bus does not answer. Nothing can move until it does, so no task is to blame."""

    default_code = "service_unavailable"


class InUse(Transient):
    """Somebody else uses what is to be replaced. Waiting is nobody's failure."""

    default_code = "in_use"


class Rejected(AppError):
    """A service understood and refused: bad data, bad SQL, forbidden. Trying again gives the same answer."""

    permanent = True
    default_code = "rejected_by_service"


class AlreadyTaken(Rejected):
    """A unique key of the database is taken."""

    default_code = "already_taken"


class CredentialsExpired(Transient):
    """Worth one more attempt with a fresh token, no more."""

    default_code = "credentials_expired"


class WorkerLost(AppError):
    """The process working on the task died every time it tried."""

    permanent = True
    default_code = "worker_lost"


class Fenced(Exception):
    """This attempt is no longer the task's current one: stop, write nothing, say nothing."""


@dataclass(frozen=True)
class Refusal:
    """A reason why something would be refused, told before it is tried, with the code and message of that error."""

    code: str
    message: str
    parameter: str | None = None
    remedy: str | None = None

    @classmethod
    def of(cls, error: AppError) -> Self:
        return cls(error.code, error.message, getattr(error, "parameter", None), getattr(error, "remedy", None))


def describe(error: Exception) -> dict[str, Any]:
    """{code, message, details?} as stored with a task or job. Foreign errors keep their class, not their internals."""
    if isinstance(error, AppError):
        told: dict[str, Any] = {"code": error.code, "message": error.message}
        return told | ({"details": error.details} if error.details else {})
    if isinstance(error, MemoryError):
        return {"code": "out_of_memory", "message": "the worker ran out of memory"}
    return {"code": "internal_error", "message": f"{type(error).__name__} in a task handler; the log has the traceback"}
