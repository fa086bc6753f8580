"""Ids that every log line of the current work carries."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039  never mutated, only replaced


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Within: the ids are on every log line of this context."""
    token = _bound.set(_bound.get() | ids)
    try:
        yield
    finally:
        _bound.reset(token)


def current_ids() -> dict[str, Any]:
    return _bound.get()
