"""The one place that decides between trying again and giving up."""

import random
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.errors import AppError, CredentialsExpired, InUse, Unavailable, describe

PERMANENT = (
    ValidationError,
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    TypeError,
    ValueError,
)
ONCE = (MemoryError, CredentialsExpired)


@dataclass(frozen=True)
class RetryPolicy:
    """Backoff with full jitter: uniform in (0, base * 2**failures], capped.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015."""

    max_attempts: int = 3
    base_seconds: float = 5.0
    cap_seconds: float = 300.0
    in_use_seconds: float = 60.0

    def delay(self, failures: int) -> float:
        ceiling = min(self.cap_seconds, self.base_seconds * 2 ** max(0, failures - 1))
        return random.uniform(0, ceiling)


@dataclass(frozen=True)
class Retry:
    """`counted`: whether the failure counts against the limit. An outage of the database or the bus does not."""

    error: dict[str, Any]
    after_seconds: float
    counted: bool = True


@dataclass(frozen=True)
class Failed:
    error: dict[str, Any]


def judge(error: Exception, failures: int, policy: RetryPolicy) -> Retry | Failed:
    """`failures` counts this one. Only code that decides between trying again and giving up."""
    if isinstance(error, InUse):
        return Retry(describe(error), random.uniform(0.5, 1) * policy.in_use_seconds, counted=False)
    if isinstance(error, Unavailable):
        return Retry(describe(error), policy.delay(failures), counted=False)
    limit = min(policy.max_attempts, 2) if isinstance(error, ONCE) else policy.max_attempts
    if is_permanent(error) or failures >= limit:
        return Failed(describe(error))
    return Retry(describe(error), policy.delay(failures))


def is_permanent(error: Exception) -> bool:
    """The unknown is not permanent: it is retried until the limit."""
    if isinstance(error, AppError):
        return error.permanent is True
    return isinstance(error, PERMANENT)
