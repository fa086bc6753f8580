"""POST /api/jobs/inspect/{job_type}"""

import azure.functions as func
from pydantic import TypeAdapter

from core.models.inspection import Inspected, VectorInspected
from triggers.endpoint import Tag, Variant, endpoint, sendable
from triggers.http import json_object, json_response
from triggers.submit_job import with_notify
from triggers.wiring import JOB_TYPES, inspections

bp = func.Blueprint()
ANSWER = VectorInspected | Inspected


@endpoint(
    bp,
    "POST",
    "jobs/inspect/{job_type}",
    tag=Tag.JOBS,
    variants=(
        "job_type",
        [
            Variant(job_type.name, body=sendable(with_notify(job_type.params)))
            for job_type in JOB_TYPES
            if job_type.inspection
        ],
    ),
    answers={200: ANSWER},
    problems={400: ["unknown_job_type", "not_inspectable", "malformed_json", "invalid_text"]},
)
def inspect_job(req: func.HttpRequest) -> func.HttpResponse:
    """Look before submitting: what would be refused, and what the input is like.

    The body is that of a submission. 200 also for what would be refused: that is what was asked.
    """
    told = inspections().inspect(req.route_params["job_type"], json_object(req))
    return json_response(TypeAdapter[Inspected](ANSWER).validate_python(told))
