"""A worker that is killed in the middle: the job completes all the same, and no row is lost or doubled."""

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.conftest import RunningApp
from tests.flow.flow import Flow, Json, eventually

ROWS = 300_000


@pytest.fixture(scope="module")
def large_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300,000 points on a grid, numbered from 0: about 12 MB."""
    path = tmp_path_factory.mktemp("large") / "large.csv"
    number = np.arange(ROWS)
    names = np.char.add("p", number.astype(str))
    columns = {"n": number, "lat": number % 601 / 10, "lon": number // 601 / 10, "name": names}
    pyarrow.csv.write_csv(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    return path


def workers(app: RunningApp) -> list[psutil.Process]:
    """The worker processes of the app's host."""
    running = app.stack.app.running
    assert running
    return [child for child in psutil.Process(running.pid).children() if "local.host.worker" in command_of(child)]


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def readers_of(worker: psutil.Process) -> list[psutil.Process]:
    """The processes of its sandbox that have a source open: it is in stage 1."""
    return [child for child in worker.children(recursive=True) if has_a_source_open(child)]


def has_a_source_open(process: psutil.Process) -> bool:
    try:
        return any("vector-etl-" in file.path for file in process.open_files())
    except psutil.NoSuchProcess:
        return False


def kill(flow: Flow, doomed: list[psutil.Process]) -> None:
    """End them as a crash would, and wait until the app answers again."""
    assert doomed
    for worker in doomed:
        os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: not any(psutil.pid_exists(worker.pid) for worker in doomed), "a killed worker lives on")
    eventually(lambda: flow.http.get("/api/livez").status_code == 200, "the app is gone")


def assert_exact(flow: Flow, table: str, job: Json) -> None:
    """Every row once, each with the place that belongs to its number."""
    assert job["result_data"]["rows"]["read"] == job["result_data"]["rows"]["loaded"] == ROWS
    found = flow.one(
        f"SELECT count(*) AS rows, count(DISTINCT id) AS ids, count(DISTINCT n) AS numbers, sum(n)::bigint AS sum,"  # noqa: S608
        f" count(*) FILTER (WHERE id = n + 1 AND name = 'p' || n AND abs(ST_Y(geom) - n %% 601 / 10.0) < 1e-9"
        f" AND abs(ST_X(geom) - n / 601 / 10.0) < 1e-9) AS right FROM geo.{table}"
    )
    assert found == {"rows": ROWS, "ids": ROWS, "numbers": ROWS, "sum": ROWS * (ROWS - 1) // 2, "right": ROWS}
    flow.assert_nothing_left()


def test_a_worker_killed_while_it_splits_the_source(app: RunningApp, flow: Flow, table: str, large_csv: Path) -> None:
    blob = flow.put(large_csv, "large.csv")
    job_id = flow.submit(blob, table, lat_name="lat", lon_name="lon", chunk_size=20_000)
    eventually(lambda: any(job_id in chunk for chunk in flow.chunks()), "no chunk was written")
    kill(flow, [worker for worker in workers(app) if readers_of(worker)])
    assert_read_in_the_second_attempt(flow, table, job_id)


def test_a_reader_killed_by_the_kernel_while_it_splits_the_source(
    app: RunningApp, flow: Flow, table: str, large_csv: Path
) -> None:
    blob = flow.put(large_csv, "large.csv")
    job_id = flow.submit(blob, table, lat_name="lat", lon_name="lon", chunk_size=20_000)
    eventually(lambda: any(job_id in chunk for chunk in flow.chunks()), "no chunk was written")
    before = {worker.pid for worker in workers(app)}
    kill(flow, [reader for worker in workers(app) for reader in readers_of(worker)])
    assert_read_in_the_second_attempt(flow, table, job_id)
    assert {worker.pid for worker in workers(app)} == before


def assert_read_in_the_second_attempt(flow: Flow, table: str, job_id: str) -> None:
    job = flow.completed(job_id, patience=30)
    [prepare] = [task for task in flow.status(job_id, verbose="true")["tasks"] if task["stage"] == 1]
    assert prepare["attempt"] == 2
    assert (job["run"], job["result_data"]["chunks"]) == (1, 15)
    assert_exact(flow, table, job)


def test_all_workers_killed_while_they_upload(app: RunningApp, flow: Flow, table: str, large_csv: Path) -> None:
    blob = flow.put(large_csv, "large.csv")
    job_id = flow.submit(blob, table, lat_name="lat", lon_name="lon", chunk_size=5_000)
    for state in flow.states(job_id):
        if state["progress"]["stages"].get("2", {}).get("completed", 0) >= 3:
            break
    assert state["status"] == "processing"
    kill(flow, workers(app))
    job = flow.completed(job_id)
    attempts = [task["attempt"] for task in flow.status(job_id, verbose="true")["tasks"] if task["stage"] == 2]
    assert (len(attempts), max(attempts)) == (60, 2)
    assert_exact(flow, table, job)
