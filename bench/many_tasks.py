"""What a stage of many tasks costs: 10,000 tasks, 8 concurrent consumers, the real database and the real bus.

    python -m bench.many_tasks

A job type of its own whose tasks do nothing, driven by the real CoreMachine and StateManager. Two things are measured:

- with 8 consumers, how long a claim and a completion take with all their waiting, what backends wait for, tasks/s;
- one at a time, the same two calls at the end of the large stage and in stages of 100 tasks, in turns: what grows with
  the stage (a counter that bloats, an index that deepens) shows here, and what else the machine does, does not.
"""

import argparse
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from azure.servicebus import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusError
from pydantic import BaseModel

from bench.figures import Figure, arguments, conclude
from core.config import Settings
from core.machine import CoreMachine
from core.models.enums import JobStatus
from core.models.messages import Delivery, JobMessage, Outgoing, TaskMessage
from core.models.task import ClaimedTask, Task
from core.state_manager import StateManager
from core.submission import Submissions
from core.workflow import JobType, Registry, RunView, Stage, TaskContext
from infrastructure.postgresql import PostgresDatabase
from infrastructure.service_bus import ServiceBus
from local.stack import Stack

ROOT = Path(__file__).parent.parent
CONSUMERS = 8
RATIO_LIMIT = 1.3
SHORT_MOST = 2_000
# Tasks at the end of the large stage that are compared with as many in small ones.
COMPARED = 1000
# Completions of one job take turns, by design. It is a pile-up when one waits longer than all others need for theirs.
PILE_UP_SECONDS = 1.0
SAMPLE_SECONDS = 0.02
PATIENCE_SECONDS = 900.0
SAMPLE = """
SELECT coalesce(wait_event_type || ':' || wait_event, 'running') AS wait, count(*),
       coalesce(extract(epoch FROM max(clock_timestamp() - query_start)), 0)::float8 AS longest
  FROM pg_stat_activity
 WHERE application_name = 'vector-etl' AND state = 'active' GROUP BY 1
"""
TABLE_STATE = """
SELECT relname, n_tup_upd, n_tup_hot_upd, n_dead_tup, pg_relation_size(relid) AS bytes
  FROM pg_stat_user_tables WHERE schemaname = 'app' AND relname IN ('tasks', 'job_stages', 'jobs') ORDER BY relname
"""


class ManyParams(BaseModel):
    n: int
    name: str


class One(BaseModel):
    index: int


class Total(BaseModel):
    done: int


def do_nothing(task: One, ctx: TaskContext) -> One:  # noqa: ARG001
    return task


def one_each(run: RunView) -> Sequence[One]:
    return [One(index=index) for index in range(run.params.n)]


def count_done(run: RunView) -> Total:
    return Total(done=len(run.results("many")))


MANY = JobType(
    "many_tasks",
    params=ManyParams,
    stages=(Stage("many", task_type="nothing", run=do_nothing, plan=one_each),),
    finalize=count_done,
)


class TimedState(StateManager):
    """Notes how long each claim and each completion took, in seconds, in the order in which they ended."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database)
        self.claims: list[float] = []
        self.completions: list[float] = []

    def claim(self, *args: Any, **options: Any) -> ClaimedTask | None:
        started = time.perf_counter()
        claimed = super().claim(*args, **options)
        self.claims.append(time.perf_counter() - started)
        return claimed

    def complete_task(self, task: Task, result: Callable[[Any], BaseModel]) -> bool:
        started = time.perf_counter()
        advanced = super().complete_task(task, result)
        self.completions.append(time.perf_counter() - started)
        return advanced

    def reset(self) -> None:
        self.claims, self.completions = [], []


@dataclass
class Bench:
    """The machine and those who feed it."""

    settings: Settings
    state: TimedState
    machine: CoreMachine
    submissions: Submissions
    database_url: str
    stopping: threading.Event = field(default_factory=threading.Event)

    def consume(self, queue: str, process: Callable[[Any], None]) -> None:
        """One consumer: receive, process, complete, as the Functions host does it."""
        connection = str(self.settings.service_bus_connection)
        with (
            ServiceBusClient.from_connection_string(connection) as client,
            client.get_queue_receiver(queue) as receiver,
        ):
            while not self.stopping.is_set():
                for message in receiver.receive_messages(max_message_count=1, max_wait_time=1):
                    process(message)
                    self.settle(receiver, message)

    def settle(self, receiver: Any, message: Any) -> None:
        """A lock lost on a slow machine is no error here: the copy that comes is dropped."""
        try:
            receiver.complete_message(message)
        except ServiceBusError as error:
            print(f"not settled: {error}")

    def task(self, message: Any) -> None:
        delivery = Delivery(message_id=str(message.message_id), delivery_count=(message.delivery_count or 0) + 1)
        self.machine.process_task_message(TaskMessage.model_validate_json(b"".join(message.body)), delivery)

    def job(self, message: Any) -> None:
        self.machine.process_job_message(JobMessage.model_validate_json(b"".join(message.body)))

    @contextmanager
    def consumers(self) -> Iterator[None]:
        queues = [(self.settings.vector_tasks_queue, self.task)] * CONSUMERS + [(self.settings.jobs_queue, self.job)]
        threads = [threading.Thread(target=self.consume, args=one, daemon=True) for one in queues]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(timeout=10)


@dataclass
class Figures:
    """One job: seconds it took in all, milliseconds each task's claim and completion took, and what was waited for."""

    tasks: int
    seconds: float
    claims: list[float]
    completions: list[float]
    seen: "Seen"

    @property
    def cost(self) -> float:
        """Milliseconds per task: claim and completion."""
        return 1000 * (statistics.fmean(self.claims) + statistics.fmean(self.completions))

    @property
    def rate(self) -> float:
        return self.tasks / self.seconds

    def tenths(self) -> list[float]:
        """The cost in each tenth of the job, in milliseconds."""
        size = max(1, len(self.completions) // 10)
        parts = range(0, size * 10, size)
        return [
            1000 * (statistics.fmean(self.claims[at : at + size]) + statistics.fmean(self.completions[at : at + size]))
            for at in parts
        ]


@dataclass
class Seen:
    """What active backends were waiting for in the samples: how often, how many at once, and for how long at most."""

    samples: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    most_locked: int = 0
    longest_lock: float = 0.0

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self.samples += 1
        self.waits.update({str(wait): count for wait, count, _ in rows})
        locked = [(count, longest) for wait, count, longest in rows if str(wait).startswith("Lock:")]
        self.most_locked = max(self.most_locked, sum(count for count, _ in locked))
        self.longest_lock = max([self.longest_lock, *(longest for _, longest in locked)])

    @property
    def locked(self) -> float:
        """Backends that waited for another one's lock, on average."""
        return sum(n for wait, n in self.waits.items() if wait.startswith("Lock:")) / max(1, self.samples)


def measure(bench: Bench, tasks: int) -> Figures:
    """Run one job of that many tasks to its end."""
    bench.state.reset()
    with sampled(bench.database_url) as seen:
        started = time.perf_counter()
        _, job = bench.submissions.submit(MANY.name, {"n": tasks, "name": uuid4().hex})
        wait_for(bench, job.job_id)
        seconds = time.perf_counter() - started
    figures = Figures(tasks, seconds, bench.state.claims, bench.state.completions, seen)
    assert len(figures.completions) == tasks, f"{len(figures.completions)} completions of {tasks} tasks"
    return figures


def wait_for(bench: Bench, job_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        job = bench.state.get_job(job_id)
        assert job
        if job.status == JobStatus.COMPLETED:
            return
        assert job.status.is_open, job.error
        assert time.monotonic() < deadline, "the job hangs"
        time.sleep(0.02)


@contextmanager
def sampled(database_url: str) -> Iterator[Seen]:
    """Look at what the backends wait for, again and again while the block runs."""
    seen, done = Seen(), threading.Event()

    def look() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not done.wait(SAMPLE_SECONDS):
                seen.add(connection.execute(SAMPLE).fetchall())

    sampler = threading.Thread(target=look, daemon=True)
    sampler.start()
    try:
        yield seen
    finally:
        done.set()
        sampler.join()


class NoBus:
    """For the comparison: nobody but us is to take these tasks."""

    def send_jobs(self, messages: Sequence[Outgoing]) -> None:
        """Nothing is sent."""

    def send_tasks(self, messages: Sequence[Outgoing]) -> None:
        """Nothing is sent."""


def planned(machine: CoreMachine, tasks: int) -> list[str]:
    """A job whose tasks are there and nobody works on. Returns their ids in order."""
    _, job = Submissions(machine).submit(MANY.name, {"n": tasks, "name": uuid4().hex})
    machine.process_job_message(JobMessage(job_id=job.job_id, run=job.run, stage=1))
    return [f"{job.job_id}-{job.run}-1-{index}" for index in range(tasks)]


def work_off(state: StateManager, task_id: str) -> float:
    """Milliseconds to claim and complete it."""
    started = time.perf_counter()
    task = state.claim(task_id, f"{task_id}:1", redelivered=False)
    assert task
    state.complete_task(task, lambda _tx: One(index=task.task_index))
    return 1000 * (time.perf_counter() - started)


def compared(bench: Bench, tasks: int) -> tuple[list[float], list[float]]:
    """Milliseconds per task: in stages of 100, and at the end of a stage of that many, in turns."""
    machine = CoreMachine(bench.state, NoBus(), Registry(MANY), None)
    large = planned(machine, tasks)
    before, last = large[:-COMPARED], large[-COMPARED:]
    with ThreadPoolExecutor(CONSUMERS) as pool:
        list(pool.map(lambda task_id: work_off(bench.state, task_id), before))
    small = [task_id for _ in range(COMPARED // 100) for task_id in planned(machine, 100)]
    pairs = [(work_off(bench.state, one), work_off(bench.state, other)) for one, other in zip(small, last, strict=True)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@contextmanager
def opened(instance: str) -> Iterator[Bench]:
    with Stack(ROOT, instance, fast=True) as stack:
        for part in (stack.postgres, stack.azurite, stack.servicebus):
            part.remove_data()
        stack.start("postgres", "servicebus", "azurite")
        stack.migrate()
        settings = Settings(**{**stack.env, "POSTGIS_POOL_SIZE": "16"})  # type: ignore[arg-type]
        database = PostgresDatabase(settings)
        bus, state = ServiceBus(settings), TimedState(database)
        machine = CoreMachine(state, bus, Registry(MANY), None)
        bench = Bench(settings, state, machine, Submissions(machine), stack.database_url)
        yield bench
        bus.close()
        database.close()


def main() -> int:
    parser = arguments(argparse.ArgumentParser(prog="python -m bench.many_tasks"))
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--instance", default="bench")
    given = parser.parse_args()
    most, repeat = (SHORT_MOST, 2) if given.short else (given.most, 50)
    with opened(given.instance) as bench:
        with bench.consumers():
            measure(bench, 200)
            small = [measure(bench, 100) for _ in range(repeat)]
            middle = [measure(bench, 1_000) for _ in range(1 if given.short else 3)]
            large = measure(bench, most)
            small += [measure(bench, 100) for _ in range(repeat)]
        few, many = compared(bench, most)
        state = rows(bench.database_url, TABLE_STATE)
    tell(few, many, small, middle, large, state)
    return conclude("many_tasks", verdict(few, many, small, large), short=given.short)


def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(query.encode()).fetchall()


def tell(
    few: list[float],
    many: list[float],
    small: list[Figures],
    middle: list[Figures],
    large: Figures,
    state: list[tuple[Any, ...]],
) -> None:
    print(f"{CONSUMERS} consumers; milliseconds per task: claim + completion, waits for locks included")
    for group in (small, middle, [large]):
        costs, rates = [one.cost for one in group], [one.rate for one in group]
        print(
            f"{group[0].tasks:6} tasks x {len(group):2}: {statistics.median(costs):6.2f} ms"
            f" ({min(costs):.2f}-{max(costs):.2f}), {statistics.median(rates):5.0f} tasks/s"
            f", job {statistics.median(one.seconds for one in group):6.2f} s"
        )
    print("tenths of the large stage: " + " ".join(f"{cost:.2f}" for cost in large.tenths()) + " ms")
    seen = large.seen
    busiest = ", ".join(f"{wait} {count}" for wait, count in seen.waits.most_common(8))
    print(f"active backends in {seen.samples} samples of the large stage: {busiest}")
    print(
        f"waiting for another one's lock: {seen.locked:.1f} of {CONSUMERS} on average, {seen.most_locked} at most,"
        f" the longest {seen.longest_lock * 1000:.0f} ms"
    )
    for name, updated, hot, dead, size in state:
        print(f"app.{name}: {updated} updates, {hot} of them HOT, {dead} dead rows, {size >> 10} kB")
    for name, costs in (("in stages of 100", few), (f"the last {len(many)} of {large.tasks}", many)):
        told = " / ".join(f"{cost:.2f}" for cost in (*statistics.quantiles(costs, n=20)[9::9], statistics.fmean(costs)))
        print(f"one at a time, {name}: p50 / p95 / mean {told} ms")


def verdict(few: list[float], many: list[float], small: list[Figures], large: Figures) -> list[Figure]:
    """The cost is flat, one at a time and with all consumers, and no lock piles up."""
    costs = {
        "one at a time": (statistics.median(many), statistics.median(few)),
        f"with {CONSUMERS} consumers": (large.cost, statistics.fmean(one.cost for one in small)),
    }
    what = f"cost of a task in a stage of {large.tasks:,} / of 100"
    flat = [
        Figure(f"{what}, {name}", of_many / of_few, None, f"{of_many:.2f} / {of_few:.2f} ms", at_most=RATIO_LIMIT)
        for name, (of_many, of_few) in costs.items()
    ]
    longest = large.seen.longest_lock
    told = f"{1000 * longest:.0f} ms"
    return [*flat, Figure("longest wait for a lock / 1 s", longest / PILE_UP_SECONDS, None, told, at_most=1)]


if __name__ == "__main__":
    sys.exit(main())
