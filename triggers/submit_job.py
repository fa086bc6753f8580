"""POST /api/jobs/submit/{job_type}"""

import azure.functions as func

from core.models.enums import Submission
from core.models.job import Job
from triggers.http import edge, job_url, json_object, json_response
from triggers.wiring import submissions

bp = func.Blueprint()

MESSAGES = {
    Submission.CREATED: "The job was created.",
    Submission.QUEUED: "The same job is waiting already.",
    Submission.PROCESSING: "The same job is running already.",
    Submission.ALREADY_COMPLETED: "The same job was completed; its result stands.",
    Submission.RESUBMITTED: "The job was started again; how earlier runs ended is kept.",
}


@bp.route(route="jobs/submit/{job_type}", methods=["POST"])
@edge
def submit_job(req: func.HttpRequest) -> func.HttpResponse:
    return accepted(req, *submissions().submit(req.route_params["job_type"], json_object(req)))


def accepted(req: func.HttpRequest, submission: Submission, job: Job) -> func.HttpResponse:
    location = job_url(req, "status", job.job_id)
    body = {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "status": submission,
        "message": MESSAGES[submission],
        "parameters": job.parameters,
        "links": {"status": location},
    }
    if submission == Submission.ALREADY_COMPLETED:
        return json_response(body, 200, {"Location": location})
    return json_response(body, 202, {"Location": location, "Retry-After": "1"})
