"""The Function App: registers the blueprints, nothing else."""

import azure.functions as func

from triggers import get_job_status, health, queues, submit_job, timers

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for module in (submit_job, get_job_status, health, queues, timers):
    app.register_functions(module.bp)
