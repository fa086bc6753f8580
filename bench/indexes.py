"""What several connections bring to the building of indexes, and what `cluster: true` costs and brings to a query.

    python -m bench.indexes

On the local stack with two workers; the contenders take turns, medians.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import psycopg
from psycopg import sql
from rich.table import Table

from bench.figures import NOT_KEPT, Figure, arguments, console, keep
from bench.figures import show as show_figures
from bench.speed import FOLDER, ROOT
from bench.speed_data import Dataset, Maker
from bench.speed_rivals import SCHEMA, App, Run, make_like
from core.config import Settings
from infrastructure.postgresql import PostgresDatabase
from local.stack import Stack
from services.vector.postgis_handler import (
    BATCH_INDEX,
    CONNECTIONS,
    PRIMARY_KEY,
    SPATIAL_INDEX,
    STAGING,
    IndexPlan,
    VectorToPostGISHandler,
    staging_name,
)

TRIED = (1, 2, 3, 4)
PLANS = [SPATIAL_INDEX, PRIMARY_KEY, BATCH_INDEX, *(IndexPlan(name, "btree", (name,)) for name in ("name", "height"))]
# A run of no job.
RUN = ("0" * 64, 1)
STAGED = sql.Identifier(STAGING, staging_name(*RUN))
BOXES = 200
# A map tile at zoom 12.
BOX_DEGREES = 0.1
FILLER = sql.Identifier(SCHEMA, "bench_filler")
# With a row of 1 KB each, more than the stack's shared buffers hold.
FILLER_ROWS = 400_000
Connection = psycopg.Connection[tuple[Any, ...]]
Place = tuple[float, float]
REPEAT = 3


@dataclass(frozen=True)
class Built:
    """seconds: by number of connections, for two indexes of attributes beside the usual ones, and the count."""

    name: str
    seconds: dict[int, float]


@dataclass(frozen=True)
class Asked:
    """What a query for a box takes. pages: of table and index; read: those that the shared buffers did not have."""

    rows: float
    pages: float
    read: float
    ms: float


@dataclass(frozen=True)
class Ordered:
    """A table in the order of its file, or along the curve. Seconds: from the request to the published table; of its
    sorting; of its indexes; of the spatial one alone."""

    name: str
    cluster: bool
    load: float
    sort: float
    index: float
    gist: float
    gist_mb: float
    cold: Asked
    warm: Asked


def loaded(app: App, key: str, data: Dataset, repeat: int) -> dict[bool, list[Run]]:
    """Without and with `cluster`, in turns. The first of each is not counted."""
    blob = app.upload(data)
    runs: dict[bool, list[Run]] = defaultdict(list)
    for _ in range(repeat + 1):
        for cluster in (False, True):
            wanted = replace(data, request=data.request | {"cluster": cluster})
            runs[cluster].append(app.load(wanted, blob, table_name(key, cluster)))
    return {cluster: each[1:] for cluster, each in runs.items()}


def table_name(key: str, cluster: bool) -> str:
    return f"bench_{key}_{'curve' if cluster else 'file'}"


def built(stack: Stack, connection: Connection, key: str, data: Dataset, repeat: int) -> Built:
    """The app's own way to build them, on a staging table with the rows that it loaded."""
    seconds: dict[int, list[float]] = defaultdict(list)
    like = table_name(key, cluster=False)
    make_like(stack.database_url, STAGED, like)
    connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(STAGED, sql.Identifier(SCHEMA, like)))
    with opened(stack) as handler:
        for _ in range(repeat):
            for connections in TRIED:
                began = time.monotonic()
                handler.build_indexes(*RUN, PLANS, connections)
                seconds[connections].append(time.monotonic() - began)
                for number in range(len(PLANS)):
                    name = sql.Identifier(STAGING, f"{staging_name(*RUN)}_{number}")
                    connection.execute(sql.SQL("DROP INDEX {}").format(name))
    connection.execute(sql.SQL("DROP TABLE {}").format(STAGED))
    return Built(data.name, {number: round(median(each), 3) for number, each in seconds.items()})


@contextmanager
def opened(stack: Stack) -> Iterator[VectorToPostGISHandler]:
    database = PostgresDatabase(Settings(**stack.env))  # type: ignore[arg-type]
    yield VectorToPostGISHandler(database)
    database.close()


def compared(connection: Connection, key: str, data: Dataset, runs: dict[bool, list[Run]]) -> list[Ordered]:
    seconds: dict[bool, list[float]] = defaultdict(list)
    for _ in runs[True]:
        for cluster in runs:
            seconds[cluster].append(reindexed(connection, table_name(key, cluster)))
    places = some_places(connection, table_name(key, cluster=False))
    return [
        Ordered(
            data.name,
            cluster,
            load=round(median(run.seconds for run in each), 2),
            sort=round(median(run.steps.get("cluster", 0.0) for run in each), 2),
            index=round(median(run.steps["index"] for run in each), 2),
            gist=round(median(seconds[cluster]), 2),
            gist_mb=size_mb(connection, f"{table_name(key, cluster)}_geom_idx"),
            cold=asked(connection, table_name(key, cluster), places, cold=True),
            warm=asked(connection, table_name(key, cluster), places, cold=False),
        )
        for cluster, each in runs.items()
    ]


def reindexed(connection: Connection, table: str) -> float:
    """Seconds for the spatial index."""
    began = time.monotonic()
    connection.execute(sql.SQL("REINDEX INDEX {}").format(sql.Identifier(SCHEMA, f"{table}_geom_idx")))
    return time.monotonic() - began


def size_mb(connection: Connection, index: str) -> float:
    size: int
    [size] = connection.execute("SELECT pg_relation_size(%s::regclass)", [f"{SCHEMA}.{index}"]).fetchone() or (0,)
    return round(size / 1e6, 1)


def some_places(connection: Connection, table: str) -> list[Place]:
    """Where rows are; the same every time."""
    query = sql.SQL("SELECT ST_X(p), ST_Y(p) FROM (SELECT ST_PointOnSurface(geom) AS p FROM {} ORDER BY {}) AS t")
    chosen = sql.SQL("hashint8(id) LIMIT {}").format(sql.Literal(BOXES))
    return connection.execute(query.format(sql.Identifier(SCHEMA, table), chosen)).fetchall()


def asked(connection: Connection, table: str, places: list[Place], *, cold: bool) -> Asked:
    """Medians over boxes around the places. Cold for the server, whose buffers have another table; the system still has
    the pages. Warm: the second time."""
    if cold:
        connection.execute("SELECT pg_prewarm(%s)", [FILLER.as_string()])
    answers = [explained(connection, table, place) for place in places]
    return Asked(*(round(median(column), 3) for column in zip(*answers, strict=True)))


def explained(connection: Connection, table: str, place: Place) -> tuple[float, float, float, float]:
    query = sql.SQL(
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)"
        " SELECT * FROM {} WHERE geom && ST_Expand(ST_SetSRID(ST_Point({}, {}), 4326), {})"
    ).format(sql.Identifier(SCHEMA, table), *map(sql.Literal, place), sql.Literal(BOX_DEGREES / 2))
    [[[told]]] = connection.execute(query).fetchall()
    plan = told["Plan"]
    read = plan["Shared Read Blocks"]
    return plan["Actual Rows"], read + plan["Shared Hit Blocks"], read, told["Execution Time"]


def prepare(connection: Connection) -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(FILLER))
    fill = sql.SQL("CREATE TABLE {} AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, {})")
    connection.execute(fill.format(FILLER, sql.Literal(FILLER_ROWS)))
    connection.execute("SET maintenance_work_mem = '256MB'")


def show(indexes: list[Built], orders: list[Ordered]) -> None:
    table = Table("indexes, s, by connections", *map(str, TRIED), f"1 / {CONNECTIONS}")
    for each in indexes:
        seconds = each.seconds
        ratio = seconds[1] / seconds[CONNECTIONS]
        table.add_row(each.name, *(f"{value:.2f}" for value in seconds.values()), f"{ratio:.2f}")
    console.print(table)
    table = Table("rows stand", "load s", "sort", "indexes", "GiST", "MB", "box: rows", "pages", "cold ms", "warm ms")
    for one in orders:
        stand = f"{one.name}, " + ("along the curve" if one.cluster else "as in the file")
        loading = [f"{value:.2f}" for value in (one.load, one.sort, one.index, one.gist)]
        box = [f"{value:.0f}" for value in (one.gist_mb, one.cold.rows, one.cold.pages)]
        table.add_row(stand, *loading, *box, f"{one.cold.ms:.2f}", f"{one.warm.ms:.2f}")
    console.print(table)


def figures_of(indexes: list[Built], orders: list[Ordered]) -> Iterator[Figure]:
    for each in indexes:
        one, several = each.seconds[1], each.seconds[CONNECTIONS]
        what = f"indexes of {each.name}: {CONNECTIONS} connections / 1"
        yield Figure(what, several / one, None, f"{several:.2f} / {one:.2f} s")
    for file, curve in zip(orders[::2], orders[1::2], strict=True):
        told = f"{curve.load:.2f} / {file.load:.2f} s, the sorting {curve.sort:.2f} s"
        yield Figure(f"load of {file.name}: along the curve / as in the file", curve.load / file.load, None, told)
        pages, ratio = f"{file.cold.pages:.0f} / {curve.cold.pages:.0f} pages", file.cold.pages / curve.cold.pages
        yield Figure(f"a box of {file.name}: as in the file / along the curve", ratio, 1, pages)


def main() -> int:
    given = arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    repeat, shrunk = (1, 100) if given.short else (REPEAT, 1)
    maker = Maker(FOLDER)
    files = {"points": maker.points(2_000_000 // shrunk), "buildings": maker.buildings(500_000 // shrunk)}
    with Stack(ROOT, "bench") as stack:
        stack.start()
        runs = {key: loaded(App(stack), key, data, repeat) for key, data in files.items()}
        # Its janitors would wonder at a staging table of no job.
        stack.app.stop()
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            prepare(connection)
            indexes = [built(stack, connection, key, data, repeat) for key, data in files.items()]
            orders = [each for key, data in files.items() for each in compared(connection, key, data, runs[key])]
    figures = list(figures_of(indexes, orders))
    show(indexes, orders)
    show_figures(figures)
    told = {"indexes": [asdict(each) for each in indexes], "cluster": [asdict(each) for each in orders]}
    keep("indexes", [{"figures": [each.record() for each in figures], **told}], short=given.short)
    return 0 if all(each.kept for each in figures) else NOT_KEPT


if __name__ == "__main__":
    sys.exit(main())
