"""Cancelling a job, asking why it waits, and sending the janitors."""

from datetime import UTC, datetime

import pytest
from azure.servicebus import ServiceBusMessage

from tests.flow.flow import Flow, eventually, problem

ROWS = 30_000
CSV = "n,lat,lon\n" + "".join(f"{n},{n % 80},{n % 170}\n" for n in range(ROWS))


def begun(flow: Flow, job_id: str) -> None:
    """Wait until the job has loaded some rows."""
    eventually(lambda: flow.status(job_id)["progress"]["rows_loaded"] > 0, "nothing is loaded", patience=60)


def test_a_job_that_is_cancelled_in_the_middle_leaves_nothing_and_can_be_sent_again(
    clean_flow: Flow, table: str
) -> None:
    flow = clean_flow
    blob = flow.put(CSV, "many.csv")
    request = {"lat_name": "lat", "lon_name": "lon", "chunk_size": 100}
    job_id = flow.submit(blob, table, **request)
    begun(flow, job_id)
    answers = [flow.http.post(f"/api/jobs/cancel/{job_id}") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert flow.ended(job_id)["status"] == "cancelled"
    flow.assert_nothing_left()
    assert not flow.there(table)
    tasks = flow.status(job_id, verbose="true")["tasks"]
    assert {task["status"] for task in tasks} == {"completed", "cancelled"}
    again = flow.post({"blob_name": blob, "table_name": table} | request | {"chunk_size": 10_000})
    flow.completed(flow.accepted(again))
    assert len(flow.rows(table)) == ROWS


def test_a_job_that_has_ended_cannot_be_cancelled(flow: Flow) -> None:
    job_id = flow.hello(n=1, message="ended")
    flow.completed(job_id)
    problem(flow.http.post(f"/api/jobs/cancel/{job_id}"), 409, "job_has_ended")
    problem(flow.http.post(f"/api/jobs/cancel/{'0' * 64}"), 404, "job_not_found")


def test_a_diagnosis_says_why_a_job_waits(flow: Flow) -> None:
    with flow.held_before_first_stage():
        job_id = flow.hello(n=2, message=f"held {datetime.now(UTC)}")
    running = flow.http.get(f"/api/jobs/diagnosis/{job_id}").json()
    assert running["job_id"] == job_id
    assert running["queues"]["messages"].keys() == {"geospatial-jobs", "vector-tasks"}
    flow.completed(job_id)
    ended = flow.http.get(f"/api/jobs/diagnosis/{job_id}").json()
    assert ended["reason"] == "the job is not waiting: it is completed"
    assert ended["attempts"] == 1


def test_a_diagnosis_names_the_next_retry(flow: Flow) -> None:
    job_id = flow.hello(n=1, message=f"fails {datetime.now(UTC)}", failure_rate=1.0)
    seen: list[str] = []

    def waits() -> bool:
        told = flow.http.get(f"/api/jobs/diagnosis/{job_id}").json()
        seen.append(told["reason"])
        return told["next_retry_at"] is not None or told["status"] == "failed"

    eventually(waits, f"no retry is named: {seen}")
    flow.failed(job_id)


def test_every_janitor_can_be_sent_and_leaves_its_history(flow: Flow) -> None:
    answer = flow.http.post("/api/cleanup/run", params={"type": "all"})
    assert answer.status_code == 200
    assert {run["janitor"] for run in answer.json()["runs"]} == {"task_watchdog", "job_health", "orphan_detector"}
    assert {run["status"] for run in answer.json()["runs"]} <= {"done", "busy"}
    status = flow.http.get("/api/cleanup/status").json()
    assert status["janitors"]["job_health"]["seconds"] >= 0
    history = flow.http.get("/api/cleanup/history", params={"type": "job_health", "limit": 1}).json()
    assert [run["janitor"] for run in history["runs"]] == ["job_health"]


@pytest.mark.parametrize("query", ["type=everything", "type="])
def test_a_janitor_that_does_not_exist_is_refused(flow: Flow, query: str) -> None:
    problem(flow.http.post(f"/api/cleanup/run?{query}"), 400, "invalid_parameter")


@pytest.mark.parametrize("body", ["this is no job", '{"job_id": 7}'])
def test_a_message_nobody_can_read_is_kept_with_its_reason(flow: Flow, body: str) -> None:
    message_id = f"poison-{datetime.now(UTC)}"
    flow.sender.send_messages(ServiceBusMessage(body, message_id=message_id))
    query = "SELECT queue, reason, body FROM app.dead_letters WHERE message_id = %s"
    eventually(lambda: bool(flow.all(query, message_id)), "the message is not kept")
    letter = flow.one(query, message_id)
    assert (letter["queue"], letter["body"]) == ("geospatial-jobs", body)
    assert letter["reason"].startswith("unreadable message: ")
    told = flow.http.get("/api/queues").json()
    assert told["queues"]["messages"].keys() == {"geospatial-jobs", "vector-tasks"}
    kept = next(each for each in told["dead_letters"] if each["message_id"] == message_id)
    assert (kept["queue"], kept["reason"]) == ("geospatial-jobs", letter["reason"])
