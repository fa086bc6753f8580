"""Events are delivered at least once, by whoever is there, and nobody waits for a receiver that does not answer."""

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from core.errors import Unavailable
from core.models.job import Job
from core.receivers import Receivers
from core.state_manager import StateManager
from core.submission import Submissions
from infrastructure.postgresql import PostgresDatabase
from infrastructure.webhook import Answer, Webhook
from services.janitor_service import JanitorService, Limits
from services.notification_service import NotificationService, Persistence
from tests.conftest import ROOT, Database
from tests.core.conftest import HeldBus, Orchestra, postgres, settings_for  # noqa: F401  a fixture
from tests.receiver import Receiver, always, receiving

SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, no other").decode()
LOCAL = Receivers.parse(["http://127.0.0.1:*"])
ALL = ["started", "stage_completed", "completed", "failed", "cancelled"]
OPEN = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%%'"
IMPATIENT = Persistence(lease=1.0)


class Office:
    """An orchestra whose jobs are told of, with a service that delivers."""

    def __init__(self, database: PostgresDatabase, persistence: Persistence = IMPATIENT) -> None:
        self.orchestra = Orchestra(StateManager(database), HeldBus())
        self.orchestra.submissions = Submissions(self.orchestra.machine, LOCAL)
        self.database = database
        self.service = self.another(persistence)

    def another(self, persistence: Persistence = IMPATIENT) -> NotificationService:
        registry = self.orchestra.machine.registry
        return NotificationService(self.database, registry, Webhook(LOCAL), [SECRET], "urn:test", persistence)

    def end_job(self, url: str, number: int = 1, **notify: Any) -> Job:
        job = self.orchestra.submit(n=number, notify={"url": url, **notify})
        self.orchestra.deliver_all()
        return job

    def cancel_jobs(self, url: str, count: int) -> None:
        """Many events, quickly."""
        for n in range(1, count + 1):
            self.orchestra.machine.cancel(self.orchestra.submit(n=n, key=url, notify={"url": url}))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.orchestra.rows("SELECT * FROM app.notifications ORDER BY enqueued_at, event_id")

    def age(self, seconds: float) -> None:
        """As if everything had happened that much earlier."""
        columns = ("enqueued_at", "due_at", "leased_until", "delivered_at", "given_up_at")
        moved = ", ".join(f"{name} = {name} - make_interval(secs => {seconds})" for name in columns)
        self.orchestra.change(f"UPDATE app.notifications SET {moved}")  # noqa: S608


@pytest.fixture
def office(postgres: PostgresDatabase) -> Office:  # noqa: F811
    return Office(postgres)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def eventually(holds: Callable[[], bool], patience: float = 5.0) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_event_is_a_signed_cloudevent_with_what_the_job_is_like(office: Office, receiver: Receiver) -> None:
    job = office.end_job(receiver.url, 2)
    office.service.deliver_due()
    [told] = receiver.told
    assert told.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = told.verified(SECRET)
    assert told.headers["webhook-id"] == event["id"] == f"{job.job_id}-1-completed"
    assert {name: event[name] for name in ("specversion", "source", "type", "subject", "datacontenttype")} == {
        "specversion": "1.0",
        "source": "urn:test",
        "type": "vector-etl.job.completed",
        "subject": job.job_id,
        "datacontenttype": "application/json",
    }
    data = event["data"]
    assert event["time"] == data["finished_at"]
    assert (data["job_id"], data["status"], data["run"], data["result_data"]) == (
        job.job_id,
        "completed",
        1,
        {"done": 2},
    )
    assert data["progress"] == {
        "percent": 100.0,
        "summary": "second: 2 of 2 tasks",
        "stages": {
            "1": {"name": "first", "total": 2, "completed": 2, "failed": 0},
            "2": {"name": "second", "total": 2, "completed": 2, "failed": 0},
        },
    }


def test_each_event_tells_of_the_job_as_it_left_it(office: Office, receiver: Receiver) -> None:
    office.end_job(receiver.url, events=ALL)
    office.service.deliver_due()
    eventually(lambda: len(receiver.told) == 4)
    told = {told.event["type"]: told.event["data"] for told in receiver.told}
    first = told["vector-etl.job.started"]
    assert (first["status"], first["stage"], first["progress"]["percent"]) == ("processing", 1, 0.0)
    assert told["vector-etl.job.completed"]["progress"]["percent"] == 100.0
    percents = {told.event["id"][-1]: told.event["data"]["progress"]["percent"] for told in receiver.told}
    assert (percents["1"], percents["2"]) == (50.0, 100.0)


def test_what_is_delivered_is_not_delivered_again(office: Office, receiver: Receiver) -> None:
    office.end_job(receiver.url)
    for _ in range(3):
        office.service.deliver_due()
        office.age(3600)
    assert len(receiver.told) == 1
    assert office.rows[0]["delivered_at"]


def test_what_is_refused_comes_again_under_its_id_and_with_the_same_content(office: Office, receiver: Receiver) -> None:
    receiver.behaviour = lambda n: 500 if n == 0 else 200
    office.end_job(receiver.url)
    office.service.deliver_due()
    [row] = office.rows
    assert (row["failures"], row["last_problem"], row["delivered_at"]) == (1, "answered 500", None)
    office.age(10)
    office.service.deliver_due()
    first, second = receiver.told
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert office.rows[0]["delivered_at"]


def test_the_pauses_grow_up_to_an_hour(office: Office, receiver: Receiver) -> None:
    receiver.behaviour = always(503)
    office.end_job(receiver.url)
    longest = []
    for failures in (0, 3, 30):
        office.orchestra.change("UPDATE app.notifications SET failures = %(n)s, due_at = now()", n=failures)
        office.service.deliver_due()
        [row] = office.orchestra.rows("SELECT extract(epoch FROM due_at - now()) AS pause FROM app.notifications")
        longest.append(float(row["pause"]))
    assert all(-1 < pause <= most for pause, most in zip(longest, (5, 40, 3600), strict=True))


def test_a_receiver_that_is_gone_for_good_is_given_up_after_a_day(office: Office, receiver: Receiver) -> None:
    receiver.behaviour = always(503)
    office.end_job(receiver.url)
    for _ in range(3):
        office.service.deliver_due()
        office.age(3600)
    assert office.service.give_up() == []
    office.age(22 * 3600)
    tried = len(receiver.told)
    office.service.deliver_due()
    assert len(receiver.told) == tried
    assert office.service.give_up() == [office.rows[0]["event_id"]]
    assert (office.service.backlog()["given_up"], office.service.backlog()["waiting"]) == (1, 0)


def test_a_receiver_that_says_it_is_gone_is_believed(office: Office, receiver: Receiver) -> None:
    receiver.behaviour = always(410)
    office.end_job(receiver.url)
    office.service.deliver_due()
    assert office.rows[0]["given_up_at"]


def test_old_events_are_cleared_up_and_waiting_ones_are_not(office: Office, receiver: Receiver) -> None:
    office.end_job(receiver.url)
    office.service.deliver_due()
    office.end_job("http://127.0.0.1:9/", 2)
    office.age(15 * 86400)
    janitors = JanitorService(office.orchestra.machine, Limits(stale=60), lambda _n: iter(()), lambda _s: [], list)
    janitors.run_orphan_detection()
    assert [row["url"] for row in office.rows] == ["http://127.0.0.1:9/"]


def test_an_event_whose_worker_was_killed_is_delivered_by_another(
    office: Office, database: Database, receiver: Receiver
) -> None:
    """Killed after the claim, before the receiver answered."""
    receiver.behaviour = lambda n: receiver.hang if n == 0 else 200
    office.end_job(receiver.url)
    command, env = [sys.executable, "-m", "tests.services.delivering"], os.environ | database.settings
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    eventually(lambda: len(receiver.told) == 1, 30)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    office.service.deliver_due()
    assert len(receiver.told) == 1, "the lease holds on"
    office.age(Persistence().lease)
    office.service.deliver_due()
    assert [told.headers["webhook-id"] for told in receiver.told] == [office.rows[0]["event_id"]] * 2
    assert office.rows[0]["delivered_at"]


def test_two_workers_never_deliver_the_same_event_at_once(office: Office, receiver: Receiver) -> None:
    office.cancel_jobs(receiver.url, 30)
    workers = [threading.Thread(target=office.another(Persistence()).deliver_due) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    eventually(lambda: all(row["delivered_at"] for row in office.rows))
    ids = [told.headers["webhook-id"] for told in receiver.told]
    assert len(ids) == len(set(ids)) == 30


def test_what_a_worker_says_that_stood_still_too_long_changes_nothing(office: Office, receiver: Receiver) -> None:
    office.end_job(receiver.url)
    [stale] = office.rows
    receiver.behaviour = lambda _n: 500
    office.service.deliver_next()
    office.age(60)
    receiver.behaviour = lambda _n: 200
    office.service.deliver_next()
    delivered = office.rows[0]["delivered_at"]
    office.service.settle(stale | {"attempt": 1}, Answer(None, "no answer"))
    assert office.rows[0]["delivered_at"] == delivered
    assert office.rows[0]["failures"] == 1


def test_a_hanging_receiver_holds_up_nobody_else(office: Office, receiver: Receiver) -> None:
    """Neither the others, nor the pool of connections: nothing is open while it takes its time."""
    with receiving() as hanging:
        hanging.behaviour = lambda _n: hanging.hang
        office.cancel_jobs(hanging.url, 12)
        office.cancel_jobs(receiver.url, 12)
        started = time.monotonic()
        office.service.kick()
        eventually(lambda: len(receiver.told) == 12)
        assert time.monotonic() - started < 3
        assert hanging.most_at_once <= office.service.persistence.most_per_receiver
        eventually(lambda: office.orchestra.rows(OPEN) == [])
        assert hanging.at_once


def test_the_database_being_away_loses_nothing(office: Office, receiver: Receiver) -> None:
    """It goes while the receiver answers: that was told once, and is told once more."""
    office.end_job(receiver.url)
    away = threading.Event()

    class Database:
        def transaction(self) -> Any:
            if away.is_set():
                raise Unavailable("the database is away")
            return office.database.transaction()

    def answer_when_it_is_away(handler: BaseHTTPRequestHandler) -> None:
        away.set()
        handler.send_response(200)
        handler.end_headers()

    receiver.behaviour = lambda n: answer_when_it_is_away if n == 0 else 200
    office.service.database = Database()
    with pytest.raises(Unavailable):
        office.service.deliver_due()
    assert (len(receiver.told), office.rows[0]["delivered_at"]) == (1, None)
    away.clear()
    office.age(60)
    office.service.deliver_due()
    assert len(receiver.told) == 2
    assert office.rows[0]["delivered_at"]
