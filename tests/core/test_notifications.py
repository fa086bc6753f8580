"""What is to be told is written with the transition that it tells of, or not at all."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from core.errors import InvalidInput, InvalidParameters
from core.models.enums import Submission
from core.models.job import Job
from core.models.notify import Notify
from core.receivers import Receivers
from core.submission import Submissions
from tests.core.conftest import Orchestra

URL, OTHER = "https://hooks.example.com/a", "https://hooks.example.com/b"
ALL = ["started", "stage_completed", "completed", "failed", "cancelled"]


@pytest.fixture
def told(orchestra: Orchestra) -> Orchestra:
    """The orchestra of an app that may tell one host."""
    orchestra.submissions = Submissions(orchestra.machine, Receivers.parse(["hooks.example.com"]))
    return orchestra


def submit(orchestra: Orchestra, url: str = URL, events: list[str] | None = None, **params: Any) -> Job:
    notify = {"url": url} | ({"events": events} if events else {})
    return orchestra.submit(notify=notify, **params)


def outbox(orchestra: Orchestra, url: str = URL) -> list[str]:
    """Ids without the job's."""
    rows = orchestra.rows("SELECT event_id FROM app.notifications WHERE url = %(url)s ORDER BY event_id", url=url)
    return [row["event_id"].split("-", 1)[1] for row in rows]


def test_a_subscriber_is_to_be_told_how_the_job_ends_and_of_nothing_else(told: Orchestra) -> None:
    submit(told)
    told.deliver_all()
    assert outbox(told) == ["1-completed"]


def test_all_events_of_a_job_are_told_of_when_asked_for(told: Orchestra) -> None:
    submit(told, events=ALL)
    told.deliver_all()
    assert outbox(told) == ["1-completed", "1-stage_completed-1", "1-stage_completed-2", "1-started"]


def test_a_failure_and_a_cancellation_are_told_of(told: Orchestra) -> None:
    failing, cancelled = submit(told, n=1), submit(told, n=2)
    told.machine.fail_job(failing.job_id, 1, {"code": "x", "message": "told why"})
    told.machine.cancel(cancelled)
    rows = told.rows("SELECT job_id, event, job->'error'->>'message' AS why FROM app.notifications ORDER BY event")
    assert [(row["job_id"], row["event"]) for row in rows] == [
        (cancelled.job_id, "cancelled"),
        (failing.job_id, "failed"),
    ]
    assert rows[1]["why"] == "told why"


def test_nothing_is_to_be_told_when_nobody_asked(told: Orchestra) -> None:
    told.submit()
    told.deliver_all()
    assert told.rows("SELECT 1 FROM app.notifications") == []


def test_what_is_rolled_back_is_not_told_of(told: Orchestra) -> None:
    job = submit(told)
    with suppress(ZeroDivisionError), told.state.database.transaction() as tx:
        tx.run("UPDATE app.jobs SET status = 'cancelled', finished_at = now() WHERE job_id = %(id)s", id=job.job_id)
        assert tx.one("SELECT 1 FROM app.notifications")
        raise ZeroDivisionError
    assert outbox(told) == []


def test_who_is_told_is_no_part_of_what_the_job_is(told: Orchestra) -> None:
    silent = told.submit(n=2)
    submission, again = told.submissions.submit("steps", {"n": 2, "notify": {"url": URL}})
    assert (submission, again.job_id) == (Submission.QUEUED, silent.job_id)
    assert "notify" not in again.parameters
    told.deliver_all()
    assert outbox(told) == ["1-completed"]


def test_a_second_submission_subscribes_as_well(told: Orchestra) -> None:
    submit(told)
    submit(told, url=OTHER, events=["failed", "started"])
    submit(told, url=OTHER, events=["completed"])
    told.deliver_all()
    assert (outbox(told), outbox(told, OTHER)) == (["1-completed"], ["1-completed", "1-started"])


def test_who_subscribes_to_a_job_that_has_ended_is_told_how(told: Orchestra) -> None:
    told.submit()
    told.deliver_all()
    submit(told, events=ALL)
    assert outbox(told) == ["1-completed"]
    assert told.rows("SELECT 1 FROM app.subscriptions") == []


def test_who_subscribes_again_is_told_again_and_the_first_telling_is_fenced_out(told: Orchestra) -> None:
    submit(told)
    told.deliver_all()
    told.change("UPDATE app.notifications SET delivered_at = now(), attempt = 1, failures = 3")
    submit(told)
    [row] = told.rows("SELECT attempt, failures, delivered_at FROM app.notifications")
    assert (row["attempt"], row["failures"], row["delivered_at"]) == (2, 0, None)


def test_a_subscription_holds_for_the_run_it_was_made_for(told: Orchestra) -> None:
    job = submit(told)
    told.machine.cancel(job)
    told.submit()
    told.deliver_all()
    assert outbox(told) == ["1-cancelled"]


def test_the_next_run_tells_whoever_asked_for_it(told: Orchestra) -> None:
    told.machine.cancel(told.submit())
    submit(told)
    told.deliver_all()
    assert outbox(told) == ["2-completed"]


def test_who_subscribes_while_the_job_ends_is_told_whoever_is_first(told: Orchestra) -> None:
    """Half of them before the end, half after it, and none in between."""
    job = told.submit()
    start = threading.Barrier(9)

    def subscribe(number: int) -> None:
        start.wait()
        submit(told, url=f"{URL}/{number}")

    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(subscribe, number) for number in range(8)]
        start.wait()
        told.machine.cancel(job)
        for done in waiting:
            done.result()
    rows = told.rows("SELECT url, event FROM app.notifications WHERE event_id LIKE '%%-1-%%'")
    subscribed = told.rows("SELECT url FROM app.subscriptions")
    # Whoever came after the end has started the next run.
    assert len({row["url"] for row in [*rows, *subscribed]}) == 8
    assert {row["event"] for row in rows} <= {"cancelled"}


def test_a_subscriber_that_comes_in_the_middle_of_the_end_waits_for_it(told: Orchestra) -> None:
    job = told.submit()
    with told.state.database.transaction() as tx:
        tx.run("UPDATE app.jobs SET status = 'failed', finished_at = now() WHERE job_id = %(id)s", id=job.job_id)
        thread = threading.Thread(target=told.state.subscribe, args=(job.job_id, Notify.model_validate({"url": URL})))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(5)
    assert outbox(told) == ["1-failed"]


def test_an_app_without_receivers_refuses_and_writes_nothing(orchestra: Orchestra) -> None:
    with pytest.raises(InvalidInput) as refused:
        submit(orchestra)
    assert (refused.value.code, refused.value.parameter) == ("notify_disabled", "notify")
    assert orchestra.rows("SELECT 1 FROM app.jobs") == []


def test_a_host_that_is_not_listed_is_refused(told: Orchestra) -> None:
    with pytest.raises(InvalidInput) as refused:
        submit(told, url="https://elsewhere.example.com/secret-token")
    assert (refused.value.code, refused.value.parameter) == ("notify_host_not_allowed", "notify.url")
    assert "secret-token" not in str(refused.value)
    assert told.rows("SELECT 1 FROM app.jobs") == []


@pytest.mark.parametrize(
    ("notify", "parameter"),
    [
        ("https://hooks.example.com", "notify"),
        ({}, "notify.url"),
        ({"url": "ftp://hooks.example.com/"}, "notify.url"),
        ({"url": "https://user:word@hooks.example.com/"}, "notify.url"),
        ({"url": URL, "events": []}, "notify.events"),
        ({"url": URL, "events": ["exploded"]}, "notify.events.0"),
        ({"url": URL, "secret": "x"}, "notify.secret"),
    ],
)
def test_what_is_wrong_with_it_is_named(told: Orchestra, notify: Any, parameter: str) -> None:
    with pytest.raises(InvalidParameters) as refused:
        told.submissions.submit("steps", {"notify": notify})
    assert [error["parameter"] for error in refused.value.errors] == [parameter]
    assert told.rows("SELECT 1 FROM app.jobs") == []
