"""Every transition of a job or task: one guarded statement each, or a transaction of them under the job's lock."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from core.errors import Fenced
from core.jsonb import jsonb_text
from core.models.enums import JobStatus
from core.models.job import Job, NewJob
from core.models.messages import Outgoing
from core.models.notify import Notify
from core.models.task import ClaimedTask, Task
from core.ports import Database, Row, Transaction
from core.retry import Retry
from core.sql import jobs, notifications, tasks

SIBLING_FAILED = {"code": "job_failed", "message": "another task of the job failed for good"}
CANCELLED = {"code": "cancelled", "message": "the job was cancelled"}
# More runs than a process works on at a time.
KEPT_RESULTS = 8


@dataclass(frozen=True)
class Ending:
    """A run that is to end, and why."""

    job_id: str
    run: int
    error: dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """A task whose message has to be sent."""

    message: Outgoing
    task_id: str
    dispatch: int


class StateManager:
    """The only writer of app.jobs, app.job_stages and app.tasks. What subscribers are told of a transition is written
    by a trigger of app.jobs, in the same transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.only_result = lru_cache(KEPT_RESULTS)(self._only_result)

    # Jobs

    def insert_job(self, new: NewJob) -> Job | None:
        """None when the job is there already. Raises AlreadyTaken while its exclusive key is."""
        with self.database.transaction() as tx:
            return self._subscribed(tx, new, tx.one(jobs.insert_job, **new.model_dump()))

    def restart_job(self, job: Job, new: NewJob) -> Job | None:
        """The next run of an ended job; None when somebody else was first."""
        with self.database.transaction() as tx:
            return self._subscribed(tx, new, tx.one(jobs.restart_job, run=job.run, **new.model_dump()))

    def _subscribed(self, tx: Transaction, new: NewJob, row: Row | None) -> Job | None:
        if row and new.notify:
            tx.run(notifications.subscribe, job_id=new.job_id, **as_params(new.notify))
        return as_job(row)

    def subscribe(self, job_id: str, notify: Notify) -> None:
        """To what happens in the job's current run from now on; to its end also when that is past."""
        with self.database.transaction() as tx:
            tx.one(notifications.hold_job, job_id=job_id)
            tx.run(notifications.subscribe, job_id=job_id, **as_params(notify))
            tx.one(notifications.note_end_if_over, job_id=job_id)

    def get_job(self, job_id: str) -> Job | None:
        with self.database.transaction() as tx:
            return as_job(tx.one(jobs.get_job, job_id=job_id))

    def holder_of(self, exclusive_key: str) -> str | None:
        """The active job that holds the key."""
        with self.database.transaction() as tx:
            row = tx.one(jobs.active_job_with_key, exclusive_key=exclusive_key)
        return row["job_id"] if row else None

    def next_job_dispatch(self, job_id: str, run: int, stage: int) -> int | None:
        with self.database.transaction() as tx:
            row = tx.one(jobs.next_job_dispatch, job_id=job_id, run=run, stage=stage)
        return row["dispatch"] if row else None

    def mark_job_dispatched(self, job_id: str, run: int, stage: int) -> None:
        with self.database.transaction() as tx:
            tx.run(jobs.mark_job_dispatched, job_id=job_id, run=run, stage=stage)

    def finish_job(self, job: Job, result: BaseModel) -> Job | None:
        """Completed; None when the run has ended otherwise."""
        with self.database.transaction() as tx:
            tx.run(jobs.lock_job, job_id=job.job_id)
            ended = as_job(
                tx.one(jobs.finish_job, job_id=job.job_id, run=job.run, result=result.model_dump(mode="json"))
            )
            if ended:
                tx.run(jobs.record_run, job_id=job.job_id)
            return ended

    def fail_all_job_tasks(self, job_id: str, run: int, error: dict[str, Any]) -> bool:
        """The job and whatever of it is still open fail, in one step; results of finished tasks stay. False when the
        run has ended already."""
        ending = [Ending(job_id, run, error)]
        with self.database.transaction() as tx:
            return bool(self._end(tx, ending, JobStatus.FAILED, SIBLING_FAILED, published=True))

    def fail_jobs(self, tx: Transaction, ending: Sequence[Ending]) -> list[Ending]:
        """The same for many, in the caller's transaction; but a run past its last stage is left to complete. Returns
        those that were failed."""
        return self._end(tx, ending, JobStatus.FAILED, SIBLING_FAILED)

    def cancel_job(self, job_id: str, run: int) -> bool:
        """The job and whatever of it is still open end as cancelled. False when the run has ended already."""
        with self.database.transaction() as tx:
            return bool(self._end(tx, [Ending(job_id, run, CANCELLED)], JobStatus.CANCELLED, CANCELLED))

    def _end(
        self,
        tx: Transaction,
        ending: Sequence[Ending],
        status: JobStatus,
        task_error: dict[str, Any],
        *,
        published: bool = False,
    ) -> list[Ending]:
        # Locks first: whoever completes a task of these jobs meanwhile has committed, or waits.
        tx.run(jobs.lock_jobs, job_ids=[end.job_id for end in ending])
        listed = jsonb_text([asdict(end) for end in ending])
        rows = tx.all(jobs.end_jobs, ending=listed, status=status, task_error=task_error, published=published)
        return [Ending(row["job_id"], row["run"], row["error"]) for row in rows]

    # Stages

    def is_planned(self, job_id: str, run: int, stage: int) -> bool:
        with self.database.transaction() as tx:
            return tx.one(jobs.get_stage, job_id=job_id, run=run, stage=stage) is not None

    def start_stage(self, job: Job, name: str, task_type: str, planned: Sequence[BaseModel]) -> bool:
        """The stage and all its tasks in one transaction. False when it is planned already or the run has ended."""
        at = {"job_id": job.job_id, "run": job.run, "stage": job.stage}
        with self.database.transaction() as tx:
            tx.run(jobs.lock_job, job_id=job.job_id)
            if not tx.one(jobs.begin_stage, **at):
                return False
            if not tx.one(jobs.insert_stage, **at, name=name, expected=len(planned)):
                return False
            parameters = jsonb_text([params.model_dump(mode="json") for params in planned])
            prefix = f"{job.job_id}-{job.run}-{job.stage}-"
            tx.run(tasks.insert_tasks, **at, prefix=prefix, task_type=task_type, tasks=parameters)
        return True

    def unsent_tasks(self, job: Job) -> list[Waiting]:
        with self.database.transaction() as tx:
            rows = tx.all(tasks.unsent_tasks_of_stage, job_id=job.job_id, run=job.run, stage=job.stage)
        return [waiting(row) for row in rows]

    def stage_results(self, job_id: str, run: int, stage: int) -> list[dict[str, Any]]:
        with self.database.transaction() as tx:
            return [row["result"] for row in tx.all(tasks.stage_results, job_id=job_id, run=run, stage=stage)]

    def _only_result(
        self, job_id: str, run: int, stage: int, model: type[BaseModel], _planned_at: datetime
    ) -> BaseModel:
        """Of a complete stage of one task. Kept for all tasks that were planned from it, at that moment: it may tell of
        each of them, so that reading it for each would cost the square of their number."""
        [result] = self.stage_results(job_id, run, stage)
        return model.model_validate(result)

    # Tasks

    def get_task(self, task_id: str) -> Task | None:
        with self.database.transaction() as tx:
            row = tx.one(tasks.get_task, task_id=task_id)
        return Task.model_validate(row) if row else None

    def mark_queued(self, sent: Sequence[Waiting]) -> None:
        with self.database.transaction() as tx:
            tx.run(
                tasks.mark_tasks_queued,
                task_ids=[task.task_id for task in sent],
                dispatches=[task.dispatch for task in sent],
            )

    def claim(
        self,
        task_id: str,
        message_id: str,
        *,
        redelivered: bool,
        holder: str | None = None,
        released: int | None = None,
        counted: bool = True,
    ) -> ClaimedTask | None:
        """A redelivered message takes a running task over from the worker that claimed it in the name of `holder`, the
        message it stands for, by default itself; that counts as a failure of that worker unless `counted` is false.
        `released`: the attempt whose worker gave the task back with this message."""
        params = {"task_id": task_id, "holder": holder or message_id}
        with self.database.transaction() as tx:
            row = tx.one(tasks.claim_task, **params, redelivered=redelivered, released=released, counted=counted)
        return ClaimedTask.model_validate(row) if row else None

    def touch(self, task: Task) -> None:
        """Raises Fenced when the attempt is not the task's current one."""
        with self.database.transaction() as tx:
            confirm(tx.one(tasks.touch_task, **fence(task)))

    def hold(self, tx: Transaction, task: Task) -> None:
        """Raises Fenced when the attempt is not the task's current one."""
        confirm(tx.one(tasks.hold_attempt, **fence(task)))

    def complete_task(self, task: Task, result: Callable[[Transaction], BaseModel]) -> bool:
        """Complete the task and, when it was its stage's last, advance the job, in one transaction.

        `result` may have effects in that transaction. True when the job advanced. Raises Fenced.
        """
        with self.database.transaction() as tx:
            # Lock first: a count from an older snapshot misses a sibling.
            tx.run(jobs.lock_job, job_id=task.job_id)
            confirm(tx.one(tasks.lock_attempt, **fence(task)))
            value = result(tx).model_dump(mode="json")
            confirm(tx.one(tasks.complete_task, **fence(task), result=value))
            at = {"job_id": task.job_id, "run": task.run, "stage": task.stage}
            counted = tx.one(jobs.count_completed, **at)
            return is_full(counted) and tx.one(jobs.advance_job, **at) is not None

    def retry_task(self, task: Task, retry: Retry) -> Waiting | None:
        """None when this attempt was fenced out."""
        with self.database.transaction() as tx:
            row = tx.one(tasks.retry_task, **fence(task), **asdict(retry))
        return waiting(row) if row else None

    def recorded_retry(self, task: Task) -> Waiting | None:
        """The message of a retry of this attempt that is recorded, though that was not confirmed or its sending failed;
        None when the task has gone on."""
        with self.database.transaction() as tx:
            row = tx.one(tasks.get_task, task_id=task.task_id)
        return waiting(row) if row and (row["status"], row["attempt"]) == ("pending", task.attempt) else None

    def fail_task(self, task: Task, error: dict[str, Any]) -> bool:
        """The task and its job fail together. False when this attempt was fenced out."""
        with self.database.transaction() as tx:
            tx.run(jobs.lock_job, job_id=task.job_id)
            if not tx.one(tasks.fail_task, **fence(task), error=error):
                return False
            self.fail_jobs(tx, [Ending(task.job_id, task.run, {**error, "task_id": task.task_id})])
        return True


def as_job(row: Row | None) -> Job | None:
    return Job.model_validate(row) if row else None


def as_params(notify: Notify) -> dict[str, Any]:
    return {"url": notify.target, "events": [str(event) for event in notify.events]}


def fence(task: Task) -> dict[str, Any]:
    return {"task_id": task.task_id, "attempt": task.attempt}


def confirm(row: Row | None) -> None:
    if row is None:
        raise Fenced


def is_full(stage: Row | None) -> bool:
    return stage is not None and stage["completed"] == stage["expected"]


def waiting(row: Row) -> Waiting:
    """The message id names the dispatch: the broker's duplicate detection never swallows a deliberate re-send."""
    return Waiting(
        Outgoing(
            message_id=f"{row['task_id']}:{row['dispatch']}",
            body={"task_id": row["task_id"]},
            not_before=row.get("not_before"),
        ),
        row["task_id"],
        row["dispatch"],
    )
