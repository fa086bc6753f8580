"""Bugs planted into the app in memory, to see that the scheduler finds them: `python -m tests.faults.planted`.

Each is a change of the app's own words, a query's or a function's: one that does not fit them any more is refused.
"""

import argparse
import inspect
import logging
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import core.machine
from core.machine import CoreMachine
from core.sql import Queries, janitor, jobs, publishing, tasks
from core.state_manager import StateManager
from tests.faults.scheduler import House, databases, say
from tests.faults.scheduler_play import NOT_QUIET

MOST_SEEDS = 400
Change = tuple[str, str]
Plant = Callable[[House], AbstractContextManager[Any]]


class Bug:
    """`seed`: one that finds it, alone or among those of a `weather`."""

    def __init__(self, name: str, *plants: Plant, seed: int = 0, weather: str | None = None) -> None:
        self.name = name
        self.plants = plants
        self.seed = seed
        self.weather = weather

    @contextmanager
    def planted(self, house: House) -> Iterator[None]:
        """Raises ValueError when what is to be changed is not there."""
        with ExitStack() as garden:
            for plant in self.plants:
                garden.enter_context(plant(house))
            yield


def changed(name: str, text: str, changes: Iterable[Change]) -> str:
    for old, new in changes:
        if text.count(old) != 1:
            raise ValueError(f"{name} says {text.count(old)} times {old!r}, not once")
        text = text.replace(old, new)
    return text


def in_query(queries: Queries, name: str, *changes: Change) -> Plant:
    def plant(_house: House) -> AbstractContextManager[Any]:
        return patch.dict(vars(queries)["_queries"], {name: changed(name, getattr(queries, name), changes)})

    return plant


def in_code(owner: Any, name: str, *changes: Change) -> Plant:
    """A function of a class or a module, compiled again from its source with other words."""

    def plant(_house: House) -> AbstractContextManager[Any]:
        function = getattr(owner, name)
        source = changed(name, textwrap.dedent(inspect.getsource(function)), changes)
        made: dict[str, Any] = {}
        exec(compile(source, f"<{name} with a bug>", "exec"), function.__globals__, made)
        return patch.object(owner, name, made[name])

    return plant


def without_trigger(table: str, name: str) -> Plant:
    @contextmanager
    def plant(house: House) -> Iterator[None]:
        house.database.monitor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}".encode())
        try:
            yield
        finally:
            house.database.monitor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {name}".encode())

    return plant


FENCE = (" AND attempt = %(attempt)s", "")
BUGS = (
    Bug(
        "completion is not fenced by the attempt",
        in_query(tasks, "lock_attempt", FENCE),
        in_query(tasks, "complete_task", FENCE),
        seed=17,
    ),
    Bug(
        "siblings are counted before the job's lock is taken",
        in_code(
            StateManager,
            "complete_task",
            (
                "        tx.run(jobs.lock_job, job_id=task.job_id)\n",
                "        before = tx.one(jobs.get_stage, job_id=task.job_id, run=task.run, stage=task.stage)\n"
                "        tx.run(jobs.lock_job, job_id=task.job_id)\n",
            ),
            ("is_full(counted)", "before['completed'] + 1 == counted['expected']"),
        ),
        seed=3,
        weather="calm",
    ),
    Bug(
        "messages are sent before the rows are committed",
        in_code(
            CoreMachine,
            "enter_stage",
            (
                "        if self.state.start_stage(",
                "        ids = [f'{job.job_id}-{job.run}-{job.stage}-{index}' for index in range(len(planned))]\n"
                "        self.bus.send_tasks([Outgoing(message_id=f'{id}:1', body={'task_id': id}) for id in ids])\n"
                "        if self.state.start_stage(",
            ),
        ),
    ),
    Bug(
        "a failed task counts as done",
        in_code(
            StateManager,
            "fail_task",
            (
                "        self.fail_jobs(tx, ",
                "        at = {'job_id': task.job_id, 'run': task.run, 'stage': task.stage}\n"
                "        return is_full(tx.one(jobs.count_completed, **at)) and bool(tx.one(jobs.advance_job, **at))\n"
                "        self.fail_jobs(tx, ",
            ),
        ),
    ),
    Bug(
        "a stage and its tasks are inserted in two transactions",
        in_code(
            StateManager,
            "start_stage",
            (
                "        parameters = jsonb_text(",
                "    with self.database.transaction() as tx:\n        parameters = jsonb_text(",
            ),
        ),
        seed=1,
    ),
    Bug(
        "a stage is planned twice by two messages",
        in_query(
            jobs,
            "insert_stage",
            (
                "ON CONFLICT DO NOTHING",
                "ON CONFLICT (job_id, run, stage) DO UPDATE SET expected = excluded.expected + 1",
            ),
        ),
        in_query(
            tasks,
            "insert_tasks",
            ("planned (parameters, position)", "planned (parameters, position) ON CONFLICT DO NOTHING"),
        ),
        seed=1,
    ),
    Bug(
        "uploads of a batch are locked neither against each other nor against a takeover",
        in_query(publishing, "lock_batch", ("pg_advisory_xact_lock(hashtextextended(%(key)s, 1))", "%(key)s::text")),
        in_query(tasks, "hold_attempt", FENCE, (" AND status = 'processing'\n   FOR SHARE", "")),
        seed=26,
        weather="redelivery",
    ),
    Bug(
        "a handler's effect commits before the completion",
        in_code(
            StateManager,
            "complete_task",
            (
                "        value = result(tx).model_dump(",
                "        with self.database.transaction() as own:\n            value = result(own).model_dump(",
            ),
        ),
        seed=85,
        weather="outages",
    ),
    Bug(
        "a claim does not ask whether the message is a redelivery",
        in_query(tasks, "claim_task", (" AND %(redelivered)s", "")),
        seed=0,
    ),
    Bug(
        "a takeover does not raise the attempt",
        in_query(
            tasks, "claim_task", ("attempt = t.attempt + 1", "attempt = t.attempt + (t.status <> 'processing')::int")
        ),
        seed=6,
    ),
    Bug("a retry keeps its dispatch number", in_query(tasks, "retry_task", (" dispatch = dispatch + 1,", "")), seed=4),
    Bug(
        "the mark `queued` is set without a guard",
        in_query(
            tasks,
            "mark_tasks_queued",
            (" AND t.dispatch = sent.dispatch", ""),
            ("         WHERE t.status = 'pending'\n", ""),
        ),
        seed=3,
    ),
    Bug(
        "an outage counts as the task's failure",
        in_code(
            core.machine,
            "judge",
            ("policy.delay(failures), counted=False)", "policy.delay(failures))"),
        ),
        seed=7,
        weather="outages",
    ),
    Bug(
        "a redelivered message of a finished task is only dropped",
        in_code(CoreMachine, "process_task_message", ("self.nudge(message.task_id)", "pass")),
        seed=21,
        weather="redelivery",
    ),
    Bug(
        "a job fails without its tasks",
        in_query(jobs, "end_jobs", ("AND t.status IN ('pending', 'queued', 'processing')", "AND false")),
        seed=0,
        weather="storm",
    ),
    Bug(
        "an ended run is not released",
        in_code(CoreMachine, "release", ("self.release_run(self.registry[job.job_type], job.job_id, job.run)", "pass")),
        weather="calm",
    ),
    Bug(
        "no trigger keeps terminal states, and an update has no guard",
        without_trigger("app.tasks", "keep_terminal"),
        in_query(
            jobs, "end_jobs", (" AND t.status IN ('pending', 'queued', 'processing')\n    RETURNING", "\n    RETURNING")
        ),
        seed=15,
        weather="storm",
    ),
    Bug(
        "the watchdog expires tasks that are not stale",
        in_query(janitor, "expire_tasks", (" AND updated_at < now() - make_interval(secs => %(stale)s)", "")),
        seed=4,
    ),
    Bug(
        "queued tasks are sent again at every run of the watchdog",
        in_query(
            janitor,
            "resend_tasks",
            (" AND greatest(updated_at, not_before) < now() - make_interval(secs => %(unclaimed)s)", ""),
        ),
        seed=5,
    ),
    Bug(
        "the health check advances stages that are not full",
        in_query(janitor, "advance_full_stages", (" AND s.completed = s.expected", "")),
        seed=10,
    ),
    Bug("a transition tells nobody", without_trigger("app.jobs", "note_transition")),
)


@dataclass(frozen=True)
class Found:
    """`seeds`: how many it took to find it; `control`: what the last of them has to say of the app without the bug."""

    seed: int
    seeds: int
    told: str
    control: list[str]


def hunt(house: House, bug: Bug, seeds: Iterable[int]) -> Found | None:
    """Play until something is wrong."""
    for number, seed in enumerate(seeds, 1):
        with bug.planted(house):
            told = house.play(seed, weather=bug.weather).violations
        if told:
            control = house.play(seed, weather=bug.weather).violations
            telling = min(told, key=lambda one: one == NOT_QUIET)
            return Found(seed, number, shortened(telling), control)
    return None


def shortened(violation: str) -> str:
    return re.sub(r"\b([0-9a-f]{4})[0-9a-f]{60}", r"\1", violation)[:110]


def report(house: House, bug: Bug, seeds: range) -> bool:
    began = time.monotonic()
    found = hunt(house, bug, seeds)
    took = f"{time.monotonic() - began:.1f}"
    if found is None:
        say(f"| {bug.name} | missed | {len(seeds)} | {took} | |")
        return False
    control = "; ".join(found.control) or "clean"
    say(
        f"| {bug.name} | A, {bug.weather or 'any weather'}, seed {found.seed} | {found.seeds} | {took} | {found.told} | {control} |"
    )
    return not found.control


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="how many to try for each bug")
    parser.add_argument("--only", default="", help="bugs whose name contains this")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    say("| planted bug | caught by | seeds | seconds | how it was noticed | without it |", "|---|---|---|---|---|---|")
    with databases(1) as urls:
        house = House(urls[0])
        caught = [report(house, bug, range(given.seeds)) for bug in BUGS if given.only in bug.name]
        house.close()
    say(f"{sum(caught)} of {len(caught)} planted bugs were caught, and their seeds are clean without them")
    return 0 if all(caught) else 1


if __name__ == "__main__":
    sys.exit(main())
