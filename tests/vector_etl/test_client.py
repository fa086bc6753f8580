"""The typed client against the running app."""

import os
from pathlib import Path

import httpx
import pytest

from core.models.vector import ProcessVectorParams
from tests.conftest import RunningApp
from tests.flow.flow import Flow
from tests.flow.sources import csv
from vector_etl import (
    BadRequest,
    Client,
    Conflict,
    JobCancelled,
    JobFailed,
    NotConnected,
    NotFound,
    ProcessVector,
    Unauthorized,
    UnknownAnswer,
    Unusable,
)
from vector_etl.transport import Transport
from vector_etl.uploading import PIECE

PLACE = {"lat_name": "lat", "lon_name": "lon"}


def stored(flow: Flow, blob_name: str) -> bytes:
    return flow.blobs.get_blob_client("bronze", blob_name).download_blob().readall()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Three pieces, the last one short."""
    path = tmp_path / "Städte & 100%.csv"
    path.write_bytes(os.urandom(2 * PIECE + 1000))
    return path


def test_a_file_is_loaded_in_one_call(client: Client, points: Path, table: str) -> None:
    job = client.load(points, table, title="Points", **PLACE)
    assert job.receipt is not None
    assert (job.receipt.rows.read, job.receipt.rows.loaded, job.receipt.rows.rejected) == (2, 2, {})
    assert (job.receipt.table.schema_name, job.receipt.table.name) == ("geo", table)
    assert job.parameters["title"] == "Points"


@pytest.mark.parametrize("through_app", [True, False])
def test_a_large_file_arrives_as_it_is(client: Client, flow: Flow, large: Path, through_app: bool) -> None:
    told: list[tuple[int, int]] = []
    uploaded = client.upload(large, progress=lambda *sent: told.append(sent), through_app=through_app)
    size = large.stat().st_size
    assert stored(flow, uploaded.blob_name) == large.read_bytes()
    assert uploaded.blob_name.endswith("/Städte & 100%.csv")
    assert (uploaded.size, told[-1], len(told)) == (size, (size, size), 3)


def test_where_the_storage_account_is_out_of_reach_the_app_takes_the_file(
    app: RunningApp, flow: Flow, large: Path
) -> None:
    with Client(app.base_url, app.key) as client, httpx.Client(proxy="http://127.0.0.1:1") as cut_off:
        client._storage = Transport(cut_off, attempts=1)
        assert stored(flow, client.upload(large).blob_name) == large.read_bytes()


def test_the_key_is_not_sent_to_the_storage_account(client: Client) -> None:
    assert "x-functions-key" not in client._stranger.headers


def test_a_job_that_does_not_complete_raises_with_its_error(client: Client, flow: Flow, table: str) -> None:
    failing = flow.submit(flow.put(csv("name,lat,lon"), "header.csv"), table, **PLACE)
    with pytest.raises(JobFailed) as failed:
        client.wait(failing)
    assert failed.value.job.error is not None
    assert failed.value.job.error.code == "no_features"
    cancelled = flow.hello(n=1, message=table, failure_rate=1.0)
    client.cancel(cancelled)
    with pytest.raises(JobCancelled):
        client.wait(cancelled)


def test_a_refusal_carries_what_the_app_said(client: Client) -> None:
    with pytest.raises(BadRequest) as refused:
        client.submit({"blob_name": "a.csv", "table_name": "P 1", "chunk_size": 1})
    assert (refused.value.status, refused.value.code) == (400, "invalid_parameters")
    assert {wrong.parameter for wrong in refused.value.errors} == {"table_name", "chunk_size"}
    assert "table_name" in refused.value.detail


def test_a_refusal_is_of_its_kind(client: Client, app: RunningApp, flow: Flow) -> None:
    with pytest.raises(NotFound, match="no job"):
        client.status("0" * 64)
    done = flow.hello(n=1, message="of its kind")
    flow.completed(done)
    with pytest.raises(Conflict) as refused:
        client.retry(done)
    assert refused.value.code == "not_retryable"
    with Client(app.base_url, "wrong") as stranger, pytest.raises(Unauthorized, match="key"):
        stranger.status(done)
    with Client("http://127.0.0.1:1", attempts=1) as lost, pytest.raises(NotConnected, match="does not answer"):
        lost.status(done)


def test_somebody_elses_answer_is_not_taken_for_the_apps(app: RunningApp) -> None:
    with Client(app.stack.azurite.connection_string.split("BlobEndpoint=")[1].rstrip(";"), attempts=1) as client:
        with pytest.raises((UnknownAnswer, BadRequest, Unauthorized, NotFound)) as refused:
            client.status("0" * 64)
        assert refused.value.detail


def test_a_retry_starts_the_next_run(client: Client, flow: Flow, table: str) -> None:
    job_id = flow.hello(n=1, message=table, failure_rate=1.0)
    client.cancel(job_id)
    assert client.retry(job_id).status == "resubmitted"
    assert client.status(job_id, verbose=True).run == 2
    client.cancel(job_id)


def test_jobs_come_newest_first_and_over_pages(client: Client, flow: Flow, table: str) -> None:
    made = [flow.hello(n=1, message=f"{table} {number}") for number in range(3)]
    for job_id in made:
        flow.completed(job_id)
    assert [job.job_id for job in client.jobs(limit=3)] == made[::-1]
    assert [job.job_id for job in client.jobs(job_type="hello_world", status="completed", limit=2)] == made[:0:-1]


def test_who_follows_a_job_that_stands_still_asks_ever_more_rarely(client: Client, flow: Flow) -> None:
    pauses: list[float] = []
    client._app.sleep = pauses.append
    with flow.standing_still():
        job_id = flow.hello(n=1, message="stands still")
        states = client.follow(job_id)
        for _ in range(12):
            next(states)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, 15.0)
    assert len(pauses) == 11
    flow.completed(job_id)


def test_rejects_come_row_by_row(client: Client, flow: Flow, table: str) -> None:
    rows = csv("name,lat,lon", "a,1,2", "b,999,4", "c,5,6")
    job = flow.load(rows, "points.csv", table, max_reject_percent=100, **PLACE)
    [reject] = client.rejects(job["job_id"])
    assert (reject.row_number, reject.reason, reject.attributes["name"]) == (2, "coordinates_out_of_range", "b")


def test_an_inspection_tells_what_would_be_refused(client: Client, points: Path) -> None:
    told = client.inspect(ProcessVector(blob_name=client.upload(points).blob_name, table_name="t"))
    assert not told.would_be_accepted
    assert [refusal.code for refusal in told.refusals] == ["csv_geometry_missing"]
    assert told.candidates is not None
    assert told.candidates["proposed"] == PLACE


def test_a_table_is_taken_back(client: Client, flow: Flow, points: Path, table: str) -> None:
    client.load(points, table, **PLACE)
    client.wait(client.unpublish(table).job_id)
    assert not flow.there(table)


@pytest.mark.parametrize(("name", "content"), [("empty.csv", b""), ("folder", None), ("nowhere.csv", None)])
def test_what_is_no_file_is_refused_here(client: Client, tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if name == "folder":
        (tmp_path / name).mkdir()
    with pytest.raises(Unusable, match=name):
        client.upload(tmp_path / name)


def test_the_client_knows_every_parameter_of_the_app() -> None:
    theirs = {field.alias or name for name, field in ProcessVectorParams.model_fields.items()}
    ours = {field.alias or name for name, field in ProcessVector.model_fields.items()}
    assert theirs - ours == set()


def test_a_request_says_nothing_of_what_is_left_out() -> None:
    assert ProcessVector(blob_name="a.csv", table_name="t").body() == {"blob_name": "a.csv", "table_name": "t"}
