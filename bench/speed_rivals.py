"""Who loads a file: the app over HTTP, ogr2ogr, and the limit, which is Postgres given the finished rows."""

import os
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from azure.storage.blob import BlobClient
from psycopg import sql

from bench.speed_data import Dataset
from bench.usage import Usage, watched
from local.demo import client
from local.stack import Stack

SCHEMA = "geo"
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 1800.0
# After so long ogr2ogr is stopped, and has taken at least that.
OGR2OGR_SECONDS = 900.0
# As many as the local stack has workers.
CONNECTIONS = 2
BLOCK_BYTES = 1 << 20
STATUSES = "SELECT DISTINCT status FROM app.jobs WHERE job_id = ANY(%s)"
CHUNK_BYTES = """
SELECT coalesce(sum((result ->> 'chunk_bytes')::bigint), 0)::bigint FROM app.tasks
 WHERE job_id = %s AND task_type = 'process_vector_upload'
"""
STAGES = """
SELECT stage, extract(epoch FROM max(finished_at) - min(started_at))::float8 AS seconds
  FROM app.tasks WHERE job_id = %s GROUP BY stage ORDER BY stage
"""


@dataclass
class Run:
    """seconds: wall time. steps: seconds of work by step; stages: wall time of each, by number. blob_mb: through the
    blob store, in either direction."""

    seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    blob_mb: float = 0.0


@dataclass(frozen=True)
class App:
    """From the request to the published, indexed, analysed, cataloged table."""

    stack: Stack

    def upload(self, data: Dataset) -> str:
        return upload(self.stack, data)

    def request(self, data: Dataset, blob_name: str, table: str) -> dict[str, Any]:
        """With a title of its own: it is another job then, and what is loaded already is loaded again."""
        named = {"blob_name": blob_name, "table_name": table, "schema": SCHEMA, "title": f"{table} {time.time_ns()}"}
        return named | {"overwrite": True} | data.request

    def load(self, data: Dataset, blob_name: str, table: str) -> Run:
        """Into a table that is not there any more."""
        drop(self.stack.database_url, sql.Identifier(SCHEMA, table))
        with client(self.stack) as http, watched(self.stack) as usage:
            began = time.monotonic()
            job_id = accepted(http, self.request(data, blob_name, table))
            completed(self.stack.database_url, job_id)
            seconds = time.monotonic() - began
            job = http.get(f"/api/jobs/status/{job_id}").raise_for_status().json()
        result = job["result_data"]
        with psycopg.connect(self.stack.database_url) as connection:
            stages = {str(stage): stage_seconds for stage, stage_seconds in connection.execute(STAGES, [job_id])}
            [chunk_bytes] = connection.execute(CHUNK_BYTES, [job_id]).fetchone() or [0]
        # A chunk is written and read.
        blob_mb = (result["source"]["bytes"] + 2 * chunk_bytes) / 1e6
        return Run(seconds, result["seconds"], stages, usage, round(blob_mb, 1))


def drop(url: str, table: sql.Identifier) -> None:
    """So that nobody replaces a table which an autovacuum has just begun to look at, and waits for it to give way."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def upload(stack: Stack, data: Dataset) -> str:
    """Into the bronze zone. Returns the blob's name."""
    name = f"bench/{data.path.name}"
    with (
        BlobClient.from_connection_string(stack.azurite.connection_string, "bronze", name) as blob,
        data.path.open("rb") as file,
    ):
        blob.upload_blob(file, overwrite=True, max_concurrency=4)
    return name


def accepted(http: httpx.Client, request: dict[str, Any]) -> str:
    answer = http.post("/api/jobs/submit/process_vector", json=request)
    answer.raise_for_status()
    return str(answer.json()["job_id"])


def completed(url: str, *job_ids: str) -> None:
    """When all of them are. The database is asked: over HTTP each question takes 4.5 ms of the processor time that the
    app is measured by, so 0.2."""
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        while (waited := time.monotonic() - began) < PATIENCE_SECONDS:
            statuses = {str(status) for (status,) in connection.execute(STATUSES, [list(job_ids)])}
            if statuses == {"completed"}:
                return
            if statuses & {"failed", "cancelled"}:
                raise RuntimeError(f"of {', '.join(job_ids)} some are {' and '.join(statuses)}")
            time.sleep(max(POLL_SECONDS, waited / 100))
    raise TimeoutError(", ".join(job_ids))


@dataclass(frozen=True)
class Ogr2ogr:
    """With COPY, reprojection, repair and a spatial index: what a user would do otherwise. It is stopped after
    OGR2OGR_SECONDS."""

    url: str

    def load(self, data: Dataset, table: str) -> Run:
        drop(self.url, sql.Identifier(SCHEMA, table))
        source = f"/vsizip/{data.path}" if data.path.suffix == ".zip" else str(data.path)
        target = f"PG:{self.url}"
        command = ["ogr2ogr", "-f", "PostgreSQL", target, source, *data.ogr, "-nln", f"{SCHEMA}.{table}", "-overwrite"]
        command += ["-t_srs", "EPSG:4326", "-makevalid", "-nlt", "PROMOTE_TO_MULTI"]
        command += ["-lco", "GEOMETRY_NAME=geom", "-lco", "SPATIAL_INDEX=GIST", "-lco", "FID=id"]
        command += ["--config", "PG_USE_COPY", "YES"]
        environment = os.environ | {"OGR_GEOJSON_MAX_OBJ_SIZE": "0"}
        began = time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=OGR2OGR_SECONDS
            )
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
        copy_out(self.url, sql.Identifier(SCHEMA, table), path)
        return path

    def load(self, encoded: Path, like: str) -> Run:
        """`like` is the app's table, whose columns and compression the rows have."""
        target = sql.Identifier(SCHEMA, f"{like}_limit")
        make_like(self.url, target, like)
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
        drop(self.url, target)
        return Run(seconds)


@dataclass(frozen=True)
class Chunks:
    """COPY BINARY of the app's own chunks, encoded already, on as many connections as there are workers."""

    url: str
    folder: Path

    def encode(self, table: str) -> list[Path]:
        with psycopg.connect(self.url) as connection:
            query = sql.SQL("SELECT DISTINCT etl_batch_id FROM {} ORDER BY 1").format(sql.Identifier(SCHEMA, table))
            batches = [batch for (batch,) in connection.execute(query)]
        paths = [self.folder / f"{table}.{batch}.copy" for batch in batches]
        for batch, path in zip(batches, paths, strict=True):
            rows = sql.SQL("(SELECT * FROM {} WHERE etl_batch_id = {})").format(
                sql.Identifier(SCHEMA, table), sql.Literal(batch)
            )
            copy_out(self.url, rows, path)
        return paths

    def load(self, encoded: Sequence[Path], like: str) -> Run:
        target = sql.Identifier(SCHEMA, f"{like}_chunks")
        make_like(self.url, target, like)
        began = time.monotonic()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(
                pool.map(lambda mine: self.copy_in(mine, target), [encoded[n::CONNECTIONS] for n in range(CONNECTIONS)])
            )
        return Run(time.monotonic() - began)

    def copy_in(self, paths: Sequence[Path], target: sql.Identifier) -> None:
        """A transaction for each chunk, as the app has it."""
        statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(target)
        with psycopg.connect(self.url, autocommit=True) as connection:
            for path in paths:
                with path.open("rb") as file, connection.cursor().copy(statement) as copy:
                    while block := file.read(BLOCK_BYTES):
                        copy.write(block)


def make_like(url: str, target: sql.Identifier, like: str) -> None:
    drop(url, target)
    with psycopg.connect(url, autocommit=True) as connection:
        create = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING COMPRESSION)")
        connection.execute(create.format(target, sql.Identifier(SCHEMA, like)))


def copy_out(url: str, what: sql.Composable, path: Path) -> None:
    statement = sql.SQL("COPY {} TO STDOUT (FORMAT BINARY)").format(what)
    with psycopg.connect(url) as connection, path.open("wb") as file, connection.cursor().copy(statement) as rows:
        for block in rows:
            file.write(block)
