"""A failed or cancelled job is started again by its id."""

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv

POINTS = csv("name,lat,lon", "a,1,2", "b,3,4")
OTHERS = csv("name,lat,lon", "c,5,6")
PLACE = {"lat_name": "lat", "lon_name": "lon"}


def retry(flow: Flow, job_id: str) -> Json:
    answer = flow.http.post(f"/api/jobs/retry/{job_id}")
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["links"]["status"]
    told: Json = answer.json()
    return told


def failing(flow: Flow, table: str) -> str:
    """A job that failed because of something that is put right by now."""
    flow.load(POINTS, "points.csv", table, **PLACE)
    blob = flow.put(OTHERS, "others.csv")
    with flow.held_before_first_stage():
        job_id = flow.submit(blob, table, overwrite=True, title="Others", **PLACE)
        view = flow.make_view(table)
    flow.failed(job_id)
    flow.run(f"DROP VIEW geo.{view}")
    return job_id


def test_a_failed_job_runs_again_with_its_own_parameters(flow: Flow, table: str) -> None:
    job_id = failing(flow, table)
    told = retry(flow, job_id)
    assert (told["job_id"], told["status"], told["parameters"]["title"]) == (job_id, "resubmitted", "Others")
    job = flow.completed(job_id)
    assert job["run"] == 2
    assert [row["name"] for row in flow.rows(table)] == ["c"]
    runs = flow.status(job_id, verbose="true")["runs"]
    assert [(run["run"], run["status"]) for run in runs] == [(1, "failed"), (2, "completed")]


def test_a_cancelled_job_runs_again(flow: Flow, table: str) -> None:
    job_id = flow.hello(n=1, message=f"retried {table}", failure_rate=1.0)
    for run in (1, 2):
        assert flow.http.post(f"/api/jobs/cancel/{job_id}").json() == {
            "job_id": job_id,
            "status": "cancelled",
            "run": run,
        }
        assert retry(flow, job_id)["status"] == "resubmitted"
    flow.failed(job_id)
    assert flow.status(job_id)["run"] == 3


def test_only_what_failed_or_was_cancelled_is_retried(flow: Flow) -> None:
    with flow.held_before_first_stage():
        job_id = flow.hello(n=1, message="retried for nothing")
        told = problem(flow.http.post(f"/api/jobs/retry/{job_id}"), 409, "not_retryable")
        assert "queued" in told["detail"]
    flow.completed(job_id)
    assert "completed" in problem(flow.http.post(f"/api/jobs/retry/{job_id}"), 409, "not_retryable")["detail"]
    assert flow.status(job_id)["run"] == 1


def test_a_retry_runs_on_the_same_bytes_or_not_at_all(flow: Flow, table: str) -> None:
    job_id = failing(flow, table)
    parameters = flow.status(job_id)["parameters"]
    flow.replace(parameters["blob_name"], POINTS)
    told = problem(flow.http.post(f"/api/jobs/retry/{job_id}"), 409, "source_changed")
    assert "submit the request again" in told["detail"]
    assert flow.status(job_id)["status"] == "failed"
    answer = flow.post(told["parameters"])
    assert answer.json()["job_id"] != job_id
    flow.completed(flow.accepted(answer))


def test_a_retry_without_its_source_says_so(flow: Flow, table: str) -> None:
    job_id = failing(flow, table)
    blob = flow.status(job_id)["parameters"]["blob_name"]
    flow.blobs.get_blob_client("bronze", blob).delete_blob()
    problem(flow.http.post(f"/api/jobs/retry/{job_id}"), 400, "blob_not_found")


def test_a_retry_waits_for_the_job_that_writes_the_table(flow: Flow, table: str) -> None:
    job_id = failing(flow, table)
    with flow.held_before_first_stage():
        other = flow.submit(flow.put(POINTS, "points.csv"), table, overwrite=True, **PLACE)
        assert problem(flow.http.post(f"/api/jobs/retry/{job_id}"), 409, "table_busy")["job_id"] == other
    flow.completed(other)


def test_an_unknown_job_is_not_retried(flow: Flow) -> None:
    problem(flow.http.post(f"/api/jobs/retry/{'0' * 64}"), 404, "job_not_found")
