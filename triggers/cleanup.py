"""POST /api/cleanup/run, GET /api/cleanup/status, GET /api/cleanup/history"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import azure.functions as func
from pydantic import Field

from core.ports import Row
from core.sql import janitor
from services.janitor_service import JanitorRun, JanitorService
from triggers.endpoint import Answer, Flag, Query, Tag, WholeNumber, endpoint, query_of
from triggers.http import json_response
from triggers.wiring import janitors, machine

bp = func.Blueprint()

JANITORS: dict[str, Callable[[JanitorService], JanitorRun | None]] = {
    "task_watchdog": JanitorService.run_task_watchdog,
    "job_health": JanitorService.run_job_health_check,
    "orphan_detector": JanitorService.run_orphan_detection,
}
Name = Literal["task_watchdog", "job_health", "orphan_detector"]


class RunQuery(Query):
    which: Name | Literal["all"] = Field(default="all", alias="type")


class HistoryQuery(Query):
    which: Name | None = Field(default=None, alias="type")
    acted: Flag = Field(default=False, description="Leave out runs that found nothing to do.")
    limit: WholeNumber = Field(default=50, ge=1, le=500)


class Sent(Answer):
    """busy: it is running elsewhere at this moment. actions: what was done, to which ids."""

    janitor: str
    status: Literal["done", "busy"]
    scanned: dict[str, int] = Field(default_factory=dict, description="How many were looked at.")
    actions: dict[str, list[str]] = Field(default_factory=dict)


class AllSent(Answer):
    runs: list[Sent]


class PastRun(Answer):
    janitor: str
    started_at: datetime
    finished_at: datetime
    scanned: dict[str, int]
    actions: dict[str, list[str]]
    seconds: float


class History(Answer):
    runs: list[PastRun]


class OpenWork(Answer):
    jobs: int
    tasks: int


class CleanupStatus(Answer):
    """janitors: the newest run of each, where there was one."""

    janitors: dict[str, PastRun | None]
    open: OpenWork


@endpoint(
    bp,
    "POST",
    "cleanup/run",
    tag=Tag.CLEANUP,
    query=RunQuery,
    answers={200: AllSent},
    problems={400: ["invalid_parameter"]},
)
def cleanup_run(req: func.HttpRequest) -> func.HttpResponse:
    """Run one janitor, or all, now."""
    wanted = query_of(RunQuery, req).which
    names = list(JANITORS) if wanted == "all" else [wanted]
    return json_response(AllSent(runs=[sent(name, JANITORS[name](janitors())) for name in names]))


@endpoint(bp, "GET", "cleanup/status", tag=Tag.CLEANUP, answers={200: CleanupStatus})
def cleanup_status(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """The newest run of each janitor, and how much open work there is."""
    with machine().state.database.transaction() as tx:
        last = {row["janitor"]: past(row) for row in tx.all(janitor.last_runs)}
        work = tx.one(janitor.open_work)
    return json_response(
        CleanupStatus(janitors={name: last.get(name) for name in JANITORS}, open=OpenWork.model_validate(work))
    )


@endpoint(
    bp,
    "GET",
    "cleanup/history",
    tag=Tag.CLEANUP,
    query=HistoryQuery,
    answers={200: History},
    problems={400: ["invalid_parameter"]},
)
def cleanup_history(req: func.HttpRequest) -> func.HttpResponse:
    """Earlier runs of the janitors, newest first."""
    query = query_of(HistoryQuery, req)
    with machine().state.database.transaction() as tx:
        rows = tx.all(janitor.list_runs, janitor=query.which, acted=query.acted, limit=query.limit)
    return json_response(History(runs=[past(row) for row in rows]))


def sent(name: str, run: JanitorRun | None) -> Sent:
    if run is None:
        return Sent(janitor=name, status="busy")
    return Sent(janitor=name, status="done", scanned=run.scanned, actions=run.actions)


def past(row: Row) -> PastRun:
    seconds = (row["finished_at"] - row["started_at"]).total_seconds()
    return PastRun(**row, seconds=round(seconds, 3))
