"""`make demo`: load a real file through the whole system and show what came of it."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import psycopg
from azure.storage.blob import BlobClient
from psycopg import sql
from psycopg.rows import dict_row
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.stack import Stack, StackError
from local.stack.commands import dev_stack

INSTANCE = "demo"
TABLE = ("geo", "demo_countries")
BLOB = "demo/naturalearth_lowres.zip"
# The shapefile of the world's countries that pyogrio ships for its own tests.
SOURCE = "tests/fixtures/naturalearth_lowres"
POLL_SECONDS = 0.25
PATIENCE_SECONDS = 300
SAMPLE_ROWS = 3
CELL_CHARACTERS = 48

console = Console(highlight=False, soft_wrap=True)

JobStatus = dict[str, Any]


def run(root: Path) -> int:
    """Load the countries of the world. Raises StackError when the job does not complete."""
    with running_stack(root) as stack:
        upload(stack)
        try:
            with client(stack) as http:
                job = completed(follow(http, submit(http)))
        except httpx.TransportError as error:
            raise StackError(f"the app does not answer: {error}; its log is {stack.layout.logs}/app.log") from error
        console.print_json(data=job["result_data"])
        show_table(stack.database_url)
        show_stac_item(stack.database_url, (job["result_data"] or {}).get("stac") or {})
        show_next_steps(stack, job["job_id"])
    return 0


@contextmanager
def running_stack(root: Path) -> Iterator[Stack]:
    """The stack of `make up` when it runs, else one that lives as long as the demo."""
    running = dev_stack(root)
    if all(part.up for part in running.parts):
        console.print("using the stack that `make up` started")
        yield running
        return
    with Stack(root, INSTANCE) as own:
        began = time.monotonic()
        with console.status("starting PostgreSQL, Azurite, the Service Bus stand-in and the Function App"):
            own.start()
        console.print(f"the stack is up after {time.monotonic() - began:.1f} s")
        yield own


def upload(stack: Stack) -> None:
    """Put the zipped shapefile into the bronze container."""
    content = zipped_shapefile()
    with BlobClient.from_connection_string(stack.azurite.connection_string, "bronze", BLOB) as blob:
        blob.upload_blob(content, overwrite=True)
    console.print(f"uploaded bronze/{BLOB}, {len(content):,} bytes")


def zipped_shapefile() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in files("pyogrio").joinpath(SOURCE).iterdir():
            archive.writestr(part.name, part.read_bytes())
    return content.getvalue()


def client(stack: Stack) -> httpx.Client:
    headers = {"x-functions-key": stack.app.key}
    return httpx.Client(base_url=stack.base_url, headers=headers, timeout=30, trust_env=False)


def submit(http: httpx.Client) -> str:
    """Ask for the job and return its id. A job of an earlier demo that was cut off is let finish before."""
    path = "/api/jobs/submit/process_vector"
    request = {"blob_name": BLOB, "table_name": TABLE[1], "overwrite": True, "title": "Countries of the world"}
    console.print(f"POST {path} {json.dumps(request)}", markup=False)
    answer = http.post(path, json=request)
    if answer.status_code == httpx.codes.CONFLICT:
        console.print("an earlier demo was cut off; its job goes first")
        follow(http, answer.json()["job_id"])
        answer = http.post(path, json=request)
    if answer.is_error:
        raise StackError(f"the job was not accepted: {answer.status_code} {answer.text}")
    accepted = answer.json()
    console.print(f"{answer.status_code} {accepted['status']}, job {accepted['job_id']}")
    return str(accepted["job_id"])


def follow(http: httpx.Client, job_id: str) -> JobStatus:
    """Show the progress of a job until it ends, and return how. Raises StackError when that takes too long."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    told = ""
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=100)
        for job in states(http, job_id):
            progress.update(bar, completed=job["progress"]["percent"], description=describe(job))
            if not console.is_terminal and describe(job) != told:
                told = describe(job)
                console.print(told)
    return job


def completed(job: JobStatus) -> JobStatus:
    """The job, when it went well. Raises StackError with its error when not."""
    if job["status"] != "completed":
        raise StackError(f"the job {job['status']}: {json.dumps(job['error'], indent=2)}")
    return job


def states(http: httpx.Client, job_id: str) -> Iterator[JobStatus]:
    """What the status URL says, again and again, up to the end of the job."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = http.get(f"/api/jobs/status/{job_id}")
        answer.raise_for_status()
        job: JobStatus = answer.json()
        yield job
        if job["status"] in ("completed", "failed", "cancelled"):
            return
        time.sleep(POLL_SECONDS)
    raise StackError(f"the job is not done after {PATIENCE_SECONDS} s; last seen: {describe(job)}")


def describe(job: JobStatus) -> str:
    stage = f"stage {job['stage']}/{job['total_stages']} {job['stage_name'] or ''}".rstrip()
    tasks = job["progress"]["stages"].get(str(job["stage"]), {})
    counts = f", {tasks['completed']} of {tasks['total']} tasks" if tasks else ""
    return f"{job['status']}: {stage}{counts}, {job['progress']['percent']:.0f} %"


def show_table(database_url: str) -> None:
    """Columns, extent and some rows of the loaded table."""
    name = sql.Identifier(*TABLE)
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [".".join(TABLE)],
        ).fetchall()
        summary = connection.execute(
            sql.SQL("SELECT count(*), min(GeometryType(geom)), ST_Extent(geom)::text FROM {}").format(name)
        ).fetchone()
        query = sql.SQL("SELECT * FROM (SELECT *, ST_AsText(geom, 2) AS geom_as_text FROM {}) AS rows LIMIT %s")
        rows = connection.cursor(row_factory=dict_row).execute(query.format(name), [SAMPLE_ROWS]).fetchall()
    assert summary is not None
    console.print(f"\n[bold]{'.'.join(TABLE)}[/]: {summary[0]} rows of {summary[1]}, {summary[2]}")
    console.print(grid(["column", "type"], columns))
    shown = [column for column in rows[0] if column != "geom"] if rows else []
    console.print(grid(shown, [[row[column] for column in shown] for row in rows]))


def grid(header: list[str], rows: list[Any]) -> Table:
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(shorten(value) for value in row))
    return table


def shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= CELL_CHARACTERS else text[: CELL_CHARACTERS - 1] + "…"


def show_stac_item(database_url: str, stac: dict[str, str]) -> None:
    """The item as pgSTAC gives it to a STAC API."""
    if not stac:
        console.print("no STAC item: the job completed without pgSTAC")
        return
    with psycopg.connect(database_url) as connection:
        connection.execute("SET search_path TO pgstac, public")
        found = connection.execute("SELECT get_item(%s, %s)", [stac["item_id"], stac["collection"]]).fetchone()
    if found is None or found[0] is None:
        raise StackError(f"pgSTAC has no item {stac['item_id']} in {stac['collection']}")
    console.print(f"\n[bold]STAC item[/] {stac['collection']}/{stac['item_id']}")
    item = found[0] | {"geometry": {"type": found[0]["geometry"]["type"], "coordinates": ["…"]}}
    console.print_json(data=item)


def show_next_steps(stack: Stack, job_id: str) -> None:
    if stack.layout.instance == INSTANCE:
        console.print("\nThe demo's stack ends here. [bold]make up[/] starts one that stays, and prints its URLs.")
        return
    status = f"{stack.base_url}/api/jobs/status/{job_id}?verbose=true"
    console.print("\nGo on with")
    console.print(f"  {stack.base_url}/api/map/{'.'.join(TABLE)}#key={stack.app.key}", markup=False)
    console.print(f"  curl -H 'x-functions-key: {stack.app.key}' '{status}'", markup=False)
    console.print(f"  psql '{stack.database_url}' -c 'TABLE {'.'.join(TABLE)} LIMIT 5'", markup=False)
