"""What does not depend on ogr2ogr: many small jobs, the growth with the number of rows, and one INSERT per row.

    python -m bench.throughput [--rows 4000000]

On the local stack with two workers. Writes bench/results/throughput.json and prints one table.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from bench.speed import FOLDER, RESULTS, ROOT, UPLOAD
from bench.speed_data import Dataset, Maker
from bench.speed_rivals import SCHEMA, App, Run, accepted, completed, make_like
from local.demo import client
from local.stack import Stack

SMALL_JOBS = 10
REPEAT = 3
FEW_ROWS = 500_000
# What one INSERT each takes is the same for every row.
INSERTED_ROWS = 20_000
console = Console(highlight=False, width=160)


@dataclass(frozen=True)
class Figure:
    """ratio: to be at least `at_least`. told: the two figures that it comes from, with their units."""

    what: str
    ratio: float
    at_least: float
    told: str

    @property
    def kept(self) -> bool:
        return self.ratio >= self.at_least


def small_jobs(app: App, maker: Maker) -> Figure:
    """The same ten files, one after the other and all at once, in turns."""
    data = maker.small()
    blob = app.upload(data)
    tables = [f"bench_small_{number}" for number in range(SMALL_JOBS)]
    in_turn(app, data, blob, tables)
    one_by_one = [in_turn(app, data, blob, tables) for _ in range(REPEAT)]
    together = [at_once(app, data, blob, tables) for _ in range(REPEAT)]
    slow, fast = SMALL_JOBS / statistics.median(one_by_one), SMALL_JOBS / statistics.median(together)
    told = f"{fast:.1f} / {slow:.1f} jobs/s"
    return Figure(f"{SMALL_JOBS} small jobs at once / one after the other", fast / slow, 3, told)


def in_turn(app: App, data: Dataset, blob: str, tables: list[str]) -> float:
    began = time.monotonic()
    with client(app.stack) as http:
        for table in tables:
            completed(http, accepted(http, app.request(data, blob, table)))
    return time.monotonic() - began


def at_once(app: App, data: Dataset, blob: str, tables: list[str]) -> float:
    began = time.monotonic()
    with client(app.stack) as http:
        for job_id in [accepted(http, app.request(data, blob, table)) for table in tables]:
            completed(http, job_id)
    return time.monotonic() - began


def growth(app: App, maker: Maker, many_rows: int) -> Figure:
    rates = {}
    for rows in (FEW_ROWS, many_rows):
        data = maker.points(rows)
        blob = app.upload(data)
        app.load(data, blob, "bench_growth")
        runs = [app.load(data, blob, "bench_growth").seconds for _ in range(REPEAT)]
        rates[rows] = rows / statistics.median(runs)
    told = " / ".join(f"{rates[rows]:,.0f} rows/s" for rows in (many_rows, FEW_ROWS))
    return Figure(f"rows/s of {many_rows:,} rows / {FEW_ROWS:,} rows", rates[many_rows] / rates[FEW_ROWS], 0.9, told)


def one_insert_per_row(app: App, maker: Maker) -> Figure:
    """What a row costs, in the transaction of one INSERT for each, and in the upload stage."""
    data = maker.points(FEW_ROWS)
    blob = app.upload(data)
    uploads: list[Run] = [app.load(data, blob, "bench_inserts") for _ in range(REPEAT)]
    uploaded = statistics.median(run.stages[UPLOAD] for run in uploads) / FEW_ROWS
    inserted = statistics.median(insert_rows(app.stack.database_url, "bench_inserts") for _ in range(REPEAT))
    inserted /= INSERTED_ROWS
    told = f"{1e6 * inserted:.0f} / {1e6 * uploaded:.1f} µs a row"
    return Figure("one INSERT per row / the upload stage", inserted / uploaded, 30, told)


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


def show(figures: list[Figure]) -> None:
    table = Table("what", "ratio", "at least", "figures", "kept")
    for each in figures:
        kept = "yes" if each.kept else "NO"
        table.add_row(each.what, f"{each.ratio:.2f}", f"{each.at_least:g}", each.told, kept)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000, help="rows of the larger table")
    given = parser.parse_args()
    maker = Maker(FOLDER)
    with Stack(ROOT, "bench") as stack:
        stack.start()
        app = App(stack)
        figures = [small_jobs(app, maker), one_insert_per_row(app, maker), growth(app, maker, given.rows)]
    show(figures)
    Path(RESULTS).mkdir(exist_ok=True)
    records = [asdict(each) | {"kept": each.kept} for each in figures]
    (RESULTS / "throughput.json").write_text(json.dumps(records, indent=2) + "\n")
    return 0 if all(each.kept for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
