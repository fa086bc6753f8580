"""Messages on disk, in SQLite. One writer, one transaction per turn of the server."""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from .messages import Payload

ACTIVE, DEFERRED, SCHEDULED = 0, 1, 2

SCHEMA_VERSION = 1


class StoreUnavailable(Exception):
    """The database cannot be opened."""


class Kept(NamedTuple):
    """A row of `messages`, column by column."""

    id: int
    entity: str
    sequence_number: int
    state: int
    enqueued_at: int
    due_at: int | None
    expires_at: int | None
    wake_at: int | None
    delivery_count: int
    lock_token: bytes | None
    locked_until: int | None
    priority: int
    time_to_live: int | None


def named_queries(text: str) -> SimpleNamespace:
    """Queries by the name in the `-- name` line above each."""
    parts = re.split(r"^-- (\w+)\n", text, flags=re.MULTILINE)[1:]
    return SimpleNamespace(**dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True)))


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


queries = named_queries(_text("store.sql"))


class Store:
    """Named queries over one connection. Writes open a transaction; `commit` or `rollback` ends it."""

    def __init__(self, path: Path) -> None:
        """Raises StoreUnavailable: not a database, written by another version, or held by another process."""
        try:
            self._open(path)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path}: {error}") from error

    def _open(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=1, isolation_level=None)
        # Exclusive: two servers on one file would hand out the same message.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL survives a killed process. A power cut may lose the last commits, never the file.
        self._db.execute("PRAGMA synchronous = NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise StoreUnavailable(f"{path}: schema version {version}, this server writes {SCHEMA_VERSION}")
        self._db.executescript(_text("schema.sql"))
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        # SQLite rolls back by itself on some errors (a full disk); there is nothing left to do then.
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        self._db.close()

    def run(self, query: str, **values: object) -> None:
        self._write(query, values)

    def one(self, query: str, **values: object) -> Kept | None:
        row = self._write(query, values).fetchone()
        return None if row is None else Kept._make(row)

    def number(self, query: str, **values: object) -> int | None:
        row = self._write(query, values).fetchone()
        return None if row is None else int(row[0])

    def read_one(self, query: str, **values: object) -> Kept | None:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else Kept._make(row)

    def read_many(self, query: str, **values: object) -> list[Kept]:
        rows: Iterable[tuple[object, ...]] = self._db.execute(query, values)
        return [Kept._make(row) for row in rows]

    def read_number(self, query: str, **values: object) -> int | None:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else int(row[0])

    def payload(self, message_id: int) -> Payload:
        return Payload(*self._db.execute(queries.payload, {"id": message_id}).fetchone())

    def _write(self, query: str, values: dict[str, object]) -> sqlite3.Cursor:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(query, values)
