"""Somebody is told of a job by the running app."""

import time
from collections.abc import Iterator

import pytest

from tests.conftest import RunningApp
from tests.flow.flow import Flow, Json, eventually, problem
from tests.flow.sources import csv
from tests.receiver import Receiver, receiving

PLACE = {"lat_name": "lat", "lon_name": "lon"}
ALL = ["started", "stage_completed", "completed", "failed", "cancelled"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def told_of(receiver: Receiver, job_id: str, count: int = 1) -> list[Json]:
    eventually(lambda: len(receiver.of(job_id)) >= count, f"told only of {receiver.events}")
    return receiver.of(job_id)


def test_a_loaded_table_is_told_of_within_moments(app: RunningApp, flow: Flow, receiver: Receiver, table: str) -> None:
    blob = flow.put(csv("n,lat,lon", "1,2,3"), "points.csv")
    job_id = flow.submit(blob, table, **PLACE, notify={"url": receiver.url})
    job = flow.completed(job_id)
    ended = time.monotonic()
    [event] = told_of(receiver, job_id)
    assert time.monotonic() - ended < 3, "the timer alone would take up to 10 s"
    assert receiver.told[0].verified(app.stack.app.notify_secret) == event
    data = event["data"]
    # No request says where the app is: an event has no links.
    del job["result_data"]["links"]
    assert data.items() <= {**job, "progress": data["progress"]}.items()
    assert "notify" not in data["parameters"]


def test_all_events_of_a_job(flow: Flow, receiver: Receiver) -> None:
    job_id = flow.hello(n=3, message=unlike_others(), notify={"url": receiver.url, "events": ALL})
    events = told_of(receiver, job_id, 4)
    assert sorted(event["id"].removeprefix(f"{job_id}-1-") for event in events) == [
        "completed",
        "stage_completed-1",
        "stage_completed-2",
        "started",
    ]


def unlike_others() -> str:
    """A message that makes the job another one each time."""
    return str(time.time_ns())


def test_a_failure_is_told_of_with_its_reason(flow: Flow, receiver: Receiver, table: str) -> None:
    blob = flow.put(csv("n,lat,lon", "1,,"), "nowhere.csv")
    job_id = flow.submit(blob, table, **PLACE, notify={"url": receiver.url})
    error = flow.failed(job_id)
    [event] = told_of(receiver, job_id)
    assert (event["type"], event["data"]["error"]) == ("vector-etl.job.failed", error)


def test_taking_a_table_back_is_told_of(flow: Flow, receiver: Receiver, table: str) -> None:
    flow.load(csv("n,lat,lon", "1,2,3"), "points.csv", table, **PLACE)
    answer = flow.post({"table_name": table, "notify": {"url": receiver.url}}, "unpublish_vector")
    [event] = told_of(receiver, flow.accepted(answer))
    assert event["data"]["result_data"]["name"] == table


def test_a_cancellation_is_told_of(flow: Flow, receiver: Receiver) -> None:
    job_id = flow.hello(n=500, message=unlike_others(), notify={"url": receiver.url})
    assert flow.http.post(f"/api/jobs/cancel/{job_id}").status_code == 200
    [event] = told_of(receiver, job_id)
    assert event["type"] == "vector-etl.job.cancelled"


def test_whoever_submits_what_is_completed_is_told_so_at_once(flow: Flow, receiver: Receiver) -> None:
    given = {"n": 1, "message": unlike_others()}
    job_id = flow.hello(**given)
    flow.completed(job_id)
    answer = flow.post(given | {"notify": {"url": receiver.url}}, "hello_world")
    assert (answer.status_code, answer.json()["job_id"]) == (200, job_id)
    [event] = told_of(receiver, job_id)
    assert event["type"] == "vector-etl.job.completed"


def test_a_receiver_that_fails_is_told_again_and_the_diagnosis_says_so(flow: Flow, receiver: Receiver) -> None:
    receiver.behaviour = lambda n: 500 if n == 0 else 200
    job_id = flow.hello(n=1, message=unlike_others(), notify={"url": f"{receiver.url}?token=hidden"})
    told_of(receiver, job_id)
    answer = flow.http.get(f"/api/jobs/diagnosis/{job_id}")
    assert "hidden" not in answer.text
    [told] = answer.json()["notifications"]
    assert (told["event"], told["receiver"]) == ("completed", receiver.url.removesuffix("/hook"))
    eventually(lambda: len(receiver.told) == 2, "it was not tried again", patience=20)
    first, second = receiver.told
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    eventually(lambda: delivery(flow, job_id) == "delivered", "nobody noted that it was delivered")


def delivery(flow: Flow, job_id: str) -> str:
    [told] = flow.http.get(f"/api/jobs/diagnosis/{job_id}").json()["notifications"]
    return str(told["status"])


def test_an_event_that_nobody_could_deliver_at_once_is_delivered_by_the_timer(flow: Flow, receiver: Receiver) -> None:
    """As after a crash between the job's end and its telling: the row is all there is."""
    receiver.behaviour = lambda n: 500 if n == 0 else 200
    job_id = flow.hello(n=1, message=unlike_others(), notify={"url": receiver.url})
    told_of(receiver, job_id)
    eventually(lambda: flow.all("SELECT 1 FROM app.notifications WHERE failures = 1 AND job_id = %s", job_id) != [], "")
    flow.run("UPDATE app.notifications SET due_at = now()")
    eventually(lambda: len(receiver.told) == 2, "the timer did not deliver it", patience=12)


def test_a_hanging_receiver_keeps_no_job_waiting(flow: Flow, receiver: Receiver) -> None:
    receiver.behaviour = lambda _n: receiver.hang
    for number in range(20):
        flow.hello(n=1, message=f"{unlike_others()} {number}", notify={"url": receiver.url, "events": ALL})
    eventually(lambda: receiver.at_once >= 4, "nobody was told")
    started = time.monotonic()
    flow.completed(flow.hello(n=5, message=unlike_others()))
    with receiving() as other:
        job_id = flow.hello(n=1, message=unlike_others(), notify={"url": other.url})
        told_of(other, job_id)
    assert time.monotonic() - started < 5
    flow.run("DELETE FROM app.notifications")


@pytest.mark.parametrize(
    ("notify", "code", "parameter"),
    [
        ({"url": "https://elsewhere.example/"}, "notify_host_not_allowed", "notify.url"),
        ({"url": "https://localhost:1/"}, "notify_host_not_allowed", "notify.url"),
        ({"url": "http://169.254.169.254/metadata"}, "notify_host_not_allowed", "notify.url"),
        ({"url": "nonsense"}, "invalid_parameters", "notify.url"),
        ({"url": "http://localhost:1/", "events": ["all"]}, "invalid_parameters", "notify.events.0"),
        ([], "invalid_parameters", "notify"),
    ],
)
def test_what_cannot_be_told_is_refused(flow: Flow, notify: object, code: str, parameter: str) -> None:
    with flow.nothing_accepted():
        told = problem(flow.post({"n": 1, "notify": notify}, "hello_world"), 400, code)
    assert [error["parameter"] for error in told["errors"]] == [parameter]


def test_an_app_without_receivers_says_so(strict_flow: Flow) -> None:
    with strict_flow.nothing_accepted():
        answer = strict_flow.post({"n": 1, "notify": {"url": "https://hooks.example.com/"}}, "hello_world")
        told = problem(answer, 400, "notify_disabled")
    assert "NOTIFY_HOSTS" in told["detail"]


def test_a_look_says_what_would_be_refused_of_it(flow: Flow, table: str) -> None:
    blob = flow.put(csv("n,lat,lon", "1,2,3"), "points.csv")
    body = {"blob_name": blob, "table_name": table, **PLACE}
    assert flow.inspect(body | {"notify": {"url": "http://localhost:1/"}})["would_be_accepted"]
    refused = flow.inspect(body | {"notify": {"url": "https://elsewhere.example/"}})
    assert [(told["code"], told["parameter"]) for told in refused["refusals"]] == [
        ("notify_host_not_allowed", "notify.url")
    ]


def test_health_counts_what_waits(flow: Flow) -> None:
    part = flow.http.get("/api/health").json()["parts"]["notifications"]
    assert part["status"] == "ok"
    assert {"waiting", "failing", "oldest_seconds", "given_up"} <= part.keys()
