"""POST /api/jobs/cancel/{job_id}, GET /api/jobs/diagnosis/{job_id}, GET /api/queues"""

from datetime import UTC, datetime
from typing import Any

import azure.functions as func

from core.errors import Conflict, Unavailable
from core.models.enums import JobStatus
from core.models.job import Job
from core.ports import Row
from core.sql import janitor, jobs, notifications
from triggers.get_job_status import existing_job, progress
from triggers.http import edge, json_response
from triggers.wiring import bus, janitors, machine

bp = func.Blueprint()
MOST_NOTIFICATIONS = 200
MOST_DEAD_LETTERS = 50


@bp.route(route="jobs/cancel/{job_id}", methods=["POST"])
@edge
def cancel_job(req: func.HttpRequest) -> func.HttpResponse:
    """Open tasks end at once, running ones at their next chunk; cancelling twice is the same. 409 when the job has
    ended otherwise."""
    job = existing_job(req.route_params["job_id"])
    machine().cancel(job)
    ended = existing_job(job.job_id)
    if ended.status != JobStatus.CANCELLED:
        raise Conflict(f"the job is {ended.status}, it cannot be cancelled any more", code="job_has_ended")
    return json_response({"job_id": ended.job_id, "status": ended.status, "run": ended.run})


@bp.route(route="jobs/diagnosis/{job_id}", methods=["GET"])
@edge
def diagnose_job(req: func.HttpRequest) -> func.HttpResponse:
    """Why is this job waiting?"""
    job = existing_job(req.route_params["job_id"])
    with machine().state.database.transaction() as tx:
        waits = tx.one(jobs.next_wait, job_id=job.job_id, run=job.run) or {}
        stage = tx.one(jobs.get_stage, job_id=job.job_id, run=job.run, stage=job.stage)
        last = tx.one(janitor.last_action_on, job_id=job.job_id)
        events = tx.all(notifications.list_notifications, job_id=job.job_id, limit=MOST_NOTIFICATIONS)
    told = progress(job)
    current = told["stages"].get(str(job.stage))
    return json_response(
        {
            "job_id": job.job_id,
            "status": job.status,
            "reason": reason(job, stage, current, waits),
            "stage": current,
            "attempts": waits["most_attempts"],
            "next_retry_at": waits["next_retry_at"],
            "lease_age_seconds": age(waits["silent_since"]),
            "waiting_seconds": age(waits["waiting_since"]),
            "worker_given_up_after_seconds": janitors().limits.stale,
            "last_janitor_action": last,
            "queues": queues(),
            "notifications": events,
        }
    )


@bp.route(route="queues", methods=["GET"])
@edge
def get_queues(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """How many messages wait, and the newest that nobody could read."""
    with machine().state.database.transaction() as tx:
        unreadable = tx.all(janitor.dead_letters, limit=MOST_DEAD_LETTERS)
    return json_response({"queues": queues(), "dead_letters": unreadable})


def reason(job: Job, stage: Row | None, current: dict[str, Any] | None, waits: Row) -> str:
    if not job.status.is_open:
        return f"the job is not waiting: it is {job.status}"
    if stage is None or current is None:
        return "the job waits for its message to arrive, to enter its next stage"
    if current["processing"]:
        return f"{current['processing']} of {current['total']} tasks are being worked on"
    if waits["next_retry_at"] and waits["next_retry_at"] > datetime.now(UTC):
        return "a task failed and waits for its next attempt"
    if current["queued"]:
        return f"{current['queued']} tasks wait in the queue for a worker"
    return "tasks wait for their messages to be sent"


def age(since: datetime | None) -> float | None:
    return round((datetime.now(UTC) - since).total_seconds(), 1) if since else None


def queues() -> dict[str, Any]:
    """Messages in each queue, up to a hundred; what is wrong when the bus cannot be asked."""
    try:
        return {"messages": bus().depth(), "at_most": 100}
    except Unavailable as outage:
        return {"problem": outage.message}
