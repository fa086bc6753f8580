"""POST /api/jobs/retry/{job_id}"""

import azure.functions as func

from triggers.get_job_status import existing_job
from triggers.http import edge
from triggers.submit_job import accepted
from triggers.wiring import submissions

bp = func.Blueprint()


@bp.route(route="jobs/retry/{job_id}", methods=["POST"])
@edge
def retry_job(req: func.HttpRequest) -> func.HttpResponse:
    """The next run of a failed or cancelled job, answered as a submission is. 409 for any other job, and when its
    source was replaced meanwhile."""
    job = existing_job(req.route_params["job_id"])
    return accepted(req, *submissions().retry(job))
