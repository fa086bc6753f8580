"""What the core needs of the world, given to it from outside."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from core.models.messages import Outgoing

Row = dict[str, Any]


class Transaction(Protocol):
    """Statements that commit together. `connection` is the driver's, for what a named query cannot say."""

    connection: Any

    def one(self, query: str, **params: Any) -> Row | None: ...

    def all(self, query: str, **params: Any) -> list[Row]: ...

    def run(self, query: str, **params: Any) -> int: ...


class Database(Protocol):
    """Raises core.errors.Unavailable when it cannot be reached, Rejected when it refuses."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...


class Bus(Protocol):
    """Sends are at least once. Raises core.errors.Unavailable when the bus cannot be reached."""

    def send_jobs(self, messages: Sequence[Outgoing]) -> None: ...

    def send_tasks(self, messages: Sequence[Outgoing]) -> None: ...
