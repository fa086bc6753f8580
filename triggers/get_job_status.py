"""GET /api/jobs/status/{job_id} and GET /api/jobs"""

import base64
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, NotRequired

import azure.functions as func
from pydantic import ConfigDict, Field, GetCoreSchemaHandler, with_config
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

from core.errors import InvalidInput, NotFound
from core.job_facts import job_facts, percent, summary
from core.models.enums import JobStatus, TaskStatus
from core.models.job import Job
from core.ports import Row
from core.sql import jobs, tasks
from triggers.endpoint import Answer, Flag, Query, Tag, Told, WholeNumber, endpoint, query_of
from triggers.http import job_url, json_response
from triggers.published_links import PublishedResult, with_links
from triggers.wiring import JOB_TYPES, machine

bp = func.Blueprint()
JOB_ID = re.compile(r"[0-9a-f]{64}")
MOST_TASKS = 1000
MOST_JOBS = 200


class OneOfTheResults:
    """Described by what the job types answer with now; what was kept from earlier versions is told as it is."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        results = [*(job_type.result_model for job_type in JOB_TYPES), PublishedResult]
        now = core_schema.union_schema([handler.generate_schema(result) for result in results])
        return core_schema.any_schema(
            metadata={"pydantic_js_annotation_functions": [lambda _, describe: describe(now)]},
            serialization=core_schema.wrap_serializer_function_ser_schema(lambda value, _: value, schema=now),
        )


JobTypeName = Annotated[str, Field(json_schema_extra={"enum": JOB_TYPES.names})]
ResultData = Annotated[dict[str, Any], OneOfTheResults()]


@with_config(ConfigDict(extra="allow"))
class JobError(TypedDict):
    """Why a job or task failed; docs/errors.md explains each code. task_id: the task that failed the job."""

    code: str
    message: str
    task_id: NotRequired[str | None]
    details: NotRequired[dict[str, Any]]


class StageProgress(Answer):
    """How many tasks the stage has, and how they stand."""

    name: str
    total: int
    completed: int
    failed: int
    processing: int
    queued: int
    pending: int
    started_at: datetime
    updated_at: datetime


class Progress(Answer):
    """percent: every stage counts the same, by its completed tasks. summary: for people, `upload_chunks: 5 of 10
    chunks`. rows_loaded: of the upload stage, so far. rows_total: of the source, once it was read. stages: by their
    numbers."""

    percent: float = Field(ge=0, le=100)
    summary: str
    rows_loaded: int
    rows_total: int | None
    stages: dict[str, StageProgress]


class JobFacts(Answer):
    """stage: the one being worked on, from 1. parameters: with their defaults."""

    job_id: str
    job_type: str
    status: JobStatus
    stage: int
    stage_name: str | None
    total_stages: int
    run: int
    parameters: dict[str, Any]
    result_data: ResultData | None
    error: JobError | None
    created_at: datetime
    run_started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class ListedJob(JobFacts):
    """progress: of a job that is open."""

    progress: Progress | None


class JobPage(Answer):
    """next: what to give as `after` for the next page."""

    jobs: list[ListedJob]
    next: str | None


class JobState(JobFacts):
    """A job, and how far it is. links: `rejects`, where the rows are that were not loaded, when its type keeps any."""

    progress: Progress
    links: dict[str, str]


class ListedTask(Answer):
    """attempt: how often it was claimed. failures: those that count against the limit."""

    task_id: str
    stage: int
    task_index: int
    task_type: str
    status: TaskStatus
    attempt: int
    failures: int
    error: JobError | None
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    not_before: datetime | None


class EndedRun(Answer):
    run: int
    status: JobStatus
    error: JobError | None
    started_at: datetime
    finished_at: datetime


class JobInFull(JobState):
    """tasks: of the current run. runs: how earlier ones ended. source: the facts that identify the job."""

    tasks: list[ListedTask] = Field(max_length=MOST_TASKS)
    runs: list[EndedRun]
    source: dict[str, Any]


class StatusQuery(Query):
    verbose: Flag = Field(default=False, description="With the tasks, the runs and the facts about the source.")


class JobsQuery(Query):
    status: JobStatus | None = None
    job_type: JobTypeName | None = None
    limit: WholeNumber = Field(default=50, ge=1, le=MOST_JOBS)
    after: str | None = Field(default=None, description="A page's `next`.")


@endpoint(
    bp,
    "GET",
    "jobs/status/{job_id}",
    tag=Tag.JOBS,
    query=StatusQuery,
    answers={200: Told(JobInFull | JobState, says="`Retry-After` while the job is open.", headers=("Retry-After",))},
    problems={400: ["invalid_parameter"], 404: ["job_not_found"]},
)
def get_job_status(req: func.HttpRequest) -> func.HttpResponse:
    """How far a job is, and how it ended."""
    query, job = query_of(StatusQuery, req), existing_job(req.route_params["job_id"])
    [result] = with_links(req, [job])
    told = described(job, result) | {"progress": progress(job), "links": links(req, job)}
    body = JobInFull(**told, **verbose(job)) if query.verbose else JobState(**told)
    headers = {"Retry-After": "1"} if job.status.is_open else None
    return json_response(body, headers=headers)


@endpoint(
    bp,
    "GET",
    "jobs",
    tag=Tag.JOBS,
    query=JobsQuery,
    answers={200: JobPage},
    problems={400: ["invalid_parameter"]},
)
def list_jobs(req: func.HttpRequest) -> func.HttpResponse:
    """The jobs, newest first, page by page; the open ones with their progress."""
    query = query_of(JobsQuery, req)
    page, more = page_of_jobs(query.status, job_type_name(query.job_type), query.limit, query.after)
    going = progress_of([job for job in page if job.status.is_open])
    listed = [
        ListedJob(**described(job, result), progress=going.get(job.job_id))
        for job, result in zip(page, with_links(req, page), strict=True)
    ]
    return json_response(JobPage(jobs=listed, next=more))


def page_of_jobs(
    status: JobStatus | None, job_type: str | None, limit: int, after: str | None
) -> tuple[list[Job], str | None]:
    """Newest first; and what to give as `after` for the next page, where there is one."""
    before, before_id = page_start(after)
    with machine().state.database.transaction() as tx:
        rows = tx.all(
            jobs.list_jobs, status=status, job_type=job_type, before=before, before_id=before_id, limit=limit + 1
        )
    page = [Job.model_validate(row) for row in rows[:limit]]
    return page, page_end(page[-1]) if len(rows) > limit else None


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


def progress(job: Job) -> Progress:
    return progress_of([job])[job.job_id]


def progress_of(going: Sequence[Job]) -> dict[str, Progress]:
    """Of each job by its id, asked for at once."""
    with machine().state.database.transaction() as tx:
        rows = tx.all(jobs.stage_progress, job_ids=[job.job_id for job in going])
    return {job.job_id: counted(job, [row for row in rows if row["job_id"] == job.job_id]) for job in going}


def counted(job: Job, stages: Sequence[Row]) -> Progress:
    return Progress(
        percent=percent(job, stages),
        summary=summary(machine().registry.get(job.job_type), stages),
        rows_loaded=int(sum(stage["rows_loaded"] for stage in stages)),
        rows_total=next((stage["rows_total"] for stage in stages if stage["rows_total"] is not None), None),
        stages={
            str(stage["stage"]): StageProgress(**{name: stage[name] for name in StageProgress.model_fields})
            for stage in stages
        },
    )


def verbose(job: Job) -> dict[str, Any]:
    """The tasks of the current run, up to MOST_TASKS, and how earlier runs ended."""
    with machine().state.database.transaction() as tx:
        listed = tx.all(tasks.list_tasks, job_id=job.job_id, run=job.run, limit=MOST_TASKS)
        runs = tx.all(jobs.list_runs, job_id=job.job_id)
    return {"tasks": listed, "runs": runs, "source": job.source}


def job_type_name(value: str | None, parameter: str = "job_type") -> str | None:
    if value is not None and JOB_TYPES.get(value) is None:
        known = ", ".join(JOB_TYPES.names)
        raise InvalidInput("invalid_parameter", f"{parameter} is one of: {known}.", parameter=parameter)
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
