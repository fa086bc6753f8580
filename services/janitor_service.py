"""The janitors: find what a crash, a lost message or a timeout left behind, and set it going again."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from core.machine import CoreMachine
from core.models.task import Task
from core.ports import Transaction
from core.sql import janitor
from core.state_manager import waiting

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Seconds. stale: longer than a function may run. per_run: how many rows one run takes on, so that it ends."""

    stale: float
    unsent: float = 120.0
    unclaimed: float = 600.0
    max_attempts: int = 3
    per_run: int = 1000


@dataclass
class JanitorRun:
    """What a run did, to which ids."""

    janitor: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    actions: dict[str, list[str]] = field(default_factory=dict)

    def took(self, action: str, ids: list[str]) -> None:
        if ids:
            self.actions[action] = ids


class JanitorService:
    def __init__(self, machine: CoreMachine, limits: Limits) -> None:
        self.machine = machine
        self.limits = limits

    def run_task_watchdog(self) -> JanitorRun | None:
        """Stale tasks go back or fail, unsent and unclaimed ones are sent again. None when another one leads."""
        with self.leading("task_watchdog") as run:
            if run:
                run.took("expired", self.expire_stale_tasks())
                run.took("failed", self.fail_exhausted_tasks())
                run.took("resent", self.resend_tasks())
                run.took("jobs_resent", self.resend_jobs())
        return run

    @contextmanager
    def leading(self, name: str) -> Iterator[JanitorRun | None]:
        """Hold the leadership while the work goes on, and leave an audit row."""
        with self.machine.state.database.transaction() as tx:
            leadership = tx.one(janitor.try_leadership, janitor=name)
            if not leadership or not leadership["leads"]:
                yield None
                return
            run = JanitorRun(name)
            yield run
            self.record(tx, run)

    def record(self, tx: Transaction, run: JanitorRun) -> None:
        tx.run(janitor.record_run, janitor=run.janitor, started_at=run.started_at, actions=run.actions)
        if run.actions:
            counts = {action: len(ids) for action, ids in run.actions.items()}
            log.info("janitor acted", extra={"janitor": run.janitor, **counts})

    def expire_stale_tasks(self) -> list[str]:
        """The next attempt starts at once; the fence keeps the silent worker from writing."""
        error = {"code": "timeout", "message": self.silence}
        with self.machine.state.database.transaction() as tx:
            rows = tx.all(
                janitor.expire_tasks,
                error=error,
                stale=self.limits.stale,
                max_attempts=self.limits.max_attempts,
                limit=self.limits.per_run,
            )
        self.machine.dispatch([waiting(row) for row in rows])
        return [row["task_id"] for row in rows]

    def fail_exhausted_tasks(self) -> list[str]:
        with self.machine.state.database.transaction() as tx:
            rows = tx.all(
                janitor.exhausted_tasks,
                stale=self.limits.stale,
                max_attempts=self.limits.max_attempts,
                limit=self.limits.per_run,
            )
        tasks = [Task.model_validate(row) for row in rows]
        for task in tasks:
            self.machine.fail_task(task, {"code": "timeout", "message": self.silence})
        return [task.task_id for task in tasks]

    def resend_tasks(self) -> list[str]:
        limits = self.limits
        with self.machine.state.database.transaction() as tx:
            rows = tx.all(janitor.resend_tasks, unsent=limits.unsent, unclaimed=limits.unclaimed, limit=limits.per_run)
        self.machine.dispatch([waiting(row) for row in rows])
        return [row["task_id"] for row in rows]

    def resend_jobs(self) -> list[str]:
        with self.machine.state.database.transaction() as tx:
            rows = tx.all(janitor.unsent_jobs, unsent=self.limits.unsent, limit=self.limits.per_run)
        for row in rows:
            self.machine.send_job(row["job_id"], row["run"], row["stage"])
        return [row["job_id"] for row in rows]

    @property
    def silence(self) -> str:
        return (
            f"timeout: the worker made no progress for {self.limits.stale:.0f} s, longer than a function may run;"
            " it crashed, ran out of memory or was stopped"
        )
