"""Is it alive, is it ready, how are its parts."""

import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import azure.functions as func

from core.errors import AppError, Unavailable
from core.sql import publishing
from triggers.endpoint import Answer, Tag, Told, endpoint
from triggers.http import json_response
from triggers.wiring import bus, notifications, resources

bp = func.Blueprint()


class Alive(Answer):
    status: Literal["ok"] = "ok"


class Ready(Answer):
    status: Literal["ready"] = "ready"


class Part(Answer):
    """milliseconds: how long it took to answer. code, detail: what is wrong with it."""

    status: Literal["ok", "unhealthy"]
    milliseconds: float | None = None
    code: str | None = None
    detail: str | None = None


class DatabasePart(Part):
    """Its versions. Without pgSTAC, jobs complete degraded: without a STAC item."""

    postgres: str | None = None
    postgis: str | None = None
    pgstac: str | None = None


class NotificationsPart(Part):
    """How many events wait, how many of them failed before, since when the oldest waits, how many were given up."""

    waiting: int | None = None
    failing: int | None = None
    oldest_seconds: int | None = None
    given_up: int | None = None


P = TypeVar("P", bound=Part)


class Parts(Answer):
    database: DatabasePart
    service_bus: Part
    bronze: Part
    silver: Part
    notifications: NotificationsPart


class Health(Answer):
    status: Literal["ok", "unhealthy"]
    parts: Parts


@endpoint(bp, "GET", "livez", tag=Tag.HEALTH, answers={200: Alive}, anonymous=True)
def livez(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """The process answers."""
    return json_response(Alive())


@endpoint(bp, "GET", "readyz", tag=Tag.HEALTH, answers={200: Ready})
def readyz(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Jobs can be taken: the database answers and has its schema."""
    with resources().database.transaction() as tx:
        tx.one(publishing.versions)
    return json_response(Ready())


@endpoint(bp, "GET", "health", tag=Tag.HEALTH, answers={200: Health, 503: Told(Health, says="A part is not well.")})
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """How each part is that the app runs on.

    Receivers of notifications that are away are told of, and do not make the app unhealthy.
    """
    parts = Parts(
        database=examined(database_versions, DatabasePart),
        service_bus=examined(lambda: bus().check(), Part),
        bronze=examined(lambda: resources().bronze.check(), Part),
        silver=examined(lambda: resources().silver.check(), Part),
        notifications=examined(lambda: notifications().backlog(), NotificationsPart),
    )
    healthy = all(part.status == "ok" for _, part in parts)
    return json_response(Health(status="ok" if healthy else "unhealthy", parts=parts), 200 if healthy else 503)


def database_versions() -> dict[str, Any]:
    with resources().database.transaction() as tx:
        versions = tx.one(publishing.versions) or {}
        installed = versions.pop("pgstac")
        told = tx.one(publishing.pgstac_version) if installed else None
    if not versions["postgis"]:
        raise Unavailable("PostGIS is not installed in the database")
    return versions | {"pgstac": told["version"] if told else None}


def examined(look: Callable[[], dict[str, Any] | None], part: type[P]) -> P:
    started = time.perf_counter()
    try:
        told = look() or {}
    except AppError as error:
        return part(status="unhealthy", code=error.code, detail=error.message)
    return part(status="ok", milliseconds=round((time.perf_counter() - started) * 1000, 1), **told)
