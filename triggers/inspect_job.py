"""POST /api/jobs/inspect/{job_type}"""

import azure.functions as func

from triggers.http import edge, json_object, json_response
from triggers.wiring import inspections

bp = func.Blueprint()


@bp.route(route="jobs/inspect/{job_type}", methods=["POST"])
@edge
def inspect_job(req: func.HttpRequest) -> func.HttpResponse:
    """The body is that of a submission. 200 also for what would be refused: that is what was asked."""
    return json_response(inspections().inspect(req.route_params["job_type"], json_object(req)))
