"""The real database, storage and disk, with every effect passing through `Effects`."""

import errno
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from azure.core.exceptions import ServiceResponseError
from azure.storage.blob import ContainerClient
from psycopg import sql

from core.config import Settings
from infrastructure.blob import BlobRepository
from infrastructure.postgresql import Connection, PostgresDatabase
from infrastructure.webhook import Answer
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
        r"DELETE FROM app\.rejects": "delete rejects",
        r"INSERT INTO geo\.table_metadata": "write metadata",
        r"DELETE FROM geo\.table_metadata": "delete metadata",
        r"SELECT pgstac\.delete_item": "delete item",
        r"SELECT pgstac\.upsert_collection": "upsert collection",
        r"SELECT pgstac\.upsert_item": "upsert item",
    }.items()
}
WROTE = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS wrote"


def connection_lost() -> Exception:
    return psycopg.OperationalError("server closed the connection unexpectedly")


def deadlock() -> Exception:
    return psycopg.errors.DeadlockDetected("deadlock detected")


def connection_reset() -> Exception:
    return ServiceResponseError("the connection was reset")


def label_of(statement: object, connection: Connection) -> str | None:
    if isinstance(statement, sql.Composable):
        text = statement.as_string(connection)
    else:
        text = statement.decode() if isinstance(statement, bytes) else str(statement)
    plain = re.sub(r"^(--[^\n]*\n|\s)+", "", text)
    return next((label for pattern, label in STATEMENTS.items() if pattern.match(plain)), None)


class WatchedConnection:
    """A psycopg connection whose statements are effects. What it does not have, the app may not use unseen."""

    def __init__(self, real: Connection, effects: Effects) -> None:
        self._real = real
        self._effects = effects

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
    def _connection(self) -> Iterator[Any]:
        with super()._connection() as connection:
            yield WatchedConnection(connection, self._effects)
            with self._effects.effect(ending(connection, self._effects), connection_lost):
                connection.commit()


def ending(connection: Connection, effects: Effects) -> str:
    if effects.dead or not effects.watching:
        return "commit"
    row = connection.execute(WROTE.encode()).fetchone()
    return "commit" if row and row["wrote"] else "read"


class WatchedWebhook:
    """A receiver that takes what it is told."""

    def __init__(self, effects: Effects) -> None:
        self.told: list[dict[str, Any]] = []
        self._effects = effects

    def post(self, _url: str, _headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            with self._effects.effect("webhook post", ConnectionError):
                self.told.append(json.loads(body))
        except ConnectionError:
            return Answer(None, "no answer")
        return Answer(200, None)


class WatchedBlobs(BlobRepository):
    effects: Effects

    def _in(self, container: str | None) -> Any:
        return WatchedContainer(super()._in(container), self.effects)


class WatchedContainer:
    """The SDK's container client. What it does not have, the app may not use unseen."""

    def __init__(self, real: ContainerClient, effects: Effects) -> None:
        self._real = real
        self._effects = effects

    def get_blob_client(self, name: str) -> "WatchedBlob":
        return WatchedBlob(self._real.get_blob_client(name), self._effects)

    def download_blob(self, name: str, **match: Any) -> "WatchedDownload":
        return WatchedDownload(self._real.download_blob(name, **match), self._effects)

    def upload_blob(self, name: str, data: Any, **options: Any) -> None:
        with self._effects.effect("blob write", connection_reset):
            self._real.upload_blob(name, data, **options)

    def list_blob_names(self, name_starts_with: str) -> list[str]:
        with self._effects.effect("blob list", connection_reset):
            return list(self._real.list_blob_names(name_starts_with=name_starts_with))

    def delete_blob(self, name: str) -> None:
        with self._effects.effect("blob delete", connection_reset):
            self._real.delete_blob(name)


class WatchedBlob:
    def __init__(self, real: Any, effects: Effects) -> None:
        self._real = real
        self._effects = effects

    def get_blob_properties(self) -> Any:
        with self._effects.effect("blob facts", connection_reset):
            return self._real.get_blob_properties()


class WatchedDownload:
    def __init__(self, real: Any, effects: Effects) -> None:
        self._real = real
        self._effects = effects

    def readinto(self, file: Any) -> None:
        with self._effects.effect("blob download", connection_reset):
            self._real.readinto(file)

    def readall(self) -> Any:
        with self._effects.effect("blob read", connection_reset):
            return self._real.readall()


class WatchedDisk:
    """Stands in for the modules `tempfile` and `shutil` where the app makes and removes temporary folders."""

    disk_usage = staticmethod(shutil.disk_usage)

    def __init__(self, folder: Path, effects: Effects) -> None:
        self.folder = folder
        self._effects = effects

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
