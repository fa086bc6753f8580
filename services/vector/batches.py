"""A batch comes into the staging table: all of its rows in one transaction, by COPY, in place of what it held before.

Dynamic SQL as in VectorToPostGISHandler: every name goes through psycopg.sql.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from psycopg import sql

from core.ports import Transaction
from core.sql import publishing, rejects
from infrastructure.postgresql import Connection
from services.timing import Stopwatch
from services.vector.copy_encoding import copy_encoder
from services.vector.postgis_handler import STAGING, staging_name

REJECTS = sql.Identifier("app", "rejects")


def replace_batch(
    tx: Transaction,
    job_id: str,
    run: int,
    batch: int,
    rows: Iterable[pa.RecordBatch],
    rejected: Iterable[pa.RecordBatch],
    watch: Stopwatch,
) -> tuple[int, int]:
    """Put the rows, and then those that are rejected, in place of what the batch held before: (deleted, inserted).

    Running it twice changes nothing; two of one batch cannot interleave.
    """
    key = {"job_id": job_id, "run": run, "batch": batch}
    table = sql.Identifier(STAGING, staging_name(job_id, run))
    tx.run("SET LOCAL lock_timeout = '60s'")
    tx.run(publishing.lock_batch, key=f"{job_id}:{run}:{batch}")
    # The ledger says whether there is anything to delete, so that a first load needs no index to look.
    deleted = delete_batch(tx, table, key) if tx.run(publishing.forget_batch, **key) else 0
    inserted = copy_rows(tx.connection, table, rows, watch)
    copy_rejects(tx.connection, rejected, watch)
    tx.run(publishing.remember_batch, **key, rows=inserted)
    return deleted, inserted


def delete_batch(tx: Transaction, table: sql.Identifier, key: dict[str, Any]) -> int:
    """How many rows were loaded of it; what was rejected of it goes too."""
    tx.run(rejects.forget_batch, **key)
    statement = sql.SQL("DELETE FROM {} WHERE etl_batch_id = %s").format(table)
    deleted: int = tx.connection.execute(statement, (key["batch"],)).rowcount
    return deleted


def copy_rejects(connection: Connection, batches: Iterable[pa.RecordBatch], watch: Stopwatch) -> int:
    return copy_rows(connection, REJECTS, batches, watch)


def copy_rows(
    connection: Connection, table: sql.Identifier, batches: Iterable[pa.RecordBatch], watch: Stopwatch
) -> int:
    """COPY BINARY. The batches have one schema, their fields named and typed like the table's columns."""
    rows = 0
    stream = iter(batches)
    first = next(stream, None)
    if first is None:
        return 0
    encoder = copy_encoder(first.schema)
    columns = sql.SQL(", ").join(map(sql.Identifier, first.schema.names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(encoder.write_header())
        batch: pa.RecordBatch | None = first
        while batch is not None:
            with watch.measured("encode"):
                encoded = encoder.write_batch(batch)
            with watch.measured("copy"):
                copy.write(encoded)
            del encoded
            rows += batch.num_rows
            batch = next(stream, None)
        copy.write(encoder.finish())
    return rows
