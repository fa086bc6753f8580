"""The real parts the tests talk to: one stack for the whole session, each part started when a test first asks for it.

`database`, `database_url`   a fresh migrated database for each test, a clone that takes about 0.1 s
`session_database_url`       one for the whole session, for property tests
`blob_storage`               the connection string of Azurite, with its containers bronze and silver
`service_bus`                the connection string of a broker that no app listens to
`app`                        the Function App over HTTP, with a database and a broker of its own; `clean_app`: emptied
"""

import services.vector.gdal_environment  # noqa: F401  isort: skip  (before any test imports pyogrio)
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.errors import LockNotAvailable

from infrastructure.sandbox import Sandbox
from local.stack import Stack
from local.stack import database as databases
from local.stack.errors import InstanceBusyError
from local.stack.servicebus import ServiceBus
from services.vector.parsed import SANDBOXED

ROOT = Path(__file__).parent.parent
# Test sessions that run in one checkout at the same time each take a stack of their own.
INSTANCES = ("test", "test-2", "test-3", "test-4", "test-5", "test-6")
CLONES = "clone_"
MIGRATIONS = sql.Identifier("app", "schema_migrations")
CATALOGUE = sql.Identifier("geo", "table_metadata")


@dataclass(frozen=True)
class Database:
    """A database of one test: its URL, and the settings by which the app finds it."""

    name: str
    url: str
    settings: dict[str, str]


@dataclass(frozen=True)
class RunningApp:
    """The Function App as a client sees it, and what is behind it."""

    stack: Stack
    base_url: str
    key: str
    database_url: str
    blob_storage: str

    def client(self) -> httpx.Client:
        """A client that carries the function key."""
        return httpx.Client(base_url=self.base_url, headers={"x-functions-key": self.key}, timeout=30, trust_env=False)


@cache
def sandbox() -> Sandbox:
    """One for all tests in this process."""
    return Sandbox(SANDBOXED, memory_mb=1024)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The test stack with PostgreSQL up. It ends with the session, even when the session is killed."""
    with ExitStack() as held:
        stack = hold_free_instance(held)
        stack.azurite.remove_data()
        stack.servicebus.remove_data()
        stack.start("postgres")
        for abandoned in databases.names(stack.server, CLONES):
            databases.drop(stack.server, abandoned)
        yield stack


def hold_free_instance(held: ExitStack) -> Stack:
    for instance in INSTANCES:
        with suppress(InstanceBusyError):
            return held.enter_context(Stack(ROOT, instance, fast=True))
    raise InstanceBusyError(f"all of {', '.join(INSTANCES)} are in use by other test sessions")


@contextmanager
def cloned(stack: Stack) -> Iterator[Database]:
    name = CLONES + uuid4().hex[:12]
    databases.create(stack.server, name, template=databases.template(stack.server, ROOT))
    yield Database(name, stack.server.url(name), stack.server.settings(name))
    databases.drop(stack.server, name)


@pytest.fixture
def database(stack: Stack) -> Iterator[Database]:
    with cloned(stack) as clone:
        yield clone


@pytest.fixture
def database_url(database: Database) -> str:
    return database.url


@pytest.fixture(scope="session")
def session_database_url(stack: Stack) -> Iterator[str]:
    with cloned(stack) as clone:
        yield clone.url


@pytest.fixture(scope="session")
def blob_storage(stack: Stack) -> str:
    stack.start("azurite")
    return stack.azurite.connection_string


@pytest.fixture(scope="session")
def service_bus(stack: Stack) -> Iterator[str]:
    broker = ServiceBus(stack.layout, "servicebus-of-tests")
    broker.remove_data()
    broker.start()
    yield broker.connection_string
    broker.stop()


@pytest.fixture(scope="session")
def app(stack: Stack) -> Iterator[RunningApp]:
    with cloned(stack) as clone:
        stack.database = clone.name
        stack.start("azurite", "servicebus")
        # Alone, not through stack.start: the clone is migrated already.
        stack.app.start()
        yield RunningApp(stack, stack.base_url, stack.app.key, clone.url, stack.azurite.connection_string)
        stack.app.stop()


@pytest.fixture
def clean_app(app: RunningApp) -> RunningApp:
    """The running app without jobs, tables and STAC items of earlier tests."""
    # A janitor at work reads what is emptied, in two transactions: who waits between them for long waits for ever.
    while True:
        with suppress(LockNotAvailable), psycopg.connect(app.database_url, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '2s'")
            empty(connection)
            return app


def empty(connection: psycopg.Connection) -> None:
    records = [table for table in tables(connection, "app") if table != MIGRATIONS]
    for table in [*records, CATALOGUE]:
        connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(table))
    for table in tables(connection, "geo", "staging"):
        if table != CATALOGUE:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(table))
    connection.execute("DELETE FROM pgstac.items")


def tables(connection: psycopg.Connection, *schemas: str) -> list[sql.Identifier]:
    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s)"
    return [sql.Identifier(*row) for row in connection.execute(query, [list(schemas)])]
