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
    CREATE TABLE IF NOT EXISTS app.schema_migrations (
        name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
"""


def migrate(database: PostgresDatabase, config: Settings) -> list[str]:
    """Apply what is missing, in one transaction under a lock. Returns the names applied."""
    with database.transaction() as tx:
        tx.connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        tx.connection.execute(BOOKKEEPING)
        applied = apply_missing(tx.connection)
        for schema in config.allowed_schemas:
            tx.connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
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
