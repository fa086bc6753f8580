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
    get_table,
    health,
    inspect_job,
    ogc_jobs,
    pages,
    processes,
    queues,
    retry_job,
    serve,
    submit_job,
    timers,
    uploads,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for module in (
    *(uploads, submit_job, inspect_job, retry_job, get_job_status, get_rejects, control_job, processes, ogc_jobs),
    *(get_table, serve, pages, docs, health, queues, timers, cleanup),
):
    app.register_functions(module.bp)
