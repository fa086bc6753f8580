"""The real database, storage and disk, with every effect passing through `Effects`."""

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from azure.core.exceptions import ServiceResponseError
from psycopg import sql

from core.config import Settings
from core.errors import Transient
from infrastructure.blob import BlobFacts, BlobRepository
from infrastructure.postgresql import Connection, PostgresDatabase, PostgresTransaction, translate_errors
from tests.faults.boundaries_effects import Effects, Way

# Statements whose effect is more than a row of the orchestration; those share the boundary of their commit.
STATEMENTS = {
    re.compile(pattern, re.IGNORECASE | re.DOTALL): label
    for pattern, label in {
        r"CREATE\s+(UNIQUE )?\s*INDEX": "create index",
        r"CREATE TABLE": "create table",
        r"DROP TABLE": "drop table",
        r"ANALYZE": "analyze",
        r"ALTER TABLE .* SET SCHEMA": "move table",
        r"ALTER TABLE .* RENAME TO": "rename table",
        r"ALTER TABLE .* ADD PRIMARY KEY": "add primary key",
        r"ALTER TABLE .* OWNER TO": "give table to owner",
        r"ALTER TABLE": "alter table",
        r"ALTER INDEX": "rename index",
        r"GRANT": "grant",
        r"DELETE FROM \"staging\"": "delete batch",
        r"INSERT INTO app\.batches": "write ledger",
        r"DELETE FROM app\.batches": "clear ledger",
        r"INSERT INTO geo\.table_metadata": "write metadata",
        r"SELECT pgstac\.upsert_collection": "upsert collection",
        r"SELECT pgstac\.upsert_item": "upsert item",
    }.items()
}
WROTE = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS wrote"


def connection_lost() -> Exception:
    return psycopg.OperationalError("server closed the connection unexpectedly")


def deadlock() -> Exception:
    return psycopg.errors.DeadlockDetected("deadlock detected")


def storage_silent() -> Exception:
    return Transient("the storage account does not answer", code="storage_unavailable")


def label_of(statement: object, connection: Connection) -> str | None:
    if isinstance(statement, sql.Composable):
        text = statement.as_string(connection)
    else:
        text = statement.decode() if isinstance(statement, bytes) else str(statement)
    plain = re.sub(r"^(--[^\n]*\n|\s)+", "", text)
    return next((label for pattern, label in STATEMENTS.items() if pattern.match(plain)), None)


class WatchedConnection:
    """A psycopg connection whose statements are effects."""

    def __init__(self, real: Connection, effects: Effects) -> None:
        self._real = real
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: Any, *params: Any) -> Any:
        label = label_of(statement, self._real)
        if label is None:
            return self._real.execute(statement, *params)
        with self._effects.effect(label, deadlock):
            return self._real.execute(statement, *params)

    @contextmanager
    def cursor(self) -> Iterator["WatchedCursor"]:
        with self._real.cursor() as cursor:
            yield WatchedCursor(cursor, self._effects)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._real.transaction():
            yield
            with self._effects.effect("release savepoint", deadlock):
                pass


class WatchedCursor:
    def __init__(self, real: Any, effects: Effects) -> None:
        self._real = real
        self._effects = effects

    @contextmanager
    def copy(self, statement: Any) -> Iterator[Any]:
        with self._effects.effect("copy", deadlock), self._real.copy(statement) as copy:
            yield copy


class WatchedDatabase(PostgresDatabase):
    """The end of every transaction is a boundary: `commit` when it wrote, `read` when not."""

    def __init__(self, settings: Settings, effects: Effects) -> None:
        super().__init__(settings)
        self._effects = effects

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        with translate_errors(), self._pool.connection() as connection:
            yield PostgresTransaction(watched(connection, self._effects))
            with self._effects.effect(ending(connection, self._effects), connection_lost):
                connection.commit()


def watched(connection: Connection, effects: Effects) -> Any:
    return WatchedConnection(connection, effects)


def ending(connection: Connection, effects: Effects) -> str:
    if effects.dead or not effects.watching:
        return "commit"
    row = connection.execute(WROTE.encode()).fetchone()
    return "commit" if row and row["wrote"] else "read"


class WatchedBlobs(BlobRepository):
    effects: Effects

    def facts(self, name: str, container: str | None = None) -> BlobFacts:
        with self.effects.effect("blob facts", storage_silent):
            return super().facts(name, container)

    def download(self, name: str, path: Path, *, container: str | None = None, etag: str | None = None) -> None:
        with self.effects.effect("blob download", storage_silent):
            super().download(name, path, container=container, etag=etag)

    def read(self, name: str) -> bytes:
        with self.effects.effect("blob read", storage_silent):
            return super().read(name)

    def write(self, name: str, path: Path) -> None:
        with self.effects.effect("blob write", storage_silent):
            super().write(name, path)

    def names(self, prefix: str, container: str | None = None) -> list[str]:
        with self.effects.effect("blob list", storage_silent):
            return super().names(prefix, container)

    def _in(self, container: str | None) -> Any:
        return WatchedContainer(super()._in(container), self.effects)


class WatchedContainer:
    """Each blob that is deleted is a boundary of its own."""

    def __init__(self, real: Any, effects: Effects) -> None:
        self._real = real
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def delete_blob(self, name: str) -> None:
        with self._effects.effect("blob delete", lambda: ServiceResponseError("the connection was reset")):
            self._real.delete_blob(name)


class WatchedDisk:
    """Stands in for the modules `tempfile` and `shutil` where the app makes and removes temporary folders."""

    def __init__(self, folder: Path, effects: Effects) -> None:
        self.folder = folder
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)

    def gettempdir(self) -> str:
        return str(self.folder)

    def mkdtemp(self, prefix: str) -> str:
        with self._effects.effect("make folder", disk_full):
            return tempfile.mkdtemp(prefix=prefix, dir=self.folder)

    def rmtree(self, path: Path, ignore_errors: bool) -> None:
        """Ignores errors, so that what fails here is not heard of."""
        way = self._effects.reach("remove folder")
        if way is not Way.BEFORE:
            shutil.rmtree(path, ignore_errors=ignore_errors)
            self._effects.after(way if way is Way.AFTER_CRASH else None, disk_full)


def disk_full() -> Exception:
    return OSError(errno.ENOSPC, "No space left on device")
