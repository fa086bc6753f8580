"""What a client of the app does: put a file into the container, submit a job, follow it, look at the table."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import shapely
from azure.core.exceptions import ResourceExistsError
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.storage.blob import BlobServiceClient
from psycopg import sql
from psycopg.rows import dict_row

Row = dict[str, Any]
Json = dict[str, Any]

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
ENDED = ("completed", "failed", "cancelled")
JOBS_QUEUE = "geospatial-jobs"


class Flow:
    """One running app, with the database, the blobs and the bus behind it."""

    def __init__(self, base_url: str, key: str, database_url: str, blob_storage: str, bus: str) -> None:
        self.base_url = base_url
        self.key = key
        self.database_url = database_url
        self.bus = ServiceBusClient.from_connection_string(bus)
        self.sender = self.bus.get_queue_sender(JOBS_QUEUE)
        self.http = httpx.Client(base_url=base_url, headers={"x-functions-key": key}, timeout=60, trust_env=False)
        self.stranger = httpx.Client(base_url=base_url, timeout=60, trust_env=False)
        self.blobs = BlobServiceClient.from_connection_string(blob_storage)

    def close(self) -> None:
        self.http.close()
        self.stranger.close()
        self.blobs.close()
        self.sender.close()
        self.bus.close()

    # What a user does

    def put(self, content: bytes | str | Path, name: str, container: str = "bronze") -> str:
        """Put a file into the container, under a folder of its own. Returns the blob's name."""
        blob = f"{uuid4().hex[:8]}/{name}"
        self.replace(blob, content, container)
        return blob

    def replace(self, blob: str, content: bytes | str | Path, container: str = "bronze") -> None:
        data = content.read_bytes() if isinstance(content, Path) else content
        self.blobs.get_blob_client(container, blob).upload_blob(data, overwrite=True)

    def make_container(self, name: str) -> None:
        try:
            self.blobs.create_container(name)
        except ResourceExistsError:
            return

    def post(self, body: Any, job_type: str = "process_vector") -> httpx.Response:
        return self.http.post(f"/api/jobs/submit/{job_type}", json=body)

    def inspect(self, body: Any, job_type: str = "process_vector") -> Json:
        """What a look tells, having made sure that it wrote nothing."""
        self.assert_nothing_left()
        before = self.relations()
        with self.nothing_accepted():
            answer = self.http.post(f"/api/jobs/inspect/{job_type}", json=body)
        assert self.relations() == before
        assert not self.chunks()
        assert answer.status_code == 200, answer.text
        told: Json = json.loads(answer.text, parse_constant=refuse_constant)
        return told

    def submit(self, blob: str, table: str, **parameters: Any) -> str:
        """Submit a file that must be accepted. Returns the job's id."""
        return self.accepted(self.post({"blob_name": blob, "table_name": table, **parameters}))

    def hello(self, **parameters: Any) -> str:
        return self.accepted(self.post(parameters, "hello_world"))

    def accepted(self, answer: httpx.Response) -> str:
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def status(self, job_id: str, **query: str) -> Json:
        answer = self.http.get(f"/api/jobs/status/{job_id}", params=query)
        assert answer.status_code == 200, answer.text
        told: Json = answer.json()
        return told

    def states(self, job_id: str, patience: float = PATIENCE_SECONDS) -> Iterator[Json]:
        """What the status endpoint says, again and again, up to the end of the job."""
        deadline = time.monotonic() + patience
        while True:
            job = self.status(job_id)
            yield job
            if job["status"] in ENDED:
                return
            assert time.monotonic() < deadline, f"the job hangs: {job}"
            time.sleep(POLL_SECONDS)

    def ended(self, job_id: str, patience: float = PATIENCE_SECONDS) -> Json:
        """The job once it has ended, however."""
        *_, last = self.states(job_id, patience)
        return last

    def completed(self, job_id: str, patience: float = PATIENCE_SECONDS) -> Json:
        job = self.ended(job_id, patience)
        assert job["status"] == "completed", job["error"]
        return job

    def failed(self, job_id: str, patience: float = PATIENCE_SECONDS) -> Json:
        """The error of a job that must fail."""
        job = self.ended(job_id, patience)
        assert job["status"] == "failed", job["result_data"]
        error: Json = job["error"]
        assert error["code"]
        assert error["message"]
        return error

    def load(self, content: bytes | str | Path, name: str, table: str, **parameters: Any) -> Json:
        """Put, submit and wait: the completed job."""
        return self.completed(self.submit(self.put(content, name), table, **parameters))

    # What is behind the app

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Row]]:
        with psycopg.connect(self.database_url, autocommit=True, row_factory=dict_row) as connection:
            yield connection

    def all(self, query: str, *values: Any) -> list[Row]:
        with self.database() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, *values: Any) -> Row:
        rows = self.all(query, *values)
        assert len(rows) == 1, rows
        return rows[0]

    def run(self, statement: str) -> None:
        with self.database() as connection:
            connection.execute(statement.encode())

    def make_view(self, table: str) -> str:
        """A view that stands on the table. Returns its name."""
        view = f"{table}_view"
        self.run(f"CREATE VIEW geo.{view} AS SELECT * FROM geo.{table}")  # noqa: S608
        return view

    def rows(self, table: str, schema: str = "geo") -> list[Row]:
        """The published rows by id, their geometry as shapely reads it."""
        query = sql.SQL("SELECT t.*, ST_AsBinary(t.geom) AS geom FROM {} AS t ORDER BY t.id")
        with self.database() as connection:
            found = connection.execute(query.format(sql.Identifier(schema, table))).fetchall()
        return [row | {"geom": shapely.from_wkb(bytes(row["geom"]))} for row in found]

    def types(self, table: str, schema: str = "geo") -> dict[str, str]:
        """The columns of the table and their types, as Postgres writes them."""
        rows = self.all(
            "SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute AS a"
            " JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            schema,
            table,
        )
        return {row["name"]: row["type"] for row in rows}

    def there(self, table: str, schema: str = "geo") -> bool:
        return bool(self.types(table, schema))

    def relations(self) -> list[Row]:
        """Every table, view and index, and how many rows the app's own tables have."""
        counted = ", ".join(
            f"(SELECT count(*) FROM {name}) AS {name.split('.')[1]}"  # noqa: S608
            for name in ("app.jobs", "app.tasks", "app.batches", "geo.table_metadata")
        )
        return [
            self.one(f"SELECT {counted}"),
            *self.all("SELECT oid, relname FROM pg_class WHERE oid > 16384 ORDER BY 1"),
        ]

    def jobs(self) -> int:
        count: int = self.one("SELECT count(*) FROM app.jobs")["count"]
        return count

    def chunks(self) -> list[str]:
        """Blobs of any job in the silver zone."""
        return list(self.blobs.get_container_client("silver").list_blob_names(name_starts_with="chunks/"))

    def staging(self) -> list[str]:
        return [row["tablename"] for row in self.all("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'")]

    def next_message_number(self) -> int:
        """The sequence number the jobs queue gives next, found by scheduling a message and taking it back."""
        [number] = self.sender.schedule_messages(ServiceBusMessage("{}"), datetime.now(UTC) + timedelta(hours=1))
        self.sender.cancel_scheduled_messages(number)
        return number

    @contextmanager
    def nothing_accepted(self) -> Iterator[None]:
        """Inside this block no job is written down and no message sent."""
        jobs, number = self.jobs(), self.next_message_number()
        yield
        assert self.jobs() == jobs
        assert self.next_message_number() == number + 1

    @contextmanager
    def held_before_first_stage(self) -> Iterator[None]:
        """Jobs that are submitted inside this block start when it ends. Nobody can ask how they stand meanwhile."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("LOCK TABLE app.job_stages IN ACCESS EXCLUSIVE MODE")
            yield

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The same, but how they stand can be asked for. They are about to start: nobody can submit them once more."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("LOCK TABLE app.job_stages IN EXCLUSIVE MODE")
            yield

    def assert_nothing_left(self) -> None:
        """No chunk, no staging table, no batch of any job. Clearing up may take a moment after the job's end."""
        eventually(lambda: not self.chunks(), "chunks are left")
        eventually(lambda: not self.staging(), "staging tables are left")
        eventually(lambda: not self.all("SELECT * FROM app.batches"), "batches are left")


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def eventually(holds: Callable[[], bool], otherwise: str, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(POLL_SECONDS)


def problem(answer: httpx.Response, status: int, code: str) -> Json:
    """The answer as a problem of RFC 9457 with this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    told: Json = answer.json()
    assert told["status"] == status
    assert told["code"] == code, told
    assert told["title"]
    assert told["detail"]
    assert told["type"]
    assert "Traceback" not in answer.text
    return told
