"""POST /api/jobs/cancel/{job_id}, GET /api/jobs/diagnosis/{job_id}, GET /api/queues"""

from datetime import UTC, datetime
from typing import Literal

import azure.functions as func
from pydantic import Field

from core.errors import Conflict, Unavailable
from core.models.enums import JobStatus
from core.models.job import Job
from core.models.notify import JobEvent
from core.ports import Row
from core.sql import janitor, jobs, notifications
from infrastructure.service_bus import PEEKED
from triggers.endpoint import Answer, Tag, endpoint
from triggers.get_job_status import StageProgress, existing_job, progress
from triggers.http import json_response
from triggers.wiring import bus, janitors, machine

bp = func.Blueprint()
MOST_NOTIFICATIONS = 200
MOST_DEAD_LETTERS = 50


class Cancelled(Answer):
    job_id: str
    status: JobStatus
    run: int


class JanitorAction(Answer):
    """The newest run of a janitor that did something to the job. actions: to which ids, by what was done."""

    janitor: str
    finished_at: datetime
    actions: dict[str, list[str]]


class Queues(Answer):
    """messages: in each queue, as far as `at_most`. problem: why the bus cannot be asked."""

    messages: dict[str, int] | None = None
    at_most: int | None = None
    problem: str | None = None


class DeadLetter(Answer):
    """A message that nobody could read, and why."""

    queue: str
    message_id: str
    reason: str
    found_at: datetime


class QueueState(Answer):
    """dead_letters: the newest."""

    queues: Queues
    dead_letters: list[DeadLetter] = Field(max_length=MOST_DEAD_LETTERS)


class Notification(Answer):
    """An event on its way to one receiver, which is told without its path."""

    event_id: str
    event: JobEvent
    receiver: str
    status: Literal["waiting", "on_its_way", "delivered", "given_up"]
    occurred_at: datetime
    failures: int
    last_problem: str | None
    delivered_at: datetime | None
    given_up_at: datetime | None
    next_attempt_at: datetime | None


class Diagnosis(Answer):
    """stage: how the current one stands, once it is planned. attempts: the most that any task took. lease_age_seconds:
    how long its most silent running task has said nothing; a worker is given up after worker_given_up_after_seconds."""

    job_id: str
    status: JobStatus
    reason: str
    stage: StageProgress | None
    attempts: int
    next_retry_at: datetime | None
    lease_age_seconds: float | None
    waiting_seconds: float | None
    worker_given_up_after_seconds: float
    last_janitor_action: JanitorAction | None
    queues: Queues
    notifications: list[Notification] = Field(max_length=MOST_NOTIFICATIONS)


@endpoint(
    bp,
    "POST",
    "jobs/cancel/{job_id}",
    tag=Tag.JOBS,
    answers={200: Cancelled},
    problems={404: ["job_not_found"], 409: ["job_has_ended"]},
)
def cancel_job(req: func.HttpRequest) -> func.HttpResponse:
    """Cancel a job.

    Open tasks end at once, running ones at their next chunk; cancelling twice is the same.
    """
    ended = cancelled(existing_job(req.route_params["job_id"]))
    return json_response(Cancelled(job_id=ended.job_id, status=ended.status, run=ended.run))


def cancelled(job: Job) -> Job:
    """Raises Conflict("job_has_ended") when the job has ended otherwise."""
    machine().cancel(job)
    ended = existing_job(job.job_id)
    if ended.status != JobStatus.CANCELLED:
        raise Conflict(f"the job is {ended.status}, it cannot be cancelled any more", code="job_has_ended")
    return ended


@endpoint(
    bp,
    "GET",
    "jobs/diagnosis/{job_id}",
    tag=Tag.JOBS,
    answers={200: Diagnosis},
    problems={404: ["job_not_found"]},
)
def diagnose_job(req: func.HttpRequest) -> func.HttpResponse:
    """Why is this job waiting?"""
    job = existing_job(req.route_params["job_id"])
    with machine().state.database.transaction() as tx:
        waits = tx.one(jobs.next_wait, job_id=job.job_id, run=job.run) or {}
        stage = tx.one(jobs.get_stage, job_id=job.job_id, run=job.run, stage=job.stage)
        last = tx.one(janitor.last_action_on, job_id=job.job_id)
        events = tx.all(notifications.list_notifications, job_id=job.job_id, limit=MOST_NOTIFICATIONS)
    current = progress(job).stages.get(str(job.stage))
    return json_response(
        Diagnosis(
            job_id=job.job_id,
            status=job.status,
            reason=reason(job, stage, current, waits),
            stage=current,
            attempts=waits["most_attempts"],
            next_retry_at=waits["next_retry_at"],
            lease_age_seconds=age(waits["silent_since"]),
            waiting_seconds=age(waits["waiting_since"]),
            worker_given_up_after_seconds=janitors().limits.stale,
            last_janitor_action=JanitorAction(**last) if last else None,
            queues=queues(),
            notifications=[Notification(**event) for event in events],
        )
    )


@endpoint(bp, "GET", "queues", tag=Tag.HEALTH, answers={200: QueueState})
def get_queues(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """How many messages wait, and the newest that nobody could read."""
    with machine().state.database.transaction() as tx:
        unreadable = tx.all(janitor.dead_letters, limit=MOST_DEAD_LETTERS)
    return json_response(QueueState(queues=queues(), dead_letters=[DeadLetter(**letter) for letter in unreadable]))


def reason(job: Job, stage: Row | None, current: StageProgress | None, waits: Row) -> str:
    if not job.status.is_open:
        return f"the job is not waiting: it is {job.status}"
    if stage is None or current is None:
        return "the job waits for its message to arrive, to enter its next stage"
    if current.processing:
        return f"{current.processing} of {current.total} tasks are being worked on"
    if waits["next_retry_at"] and waits["next_retry_at"] > datetime.now(UTC):
        return "a task failed and waits for its next attempt"
    if current.queued:
        return f"{current.queued} tasks wait in the queue for a worker"
    return "tasks wait for their messages to be sent"


def age(since: datetime | None) -> float | None:
    return round((datetime.now(UTC) - since).total_seconds(), 1) if since else None


def queues() -> Queues:
    try:
        return Queues(messages=bus().depth(), at_most=PEEKED)
    except Unavailable as outage:
        return Queues(problem=outage.message)
