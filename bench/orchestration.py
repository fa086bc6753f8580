"""What a task costs that does nothing, beside Procrastinate, a well-kept task queue, on the same Postgres.

    python -m bench.orchestration [--tasks 5000]

Ours has more to do: a stage to fan out and to close, a message to receive and to acknowledge. The two take turns, with
as many consumers each.
"""

import argparse
import asyncio
import statistics
import sys
import time

import procrastinate
import psycopg
from procrastinate.types import JSONDict
from psycopg import sql

from bench.figures import Figure, arguments, conclude
from bench.many_tasks import CONSUMERS, MANY, Bench, NoBus, measure, opened, planned, work_off
from core.machine import CoreMachine
from core.workflow import Registry

ALONE = 1000
SHORT_TASKS = 500
REPEAT = 3
DATABASE = "procrastinate"


async def seconds_for(url: str, tasks: int, concurrency: int) -> float:
    """For a worker of Procrastinate to do that many tasks that do nothing, deferred before."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=2 * concurrency)
    )

    @app.task(name="nothing")
    async def nothing(index: int) -> int:
        return index

    async with app.open_async():
        arguments: list[JSONDict] = [{"index": index} for index in range(tasks)]
        await nothing.batch_defer_async(*arguments)
        began = time.perf_counter()
        await app.run_worker_async(concurrency=concurrency, wait=False, install_signal_handlers=False)
        seconds = time.perf_counter() - began
        left = await app.job_manager.list_jobs_async(status="todo")
        assert not list(left), "tasks are left over"
        return seconds


def fresh_database(url: str) -> str:
    """A database of its own on the same server, with Procrastinate's tables."""
    name = sql.Identifier(DATABASE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        own = psycopg.conninfo.make_conninfo(url, dbname=DATABASE)

    async def apply() -> None:
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=own))
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    asyncio.run(apply())
    return own


def rates(bench: Bench, other: str, tasks: int, repeat: int) -> Figure:
    """Tasks a second with all consumers."""
    ours, theirs = [], []
    with bench.consumers():
        measure(bench, 200)
        for _ in range(repeat):
            ours.append(measure(bench, tasks).rate)
            theirs.append(tasks / asyncio.run(seconds_for(other, tasks, CONSUMERS)))
    rate, other_rate = statistics.median(ours), statistics.median(theirs)
    what = f"tasks/s of a stage of {tasks:,}, {CONSUMERS} consumers / Procrastinate's"
    return Figure(what, rate / other_rate, 0.5, f"{rate:.0f} / {other_rate:.0f} tasks/s", go_for=1)


def costs(bench: Bench, other: str, tasks: int, repeat: int) -> Figure:
    """Milliseconds from claim to completion, one task at a time."""
    machine = CoreMachine(bench.state, NoBus(), Registry(MANY), None)
    ours, theirs = [], []
    for _ in range(repeat):
        ours.append(statistics.fmean(work_off(bench.state, task_id) for task_id in planned(machine, tasks)))
        theirs.append(1000 * asyncio.run(seconds_for(other, tasks, 1)) / tasks)
    cost, other_cost = statistics.median(ours), statistics.median(theirs)
    what = "Procrastinate's cost of a task, one at a time / ours from claim to completion"
    return Figure(what, other_cost / cost, 0.5, f"{other_cost:.2f} / {cost:.2f} ms", go_for=1)


def main() -> int:
    parser = arguments(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--tasks", type=int, default=5_000)
    given = parser.parse_args()
    tasks, repeat = (SHORT_TASKS, 1) if given.short else (given.tasks, REPEAT)
    with opened("bench") as bench:
        other = fresh_database(bench.database_url)
        figures = [rates(bench, other, tasks, repeat), costs(bench, other, min(ALONE, tasks), repeat)]
    return conclude("orchestration", figures, short=given.short)


if __name__ == "__main__":
    sys.exit(main())
