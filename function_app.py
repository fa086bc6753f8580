"""The Function App: registers the blueprints, nothing else."""

# ruff: noqa: E402
from infrastructure.memory import give_freed_memory_back

give_freed_memory_back()

import azure.functions as func

from triggers import (
    cleanup,
    control_job,
    docs,
    get_job_status,
    get_rejects,
    health,
    inspect_job,
    ogc_jobs,
    processes,
    queues,
    submit_job,
    timers,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for module in (
    *(submit_job, inspect_job, get_job_status, get_rejects, control_job, processes, ogc_jobs),
    *(docs, health, queues, timers, cleanup),
):
    app.register_functions(module.bp)
