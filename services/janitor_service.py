"""The janitors: find what a crash, a lost message or a timeout left behind, and set it going again.

Each has one leader at a time, works in guarded set-based statements, takes on a bounded number of rows, and leaves an
audit row. Being killed half-way, or running twice, changes nothing.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from core.machine import CoreMachine
from core.ports import Row, Transaction
from core.sql import janitor, jobs, notifications
from core.state_manager import Ending, waiting
from core.workflow import JobType
from infrastructure.dead_letters import DeadLetter
from services.dead_letter_service import DeadLetterService

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Seconds. stale: longer than a function may run. unconfirmed: how old a job may be whose message was not confirmed
    as sent. silent: how long a job may go without progress. task_gap, job_gap: when its last run is longer ago, it
    holds no silence against a task or a job, for as long again. per_run: how many rows one run takes on, so that it
    ends well inside the function timeout."""

    stale: float
    unconfirmed: float = 15.0
    unsent: float = 120.0
    unclaimed: float = 600.0
    silent: float = 24 * 3600.0
    task_gap: float = 300.0
    job_gap: float = 3600.0
    max_attempts: int = 3
    per_run: int = 1000
    release_seconds: float = 120.0
    keep_history_days: int = 30
    keep_events_days: int = 14


@dataclass
class JanitorRun:
    """What a run looked at, and what it did, to which ids."""

    janitor: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    scanned: dict[str, int] = field(default_factory=dict)
    actions: dict[str, list[str]] = field(default_factory=dict)

    def took(self, action: str, ids: Sequence[str]) -> None:
        if ids:
            self.actions[action] = list(ids)


class JanitorService:
    """`dead_letters(most)` gives batches of dead-lettered messages; `sweep(older_than_seconds)` removes what killed
    processes left on this machine's disk, `forget_uploads()` what was uploaded and never submitted; both name it."""

    def __init__(
        self,
        machine: CoreMachine,
        limits: Limits,
        dead_letters: Callable[[int], Iterator[list[DeadLetter]]],
        sweep: Callable[[float], list[str]],
        forget_uploads: Callable[[], list[str]],
    ) -> None:
        self.machine = machine
        self.state = machine.state
        self.limits = limits
        self.dead_letters = dead_letters
        self.sweep = sweep
        self.forget_uploads = forget_uploads

    def run_outbox(self) -> JanitorRun | None:
        """Jobs that were written down while the bus was away are sent soon after it is back. None when another one
        leads. Runs often, so that it leaves an audit row only when it did something."""
        with self.leading("outbox", quiet=True) as run:
            if run:
                run.took("jobs_resent", self.resend_jobs())
        return run

    def run_task_watchdog(self) -> JanitorRun | None:
        """Stale tasks go back or fail, unsent and unclaimed ones are sent again. None when another one leads."""
        with self.leading("task_watchdog") as run:
            if run:
                if self.kept_watch(run, self.limits.task_gap):
                    run.took("expired", self.expire_stale_tasks())
                    run.took("failed", self.fail_exhausted_tasks())
                run.took("resent", self.resend_tasks())
                run.took("jobs_resent", self.resend_jobs())
        return run

    def run_job_health_check(self) -> JanitorRun | None:
        """Jobs with a failed task fail, full stages move on. None when another one leads."""
        with self.leading("job_health") as run:
            if run:
                run.took("jobs_failed", self.fail_jobs_with_failed_task())
                run.took("jobs_advanced", self.advance_full_stages())
        return run

    def run_orphan_detection(self) -> JanitorRun | None:
        """Jobs nobody works on, leftovers of ended runs, dead-lettered messages. None when another one leads."""
        with self.leading("orphan_detector") as run:
            if run:
                run.took("jobs_resent", self.resend_jobs())
                if self.kept_watch(run, self.limits.job_gap):
                    run.took("jobs_failed", self.fail_silent_jobs())
                letters = DeadLetterService(self.machine, self.limits.max_attempts)
                run.actions |= letters.work_through(self.dead_letters(self.limits.per_run))
                run.took("released", self.release_ended_runs())
                run.took("folders_removed", self.sweep(self.limits.stale))
                run.took("uploads_removed", self.forget_uploads())
                self.forget_old_runs()
        return run

    @contextmanager
    def leading(self, name: str, *, quiet: bool = False) -> Iterator[JanitorRun | None]:
        """Hold the leadership while the work goes on, and leave an audit row; `quiet`: only when something was done."""
        with self.state.database.transaction() as tx:
            leadership = tx.one(janitor.try_leadership, janitor=name)
            if not leadership or not leadership["leads"]:
                yield None
                return
            tx.run(janitor.stay_idle)
            run = JanitorRun(name, scanned=dict(tx.one(janitor.open_work) or {}))
            yield run
            if run.actions or not quiet:
                self.record(tx, run)

    def kept_watch(self, run: JanitorRun, gap: float) -> bool:
        """False in the first run after a gap, and for as long again: the database may have been away, and whoever could
        not speak meanwhile is about to."""
        with self.state.database.transaction() as tx:
            last = tx.one(janitor.last_watch, janitor=run.janitor)
        if last is None or (last["sparing"] is None and last["seconds"] <= gap):
            return True
        sparing = 0 if last["sparing"] is None else last["sparing"] + last["seconds"]
        if sparing < gap:
            run.scanned["sparing_seconds"] = sparing
        return sparing >= gap

    def record(self, tx: Transaction, run: JanitorRun) -> None:
        tx.run(
            janitor.record_run,
            janitor=run.janitor,
            started_at=run.started_at,
            scanned=run.scanned,
            actions=run.actions,
        )
        if run.actions:
            counts = {action: len(ids) for action, ids in run.actions.items()}
            log.info("janitor acted", extra={"janitor": run.janitor, **counts})

    def expire_stale_tasks(self) -> list[str]:
        """The next attempt starts at once; the fence keeps the silent worker from writing."""
        rows = self.changed(janitor.expire_tasks, **self.staleness, error=self.silence, limit=self.limits.per_run)
        return self.send_again(rows)

    def resend_tasks(self) -> list[str]:
        limits = self.limits
        rows = self.changed(
            janitor.resend_tasks, unsent=limits.unsent, unclaimed=limits.unclaimed, limit=limits.per_run
        )
        return self.send_again(rows)

    def send_again(self, rows: list[Row]) -> list[str]:
        self.machine.dispatch([waiting(row) for row in rows])
        return [row["task_id"] for row in rows]

    def fail_exhausted_tasks(self) -> list[str]:
        """With their jobs, in one transaction, under the jobs' locks."""
        with self.state.database.transaction() as tx:
            doomed = tx.all(janitor.exhausted_tasks, **self.staleness, limit=self.limits.per_run)
            tx.run(jobs.lock_jobs, job_ids=[row["job_id"] for row in doomed])
            failed = tx.all(
                janitor.fail_exhausted_tasks,
                task_ids=[row["task_id"] for row in doomed],
                **self.staleness,
                error=self.silence,
            )
            ending = [Ending(row["job_id"], row["run"], self.silence | {"task_id": row["task_id"]}) for row in failed]
            ended = self.state.fail_jobs(tx, one_per_job(ending))
        self.release(ended)
        return [row["task_id"] for row in failed]

    def fail_jobs_with_failed_task(self) -> list[str]:
        with self.state.database.transaction() as tx:
            rows = self.still_so(tx, janitor.jobs_with_failed_task)
            ended = self.state.fail_jobs(tx, [Ending(**row) for row in rows])
        return self.release(ended)

    def still_so(self, tx: Transaction, query: str, **params: Any) -> list[Row]:
        """The jobs that the query finds, under their locks: whatever came to life meanwhile is left alone."""
        found = tx.all(query, **params, limit=self.limits.per_run)
        tx.run(jobs.lock_jobs, job_ids=[row["job_id"] for row in found])
        runs = {(row["job_id"], row["run"]) for row in found}
        return [row for row in tx.all(query, **params, limit=None) if (row["job_id"], row["run"]) in runs]

    def fail_silent_jobs(self) -> list[str]:
        hours = self.limits.silent / 3600
        error = {"code": "no_progress", "message": f"the job made no progress for {hours:.0f} hours"}
        with self.state.database.transaction() as tx:
            rows = self.still_so(tx, janitor.silent_jobs, silent=self.limits.silent)
            ended = self.state.fail_jobs(tx, [Ending(row["job_id"], row["run"], error) for row in rows])
        return self.release(ended)

    def release(self, ended: Sequence[Ending]) -> list[str]:
        for end in ended:
            self.machine.release(end.job_id)
        return [end.job_id for end in ended]

    def advance_full_stages(self) -> list[str]:
        rows = self.changed(janitor.advance_full_stages, limit=self.limits.per_run)
        return self.send_jobs(rows)

    def resend_jobs(self) -> list[str]:
        with self.state.database.transaction() as tx:
            limits = self.limits
            rows = tx.all(
                janitor.unsent_jobs, unconfirmed=limits.unconfirmed, unsent=limits.unsent, limit=limits.per_run
            )
        return self.send_jobs(rows)

    def send_jobs(self, rows: list[Row]) -> list[str]:
        for row in rows:
            self.machine.send_job(row["job_id"], row["run"], row["stage"])
        return [row["job_id"] for row in rows]

    def release_ended_runs(self) -> list[str]:
        """Staging tables and chunks of runs that are over. Runs of jobs this database does not know are not ours."""
        released: list[str] = []
        for name in self.machine.registry.names:
            released += self.release_ended_runs_of(self.machine.registry[name])
        return released

    def release_ended_runs_of(self, job_type: JobType) -> list[str]:
        left = list(dict.fromkeys(job_type.leftovers(self.machine.resources)))
        runs = [(row["job_id"], row["run"]) for row in self.ended_among(left)]
        return [
            f"{job_id}:{run}" for job_id, run in self.in_time(runs) if self.machine.release_run(job_type, job_id, run)
        ]

    def in_time(self, runs: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int]]:
        """As many as there is time for; the next sweep takes the rest."""
        deadline = time.monotonic() + self.limits.release_seconds
        for run in runs:
            if time.monotonic() > deadline:
                return
            yield run

    def ended_among(self, runs: Sequence[tuple[str, int]]) -> list[Row]:
        job_ids, numbers = [job_id for job_id, _ in runs], [run for _, run in runs]
        with self.state.database.transaction() as tx:
            return tx.all(janitor.ended_runs, job_ids=job_ids, runs=numbers, limit=self.limits.per_run)

    def forget_old_runs(self) -> None:
        with self.state.database.transaction() as tx:
            tx.run(janitor.forget_runs, days=self.limits.keep_history_days)
            tx.run(notifications.forget, days=self.limits.keep_events_days)

    def changed(self, statement: str, **params: Any) -> list[Row]:
        with self.state.database.transaction() as tx:
            return tx.all(statement, **params)

    @property
    def staleness(self) -> dict[str, Any]:
        return {"stale": self.limits.stale, "max_attempts": self.limits.max_attempts}

    @property
    def silence(self) -> dict[str, str]:
        return {
            "code": "timeout",
            "message": f"timeout: the worker made no progress for {self.limits.stale:.0f} s, longer than a function may"
            " run; it crashed, ran out of memory or was stopped",
        }


def one_per_job(ending: Sequence[Ending]) -> list[Ending]:
    """The first reason of each run."""
    return list({(end.job_id, end.run): end for end in reversed(ending)}.values())
