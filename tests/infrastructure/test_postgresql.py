"""Driver errors become the project's own, once, at the border."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from core.config import Settings
from core.errors import AlreadyTaken, CredentialsExpired, InUse, Rejected, Transient, Unavailable
from infrastructure.postgresql import PostgresDatabase, translated


@pytest.fixture
def postgres(settings: Settings) -> Iterator[PostgresDatabase]:
    opened = PostgresDatabase(settings)
    yield opened
    opened.close()


def run(postgres: PostgresDatabase, statement: str) -> None:
    with postgres.transaction() as tx:
        tx.run(statement)


def test_a_transaction_commits_on_leaving(postgres: PostgresDatabase) -> None:
    run(postgres, "CREATE TABLE kept AS SELECT 1 AS x")
    with postgres.transaction() as tx:
        assert tx.one("SELECT x FROM kept") == {"x": 1}


def test_a_transaction_rolls_back_on_an_error(postgres: PostgresDatabase) -> None:
    def create_and_fail() -> None:
        with postgres.transaction() as tx:
            tx.run("CREATE TABLE gone AS SELECT 1 AS x")
            raise KeyError

    with pytest.raises(KeyError):
        create_and_fail()
    with pytest.raises(Rejected, match="gone"):
        run(postgres, "SELECT * FROM gone")


def test_bad_sql_and_bad_data_are_rejected_for_good(postgres: PostgresDatabase) -> None:
    for statement in ("SELEC 1", "SELECT 1 / 0", "SELECT 'x'::integer"):
        with pytest.raises(Rejected):
            run(postgres, statement)


def test_a_taken_key_has_an_error_of_its_own(postgres: PostgresDatabase) -> None:
    run(postgres, "CREATE TABLE keys (k integer PRIMARY KEY)")
    with pytest.raises(AlreadyTaken):
        run(postgres, "INSERT INTO keys VALUES (1), (1)")


def test_waiting_too_long_for_a_lock_is_nobodys_failure(postgres: PostgresDatabase) -> None:
    run(postgres, "CREATE TABLE locked (x integer)")
    with postgres.transaction() as holder:
        holder.run("LOCK TABLE locked")
        with pytest.raises(InUse) as refused:
            run(postgres, "SET LOCAL lock_timeout = '50ms'; SELECT * FROM locked")
    assert refused.value.code == "database_busy"


def test_json_that_jsonb_cannot_hold_is_replaced_and_a_text_about_it_is_not(postgres: PostgresDatabase) -> None:
    given = {"nul": "a\x00\x00b", "about": r"a\u0000b", "both": "\\\x00", "surrogate": "\ud800é😀"}
    with postgres.transaction() as tx:
        assert tx.one("SELECT %(given)s AS kept", given=given) == {
            "kept": {"nul": "a\ufffd\ufffdb", "about": r"a\u0000b", "both": "\\\ufffd", "surrogate": "?é😀"}
        }


def test_a_connection_that_the_server_ends_is_an_outage_and_the_pool_recovers(postgres: PostgresDatabase) -> None:
    with pytest.raises(Unavailable):
        run(postgres, "SELECT pg_terminate_backend(pg_backend_pid())")
    run(postgres, "SELECT 1")


def test_after_a_restart_of_the_server_no_request_waits_for_every_dead_connection(
    postgres: PostgresDatabase, database_url: str
) -> None:
    with ExitStack() as busy:
        for _ in range(8):
            busy.enter_context(postgres.transaction()).run("SELECT 1")
    with psycopg.connect(database_url, autocommit=True) as server:
        ended = server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert ended.rowcount == 8
    run(postgres, "SELECT 1")


def test_a_server_that_is_not_there_is_an_outage(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.postgresql.PATIENCE", 0.3)
    nowhere = PostgresDatabase(settings.model_copy(update={"postgis_port": 1}))
    started = time.monotonic()
    with pytest.raises(Unavailable):
        run(nowhere, "SELECT 1")
    assert time.monotonic() - started < 5
    nowhere.close()


def test_with_an_identity_each_connection_gets_a_token_of_its_own(
    postgres: PostgresDatabase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = iter(["first", "second"])
    monkeypatch.setattr("infrastructure.postgresql.postgres_token", lambda _client_id: next(tokens))
    monkeypatch.setattr(postgres, "_settings", settings.model_copy(update={"use_managed_identity": True}))
    first, second = postgres._connection_kwargs(), postgres._connection_kwargs()
    assert (first["password"], second["password"]) == ("first", "second")
    assert first["sslmode"] == "require"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.DeadlockDetected(), Transient),
        (psycopg.errors.SerializationFailure(), Transient),
        (psycopg.errors.DiskFull(), Transient),
        (psycopg.errors.OutOfMemory(), Transient),
        (psycopg.errors.AdminShutdown(), Unavailable),
        (psycopg.errors.ConnectionFailure(), Unavailable),
        (psycopg.errors.InvalidPassword(), CredentialsExpired),
        (psycopg.errors.InsufficientPrivilege(), Rejected),
        (psycopg.errors.NotNullViolation(), Rejected),
    ],
)
def test_sqlstate_decides(error: psycopg.Error, expected: type[Exception]) -> None:
    assert type(translated(error)) is expected
