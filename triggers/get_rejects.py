"""GET /api/jobs/rejects/{job_id}"""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import azure.functions as func
import shapely
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from core.errors import NotFound
from core.models.job import Job
from core.models.results import ProcessVectorStage1Result
from core.ports import Row
from services.vector.rejects import page_of_rejects
from triggers.get_job_status import existing_job
from triggers.http import edge, job_url, whole_number
from triggers.wiring import machine, resources

bp = func.Blueprint()
GEOJSON, CSV = "application/geo+json", "text/csv"
MOST_REJECTS = 10_000
LARGEST_ROW_NUMBER = 2**63 - 1
OWN_COLUMNS = ("row_number", "reason", "detail", "lon", "lat")


@bp.route(route="jobs/rejects/{job_id}", methods=["GET"])
@edge
def get_rejects(req: func.HttpRequest) -> func.HttpResponse:
    """The rows that the job's last run did not load, in the order of the source: GeoJSON, or CSV for who accepts that
    rather. limit (1-10000); `after`: a row number. A page may end before its limit, by its size; `next` goes on."""
    job = existing_job(req.route_params["job_id"])
    refuse_without_rejects(job)
    limit = whole_number(req, "limit", default=1000, most=MOST_REJECTS)
    after = whole_number(req, "after", default=0, least=0, most=LARGEST_ROW_NUMBER)
    with resources().database.transaction() as tx:
        rows, more = page_of_rejects(tx, job.job_id, job.run, after=after, limit=limit)
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
    links = [{"rel": "next", "href": following, "type": GEOJSON}] if following else []
    collection = {"type": "FeatureCollection", "job_id": job.job_id, "run": job.run, "numberReturned": len(rows)}
    return json.dumps(collection | {"links": links, "features": [feature(row) for row in rows]}, ensure_ascii=False)


def feature(row: Row) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": row["row_number"],
        "geometry": shape(row["geometry"]),
        "properties": {
            **{name: row[name] for name in ("row_number", "reason", "detail")},
            "location": None if row["lon"] is None else [row["lon"], row["lat"]],
            "attributes": row["attributes"],
        },
    }


def shape(wkb: bytes | None) -> dict[str, Any] | None:
    if wkb is None:
        return None
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
