"""The rows that a job did not load: on the terminal, or in a file."""

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from typer import BadParameter

from vector_etl.cli.session import Session
from vector_etl.cli.telling import grid
from vector_etl.client import CSV, GEOJSON, Client
from vector_etl.models import Json


def tell_rejects(session: Session, job_id: str, limit: int) -> None:
    found = list(islice(session.client.rejects(job_id), limit + 1))
    shown = found[:limit]
    if session.as_json:
        session.document([reject.model_dump(mode="json") for reject in shown])
        return
    if not found:
        session.say("no row was rejected")
        return
    rows = [(reject.row_number, reject.reason, reject.detail, reject.attributes) for reject in shown]
    session.out.print(grid(("row", "reason", "detail", "attributes"), rows))
    if len(found) > limit:
        session.say("There are more; --output FILE.csv writes them all.")


def write_rejects(client: Client, job_id: str, output: Path) -> int:
    """All of them, page by page. Returns how many."""
    match output.suffix.lower():
        case ".csv":
            return write_csv(client, job_id, output)
        case ".geojson" | ".json":
            return write_geojson(client, job_id, output)
    raise BadParameter("the file is a .geojson or a .csv", param_hint="--output")


def write_csv(client: Client, job_id: str, output: Path) -> int:
    count = 0
    with output.open("w", encoding="utf-8", newline="") as file:
        for number, page in enumerate(client.reject_pages(job_id, CSV)):
            header, _, rows = page.text.partition("\r\n")
            file.write(rows if number else f"{header}\r\n{rows}")
            count += sum(1 for _ in csv.reader(io.StringIO(rows, newline="")))
    return count


def write_geojson(client: Client, job_id: str, output: Path) -> int:
    count = 0
    with output.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for count, feature in enumerate(features(client, job_id), 1):
            file.write(("\n" if count == 1 else ",\n") + json.dumps(feature, ensure_ascii=False))
        file.write("\n]}\n")
    return count


def features(client: Client, job_id: str) -> Iterator[Json]:
    for page in client.reject_pages(job_id, GEOJSON):
        yield from page.json()["features"]
