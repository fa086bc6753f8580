"""The two job types of the play. `loads` has the effects of process_vector: a staging place made under the attempt's
hold, batches replaced under their lock, an effect in the completing transaction, blobs outside any transaction;
`greets` has an effect in the completing transaction of its first stage and progress in its second."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from core.ports import Database, Transaction
from core.sql import publishing
from core.workflow import InTransaction, JobType, Registry, RunView, Stage, TaskContext

ROWS_PER_BATCH = 3
TABLES = """
CREATE SCHEMA sim;
CREATE TABLE sim.staging (job_id text, run integer);
CREATE TABLE sim.rows (job_id text, run integer, batch integer, id integer);
CREATE TABLE sim.effects (task_id text, attempt integer);
"""
CLEAR_STAGING = "DELETE FROM sim.staging WHERE job_id = %(job_id)s AND run = %(run)s"
CREATE_STAGING = "INSERT INTO sim.staging (job_id, run) VALUES (%(job_id)s, %(run)s)"
DELETE_ROWS = "DELETE FROM sim.rows WHERE job_id = %(job_id)s AND run = %(run)s AND batch = %(batch)s"
COPY_ROWS = """INSERT INTO sim.rows (job_id, run, batch, id)
SELECT %(job_id)s, %(run)s, %(batch)s, generate_series(1, %(rows)s)"""
NOTE_EFFECT = "INSERT INTO sim.effects (task_id, attempt) VALUES (%(task_id)s, %(attempt)s)"
ALL_STAGING = "SELECT job_id, run FROM sim.staging ORDER BY job_id, run"


class Theatre(Protocol):
    """What the handlers need of the play."""

    def effect(self, kind: str, name: str) -> None: ...

    def handler(self, task_id: str, attempt: int) -> None:
        """A handler begins; may raise what handlers raise."""


@dataclass
class World:
    """Everything outside the app's tables. `blobs`: what runs have outside of any transaction."""

    theatre: Theatre
    database: Database
    blobs: set[tuple[str, int]] = field(default_factory=set)
    starts: Counter[tuple[str, int]] = field(default_factory=Counter)

    def starting(self, ctx: TaskContext) -> None:
        self.starts[ctx.task_id, ctx.attempt] += 1
        self.theatre.handler(ctx.task_id, ctx.attempt)


class Params(BaseModel):
    n: int = 1
    number: int = 0
    key: str | None = None


class Nothing(BaseModel):
    pass


class Item(BaseModel):
    index: int


class Count(BaseModel):
    """`attempt`: whose result it is."""

    count: int
    attempt: int = 0


def prepare(_task: Nothing, ctx: TaskContext) -> Count:
    world: World = ctx.resources
    world.starting(ctx)
    world.theatre.effect("work", "write a blob")
    world.blobs.add((ctx.job_id, ctx.run))
    with world.database.transaction() as tx:
        ctx.hold(tx)
        run = {"job_id": ctx.job_id, "run": ctx.run}
        tx.run(CLEAR_STAGING, **run)
        tx.run(CREATE_STAGING, **run)
        tx.run(publishing.forget_batches, **run)
    return Count(count=ctx.params.n, attempt=ctx.attempt)


def upload(task: Item, ctx: TaskContext) -> Count:
    """As replace_batch and process_vector_upload do it."""
    world: World = ctx.resources
    world.starting(ctx)
    key = {"job_id": ctx.job_id, "run": ctx.run, "batch": task.index}
    with world.database.transaction() as tx:
        tx.run(publishing.lock_batch, key=f"{ctx.job_id}:{ctx.run}:{task.index}")
        if tx.run(publishing.forget_batch, **key):
            tx.run(DELETE_ROWS, **key)
        tx.run(COPY_ROWS, **key, rows=ROWS_PER_BATCH)
        tx.run(publishing.remember_batch, **key, rows=ROWS_PER_BATCH)
        ctx.hold(tx)
    return Count(count=ROWS_PER_BATCH, attempt=ctx.attempt)


def publish(_task: Nothing, ctx: TaskContext) -> InTransaction[Count]:
    world: World = ctx.resources
    world.starting(ctx)
    loaded = sum(result.count for result in ctx.results("upload"))
    return InTransaction(lambda tx: noted(tx, ctx, loaded))


def greet(task: Item, ctx: TaskContext) -> InTransaction[Count]:
    world: World = ctx.resources
    world.starting(ctx)
    return InTransaction(lambda tx: noted(tx, ctx, task.index))


def noted(tx: Transaction, ctx: TaskContext, count: int) -> Count:
    tx.run(NOTE_EFFECT, task_id=ctx.task_id, attempt=ctx.attempt)
    return Count(count=count, attempt=ctx.attempt)


def reply(task: Item, ctx: TaskContext) -> Count:
    world: World = ctx.resources
    world.starting(ctx)
    ctx.progress()
    world.theatre.effect("work", "reply")
    ctx.progress()
    return Count(count=task.index, attempt=ctx.attempt)


def release(job_id: str, run: int, world: World) -> None:
    world.theatre.effect("work", "delete the blobs")
    world.blobs.discard((job_id, run))
    with world.database.transaction() as tx:
        tx.run(CLEAR_STAGING, job_id=job_id, run=run)


def leftovers(world: World) -> Iterable[tuple[str, int]]:
    with world.database.transaction() as tx:
        staged = [(row["job_id"], row["run"]) for row in tx.all(ALL_STAGING)]
    return [*staged, *sorted(world.blobs)]


def items(run: RunView) -> list[Item]:
    return [Item(index=index) for index in range(run.params.n)]


def total(stage: str) -> Any:
    def finalize(run: RunView) -> Count:
        return Count(count=sum(result.count for result in run.results(stage)))

    return finalize


LOADS = JobType(
    "loads",
    params=Params,
    stages=(
        Stage("prepare", "prepare", prepare, lambda _run: [Nothing()]),
        Stage("upload", "upload", upload, items),
        Stage("publish", "publish", publish, lambda _run: [Nothing()]),
    ),
    finalize=total("publish"),
    exclusive_key=lambda params: params.key,
    release=release,
    leftovers=leftovers,
)
GREETS = JobType(
    "greets",
    params=Params,
    stages=(
        Stage("greet", "greet", greet, items),
        Stage("reply", "reply", reply, lambda run: [Item(index=r.count) for r in run.results("greet")]),
    ),
    finalize=total("reply"),
    exclusive_key=lambda params: params.key,
)
REGISTRY = Registry(LOADS, GREETS)


def expected_result(job_type: str, n: int) -> dict[str, int]:
    return {"attempt": 0, "count": n * ROWS_PER_BATCH if job_type == "loads" else sum(range(n))}
