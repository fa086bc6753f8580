"""What a worker needs of memory: large files of each format through the whole system, on a stack of its own.

    python -m bench.memory --megabytes 200       about 15 minutes; the default, 2000, takes an hour or two

Each file is uploaded to the bronze container and submitted over HTTP to an app that was started for it alone. Peaks are
what the kernel knows of each process (VmHWM): of the workers at the end, all of which have loaded chunks; of the one in
the sandbox that read the file, when it had read (`prepare`); of those that check large polygons apart (`repair`), as
long as they were seen.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from azure.storage.blob import BlobServiceClient

from bench import large_files
from bench.large_files import Writer
from local.stack import Stack

ROOT = Path(__file__).parent.parent
# What a worker may need to read a file of any size; more by the size of a feature that is large itself.
LIMIT_MB = 350
SINGLE_MB = 100
PATIENCE_SECONDS = 3600
POLL_SECONDS = 0.1
WORKER = "local.host.worker"
REPAIRER = "services.vector.repair_child"
PREPARED = "SELECT result FROM app.tasks WHERE job_id = %s AND stage = 1"


HEADER = (
    f"{'':38} {'seconds':>17} {'peak MB':>40}\n"
    f"{'format':20} {'MB':>7} {'rows':>9} {'prepare':>8} {'in all':>8}"
    f" {'idle':>6} {'prepare':>8} {'workers':>17} {'repair':>6} {'limit':>6}"
)


@dataclass(frozen=True)
class Source:
    """megabytes: of the one feature that it holds; None where it has many, and the size that was asked for."""

    name: str
    file: str
    write: Writer
    params: dict[str, Any] = field(default_factory=dict)
    megabytes: int | None = None


SOURCES = (
    Source("csv", "a.csv", large_files.write_csv, {"wkt_column": "shape"}),
    Source("geojson", "a.geojson", large_files.write_geojson),
    Source("gpkg", "a.gpkg", large_files.write_geopackage),
    Source("shp.zip", "a.zip", large_files.write_zipped_shapefile),
    Source("kml", "a.kml", large_files.write_kml),
    Source("geojson, 1 feature", "one.geojson", large_files.write_one_geojson_feature, megabytes=SINGLE_MB),
    Source("kml, 1 placemark", "one.kml", large_files.write_one_placemark, megabytes=SINGLE_MB),
)


@dataclass(frozen=True)
class Figures:
    """Peaks in MB: of the process that read the file, of the workers, the largest first, and of the largest that
    checked a polygon apart."""

    source: Source
    megabytes: float
    rows: int
    seconds: float
    prepare_seconds: float
    idle: float
    prepare: float
    workers: list[float]
    repair: float

    @property
    def limit(self) -> float:
        return LIMIT_MB + (self.megabytes if self.source.megabytes else 0)

    def told(self) -> str:
        peaks = " ".join(f"{peak:8.0f}" for peak in self.workers)
        return (
            f"{self.source.name:20} {self.megabytes:7.0f} {self.rows:9} {self.prepare_seconds:8.1f} {self.seconds:8.1f}"
            f" {self.idle:6.0f} {self.prepare:8.0f} {peaks} {self.repair:6.0f} {self.limit:6.0f}"
        )

    @property
    def holds(self) -> bool:
        return max(self.prepare, *self.workers, self.repair) <= self.limit


def measure(stack: Stack, source: Source, megabytes: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.file
        written = source.write(path, (source.megabytes or megabytes) * 1_000_000)
        size = path.stat().st_size / 1e6
        blob = upload(stack, path)
    with fresh_app(stack) as workers:
        idle = max(map(peak, workers))
        started = time.perf_counter()
        repairers = Repairers(workers)
        job = load(stack, blob, source, repairers)
        seconds = time.perf_counter() - started
        peaks = sorted(map(peak, workers), reverse=True)
    rows = job["result_data"]["rows"]
    assert rows["loaded"] == written, f"{written} features were written: {rows}"
    prepared = prepare_result(stack, job["job_id"])
    took = sum(prepared["seconds"].values())
    return Figures(
        source, size, written, seconds, took, idle, prepared["memory_mb"]["after_write"], peaks, repairers.peak
    )


def upload(stack: Stack, path: Path) -> str:
    with BlobServiceClient.from_connection_string(stack.azurite.connection_string) as blobs, path.open("rb") as file:
        blobs.get_blob_client("bronze", path.name).upload_blob(file, overwrite=True, max_concurrency=2)
    return path.name


@contextmanager
def fresh_app(stack: Stack) -> Iterator[list[psutil.Process]]:
    """The app, just started, and its worker processes."""
    stack.start("app")
    assert stack.app.running
    host = psutil.Process(stack.app.running.pid)
    yield [child for child in host.children(recursive=True) if WORKER in child.cmdline()]
    stack.app.stop()


class Repairers:
    """Those of the workers' children that check polygons: seen now and then, as they come and go."""

    def __init__(self, workers: list[psutil.Process]) -> None:
        self.workers = workers
        self.peak = 0.0

    def look(self) -> None:
        for worker in self.workers:
            for child in worker.children():
                with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
                    if REPAIRER in child.cmdline():
                        self.peak = max(self.peak, peak(child))


def load(stack: Stack, blob: str, source: Source, repairers: Repairers) -> dict[str, Any]:
    headers = {"x-functions-key": stack.app.key}
    with httpx.Client(base_url=stack.base_url, headers=headers, timeout=60, trust_env=False) as http:
        request = {"blob_name": blob, "table_name": "memory", "overwrite": True, **source.params}
        answer = http.post("/api/jobs/submit/process_vector", json=request)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            job: dict[str, Any] = http.get(f"/api/jobs/status/{answer.json()['job_id']}").json()
            if job["status"] not in ("queued", "processing"):
                assert job["status"] == "completed", job["error"]
                return job
            assert time.monotonic() < deadline, "the job hangs"
            repairers.look()
            time.sleep(POLL_SECONDS)


def peak(process: psutil.Process) -> float:
    """MB of resident memory that the process has had at most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def prepare_result(stack: Stack, job_id: str) -> dict[str, Any]:
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute(PREPARED, [job_id]).fetchone()
    assert row
    result: dict[str, Any] = row[0]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory")
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--only", choices=[source.name for source in SOURCES], action="append")
    parser.add_argument("--instance", default="bench-memory")
    arguments = parser.parse_args()
    chosen = [source for source in SOURCES if source.name in (arguments.only or [source.name])]
    print(HEADER)
    figures = []
    with Stack(ROOT, arguments.instance, fast=True) as stack:
        for part in (stack.postgres, stack.azurite, stack.servicebus):
            part.remove_data()
        stack.start("postgres", "servicebus", "azurite")
        for source in chosen:
            figures.append(measure(stack, source, arguments.megabytes))
            print(figures[-1].told(), flush=True)
        stack.remove()
    return 0 if all(one.holds for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
