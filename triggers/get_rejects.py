"""GET /api/jobs/rejects/{job_id}"""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

import azure.functions as func
from pydantic import Field
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from core.errors import NotFound
from core.models.job import Job
from core.models.results import ProcessVectorStage1Result
from core.ports import Row
from services.vector.rejects import page_of_rejects
from triggers.endpoint import Answer, Query, Tag, Told, WholeNumber, endpoint, query_of
from triggers.get_job_status import existing_job
from triggers.http import job_url
from triggers.wiring import machine, resources

bp = func.Blueprint()
GEOJSON, CSV = "application/geo+json", "text/csv"
MOST_REJECTS = 10_000
LARGEST_ROW_NUMBER = 2**63 - 1
OWN_COLUMNS = ("row_number", "reason", "detail", "lon", "lat")


class RejectsQuery(Query):
    limit: WholeNumber = Field(default=1000, ge=1, le=MOST_REJECTS)
    after: WholeNumber = Field(default=0, ge=0, le=LARGEST_ROW_NUMBER, description="A row number.")


class PageLink(Answer):
    rel: Literal["next"] = "next"
    href: str
    type: str = GEOJSON


class RejectProperties(Answer):
    """row_number: from 1, the `id` that the row would have. detail: in the coordinates of the source. location:
    longitude and latitude of the defect. attributes: the source's values under the names of the table."""

    row_number: int
    reason: str
    detail: str | None
    location: tuple[float, float] | None
    attributes: dict[str, Any]


class Reject(Answer):
    type: Literal["Feature"] = "Feature"
    id: int
    geometry: dict[str, Any] | None
    properties: RejectProperties


class RejectPage(Answer):
    """A GeoJSON FeatureCollection."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    job_id: str
    run: int
    number_returned: int = Field(alias="numberReturned")
    links: list[PageLink]
    features: list[Reject]


@endpoint(
    bp,
    "GET",
    "jobs/rejects/{job_id}",
    tag=Tag.JOBS,
    query=RejectsQuery,
    answers={200: Told({GEOJSON: RejectPage, CSV: str}, headers=("Link",))},
    problems={400: ["invalid_parameter"], 404: ["job_not_found", "no_rejects"]},
)
def get_rejects(req: func.HttpRequest) -> func.HttpResponse:
    """The rows that the job's last run did not load.

    In the order of the source: GeoJSON, or CSV for who accepts that rather. A page may end before its limit, by its
    size; `next` goes on.
    """
    query, job = query_of(RejectsQuery, req), existing_job(req.route_params["job_id"])
    refuse_without_rejects(job)
    limit = query.limit
    with resources().database.transaction() as tx:
        rows, more = page_of_rejects(tx, job.job_id, job.run, after=query.after, limit=limit)
    following = f"{job_url(req, 'rejects', job.job_id)}?limit={limit}&after={rows[-1]['row_number']}" if more else None
    headers = {"Link": f'<{following}>; rel="next"', "Vary": "Accept"} if following else {"Vary": "Accept"}
    wanted = wanted_type(req)
    body = as_csv(rows, column_names(job)) if wanted == CSV else as_geojson(job, rows, following)
    return func.HttpResponse(body, headers=headers, mimetype=wanted)


def refuse_without_rejects(job: Job) -> None:
    job_type = machine().registry.get(job.job_type)
    if job_type is None or not job_type.keeps_rejects:
        raise NotFound(f"a job of type {job.job_type!r} reads no rows, so that none can be rejected", code="no_rejects")


def wanted_type(req: func.HttpRequest) -> str:
    accepted = parse_accept_header(req.headers.get("Accept"), MIMEAccept)
    return accepted.best_match([GEOJSON, CSV], GEOJSON)


def as_geojson(job: Job, rows: Sequence[Row], following: str | None) -> str:
    return RejectPage(
        job_id=job.job_id,
        run=job.run,
        number_returned=len(rows),
        links=[PageLink(href=following)] if following else [],
        features=[feature(row) for row in rows],
    ).model_dump_json()


def feature(row: Row) -> Reject:
    return Reject(
        id=row["row_number"],
        geometry=shape(row["geometry"]),
        properties=RejectProperties(
            **{name: row[name] for name in ("row_number", "reason", "detail", "attributes")},
            location=None if row["lon"] is None else (row["lon"], row["lat"]),
        ),
    )


def shape(wkb: bytes | None) -> dict[str, Any] | None:
    if wkb is None:
        return None
    import shapely  # noqa: PLC0415  takes 40 ms of the start of a worker that is asked for no rejects

    told: dict[str, Any] = json.loads(shapely.to_geojson(shapely.from_wkb(wkb)))
    return told


def column_names(job: Job) -> list[str]:
    """The attributes in the order of the source."""
    results = machine().state.stage_results(job.job_id, job.run, 1)
    prepared = [ProcessVectorStage1Result.model_validate(result) for result in results]
    return [column.name for result in prepared for column in result.result.columns]


def as_csv(rows: Sequence[Row], attributes: Sequence[str]) -> str:
    """Attributes are `attributes.name`: no name of a table's column has a dot."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*OWN_COLUMNS, *(f"attributes.{name}" for name in attributes)])
    for row in rows:
        values = (row["attributes"].get(name) for name in attributes)
        writer.writerow([*(row[name] for name in OWN_COLUMNS), *map(cell, values)])
    return text.getvalue()


def cell(value: Any) -> Any:
    """JSON's words for what a CSV has none for."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | list | dict) else value
