"""What a database needs before the app can use it: extensions, pgSTAC's schema, the app's own migrations."""

import hashlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg import sql

from local.stack.errors import StackError
from local.stack.server import Server

EXTENSIONS = ("postgis", "btree_gist", "unaccent")
MIGRATIONS = Path("core/sql/migrations")
# The app checks its settings as a whole, also where it uses but those of the database.
NOT_USED = {"BLOB_CONNECTION_STRING": "not used", "ServiceBusConnection": "not used"}
TEMPLATE_PREFIX = "template_"
# Two runs that build the same template at once: any number, as long as all use the same.
TEMPLATE_LOCK = 7071


def create(server: Server, name: str, *, template: str = "template1") -> None:
    """Create a database, unless it exists."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        if exists(connection, name):
            return
        connection.execute(create_statement(connection, name, template))


def create_statement(connection: psycopg.Connection, name: str, template: str) -> sql.Composed:
    """Copying the files takes half as long as logging each page, which PostgreSQL 15 and later do when not told."""
    strategy = sql.SQL(" STRATEGY file_copy" if connection.info.server_version >= 150_000 else "")
    return sql.SQL("CREATE DATABASE {} TEMPLATE {}{}").format(sql.Identifier(name), sql.Identifier(template), strategy)


def drop(server: Server, name: str) -> None:
    """Drop a database and whoever is connected to it."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def names(server: Server, prefix: str) -> list[str]:
    """The databases whose names begin so."""
    with psycopg.connect(server.url("postgres")) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
        return [row[0] for row in rows]


def exists(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def migrate(server: Server, name: str, root: Path) -> None:
    """Bring a database to what this checkout needs. Running it again changes nothing."""
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        for extension in EXTENSIONS:
            connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))
    settings = server.settings(name)
    run_module("local.stack.pgstac", root, settings | {"DATABASE_URL": server.url(name)})
    if (root / "infrastructure" / "migrate.py").exists():
        run_module("infrastructure.migrate", root, NOT_USED | settings)


def run_module(module: str, root: Path, env: dict[str, str]) -> None:
    """Run a module of this checkout to its end. Raises StackError with its output when it fails."""
    answer = subprocess.run(
        [sys.executable, "-m", module],
        cwd=root,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise StackError(f"{module} failed:\n{(answer.stderr or answer.stdout).strip()}")


def template(server: Server, root: Path) -> str:
    """The name of a migrated database to clone, built when the migrations or pgSTAC changed since the last."""
    name = TEMPLATE_PREFIX + schema_digest(root)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        if not exists(connection, name):
            build_template(server, name, root)
    return name


def build_template(server: Server, name: str, root: Path) -> None:
    """Make a template under a draft name, so that a half-built one is never taken for one."""
    draft = f"draft_{name}"
    for old in [draft, *names(server, TEMPLATE_PREFIX)]:
        drop(server, old)
    create(server, draft)
    migrate(server, draft, root)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(draft), sql.Identifier(name))
        )


def schema_digest(root: Path) -> str:
    """Changes with whatever decides how a fresh database looks."""
    digest = hashlib.sha256(version("pypgstac").encode())
    sources = [Path(__file__), root / "infrastructure" / "migrate.py", *sorted((root / MIGRATIONS).glob("**/*"))]
    for path in sources:
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
