"""POST /api/cleanup/run, GET /api/cleanup/status, GET /api/cleanup/history"""

from collections.abc import Callable
from typing import Any

import azure.functions as func

from core.errors import InvalidInput
from core.ports import Row
from core.sql import janitor
from services.janitor_service import JanitorRun, JanitorService
from triggers.http import edge, json_response, whole_number
from triggers.wiring import janitors, machine

bp = func.Blueprint()

JANITORS: dict[str, Callable[[JanitorService], JanitorRun | None]] = {
    "task_watchdog": JanitorService.run_task_watchdog,
    "job_health": JanitorService.run_job_health_check,
    "orphan_detector": JanitorService.run_orphan_detection,
}


@bp.route(route="cleanup/run", methods=["POST"])
@edge
def cleanup_run(req: func.HttpRequest) -> func.HttpResponse:
    """Run one janitor, or all, now. One that is running elsewhere at this moment is `busy`."""
    wanted = req.params.get("type", "all")
    names = list(JANITORS) if wanted == "all" else [janitor_name(wanted, "type")]
    return json_response({"runs": [told(name, JANITORS[name](janitors())) for name in names]})


@bp.route(route="cleanup/status", methods=["GET"])
@edge
def cleanup_status(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """The newest run of each janitor, and how much open work there is."""
    with machine().state.database.transaction() as tx:
        last = {row.pop("janitor"): row for row in map(dict, tx.all(janitor.last_runs))}
        work = tx.one(janitor.open_work)
    return json_response({"janitors": {name: listed(last.get(name)) for name in JANITORS}, "open": work})


@bp.route(route="cleanup/history", methods=["GET"])
@edge
def cleanup_history(req: func.HttpRequest) -> func.HttpResponse:
    """Newest first; type names one janitor, acted=true leaves out runs that found nothing to do; limit (1-500)."""
    wanted = req.params.get("type")
    with machine().state.database.transaction() as tx:
        rows = tx.all(
            janitor.list_runs,
            janitor=janitor_name(wanted, "type") if wanted else None,
            acted=req.params.get("acted", "").lower() in ("true", "1"),
            limit=whole_number(req, "limit", default=50, most=500),
        )
    return json_response({"runs": [listed(row) for row in rows]})


def janitor_name(value: str, parameter: str) -> str:
    if value not in JANITORS:
        known = ", ".join(JANITORS)
        raise InvalidInput("invalid_parameter", f"{parameter} is one of: {known}, all.", parameter=parameter)
    return value


def told(name: str, run: JanitorRun | None) -> dict[str, Any]:
    if run is None:
        return {"janitor": name, "status": "busy"}
    return {"janitor": name, "status": "done", "scanned": run.scanned, "actions": run.actions}


def listed(row: Row | None) -> Row | None:
    if row is None:
        return None
    seconds = (row["finished_at"] - row["started_at"]).total_seconds()
    return {**row, "seconds": round(seconds, 3)}
