"""POST /api/jobs/submit/{job_type}"""

from functools import lru_cache
from typing import Any

import azure.functions as func
from pydantic import BaseModel, create_model

from core.models.enums import Submission
from core.models.job import Job
from core.models.notify import Notify
from triggers.endpoint import Answer, Tag, Told, Variant, endpoint, sendable
from triggers.http import job_url, json_object, json_response
from triggers.wiring import JOB_TYPES, submissions

bp = func.Blueprint()

MESSAGES = {
    Submission.CREATED: "The job was created.",
    Submission.QUEUED: "The same job is waiting already.",
    Submission.PROCESSING: "The same job is running already.",
    Submission.ALREADY_COMPLETED: "The same job was completed; its result stands.",
    Submission.RESUBMITTED: "The job was started again; how earlier runs ended is kept.",
}


# What is looked at before a job is written down, with services/vector/checks.py.
REFUSALS = [
    *("unknown_job_type", "malformed_json", "invalid_text", "invalid_parameters"),
    *("container_name_not_allowed", "blob_not_found", "blob_empty", "source_too_large", "sidecar_missing"),
    *("schema_not_allowed", "name_taken", "table_exists", "table_has_dependents", "table_not_owned"),
    *("csv_geometry_missing", "table_not_found", "table_not_published"),
    *("notify_disabled", "notify_host_not_allowed"),
]


class SubmissionLinks(Answer):
    status: str


class Submitted(Answer):
    """status: what became of the request. parameters: with their defaults."""

    job_id: str
    job_type: str
    status: Submission
    message: str
    parameters: dict[str, Any]
    links: SubmissionLinks


ANSWERS = {
    202: Told(Submitted, headers=("Location", "Retry-After"), says="The job is written down, and goes its way."),
    200: Told(Submitted, headers=("Location",), says="The same job was completed; its result stands."),
}


@lru_cache
def with_notify(params: type[BaseModel]) -> type[BaseModel]:
    """What a client sends: the job type's parameters, and who is to be told."""
    name = f"{params.__name__.removesuffix('Params')}Request"
    return create_model(name, __base__=params, __doc__=params.__doc__, notify=(Notify | None, None))


@endpoint(
    bp,
    "POST",
    "jobs/submit/{job_type}",
    tag=Tag.JOBS,
    variants=(
        "job_type",
        [Variant(job_type.name, body=sendable(with_notify(job_type.params))) for job_type in JOB_TYPES],
    ),
    answers=ANSWERS,
    problems={400: REFUSALS, 409: ["table_busy"]},
)
def submit_job(req: func.HttpRequest) -> func.HttpResponse:
    """Submit a job.

    The same request on the same bytes is the same job. What is refused leaves nothing behind.
    """
    return accepted(req, *submissions().submit(req.route_params["job_type"], json_object(req)))


def accepted(req: func.HttpRequest, submission: Submission, job: Job) -> func.HttpResponse:
    location = job_url(req, "status", job.job_id)
    body = Submitted(
        job_id=job.job_id,
        job_type=job.job_type,
        status=submission,
        message=MESSAGES[submission],
        parameters=job.parameters,
        links=SubmissionLinks(status=location),
    )
    if submission == Submission.ALREADY_COMPLETED:
        return json_response(body, 200, {"Location": location})
    return json_response(body, 202, {"Location": location, "Retry-After": "1"})
