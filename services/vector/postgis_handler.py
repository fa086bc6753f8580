"""VectorToPostGISHandler: staging tables, indexes, and the swap that makes a table visible.

Dynamic SQL is here and in batches.py only: every name goes through psycopg.sql.
"""

import base64
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, count

from psycopg import sql
from psycopg.errors import InsufficientPrivilege, LockNotAvailable

from core.errors import InUse
from core.models.results import ColumnInfo
from core.ports import Row, Transaction
from core.sql import publishing
from infrastructure.postgresql import PostgresDatabase
from services.vector.target import Target, refuse_occupied, relation_kind

STAGING = "staging"
SRID = 4326
IDENTIFIER_BYTES = 63
# While it is loaded: an autovacuum of what changes every second is of no use, and the publication would wait for it.
AUTOVACUUM = ("autovacuum_enabled", "toast.autovacuum_enabled")
UNATTENDED = sql.SQL(", ").join(sql.SQL(f"{name} = false") for name in AUTOVACUUM)
# One builds what takes longest, mostly the spatial index; the other ones are done on the second meanwhile.
CONNECTIONS = 2
# Seconds between tries to lock a table that is in use.
LOCK_PAUSES = (0.2, 0.5, 1, 2, 2, 2, 2)
# What Python and RFC 3339 can tell; Postgres knows more.
YEARS = ("0001-01-02T00:00:00Z", "9999-12-30T23:59:59Z")


@dataclass(frozen=True)
class TableShape:
    """What a staging table is made of."""

    columns: Sequence[ColumnInfo]
    geometry_type: str


@dataclass(frozen=True)
class IndexPlan:
    """An index of the table: what its name ends with before `_idx`, its method, its columns."""

    suffix: str
    method: str
    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True)
class Measured:
    """Rows of a staging table and their extent: west, south, east, north in degrees; None without rows."""

    rows: int
    bbox: list[float] | None


@dataclass(frozen=True)
class Rights:
    """Who owned a table, when not the app, and who might do what with it."""

    owner: str | None
    grants: Sequence[Row]


PRIMARY_KEY = IndexPlan("pkey", "btree", ("id",), unique=True)
BATCH_INDEX = IndexPlan("batch", "btree", ("etl_batch_id",))
SPATIAL_INDEX = IndexPlan("geom", "gist", ("geom",))


def staging_name(job_id: str, run: int) -> str:
    """Names the run by the whole job id: 32 bytes are 52 characters of base32."""
    digest = base64.b32encode(bytes.fromhex(job_id)).decode().rstrip("=").lower()
    return f"s{digest}_{run}"


def staged_run(name: str) -> tuple[str, int]:
    """The job and run that a staging table's name stands for."""
    digest, run = name.removeprefix("s").split("_")
    return base64.b32decode(digest.upper() + "====").hex(), int(run)


class VectorToPostGISHandler:
    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def create_staging(self, tx: Transaction, job_id: str, run: int, shape: TableShape) -> None:
        """An empty staging table for the run, whatever was there before."""
        name = staging_name(job_id, run)
        table = sql.Identifier(STAGING, name)
        columns: list[sql.Composable] = [sql.SQL("id bigint NOT NULL"), sql.SQL("etl_batch_id integer NOT NULL")]
        columns += [
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.pg_type)) for column in shape.columns
        ]
        columns.append(
            sql.SQL("geom geometry({}, {}) NOT NULL").format(sql.SQL(shape.geometry_type), sql.SQL(str(SRID)))
        )
        tx.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        create = sql.SQL("CREATE TABLE {} ({}) WITH ({})")
        tx.connection.execute(create.format(table, sql.SQL(", ").join(columns), UNATTENDED))
        # Large geometries load in a third of the time with lz4 instead of pglz, small ones no slower.
        tx.connection.execute(sql.SQL("ALTER TABLE {} ALTER geom SET COMPRESSION lz4").format(table))
        tx.run(publishing.forget_batches, job_id=job_id, run=run)

    def cluster(self, job_id: str, run: int, hold: Callable[[Transaction], None]) -> None:
        """Put the rows of the staging table along a Hilbert curve: what is near in space is near on disk.

        Before the indexes: with one, it was done by an earlier attempt. `hold` raises for an attempt that was taken
        over, whose table must not take the place of one that has its indexes. The order: `ORDER BY geom`, which
        PostGIS since 3.0 answers with the place on the curve of the middle of the bounding box.
        """
        name = staging_name(job_id, run)
        table, ordered = sql.Identifier(STAGING, name), sql.Identifier(STAGING, f"{name}_new")
        with self._database.transaction() as tx:
            # The server may still be sorting for a worker that was killed.
            tx.run(publishing.lock_batch, key=name)
            if tx.one(publishing.any_index, schema=STAGING, table=name):
                return
            tx.run("SET LOCAL work_mem = '256MB'")
            execute = tx.connection.execute
            create = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING COMPRESSION) WITH ({})")
            execute(create.format(ordered, table, UNATTENDED))
            execute(sql.SQL("INSERT INTO {} SELECT * FROM {} ORDER BY geom").format(ordered, table))
            hold(tx)
            execute(sql.SQL("DROP TABLE {}").format(table))
            execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(ordered, sql.Identifier(name)))

    def build_indexes(
        self, job_id: str, run: int, plans: Sequence[IndexPlan], connections: int = CONNECTIONS
    ) -> Measured:
        """Build the primary key and the indexes of the staging table side by side, and measure it meanwhile.

        The first of them is waited for, so that the others are built by one process each: Postgres' parallel workers
        would take the processor from it.
        """
        name = staging_name(job_id, run)
        table = sql.Identifier(STAGING, name)
        names = [f"{name}_{number}" for number in range(len(plans))]
        with ThreadPoolExecutor(max_workers=connections) as pool:
            building = [
                pool.submit(self._build_index, table, *each, alone=bool(number))
                for number, each in enumerate(zip(names, plans, strict=True))
            ]
            measuring = pool.submit(self.measure, job_id, run)
            for built in building:
                built.result()
            return measuring.result()

    def analyse(self, job_id: str, run: int) -> None:
        """After the indexes: neither waits for the other's lock then."""
        with self._database.transaction() as tx:
            tx.connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(STAGING, staging_name(job_id, run))))

    def _build_index(self, table: sql.Identifier, name: str, plan: IndexPlan, *, alone: bool) -> None:
        """One at a time of each: the server may still be building it for a worker that was killed."""
        with self._database.transaction() as tx:
            tx.run("SET LOCAL maintenance_work_mem = '256MB'")
            if alone:
                tx.run("SET LOCAL max_parallel_maintenance_workers = 0")
            tx.run(publishing.lock_batch, key=name)
            tx.connection.execute(index_statement(table, name, plan))

    def publish(self, tx: Transaction, job_id: str, run: int, target: Target, plans: Sequence[IndexPlan]) -> None:
        """Swap the staging table into place; readers see the old table until the transaction commits.

        Raises InvalidInput("table_exists") when there is a table that may not be overwritten. Who could read the old
        table can read the new one.
        """
        name = staging_name(job_id, run)
        published = sql.Identifier(target.schema, target.table)
        rights = self._make_room(tx, target)
        execute = tx.connection.execute
        execute(
            sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(sql.Identifier(STAGING, name), sql.Identifier(target.schema))
        )
        execute(
            sql.SQL("ALTER TABLE {} RENAME TO {}").format(
                sql.Identifier(target.schema, name), sql.Identifier(target.table)
            )
        )
        execute(sql.SQL("ALTER TABLE {} RESET ({})").format(published, sql.SQL(", ").join(map(sql.SQL, AUTOVACUUM))))
        for number, plan in enumerate(plans):
            old, new = f"{name}_{number}", free_name(tx, target, plan.suffix)
            execute(
                sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(target.schema, old), sql.Identifier(new))
            )
            if plan is PRIMARY_KEY:
                key = sql.SQL("ALTER TABLE {} ADD PRIMARY KEY USING INDEX {}")
                execute(key.format(published, sql.Identifier(new)))
        # ALTER DEFAULT PRIVILEGES speaks of tables made in the schema, and this one was made elsewhere.
        give_rights(tx, target, Rights(None, tx.all(publishing.default_grants, schema=target.schema)))
        if rights:
            give_rights(tx, target, rights)

    def _make_room(self, tx: Transaction, target: Target) -> Rights | None:
        """Drop what is in the way when it may be overwritten. Returns the rights it came with, to give again."""
        if relation_kind(tx, target) is None:
            return None
        refuse_occupied(tx, target)
        rights = rights_of(tx, target)
        self.drop(tx, target)
        return rights

    def lock(self, tx: Transaction, target: Target) -> None:
        """Keep others from the table that is to be replaced, if there is one, until the transaction ends.

        Raises InUse, InvalidInput("table_exists").
        """
        if relation_kind(tx, target) is not None:
            refuse_occupied(tx, target)
            self.lock_existing(tx, target)

    def lock_existing(self, tx: Transaction, target: Target) -> None:
        """Keep everybody from a table that is there until the transaction ends. Raises InUse."""
        lock_patiently(tx, sql.Identifier(target.schema, target.table))

    def drop(self, tx: Transaction, target: Target) -> None:
        """Without CASCADE: what depends on the table is not ours to drop."""
        tx.connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(target.schema, target.table)))

    def staged_columns(self, tx: Transaction, job_id: str, run: int) -> dict[str, str]:
        """The columns of the staging table and their types."""
        return column_types(tx, Target(STAGING, staging_name(job_id, run), overwrite=False))

    def measure(self, job_id: str, run: int) -> Measured:
        with self._database.transaction() as tx:
            tx.run("SET LOCAL max_parallel_workers_per_gather = 0")
            row = tx.connection.execute(
                sql.SQL(
                    "SELECT count, ARRAY[ST_XMin(box), ST_YMin(box), ST_XMax(box), ST_YMax(box)] AS bbox"
                    " FROM (SELECT count(*), ST_Extent(geom) AS box FROM {}) AS measured"
                ).format(sql.Identifier(STAGING, staging_name(job_id, run)))
            ).fetchone()
            assert row  # An aggregate has a row, whatever there is.
        return Measured(row["count"], None if None in row["bbox"] else row["bbox"])

    def value_range(self, tx: Transaction, job_id: str, run: int, column: str) -> tuple[datetime, datetime] | None:
        """First and last time of a date or timestamp column, within the years 1 to 9999; None when it is empty."""
        row = tx.connection.execute(
            sql.SQL(
                "SELECT greatest(min({0})::timestamptz, {2}) AS first, least(max({0})::timestamptz, {3}) AS last"
                " FROM {1}"
            ).format(
                sql.Identifier(column), sql.Identifier(STAGING, staging_name(job_id, run)), *map(sql.Literal, YEARS)
            )
        ).fetchone()
        return (row["first"], row["last"]) if row["first"] is not None else None

    def staged_runs(self) -> list[tuple[str, int]]:
        """(job_id, run) of every staging table there is."""
        with self._database.transaction() as tx:
            return [staged_run(row["name"]) for row in tx.all(publishing.staging_tables, schema=STAGING)]

    def drop_staging(self, job_id: str, run: int) -> None:
        """Waits shortly for a worker that still writes; raises Transient when it takes longer."""
        with self._database.transaction() as tx:
            tx.run("SET LOCAL lock_timeout = '5s'")
            table = sql.Identifier(STAGING, staging_name(job_id, run))
            tx.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
            tx.run(publishing.forget_batches, job_id=job_id, run=run)


def column_types(tx: Transaction, target: Target) -> dict[str, str]:
    """The columns of a table and their types, as Postgres writes them; empty when there is no such table."""
    return {row["name"]: row["type"] for row in tx.all(publishing.columns, schema=target.schema, table=target.table)}


def index_statement(table: sql.Identifier, name: str, plan: IndexPlan) -> sql.Composed:
    """IF NOT EXISTS: the stage may run again after a crash."""
    return sql.SQL("CREATE {} INDEX IF NOT EXISTS {} ON {} USING {} ({})").format(
        sql.SQL("UNIQUE" if plan.unique else ""),
        sql.Identifier(name),
        table,
        sql.SQL(plan.method),
        sql.SQL(", ").join(map(sql.Identifier, plan.columns)),
    )


def lock_patiently(tx: Transaction, table: sql.Identifier) -> None:
    """Raises InUse when readers leave no gap. New readers queue behind a waiting lock: so it waits shortly, lets
    them pass, and tries again. An autovacuum of the table gives way to who waits longer than deadlock_timeout."""
    for pause in LOCK_PAUSES:
        try:
            with tx.connection.transaction():
                tx.run(publishing.limit_lock_wait)
                tx.connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
                tx.run("SET LOCAL lock_timeout TO DEFAULT")
                return
        except LockNotAvailable:
            time.sleep(pause)
    raise InUse("other transactions keep the table in use; it cannot be replaced or dropped now", code="table_in_use")


def free_name(tx: Transaction, target: Target, suffix: str) -> str:
    """A name for an index of the table that nothing in its schema has, within the 63 bytes of an identifier."""
    for ending in chain([f"_{suffix}_idx"], (f"_{suffix}_idx{number}" for number in count(2))):
        name = cut(target.table, IDENTIFIER_BYTES - len(ending.encode())) + ending
        if relation_kind(tx, replace(target, table=name)) is None:
            return name
    raise AssertionError("count() never ends")


def cut(name: str, most_bytes: int) -> str:
    """Postgres counts bytes, and would cut a longer name silently."""
    return name.encode()[:most_bytes].decode(errors="ignore")


def rights_of(tx: Transaction, target: Target) -> Rights:
    name = {"schema": target.schema, "table": target.table}
    owner = tx.one(publishing.owner, **name)
    return Rights(owner["role"] if owner and not owner["is_own"] else None, tx.all(publishing.grants, **name))


def give_rights(tx: Transaction, target: Target, rights: Rights) -> None:
    """To the table that took the place of another one. A grant on a column that is gone goes with it."""
    there = column_types(tx, target)
    for grant in rights.grants:
        if grant["column"] is None or grant["column"] in there:
            tx.connection.execute(grant_statement(target, grant))
    if rights.owner:
        give_ownership(tx, target, rights.owner)


def give_ownership(tx: Transaction, target: Target, owner: str) -> None:
    """The owner stays the owner, or can do everything with it when the app may not give tables away."""
    names = sql.Identifier(target.schema, target.table), sql.Identifier(owner)
    try:
        with tx.connection.transaction():
            tx.connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(*names))
    except InsufficientPrivilege:
        tx.connection.execute(sql.SQL("GRANT ALL ON {} TO {} WITH GRANT OPTION").format(*names))


def grant_statement(target: Target, grant: Row) -> sql.Composed:
    column = sql.SQL(" ({})").format(sql.Identifier(grant["column"])) if grant["column"] else sql.SQL("")
    return sql.SQL("GRANT {}{} ON {} TO {} {}").format(
        sql.SQL(grant["privilege"]),
        column,
        sql.Identifier(target.schema, target.table),
        sql.Identifier(grant["role"]) if grant["role"] else sql.SQL("PUBLIC"),
        sql.SQL("WITH GRANT OPTION" if grant["is_grantable"] else ""),
    )
