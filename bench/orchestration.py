"""What a task costs that does nothing, beside Procrastinate, a well-kept task queue, on the same Postgres.

    python -m bench.orchestration [--tasks 5000]

Ours has more to do: a stage to fan out and to close, a message to receive and to acknowledge. Writes
bench/results/orchestration.json.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict

import procrastinate
import psycopg
from procrastinate.types import JSONDict
from psycopg import sql

from bench.many_tasks import CONSUMERS, MANY, NoBus, measure, opened, planned, work_off
from bench.speed import RESULTS
from bench.throughput import Figure, show
from core.machine import CoreMachine
from core.workflow import Registry

ALONE = 1000
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5_000)
    given = parser.parse_args()
    with opened("bench") as bench:
        other = fresh_database(bench.database_url)
        rates, other_rates = [], []
        with bench.consumers():
            measure(bench, 200)
            for _ in range(REPEAT):
                rates.append(measure(bench, given.tasks).rate)
                other_rates.append(given.tasks / asyncio.run(seconds_for(other, given.tasks, CONSUMERS)))
        machine = CoreMachine(bench.state, NoBus(), Registry(MANY), None)
        costs, other_costs = [], []
        for _ in range(REPEAT):
            costs.append(statistics.fmean(work_off(bench.state, task_id) for task_id in planned(machine, ALONE)))
            other_costs.append(1000 * asyncio.run(seconds_for(other, ALONE, 1)) / ALONE)
    rate, other_rate = statistics.median(rates), statistics.median(other_rates)
    cost, other_cost = statistics.median(costs), statistics.median(other_costs)
    figures = [
        Figure(
            f"tasks/s of a stage of {given.tasks:,}, {CONSUMERS} consumers / Procrastinate's",
            rate / other_rate,
            0.5,
            f"{rate:.0f} / {other_rate:.0f} tasks/s",
        ),
        Figure(
            "Procrastinate's cost of a task, one at a time / ours from claim to completion",
            other_cost / cost,
            0.5,
            f"{other_cost:.2f} / {cost:.2f} ms",
        ),
    ]
    show(figures)
    RESULTS.mkdir(exist_ok=True)
    records = [asdict(each) | {"kept": each.kept} for each in figures]
    (RESULTS / "orchestration.json").write_text(json.dumps(records, indent=2) + "\n")
    return 0 if all(each.kept for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
