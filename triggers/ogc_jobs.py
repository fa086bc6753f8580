"""The jobs as OGC API - Processes, Part 1: Core (OGC 18-062r2) sees them.

The list is at /api/processes/jobs: /api/jobs is the app's own, of another shape.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlencode

import azure.functions as func
from pydantic import BaseModel, ConfigDict, Field

from core.errors import AppError, InvalidInput, NotFound
from core.models.enums import JobStatus
from core.models.job import Job
from triggers.addresses import base_of
from triggers.control_job import cancelled
from triggers.endpoint import Query, Tag, Told, WholeNumber, endpoint, query_of
from triggers.get_job_status import (
    MOST_JOBS,
    JobTypeName,
    ResultData,
    existing_job,
    job_type_name,
    page_of_jobs,
    progress,
)
from triggers.published_links import with_links

bp = func.Blueprint()
REL = "http://www.opengis.net/def/rel/ogc/1.0"
# Codes of failures that are the app's, and not the request's.
DEFECTS = frozenset(
    {
        *("internal_error", "worker_lost", "timeout", "task_failed", "out_of_memory", "dead_lettered", "no_progress"),
        *("no_tasks", "rows_do_not_add_up", "damaged_chunk", "invalid_stac_item", "parser_lost", "no_room"),
        *("rejected_by_database", "rejected_by_service", "database_error", "storage_refused"),
        *("temporary_failure", "service_unavailable", "storage_unavailable", "credentials_expired", "queue_missing"),
    }
)


class Status(StrEnum):
    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"


STATUS = {
    JobStatus.QUEUED: Status.ACCEPTED,
    JobStatus.PROCESSING: Status.RUNNING,
    JobStatus.COMPLETED: Status.SUCCESSFUL,
    JobStatus.FAILED: Status.FAILED,
    JobStatus.CANCELLED: Status.DISMISSED,
}
MEANT = {status: meant for meant, status in STATUS.items()}


class Ogc(BaseModel):
    """The standard knows no null: what is not there is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


class Link(Ogc):
    href: str
    rel: str
    type: str = "application/json"
    title: str | None = None


class StatusInfo(Ogc):
    job_id: str = Field(alias="jobID")
    process_id: str = Field(alias="processID")
    type: Literal["process"] = "process"
    status: Status
    message: str | None = None
    created: datetime
    updated: datetime
    finished: datetime | None = None
    progress: int | None = Field(default=None, ge=0, le=100)
    links: list[Link]


class StatusList(Ogc):
    jobs: list[StatusInfo]
    links: list[Link]


class ResultValue(Ogc):
    value: ResultData
    media_type: str = Field(default="application/json", alias="mediaType")


class Results(Ogc):
    result: ResultValue


class JobListQuery(Query):
    kind: Literal["process"] = Field(default="process", alias="type")
    status: Status | None = None
    process_id: JobTypeName | None = Field(default=None, alias="processID")
    limit: WholeNumber = Field(default=50, ge=1, le=MOST_JOBS)
    after: str | None = Field(default=None, description="As the link `next` has it.")


@endpoint(
    bp,
    "GET",
    "processes/jobs",
    tag=Tag.PROCESSES,
    query=JobListQuery,
    answers={200: StatusList},
    problems={400: ["invalid_parameter"]},
)
def list_ogc_jobs(req: func.HttpRequest) -> func.HttpResponse:
    """The jobs, newest first."""
    query, root = query_of(JobListQuery, req), base_of(req)
    status = MEANT[query.status] if query.status else None
    page, more = page_of_jobs(status, job_type_name(query.process_id, "processID"), query.limit, query.after)
    here = f"{root}/processes/jobs"
    links = [Link(href=here, rel="self")]
    if more:
        filters = {"status": query.status, "processID": query.process_id, "limit": query.limit, "after": more}
        chosen = urlencode({name: value for name, value in filters.items() if value is not None})
        links.append(Link(href=f"{here}?{chosen}", rel="next"))
    return ogc_response(StatusList(jobs=[listed(root, job) for job in page], links=links))


@endpoint(
    bp,
    "GET",
    "jobs/{job_id}",
    tag=Tag.PROCESSES,
    answers={200: Told(StatusInfo, headers=("Retry-After",), says="`Retry-After` while the job is open.")},
    problems={404: ["job_not_found"]},
)
def get_ogc_job(req: func.HttpRequest) -> func.HttpResponse:
    """How far a job is."""
    job = existing_job(req.route_params["job_id"])
    headers = {"Retry-After": "1"} if job.status.is_open else None
    return ogc_response(status_info(base_of(req), job), headers=headers)


@endpoint(
    bp,
    "DELETE",
    "jobs/{job_id}",
    tag=Tag.PROCESSES,
    answers={200: StatusInfo},
    problems={404: ["job_not_found"], 409: ["job_has_ended"]},
)
def dismiss_ogc_job(req: func.HttpRequest) -> func.HttpResponse:
    """Cancel a job. Doing it twice is the same."""
    ended = cancelled(existing_job(req.route_params["job_id"]))
    return ogc_response(status_info(base_of(req), ended))


@endpoint(
    bp,
    "GET",
    "jobs/{job_id}/results",
    tag=Tag.PROCESSES,
    answers={200: Results},
    problems={400: [], 404: ["job_not_found", "result_not_ready", "no_results"]},
)
def get_ogc_results(req: func.HttpRequest) -> func.HttpResponse:
    """The result of a job that was successful.

    Of one that failed, the problem has its code: 400 when the request or its file was to blame, otherwise 500.
    """
    job = existing_job(req.route_params["job_id"])
    if job.status.is_open:
        raise NotFound(f"the job is {job.status}; it has no results yet", code="result_not_ready")
    if job.status == JobStatus.CANCELLED:
        raise NotFound("the job was cancelled, it has no results", code="no_results")
    if job.status == JobStatus.FAILED:
        raise why_failed(job)
    [result] = with_links(req, [job])
    return ogc_response(Results(result=ResultValue(value=result or {})))


def ogc_response(body: Ogc, status: int = 200, headers: dict[str, str] | None = None) -> func.HttpResponse:
    text = body.model_dump_json(exclude_none=not isinstance(body, Results))
    return func.HttpResponse(text, status_code=status, headers=headers, mimetype="application/json")


def status_info(root: str, job: Job) -> StatusInfo:
    told = progress(job)
    message = job.error["message"] if job.error else told.summary
    return listed(root, job).model_copy(update={"progress": int(told.percent), "message": message})


def listed(root: str, job: Job) -> StatusInfo:
    """Without what takes a look at its tasks."""
    here = f"{root}/jobs/{job.job_id}"
    links = [
        Link(href=here, rel="self"),
        Link(href=f"{root}/jobs/status/{job.job_id}", rel="alternate", title="The job as the app's own API tells it"),
    ]
    if job.status == JobStatus.COMPLETED:
        links.append(Link(href=f"{here}/results", rel=f"{REL}/results"))
    return StatusInfo(
        job_id=job.job_id,
        process_id=job.job_type,
        status=STATUS[job.status],
        message=job.error["message"] if job.error else None,
        created=job.created_at,
        updated=job.updated_at,
        finished=job.finished_at,
        links=links,
    )


def why_failed(job: Job) -> AppError:
    """The job's error as one of this request: OGC 18-062r2, 7.13.2 wants the status to tell the reason."""
    error: dict[str, Any] = job.error or {}
    code, message = error.get("code", "internal_error"), error.get("message", "the job failed")
    return AppError(message, code=code) if code in DEFECTS else InvalidInput(code, message)
