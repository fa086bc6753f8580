"""Migrations: once each, by however many at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.config import Settings
from infrastructure.migrate import migrate
from infrastructure.postgresql import PostgresDatabase


@pytest.fixture
def empty(settings: Settings) -> Iterator[PostgresDatabase]:
    """A database before its first migration."""
    opened = PostgresDatabase(settings)
    with opened.transaction() as tx:
        tx.run("DROP SCHEMA app, geo, staging CASCADE")
    yield opened
    opened.close()


def applied(database: PostgresDatabase) -> list[str]:
    with database.transaction() as tx:
        return [row["name"] for row in tx.all("SELECT name FROM app.schema_migrations ORDER BY name")]


def test_an_empty_database_gets_every_migration_in_order(empty: PostgresDatabase, settings: Settings) -> None:
    names = migrate(empty, settings)
    assert names == sorted(names) == applied(empty)
    assert len(names) >= 2


def test_migrating_twice_changes_nothing(empty: PostgresDatabase, settings: Settings) -> None:
    migrate(empty, settings)
    assert migrate(empty, settings) == []


def test_several_processes_may_migrate_at_once(empty: PostgresDatabase, settings: Settings) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        told = list(pool.map(lambda _: migrate(empty, settings), range(4)))
    assert sorted(map(len, told)) == [0, 0, 0, len(applied(empty))]


def test_every_allowed_schema_is_made(empty: PostgresDatabase, settings: Settings) -> None:
    migrate(empty, settings.model_copy(update={"allowed_schemas": ("geo", "partner")}))
    with empty.transaction() as tx:
        assert tx.one("SELECT to_regnamespace('partner') IS NOT NULL AS there") == {"there": True}


def test_an_app_that_may_create_nothing_starts_on_a_schema_somebody_else_made(
    empty: PostgresDatabase, settings: Settings
) -> None:
    migrate(empty, settings)
    with empty.transaction() as tx:
        tx.run("DROP ROLE IF EXISTS app_of_tests")
        tx.run("CREATE ROLE app_of_tests LOGIN PASSWORD 'p' NOSUPERUSER")
        tx.run("GRANT USAGE ON SCHEMA app TO app_of_tests")
        tx.run("GRANT SELECT ON app.schema_migrations TO app_of_tests")
    own = settings.model_copy(update={"postgis_user": "app_of_tests", "postgis_password": "p"})
    database = PostgresDatabase(own)
    try:
        assert migrate(database, own) == []
    finally:
        database.close()
        with empty.transaction() as tx:
            tx.run("DROP OWNED BY app_of_tests")
            tx.run("DROP ROLE app_of_tests")
