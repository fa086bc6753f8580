"""Is it alive, is it ready, how are its parts."""

import time
from collections.abc import Callable
from typing import Any

import azure.functions as func

from core.errors import AppError, Unavailable
from core.sql import publishing
from triggers.http import edge, json_response
from triggers.wiring import bus, notifications, resources

bp = func.Blueprint()


@bp.route(route="livez", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@edge
def livez(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """The process answers."""
    return json_response({"status": "ok"})


@bp.route(route="readyz", methods=["GET"])
@edge
def readyz(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Jobs can be taken: the database answers and has its schema."""
    with resources().database.transaction() as tx:
        tx.one(publishing.versions)
    return json_response({"status": "ready"})


@bp.route(route="health", methods=["GET"])
@edge
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """notifications: receivers that are away are told of, and do not make the app unhealthy."""
    parts = {
        "database": examined(database_versions),
        "service_bus": examined(lambda: bus().check()),
        "bronze": examined(lambda: resources().bronze.check()),
        "silver": examined(lambda: resources().silver.check()),
        "notifications": examined(lambda: notifications().backlog()),
    }
    healthy = all(part["status"] == "ok" for part in parts.values())
    return json_response({"status": "ok" if healthy else "unhealthy", "parts": parts}, 200 if healthy else 503)


def database_versions() -> dict[str, Any]:
    """Without pgSTAC, jobs complete degraded: without a STAC item."""
    with resources().database.transaction() as tx:
        versions = tx.one(publishing.versions) or {}
        installed = versions.pop("pgstac")
        told = tx.one(publishing.pgstac_version) if installed else None
    if not versions["postgis"]:
        raise Unavailable("PostGIS is not installed in the database")
    return versions | {"pgstac": told["version"] if told else None}


def examined(look: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        told = look() or {}
    except AppError as error:
        return {"status": "unhealthy", "code": error.code, "detail": error.message}
    return {"status": "ok", "milliseconds": round((time.perf_counter() - started) * 1000, 1), **told}
