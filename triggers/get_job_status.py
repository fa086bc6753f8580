"""GET /api/jobs/status/{job_id} and GET /api/jobs"""

import base64
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import azure.functions as func

from core.errors import InvalidInput, NotFound
from core.job_facts import job_facts, percent, summary
from core.models.enums import JobStatus
from core.models.job import Job
from core.ports import Row
from core.sql import jobs, tasks
from triggers.http import edge, job_url, json_response, whole_number
from triggers.published_links import with_links
from triggers.wiring import machine

bp = func.Blueprint()
JOB_ID = re.compile(r"[0-9a-f]{64}")
MOST_TASKS = 1000
MOST_JOBS = 200
OF_A_STAGE = ("name", "total", "completed", "failed", "processing", "queued", "pending", "started_at", "updated_at")


@bp.route(route="jobs/status/{job_id}", methods=["GET"])
@edge
def get_job_status(req: func.HttpRequest) -> func.HttpResponse:
    job = existing_job(req.route_params["job_id"])
    [result] = with_links(req, [job])
    body = described(job, result) | {"progress": progress(job), "links": links(req, job)}
    if req.params.get("verbose", "").lower() in ("true", "1"):
        body |= verbose(job)
    headers = {"Retry-After": "1"} if job.status.is_open else None
    return json_response(body, headers=headers)


@bp.route(route="jobs", methods=["GET"])
@edge
def list_jobs(req: func.HttpRequest) -> func.HttpResponse:
    """Newest first, the open ones with their progress. Filters: status, job_type; limit (1-200); `after` as a page's
    `next` gives it."""
    limit = whole_number(req, "limit", default=50, most=MOST_JOBS)
    before, before_id = page_start(req.params.get("after"))
    with machine().state.database.transaction() as tx:
        rows = tx.all(
            jobs.list_jobs,
            status=job_status(req.params.get("status")),
            job_type=job_type_name(req.params.get("job_type")),
            before=before,
            before_id=before_id,
            limit=limit + 1,
        )
    page = [Job.model_validate(row) for row in rows[:limit]]
    more = page_end(page[-1]) if len(rows) > limit else None
    going = progress_of([job for job in page if job.status.is_open])
    results = with_links(req, page)
    listed = [
        described(job, result) | {"progress": going.get(job.job_id)} for job, result in zip(page, results, strict=True)
    ]
    return json_response({"jobs": listed, "next": more})


def existing_job(job_id: str) -> Job:
    job = machine().state.get_job(job_id) if JOB_ID.fullmatch(job_id) else None
    if job is None:
        raise NotFound(f"there is no job {job_id!r}", code="job_not_found")
    return job


def described(job: Job, result: dict[str, Any] | None) -> dict[str, Any]:
    return job_facts(job, machine().registry.get(job.job_type)) | {"result_data": result}


def links(req: func.HttpRequest, job: Job) -> dict[str, str]:
    """Where the rows are that were not loaded, when the job's type keeps any."""
    job_type = machine().registry.get(job.job_type)
    return {"rejects": job_url(req, "rejects", job.job_id)} if job_type and job_type.keeps_rejects else {}


def progress(job: Job) -> dict[str, Any]:
    return progress_of([job])[job.job_id]


def progress_of(going: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """Of each job by its id, asked for at once."""
    with machine().state.database.transaction() as tx:
        rows = tx.all(jobs.stage_progress, job_ids=[job.job_id for job in going])
    return {job.job_id: counted(job, [row for row in rows if row["job_id"] == job.job_id]) for job in going}


def counted(job: Job, stages: Sequence[Row]) -> dict[str, Any]:
    """percent: every stage counts the same, by its completed tasks. rows_loaded: of the upload stage, so far;
    rows_total: of the source, once it was read."""
    return {
        "percent": percent(job, stages),
        "summary": summary(machine().registry.get(job.job_type), stages),
        "rows_loaded": int(sum(stage["rows_loaded"] for stage in stages)),
        "rows_total": next((stage["rows_total"] for stage in stages if stage["rows_total"] is not None), None),
        "stages": {str(stage["stage"]): {name: stage[name] for name in OF_A_STAGE} for stage in stages},
    }


def verbose(job: Job) -> dict[str, Any]:
    """The tasks of the current run, up to MOST_TASKS, and how earlier runs ended."""
    with machine().state.database.transaction() as tx:
        listed = tx.all(tasks.list_tasks, job_id=job.job_id, run=job.run, limit=MOST_TASKS)
        runs = tx.all(jobs.list_runs, job_id=job.job_id)
    return {"tasks": listed, "runs": runs, "source": job.source}


def job_status(value: str | None) -> str | None:
    if value is not None and value not in list(JobStatus):
        known = ", ".join(JobStatus)
        raise InvalidInput("invalid_parameter", f"status is one of: {known}.", parameter="status")
    return value


def job_type_name(value: str | None) -> str | None:
    names = machine().registry.names
    if value is not None and value not in names:
        raise InvalidInput("invalid_parameter", f"job_type is one of: {', '.join(names)}.", parameter="job_type")
    return value


def page_end(job: Job) -> str:
    return base64.urlsafe_b64encode(json.dumps([job.created_at.isoformat(), job.job_id]).encode()).decode()


def page_start(after: str | None) -> tuple[datetime | None, str | None]:
    if after is None:
        return None, None
    try:
        created_at, job_id = json.loads(base64.urlsafe_b64decode(after))
        if not JOB_ID.fullmatch(job_id):
            raise ValueError(job_id)
        return datetime.fromisoformat(created_at), job_id
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(
            "invalid_parameter", "after is not a page's `next`.", parameter="after", remedy="Leave it out to start."
        ) from error
