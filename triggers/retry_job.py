"""POST /api/jobs/retry/{job_id}"""

import azure.functions as func

from triggers.endpoint import Tag, endpoint
from triggers.get_job_status import existing_job
from triggers.submit_job import ANSWERS, REFUSALS, accepted
from triggers.wiring import submissions

bp = func.Blueprint()


@endpoint(
    bp,
    "POST",
    "jobs/retry/{job_id}",
    tag=Tag.JOBS,
    answers=ANSWERS,
    problems={400: REFUSALS, 404: ["job_not_found"], 409: ["not_retryable", "source_changed", "table_busy"]},
)
def retry_job(req: func.HttpRequest) -> func.HttpResponse:
    """Start the next run of a failed or cancelled job.

    Answered as a submission is. 409 for any other job, and when its source was replaced meanwhile.
    """
    job = existing_job(req.route_params["job_id"])
    return accepted(req, *submissions().retry(job))
