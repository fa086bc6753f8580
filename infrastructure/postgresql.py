"""Postgres: one pool a process, transactions, errors translated once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from core.config import Settings
from core.errors import AlreadyTaken, AppError, CredentialsExpired, InUse, Rejected, Transient, Unavailable
from core.jsonb import jsonb_text
from core.ports import Row
from infrastructure.identity import postgres_token

Connection = psycopg.Connection[dict[str, Any]]

# SQLSTATE classes. Away: 08 connection, 57P operator intervention, 25006 read-only, 25P03 idle for too long.
# In use: 55P03 lock timeout. Passing: 40 rollback, 53 resources, 57014 cancelled. Refused: 22 data, 23 constraints, 42
# SQL and rights. Whatever else there is may pass or not: it is tried until the limit.
AWAY = ("08", "57P", "25006", "25P03")
IN_USE = "55P03"
PASSING = ("40", "53", "57014")
REFUSED = ("22", "23", "2B", "42")
BAD_CREDENTIALS = ("28",)
# Seconds that a transaction waits for a connection.
PATIENCE = 10.0
UNIQUE_VIOLATION = "23505"


class PostgresTransaction:
    """Implements core.ports.Transaction on one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def one(self, query: str, **params: Any) -> Row | None:
        return self._execute(query, params).fetchone()

    def all(self, query: str, **params: Any) -> list[Row]:
        return self._execute(query, params).fetchall()

    def run(self, query: str, **params: Any) -> int:
        return self._execute(query, params).rowcount

    def _execute(self, query: str, params: dict[str, Any]) -> psycopg.Cursor[Row]:
        return self.connection.execute(query.encode(), {name: as_jsonb(value) for name, value in params.items()})


class PostgresDatabase:
    """Implements core.ports.Database. Tokens are fetched per connection, never frozen in the pool."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            settings.database_url,
            connection_class=psycopg.Connection[dict[str, Any]],
            kwargs=self._connection_kwargs,
            min_size=1,
            max_size=settings.postgis_pool_size,
            timeout=PATIENCE,
            max_lifetime=30 * 60.0,
            # Give up soon: the next request starts a new attempt, instead of waiting out a pause that has grown.
            reconnect_timeout=2.0,
            configure=self._configure,
            open=True,
        )

    def _connection_kwargs(self) -> dict[str, Any]:
        settings = self._settings
        token = postgres_token(settings.azure_client_id) if settings.use_managed_identity else settings.postgis_password
        return {
            "password": token,
            "sslmode": "require" if settings.use_managed_identity else settings.postgis_sslmode,
            "application_name": "vector-etl",
            "connect_timeout": 10,
            # A server that vanished without a word is noticed within a minute, not when the function times out.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "row_factory": dict_row,
            # `begun` says BEGIN.
            "autocommit": True,
        }

    def _configure(self, connection: Connection) -> None:
        """No statement outlives the function that waits for it, nor a client that is gone; and no lock is held by one
        that is frozen, or that vanished without a word, while others wait."""
        limits = {
            "statement_timeout": f"{self._settings.function_timeout_seconds:.0f}s",
            "idle_in_transaction_session_timeout": "30s",
            "tcp_keepalives_idle": "15",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        }
        if connection.info.server_version >= 140_000:
            limits["client_connection_check_interval"] = "10s"
        for name, value in limits.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        """Commits on leaving, rolls back on an error. Raises Unavailable, Transient or Rejected."""
        with translate_errors(), self._connection() as connection:
            yield PostgresTransaction(connection)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection that has begun a transaction, and so is alive. The pool's own `check` pauses 1, 2, 4 ... s after
        each dead one, and the first requests after a restart of the server time out on it; the dead are many then, and
        found in no time."""
        deadline = monotonic() + PATIENCE
        while True:
            with self._pool.connection(timeout=deadline - monotonic()) as connection:
                if begun(connection):
                    yield connection
                    return

    def close(self) -> None:
        self._pool.close()


def begun(connection: Connection) -> bool:
    """False when the connection is dead. What has to be said anyway tells that, at the cost of no other round trip."""
    with suppress(psycopg.OperationalError):
        connection.execute("BEGIN", prepare=False)
        return True
    return False


def as_jsonb(value: Any) -> Any:
    return Jsonb(value, dumps=jsonb_text) if isinstance(value, dict) else value


@contextmanager
def translate_errors() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("the database does not answer") from error
    except psycopg.Error as error:
        raise translated(error) from error


def translated(error: psycopg.Error) -> Exception:
    state = error.sqlstate or ""
    if state.startswith(BAD_CREDENTIALS):
        return CredentialsExpired("the database refused the credentials")
    if state == IN_USE:
        return InUse(f"somebody else holds what is needed: {message_of(error)}", code="database_busy")
    if state.startswith(PASSING):
        return Transient(f"the database could not do it just now: {message_of(error)}", code="database_busy")
    if state == UNIQUE_VIOLATION and error.diag.schema_name == "pg_catalog":
        return Transient("somebody else made the same thing at the same time", code="database_busy")
    if state == UNIQUE_VIOLATION:
        return AlreadyTaken(message_of(error))
    if state.startswith(AWAY) or (not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)):
        return Unavailable("the database does not answer")
    if state.startswith(REFUSED) or not state:
        return Rejected(message_of(error), code="rejected_by_database", details={"sqlstate": state})
    return AppError(message_of(error), code="database_error", details={"sqlstate": state})


def message_of(error: psycopg.Error) -> str:
    """The primary message, unless it would quote a value: no row of data, no statement."""
    if (error.sqlstate or "").startswith("22"):
        return f"a value is not what its column or function takes ({type(error).__name__})"
    return error.diag.message_primary or type(error).__name__
