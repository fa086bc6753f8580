"""Who loads a file: the app over HTTP, ogr2ogr, and the limit, which is Postgres given the finished rows."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import psutil
import psycopg
from azure.storage.blob import BlobClient
from psycopg import sql

from bench.speed_data import Dataset
from local.demo import client
from local.stack import Stack

SCHEMA = "geo"
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 1800.0
SAMPLE_SECONDS = 0.1
STAGES = """
SELECT stage, extract(epoch FROM max(finished_at) - min(started_at))::float8 AS seconds
  FROM app.tasks WHERE job_id = %s GROUP BY stage ORDER BY stage
"""


@dataclass
class Run:
    """seconds: wall time. steps: seconds of work by step; stages: wall time of each, by number. memory: peak resident
    MB of the largest worker."""

    seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    memory: float = 0.0


@dataclass(frozen=True)
class App:
    """From the request to the published, indexed, analysed, cataloged table."""

    stack: Stack

    def upload(self, data: Dataset) -> str:
        name = f"bench/{data.path.name}"
        with (
            BlobClient.from_connection_string(self.stack.azurite.connection_string, "bronze", name) as blob,
            data.path.open("rb") as file,
        ):
            blob.upload_blob(file, overwrite=True, max_concurrency=4)
        return name

    def load(self, data: Dataset, blob_name: str, table: str) -> Run:
        request = {"blob_name": blob_name, "table_name": table, "schema": SCHEMA, "overwrite": True, **data.request}
        # Another title is another job: what is loaded already is not loaded again.
        request |= {"title": f"{data.name} {time.time_ns()}"}
        with client(self.stack) as http, peak_memory(self.stack) as memory:
            began = time.monotonic()
            job = ended(http, accepted(http, request))
            seconds = time.monotonic() - began
        if job["status"] != "completed":
            raise RuntimeError(f"{data.name}: {job['error']}")
        return Run(seconds, job["result_data"]["seconds"], self.stages(job["job_id"]), memory[0])

    def stages(self, job_id: str) -> dict[str, float]:
        with psycopg.connect(self.stack.database_url) as connection:
            return {str(stage): seconds for stage, seconds in connection.execute(STAGES, [job_id])}


def accepted(http: httpx.Client, request: dict[str, Any]) -> str:
    answer = http.post("/api/jobs/submit/process_vector", json=request)
    answer.raise_for_status()
    return str(answer.json()["job_id"])


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    began = time.monotonic()
    while (waited := time.monotonic() - began) < PATIENCE_SECONDS:
        job: dict[str, Any] = http.get(f"/api/jobs/status/{job_id}").raise_for_status().json()
        if job["status"] in ("completed", "failed", "cancelled"):
            return job
        # Asking takes processor time, too: the larger the job, the longer the pause, within 1 % of the time.
        time.sleep(max(POLL_SECONDS, waited / 100))
    raise TimeoutError(job_id)


@contextmanager
def peak_memory(stack: Stack) -> Iterator[list[float]]:
    """The peak of resident memory, MB, of the app's largest process while the context is open, as the only entry."""
    peak, done = [0.0], Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            peak[0] = max([peak[0], *resident(stack)])

    thread = Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def resident(stack: Stack) -> Iterator[float]:
    """MB of each process of the app."""
    running = stack.app.running
    if running is None:
        return
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(running.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                yield process.memory_info().rss / 1e6


@dataclass(frozen=True)
class Ogr2ogr:
    """With COPY, reprojection, repair and a spatial index: what a user would do otherwise."""

    url: str

    def load(self, data: Dataset, table: str) -> Run:
        source = f"/vsizip/{data.path}" if data.path.suffix == ".zip" else str(data.path)
        target = f"PG:{self.url}"
        command = ["ogr2ogr", "-f", "PostgreSQL", target, source, *data.ogr, "-nln", f"{SCHEMA}.{table}", "-overwrite"]
        command += ["-t_srs", "EPSG:4326", "-makevalid", "-nlt", "PROMOTE_TO_MULTI"]
        command += ["-lco", "GEOMETRY_NAME=geom", "-lco", "SPATIAL_INDEX=GIST", "-lco", "FID=id"]
        command += ["--config", "PG_USE_COPY", "YES"]
        environment = os.environ | {"OGR_GEOJSON_MAX_OBJ_SIZE": "0"}
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ogr2ogr: {done.stderr}")
        return Run(time.monotonic() - began)


@dataclass(frozen=True)
class Limit:
    """COPY BINARY of rows that are encoded already, on one connection, then the same indexes and ANALYZE."""

    url: str
    folder: Path

    def encode(self, table: str) -> Path:
        path = self.folder / f"{table}.copy"
        with psycopg.connect(self.url) as connection, path.open("wb") as file:
            statement = sql.SQL("COPY {} TO STDOUT (FORMAT BINARY)").format(sql.Identifier(SCHEMA, table))
            with connection.cursor().copy(statement) as rows:
                for block in rows:
                    file.write(block)
        return path

    def load(self, encoded: Path, like: str) -> Run:
        """`like` is the app's table, whose columns and compression the rows have."""
        target = sql.Identifier(SCHEMA, f"{like}_limit")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(target))
            create = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING COMPRESSION)")
            connection.execute(create.format(target, sql.Identifier(SCHEMA, like)))
        name = target.as_string()
        script = [
            f"\\copy {name} FROM '{encoded}' (FORMAT BINARY)",
            "SET maintenance_work_mem = '256MB'",
            f"ALTER TABLE {name} ADD PRIMARY KEY (id)",
            f"CREATE INDEX ON {name} USING gist (geom)",
            f"CREATE INDEX ON {name} (etl_batch_id)",
            f"ANALYZE {name}",
        ]
        began = time.monotonic()
        psql = ["psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", self.url]
        for line in script:
            psql += ["-c", line]
        subprocess.run(psql, check=True, capture_output=True)
        seconds = time.monotonic() - began
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP TABLE {}").format(target))
        return Run(seconds)
