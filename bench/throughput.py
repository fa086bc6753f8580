"""What does not depend on ogr2ogr: many small jobs, the growth with the number of rows, and one INSERT per row.

    python -m bench.throughput

On the local stack with two workers.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice

import psycopg
from psycopg import sql

from bench.figures import Figure, arguments, conclude
from bench.speed import FOLDER, ROOT, UPLOAD
from bench.speed_data import Dataset, Maker
from bench.speed_rivals import SCHEMA, App, Run, accepted, completed, make_like
from local.demo import client
from local.stack import Stack

SMALL_JOBS = 10
REPEAT = 3
FEW_ROWS = 500_000
GROWN = (4_000_000, 10_000_000)
SHORT_ROWS, SHORT_GROWN = 20_000, (100_000,)
PEAK_MB = 350
# What one INSERT each takes is the same for every row.
INSERTED_ROWS = 20_000


def small_jobs(app: App, maker: Maker, repeat: int) -> Figure:
    """The same ten files, one after the other and all at once, in turns."""
    data = maker.small()
    blob = app.upload(data)
    tables = [f"bench_small_{number}" for number in range(SMALL_JOBS)]
    in_turn(app, data, blob, tables)
    pairs = [(at_once(app, data, blob, tables), in_turn(app, data, blob, tables)) for _ in range(repeat)]
    fast, slow = (SMALL_JOBS / statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    told = f"{fast:.1f} / {slow:.1f} jobs/s"
    return Figure(f"{SMALL_JOBS} small jobs at once / one after the other", fast / slow, 3, told, go_for=5)


def in_turn(app: App, data: Dataset, blob: str, tables: list[str]) -> float:
    began = time.monotonic()
    with client(app.stack) as http:
        for table in tables:
            completed(app.stack.database_url, accepted(http, app.request(data, blob, table)))
    return time.monotonic() - began


def at_once(app: App, data: Dataset, blob: str, tables: list[str]) -> float:
    began = time.monotonic()
    with client(app.stack) as http:
        job_ids = [accepted(http, app.request(data, blob, table)) for table in tables]
        completed(app.stack.database_url, *job_ids)
    return time.monotonic() - began


def growth(app: App, maker: Maker, few: int, grown: Sequence[int], repeat: int) -> list[Figure]:
    """Rates and peaks of files of one kind and several sizes, in turns."""
    files = {rows: maker.points(rows) for rows in (few, *grown)}
    blobs = {rows: app.upload(data) for rows, data in files.items()}
    runs: dict[int, list[Run]] = defaultdict(list)
    app.load(files[few], blobs[few], "bench_growth")
    for _ in range(repeat):
        for rows, data in files.items():
            runs[rows].append(app.load(data, blobs[rows], "bench_growth"))
    rates = {rows: rows / statistics.median(run.seconds for run in of_one) for rows, of_one in runs.items()}
    peaks = {rows: max(run.usage.app_peak_mb for run in of_one) for rows, of_one in runs.items()}
    figures = [
        Figure(
            f"rows/s of {rows:,} rows / {few:,} rows",
            rates[rows] / rates[few],
            0.9,
            f"{rates[rows]:,.0f} / {rates[few]:,.0f} rows/s, {1e6 / rates[rows]:.2f} / {1e6 / rates[few]:.2f} µs a row",
            go_for=1,
        )
        for rows in grown
    ]
    most = max(grown)
    told = ", ".join(f"{rows:,} rows {peak:.0f} MB" for rows, peak in peaks.items())
    peak = Figure(
        f"peak of a worker or reader, {most:,} rows / {PEAK_MB} MB", peaks[most] / PEAK_MB, None, told, at_most=1
    )
    return [*figures, peak]


def one_insert_per_row(app: App, maker: Maker, rows: int, repeat: int) -> Figure:
    """What a row costs, in the transaction of one INSERT for each, and in the upload stage."""
    data = maker.points(rows)
    blob = app.upload(data)
    url, table = app.stack.database_url, "bench_inserts"
    app.load(data, blob, table)
    pairs = [(insert_rows(url, table), app.load(data, blob, table).stages[UPLOAD]) for _ in range(repeat)]
    insert, stage = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    inserted, uploaded = insert / min(INSERTED_ROWS, rows), stage / rows
    told = f"{1e6 * inserted:.0f} / {1e6 * uploaded:.1f} µs a row"
    return Figure("one INSERT per row / the upload stage", inserted / uploaded, 30, told, go_for=60)


def insert_rows(url: str, like: str) -> float:
    """Seconds for INSERTED_ROWS rows of a table into an empty one like it. Geometries travel as WKT."""
    target = sql.Identifier(SCHEMA, f"{like}_one_by_one")
    make_like(url, target, like)
    with psycopg.connect(url) as connection:
        cursor = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(SCHEMA, like)))
        names = [column.name for column in cursor.description or []]
        others = sql.SQL(", ").join(sql.Identifier(name) for name in names if name != "geom")
        query = sql.SQL("SELECT {}, ST_AsText(geom) FROM {}").format(others, sql.Identifier(SCHEMA, like))
        with connection.cursor("rows") as rows:
            values = list(islice(rows.execute(query), INSERTED_ROWS))
        statement = sql.SQL("INSERT INTO {} ({}, geom) VALUES ({}, ST_GeomFromText(%s, 4326))").format(
            target, others, sql.SQL(", ").join(sql.Placeholder() * (len(names) - 1))
        )
        began = time.monotonic()
        for row in values:
            connection.execute(statement, row)
        connection.commit()
        return time.monotonic() - began


def main() -> int:
    given = arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    few, grown, repeat = (SHORT_ROWS, SHORT_GROWN, 1) if given.short else (FEW_ROWS, GROWN, REPEAT)
    maker = Maker(FOLDER)
    with Stack(ROOT, "bench") as stack:
        stack.start()
        app = App(stack)
        figures = [small_jobs(app, maker, repeat), one_insert_per_row(app, maker, few, repeat)]
        figures += growth(app, maker, few, grown, repeat)
    return conclude("throughput", figures, short=given.short)


if __name__ == "__main__":
    sys.exit(main())
