"""Bugs planted into the app in memory, to see that the scheduler finds them: `python -m tests.faults.planted`."""

import argparse
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import core.machine
from core.machine import CoreMachine
from core.models.job import Job
from core.models.messages import Outgoing
from core.models.task import Task
from core.retry import Failed, Retry, RetryPolicy, judge
from core.sql import Queries, janitor, jobs, publishing, tasks
from core.state_manager import StateManager, confirm, fence, is_full
from tests.faults.scheduler import House, databases, say

MOST_SEEDS = 400
Planting = Callable[[House], AbstractContextManager[None]]


@dataclass(frozen=True)
class Bug:
    name: str
    plant: Planting


@dataclass(frozen=True)
class Found:
    """`seeds`: how many it took; None: nobody noticed."""

    bug: str
    seeds: int | None
    violation: str
    seconds: float


def replaced(queries: Queries, name: str, *changes: tuple[str, str]) -> AbstractContextManager[Any]:
    """The named query with other words. Raises ValueError when it does not say what is to be replaced."""
    text: str = getattr(queries, name)
    for old, new in changes:
        if old not in text:
            raise ValueError(f"{name} has no {old!r} any more")
        text = text.replace(old, new)
    return patch.dict(vars(queries)["_queries"], {name: text})


def in_query(queries: Queries, name: str, *changes: tuple[str, str]) -> Planting:
    @contextmanager
    def plant(_house: House) -> Iterator[None]:
        with replaced(queries, name, *changes):
            yield

    return plant


def in_code(owner: object, name: str, planted: object) -> Planting:
    @contextmanager
    def plant(_house: House) -> Iterator[None]:
        with patch.object(owner, name, planted):
            yield

    return plant


FENCE = (" AND attempt = %(attempt)s", "")


@contextmanager
def unfenced_completion(_house: House) -> Iterator[None]:
    with replaced(tasks, "lock_attempt", FENCE), replaced(tasks, "complete_task", FENCE):
        yield


@contextmanager
def unguarded_upload(_house: House) -> Iterator[None]:
    with (
        patch.dict(vars(publishing)["_queries"], lock_batch="SELECT %(key)s::text AS key"),
        replaced(tasks, "hold_attempt", FENCE, (" AND status = 'processing'\n   FOR SHARE", "")),
    ):
        yield


@contextmanager
def no_terminal_trigger(house: House) -> Iterator[None]:
    """And an update that relies on it."""
    monitor = house.database.monitor
    monitor.execute("ALTER TABLE app.tasks DISABLE TRIGGER keep_terminal")
    guard = (" AND t.status IN ('pending', 'queued', 'processing')\n    RETURNING", "\n    RETURNING")
    try:
        with replaced(jobs, "end_jobs", guard):
            yield
    finally:
        monitor.execute("ALTER TABLE app.tasks ENABLE TRIGGER keep_terminal")


@contextmanager
def stage_inserted_twice(_house: House) -> Iterator[None]:
    again = (
        "ON CONFLICT DO NOTHING",
        "ON CONFLICT (job_id, run, stage) DO UPDATE SET expected = excluded.expected + 1",
    )
    ignored = ("WITH ORDINALITY AS planned (parameters, position);", "WITH ORDINALITY AS planned (parameters, position)"
               " ON CONFLICT DO NOTHING;")  # fmt: skip
    with replaced(jobs, "insert_stage", again), replaced(tasks, "insert_tasks", ignored):
        yield


COMPLETED = """SELECT count(*) AS completed FROM app.tasks
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s AND status = 'completed'"""


def counts_before_it_locks(self: StateManager, task: Task, result: Any) -> bool:
    at = {"job_id": task.job_id, "run": task.run, "stage": task.stage}
    with self.database.transaction() as tx:
        confirm(tx.one(tasks.lock_attempt, **fence(task)))
        before = tx.one(COMPLETED, **at)
        tx.run(jobs.lock_job, job_id=task.job_id)
        value = result(tx).model_dump(mode="json")
        confirm(tx.one(tasks.complete_task, **fence(task), result=value))
        stage = tx.one(jobs.count_completed, **at)
        full = before and stage and before["completed"] + 1 == stage["expected"]
        return bool(full) and tx.one(jobs.advance_job, **at) is not None


def has_its_effect_outside(self: StateManager, task: Task, result: Any) -> bool:
    at = {"job_id": task.job_id, "run": task.run, "stage": task.stage}
    with self.database.transaction() as tx:
        value = result(tx).model_dump(mode="json")
    with self.database.transaction() as tx:
        tx.run(jobs.lock_job, job_id=task.job_id)
        confirm(tx.one(tasks.complete_task, **fence(task), result=value))
        return is_full(tx.one(jobs.count_completed, **at)) and tx.one(jobs.advance_job, **at) is not None


def inserts_the_stage_in_parts(self: StateManager, job: Job, name: str, task_type: str, planned: Sequence[Any]) -> bool:
    at = {"job_id": job.job_id, "run": job.run, "stage": job.stage}
    with self.database.transaction() as tx:
        tx.run(jobs.lock_job, job_id=job.job_id)
        if not tx.one(jobs.begin_stage, **at):
            return False
        if not tx.one(jobs.insert_stage, **at, name=name, expected=len(planned)):
            return False
    prefix = f"{job.job_id}-{job.run}-{job.stage}-"
    with self.database.transaction() as tx:
        listed = "[" + ",".join(params.model_dump_json() for params in planned) + "]"
        tx.run(tasks.insert_tasks, **at, prefix=prefix, task_type=task_type, tasks=listed)
    return True


START_STAGE = CoreMachine.enter_stage
RECORDED = StateManager.start_stage


def sends_before_it_commits(self: CoreMachine, job: Job) -> None:
    def start(state: StateManager, at: Job, name: str, task_type: str, planned: Sequence[Any]) -> bool:
        ids = [f"{at.job_id}-{at.run}-{at.stage}-{index}" for index in range(len(planned))]
        self.bus.send_tasks([Outgoing(message_id=f"{one}:1", body={"task_id": one}) for one in ids])
        return RECORDED(state, at, name, task_type, planned)

    with patch.object(StateManager, "start_stage", start):
        START_STAGE(self, job)


def counts_the_failed_as_done(self: StateManager, task: Task, error: dict[str, Any]) -> bool:
    at = {"job_id": task.job_id, "run": task.run, "stage": task.stage}
    with self.database.transaction() as tx:
        tx.run(jobs.lock_job, job_id=task.job_id)
        if not tx.one(tasks.fail_task, **fence(task), error=error):
            return False
        if is_full(tx.one(jobs.count_completed, **at)):
            tx.one(jobs.advance_job, **at)
    return True


def blames_the_task(error: Exception, failures: int, policy: RetryPolicy) -> Retry | Failed:
    match judge(error, failures, policy):
        case Retry(told, after, _) if failures < policy.max_attempts:
            return Retry(told, after)
        case Retry(told):
            return Failed(told)
        case verdict:
            return verdict


def nothing(*_: object, **__: object) -> None:
    return None


BUGS = (
    Bug("completion is not fenced by the attempt", unfenced_completion),
    Bug(
        "siblings are counted before the job's lock is taken",
        in_code(StateManager, "complete_task", counts_before_it_locks),
    ),
    Bug(
        "messages are sent before the rows are committed", in_code(CoreMachine, "enter_stage", sends_before_it_commits)
    ),
    Bug("a failed task counts as done", in_code(StateManager, "fail_task", counts_the_failed_as_done)),
    Bug(
        "the watchdog expires tasks that are not stale",
        in_query(janitor, "expire_tasks", (" AND updated_at < now() - make_interval(secs => %(stale)s)", "")),
    ),
    Bug("uploads of a batch are locked neither against each other nor against a takeover", unguarded_upload),
    Bug(
        "a stage and its tasks are inserted in two transactions",
        in_code(StateManager, "start_stage", inserts_the_stage_in_parts),
    ),
    Bug(
        "a claim does not ask whether the message is a redelivery",
        in_query(tasks, "claim_task", (" AND %(redelivered)s", "")),
    ),
    Bug(
        "a takeover does not raise the attempt",
        in_query(
            tasks, "claim_task", ("attempt = t.attempt + 1", "attempt = t.attempt + (t.status <> 'processing')::int")
        ),
    ),
    Bug("a retry keeps its dispatch number", in_query(tasks, "retry_task", (" dispatch = dispatch + 1,", ""))),
    Bug(
        "the mark `queued` is set without a guard",
        in_query(tasks, "mark_tasks_queued", (" AND t.dispatch = sent.dispatch AND t.status = 'pending'", "")),
    ),
    Bug(
        "queued tasks are sent again at every run of the watchdog",
        in_query(
            janitor,
            "resend_tasks",
            (" AND greatest(updated_at, not_before) < now() - make_interval(secs => %(unclaimed)s)", ""),
        ),
    ),
    Bug(
        "the health check advances stages that are not full",
        in_query(janitor, "advance_full_stages", (" AND s.completed = s.expected", "")),
    ),
    Bug("no trigger keeps terminal states, and an update has no guard", no_terminal_trigger),
    Bug(
        "a job fails without its tasks",
        in_query(
            jobs,
            "end_jobs",
            ("WHERE t.job_id = e.job_id AND t.run = e.run AND t.status IN", "WHERE false AND t.status IN"),
        ),
    ),
    Bug(
        "the last completion does not advance the job",
        in_query(jobs, "advance_job", ("AND status = 'processing'", "AND false")),
    ),
    Bug("a redelivered message of a finished task is only dropped", in_code(CoreMachine, "nudge", nothing)),
    Bug(
        "the watchdog does not send pending tasks",
        in_query(janitor, "resend_tasks", ("(status = 'pending' AND", "(false AND")),
    ),
    Bug("an ended run is not released", in_code(CoreMachine, "release", nothing)),
    Bug("a stage is planned twice by two messages", stage_inserted_twice),
    Bug(
        "a handler's effect commits before the completion",
        in_code(StateManager, "complete_task", has_its_effect_outside),
    ),
    Bug("an outage counts as the task's failure", in_code(core.machine, "judge", blames_the_task)),
)


def hunt(house: House, bug: Bug, seeds: range) -> Found:
    """Play until something is wrong."""
    began = time.monotonic()
    with bug.plant(house):
        for number, seed in enumerate(seeds, 1):
            if told := house.play(seed).violations:
                return Found(bug.name, number, shortened(told[0]), time.monotonic() - began)
    return Found(bug.name, None, "", time.monotonic() - began)


def shortened(violation: str) -> str:
    return re.sub(r"\b([0-9a-f]{4})[0-9a-f]{60}", r"\1", violation)[:110]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="how many to try for each bug")
    parser.add_argument("--only", default="", help="bugs whose name contains this")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    missed = 0
    say("| planted bug | seeds | seconds | how it was noticed |", "|---|---|---|---|")
    with databases(1) as urls:
        house = House(urls[0])
        for bug in BUGS:
            if given.only in bug.name:
                found = hunt(house, bug, range(given.seeds))
                missed += found.seeds is None
                say(f"| {found.bug} | {found.seeds or 'missed'} | {found.seconds:.1f} | {found.violation} |")
                sys.stdout.flush()
        house.close()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
