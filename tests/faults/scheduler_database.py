"""The real Postgres, statement by statement: implements core.ports.Database for actors.

The clock is the play's: a function `now()` in a schema that comes before pg_catalog gives the simulated moment, fixed
at the beginning of each transaction as the real one is.
"""

import select
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import sleep
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from core.errors import Unavailable
from core.sql import janitor, jobs, notifications, publishing, tasks
from infrastructure.postgresql import PostgresTransaction, translate_errors
from tests.faults.scheduler_actors import Actor, Cast

CLOCK = """
CREATE SCHEMA IF NOT EXISTS sim;
CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('sim.now')::timestamptz $$;
"""
DEFAULTS = """
SELECT attrelid::regclass::text AS name, attname::text AS attribute
  FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
 WHERE attrelid::regclass::text LIKE 'app.%' AND pg_get_expr(d.adbin, d.adrelid) = 'now()'
"""
TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('app', 'sim', 'watch')"
OPTIONS = "-c search_path=sim,pg_catalog,public -c jit=off -c deadlock_timeout=1ms -c synchronous_commit=off"
PATIENCE = 0.0005
DEADLOCK_SECONDS = 0.002
Connection = psycopg.Connection[dict[str, Any]]


class Theatre(Protocol):
    """What the database needs of the play."""

    cast: Cast

    def effect(self, kind: str, name: str) -> None: ...

    def moment(self) -> str: ...

    def letting_go(self) -> AbstractContextManager[None]: ...


class SteppedConnection(psycopg.Connection[dict[str, Any]]):
    """Hands the baton over while it waits for somebody else's lock."""

    database: "SteppedDatabase | None" = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if self.database is None or not self.database.others_hold_locks():
            return super().wait(gen, interval, timeout)
        return self.database.wait(self, gen)


class SteppedTransaction(PostgresTransaction):
    def __init__(self, connection: Connection, database: "SteppedDatabase") -> None:
        super().__init__(connection)
        self.database = database

    def all(self, query: str, **params: Any) -> list[dict[str, Any]]:
        # What a query says of the order leaves ties, and the order of the pages must not decide how a seed goes on.
        return sorted(super().all(query, **params), key=identity)

    def _execute(self, query: str, params: dict[str, Any]) -> psycopg.Cursor[dict[str, Any]]:
        self.database.before("statement", self.connection, name_of(query))
        try:
            return super()._execute(query, params)
        finally:
            self.database.lost(self.connection)


class SteppedDatabase:
    def __init__(self, url: str, theatre: Theatre) -> None:
        self.url = url
        self.theatre = theatre
        self.monitor = psycopg.connect(url, autocommit=True, row_factory=dict_row, options=OPTIONS)
        self.free: list[SteppedConnection] = []
        self.open: dict[Connection, Actor] = {}
        self.broken: set[Connection] = set()
        self.waiting: set[Connection] = set()
        self.resets = 0

    def connect(self) -> SteppedConnection:
        connection = SteppedConnection.connect(self.url, autocommit=True, row_factory=dict_row, options=OPTIONS)
        connection.prepare_threshold = 1
        return connection

    def reset(self, tables: Sequence[str]) -> None:
        """Empty the tables; whoever of an earlier play is stuck lets go."""
        for connection in self.open:
            connection.close()
        self.open.clear()
        self.broken.clear()
        self.waiting.clear()
        self.resets += 1
        if self.resets % 50 == 0:
            self.monitor.execute(f"TRUNCATE {', '.join(tables)}".encode())
            return
        # A tenth of what it takes to truncate; rows go without a look at who refers to them.
        deletes = "; ".join(f"DELETE FROM {table}" for table in tables)  # noqa: S608
        self.monitor.execute(
            f"SET session_replication_role = replica; {deletes}; RESET session_replication_role".encode()
        )

    def close(self) -> None:
        for connection in (self.monitor, *self.free):
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        self.theatre.effect("begin", "begin")
        actor = self.theatre.cast.running
        assert actor is not None
        connection = self.free.pop() if self.free else self.connect()
        connection.database = self
        self.begin(connection, actor)
        try:
            with translate_errors():
                yield SteppedTransaction(connection, self)
                self.before("commit", connection, "commit")
                self.end(connection, "COMMIT")
        except BaseException:
            self.end(connection, "ROLLBACK")
            raise
        finally:
            self.free.append(connection)
        self.theatre.effect("committed", "committed")

    def begin(self, connection: SteppedConnection, actor: Actor) -> None:
        moment = self.theatre.moment()
        execute(connection, f"BEGIN; SET LOCAL sim.now = '{moment}'")
        self.open[connection] = actor

    def end(self, connection: Connection, how: str) -> None:
        if self.open.pop(connection, None) is not None:
            with self.theatre.letting_go():
                execute(connection, how)
        self.broken.discard(connection)

    def before(self, kind: str, connection: Connection, name: str) -> None:
        self.theatre.effect(kind, name)
        self.lost(connection)

    def lost(self, connection: Connection) -> None:
        if connection in self.broken:
            raise Unavailable("the connection was lost")

    def cut(self, actors: Collection[Actor]) -> None:
        """The server ends their connections: what is open is rolled back."""
        theirs = [connection for connection, actor in self.open.items() if actor in actors]
        with self.theatre.letting_go():
            for connection in theirs:
                self.broken.add(connection)
                if connection not in self.waiting:
                    del self.open[connection]
                    execute(connection, "ROLLBACK")

    # Who waits for whom

    def others_hold_locks(self) -> bool:
        running = self.theatre.cast.running
        return any(actor is not running for actor in self.open.values())

    def wait(self, connection: SteppedConnection, gen: Any) -> Any:
        unblocked = None
        socket = [connection.pgconn.socket]
        try:
            wanted = next(gen)
            while True:
                reading, writing = socket if wanted & 1 else [], socket if wanted & 2 else []
                if not any(select.select(reading, writing, [], None if unblocked else PATIENCE)):
                    if self.is_blocked(connection.pgconn.backend_pid):
                        unblocked = self.block(connection)
                    continue
                wanted = gen.send(wanted)
        except StopIteration as end:
            return end.value
        finally:
            if unblocked:
                unblocked()
                self.waiting.discard(connection)

    def block(self, connection: SteppedConnection) -> Any:
        actor = self.theatre.cast.running
        assert actor is not None
        actor.pid = connection.pgconn.backend_pid
        self.waiting.add(connection)
        # By now it has looked for a circle; so of two who close one, it is always the later who is freed.
        sleep(DEADLOCK_SECONDS)
        return self.theatre.cast.block()

    def is_blocked(self, pid: int) -> bool:
        return bool(self.blockers(pid))

    def blockers(self, pid: int) -> list[int]:
        """Actors only: who waits for a process of the server's own goes on by itself."""
        row = self.monitor.execute("SELECT pg_blocking_pids(%s) AS pids", [pid]).fetchone()
        ours = {connection.pgconn.backend_pid for connection in self.open}
        return [other for other in row["pids"] if other in ours] if row else []

    def is_deadlocked(self, pid: int) -> bool:
        """Whoever waits for itself."""
        seen: set[int] = set()
        open_ends = self.blockers(pid)
        while open_ends:
            other = open_ends.pop()
            if other == pid:
                return True
            if other not in seen:
                seen.add(other)
                open_ends += self.blockers(other)
        return False


def execute(connection: Connection, statement: str) -> None:
    """What never waits for anybody, the short way."""
    result = connection.pgconn.exec_(statement.encode())
    if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result)


def identity(row: dict[str, Any]) -> str:
    return str(row.get("task_id") or row.get("job_id") or "")


NAMES = {
    text: name
    for queries in (janitor, jobs, notifications, publishing, tasks)
    for name, text in vars(queries)["_queries"].items()
}


def name_of(query: str) -> str:
    return NAMES.get(query) or query.strip()[:40]


def prepare(url: str) -> None:
    """Give a database the simulated clock, and nothing that happens by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLOCK)
        for table, column in connection.execute(DEFAULTS).fetchall():
            schema, name = table.split(".")
            connection.execute(
                sql.SQL("ALTER TABLE {} ALTER {} SET DEFAULT sim.now()").format(
                    sql.Identifier(schema, name), sql.Identifier(column)
                )
            )
        for schema, table in connection.execute(TABLES).fetchall():
            connection.execute(
                sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(sql.Identifier(schema, table))
            )
