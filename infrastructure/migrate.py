"""Numbered migrations of the app's own schema, applied once each, by however many processes at once."""

import logging
from importlib.resources import files

from psycopg import sql

from core.config import Settings, settings
from infrastructure.logging import set_up_logging
from infrastructure.postgresql import Connection, PostgresDatabase

log = logging.getLogger(__name__)
LOCK = 7_071_001
BOOKKEEPING = """
    CREATE SCHEMA IF NOT EXISTS app;
    CREATE TABLE app.schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
"""
THERE = "SELECT 1 AS there WHERE to_regclass(%(name)s) IS NOT NULL"
MISSING_SCHEMAS = """
    SELECT name FROM unnest(%(schemas)s::text[]) AS given (name)
     WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = name)
"""


def migrate(database: PostgresDatabase, config: Settings) -> list[str]:
    """Apply what is missing, in one transaction under a lock. Returns the names applied."""
    with database.transaction() as tx:
        tx.connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        # IF NOT EXISTS asks for the right to create first: an app whose schema was made by an admin has none.
        if not tx.one(THERE, name="app.schema_migrations"):
            tx.connection.execute(BOOKKEEPING)
        applied = apply_missing(tx.connection)
        for row in tx.all(MISSING_SCHEMAS, schemas=list(config.allowed_schemas)):
            tx.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(row["name"])))
    return applied


def apply_missing(connection: Connection) -> list[str]:
    done = {row["name"] for row in connection.execute("SELECT name FROM app.schema_migrations").fetchall()}
    scripts = sorted(files("core.sql").joinpath("migrations").iterdir(), key=lambda file: file.name)
    missing = [script for script in scripts if script.name.endswith(".sql") and script.name not in done]
    for script in missing:
        connection.execute(script.read_bytes())
        connection.execute("INSERT INTO app.schema_migrations (name) VALUES (%s)", (script.name,))
        log.info("migration applied", extra={"migration": script.name})
    return [script.name for script in missing]


def main() -> None:
    config = settings()
    set_up_logging(config.log_level)
    database = PostgresDatabase(config)
    try:
        migrate(database, config)
    finally:
        database.close()


if __name__ == "__main__":
    main()
