"""The janitors set going again what a crash, a lost message or a timeout left behind."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from core.models.enums import JobStatus, TaskStatus
from core.models.messages import Outgoing
from core.sql import janitor
from infrastructure.dead_letters import DeadLetter
from services.janitor_service import JanitorRun, JanitorService, Limits
from tests.core.conftest import Orchestra, orchestra, postgres

__all__ = ["orchestra", "postgres"]

LIMITS = Limits(stale=2100, unsent=120, unclaimed=600)


@dataclass
class Letters:
    """Dead-letter queues with what a test put there."""

    found: list[DeadLetter] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)

    def add(self, message: Outgoing, body: str | None = None) -> None:
        name = message.message_id
        told = body if body is not None else json.dumps(message.body)
        reason = "MaxDeliveryCountExceeded: gave up after 10 deliveries"
        self.found.append(DeadLetter("vector-tasks", name, told, reason, lambda: self.settled.append(name)))

    def batches(self, most: int) -> Iterator[list[DeadLetter]]:
        found, self.found = self.found[:most], []
        yield found


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def janitors(orchestra: Orchestra, letters: Letters) -> JanitorService:
    return JanitorService(orchestra.machine, LIMITS, letters.batches, lambda _seconds: [], list)


def age(orchestra: Orchestra, seconds: int) -> None:
    """As if everything had happened that much earlier."""
    for table in ("tasks", "jobs"):
        orchestra.change(
            f"UPDATE app.{table} SET updated_at = updated_at - make_interval(secs => %(seconds)s)",  # noqa: S608
            seconds=seconds,
        )
    orchestra.change(
        "UPDATE app.jobs SET dispatched_at = dispatched_at - make_interval(secs => %(seconds)s)", seconds=seconds
    )


def ran(service: JanitorService) -> dict[str, list[str]]:
    return acted(service.run_task_watchdog())


def acted(run: JanitorRun | None) -> dict[str, list[str]]:
    assert run is not None
    return run.actions


def test_a_job_whose_message_was_lost_is_sent_again(orchestra: Orchestra, janitors: JanitorService) -> None:
    job = orchestra.submit(n=2)
    orchestra.bus.jobs.clear()
    assert ran(janitors) == {}
    age(orchestra, 130)
    assert ran(janitors) == {"jobs_resent": [job.job_id]}
    assert ran(janitors) == {}
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_job_that_was_not_told_to_enter_its_next_stage_is_told(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    orchestra.deliver_next()
    orchestra.bus.jobs.clear()
    age(orchestra, 130)
    assert ran(janitors) == {"jobs_resent": [job.job_id]}
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_tasks_that_were_never_sent_are_sent(orchestra: Orchestra, janitors: JanitorService) -> None:
    job = orchestra.submit(n=2)
    orchestra.deliver_job()
    orchestra.bus.tasks.clear()
    orchestra.change("UPDATE app.tasks SET status = 'pending'")
    age(orchestra, 130)
    assert sorted(ran(janitors)["resent"]) == [task.task_id for task in orchestra.tasks(job)]
    assert ran(janitors) == {}
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_queued_task_that_nobody_claims_is_sent_again_but_never_failed(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    age(orchestra, 500)
    assert ran(janitors) == {}
    for sent in range(2, 6):
        age(orchestra, 610)
        assert len(ran(janitors)["resent"]) == 1
        assert len({message.message_id for message in orchestra.bus.tasks}) == sent
        assert ran(janitors) == {}
    task = orchestra.tasks(job)[0]
    assert (task.status, task.failures) == (TaskStatus.QUEUED, 0)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_silent_worker_loses_its_task_to_the_next_attempt(orchestra: Orchestra, janitors: JanitorService) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    orchestra.claim(orchestra.bus.tasks.pop())
    age(orchestra, 2000)
    assert ran(janitors) == {}
    age(orchestra, 200)
    assert len(ran(janitors)["expired"]) == 1
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
    assert orchestra.tasks(job)[0].attempt == 2


def test_a_task_that_times_out_for_the_last_time_fails_with_its_job(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    job = orchestra.submit(n=2)
    orchestra.deliver_job()
    task_id = orchestra.tasks(job)[0].task_id
    for _ in range(3):
        newest = [message for message in orchestra.bus.tasks if message.body["task_id"] == task_id][-1]
        orchestra.claim(newest)
        age(orchestra, 2200)
        actions = ran(janitors)
    assert len(actions["failed"]) == 1
    ended = orchestra.job(job.job_id)
    assert ended.status == JobStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "timeout"
    assert {task.status for task in orchestra.tasks(job)} == {TaskStatus.FAILED}


def test_only_one_janitor_leads_at_a_time(orchestra: Orchestra, janitors: JanitorService) -> None:
    with orchestra.state.database.transaction() as tx:
        assert tx.one(janitor.try_leadership, janitor="task_watchdog") == {"leads": True}
        assert janitors.run_task_watchdog() is None
    assert janitors.run_task_watchdog() is not None


def test_every_run_leaves_an_audit_row(orchestra: Orchestra, janitors: JanitorService) -> None:
    job = orchestra.submit()
    orchestra.bus.jobs.clear()
    age(orchestra, 130)
    janitors.run_task_watchdog()
    row = orchestra.rows("SELECT janitor, actions, finished_at >= started_at AS ended FROM app.janitor_runs")[0]
    assert row == {"janitor": "task_watchdog", "actions": {"jobs_resent": [job.job_id]}, "ended": True}


def test_tasks_of_several_jobs_that_time_out_for_the_last_time_fail_together(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    submitted = [orchestra.submit(n=n) for n in (2, 3)]
    orchestra.deliver_job()
    orchestra.deliver_job()
    for message in orchestra.bus.tasks:
        orchestra.claim(message)
    orchestra.change("UPDATE app.tasks SET failures = 2")
    age(orchestra, 2200)
    assert len(ran(janitors)["failed"]) == 5
    assert {orchestra.job(job.job_id).status for job in submitted} == {JobStatus.FAILED}
    assert sorted(orchestra.released) == sorted(f"{job.job_id}:1" for job in submitted)
    query = "SELECT expected, completed, failed FROM app.job_stages ORDER BY expected"
    assert [tuple(row.values()) for row in orchestra.rows(query)] == [(2, 0, 2), (3, 0, 3)]


def test_a_job_with_a_failed_task_fails_with_its_open_tasks_and_keeps_its_results(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    job = orchestra.submit(n=3)
    orchestra.deliver_job()
    orchestra.deliver_next()
    error = """'{"code": "bad_row", "message": "told why"}'"""
    orchestra.change(f"UPDATE app.tasks SET status = 'failed', error = {error} WHERE task_index = 1")  # noqa: S608
    assert acted(janitors.run_job_health_check()) == {"jobs_failed": [job.job_id]}
    ended = orchestra.job(job.job_id)
    assert ended.error == {"code": "bad_row", "message": "told why", "task_id": orchestra.tasks(job)[1].task_id}
    assert [(task.status, task.result is not None) for task in orchestra.tasks(job)] == [
        ("completed", True),
        ("failed", False),
        ("failed", False),
    ]
    assert acted(janitors.run_job_health_check()) == {}


def test_a_full_stage_that_did_not_move_on_is_moved_on_and_not_failed(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    orchestra.deliver_next()
    orchestra.bus.jobs.clear()
    orchestra.change("UPDATE app.jobs SET stage = 1")
    assert acted(janitors.run_job_health_check()) == {"jobs_advanced": [job.job_id]}
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_healthy_job_is_left_alone_by_every_janitor(orchestra: Orchestra, janitors: JanitorService) -> None:
    orchestra.submit(n=2)
    orchestra.deliver_job()
    orchestra.deliver_next()
    runs = (janitors.run_task_watchdog, janitors.run_job_health_check, janitors.run_orphan_detection)
    assert [acted(run()) for run in runs] == [{}, {}, {}]


def test_a_job_without_progress_for_a_day_fails_although_its_messages_are_sent_again(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    orchestra.change("UPDATE app.tasks SET created_at = created_at - interval '25 hours'")
    age(orchestra, 25 * 3600)
    assert len(ran(janitors)["resent"]) == 1
    assert acted(janitors.run_orphan_detection())["jobs_failed"] == [job.job_id]
    ended = orchestra.job(job.job_id)
    assert ended.error == {"code": "no_progress", "message": "the job made no progress for 24 hours"}


def test_a_long_job_that_makes_progress_does_not_fail(orchestra: Orchestra, janitors: JanitorService) -> None:
    orchestra.submit(n=2)
    orchestra.deliver_job()
    orchestra.change("UPDATE app.tasks SET created_at = created_at - interval '25 hours'")
    age(orchestra, 25 * 3600)
    orchestra.claim(orchestra.bus.tasks[0])
    assert "jobs_failed" not in acted(janitors.run_orphan_detection())


def test_what_ended_runs_left_behind_is_removed_and_what_open_ones_use_is_not(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    ended, running = orchestra.submit(n=1), orchestra.submit(n=2)
    orchestra.machine.cancel(ended)
    orchestra.released.clear()
    unknown = "0" * 64
    orchestra.leftovers = [(ended.job_id, 1), (running.job_id, 1), (unknown, 1)]
    assert acted(janitors.run_orphan_detection())["released"] == [f"{ended.job_id}:1"]
    assert orchestra.released == [f"{ended.job_id}:1"]


def test_an_earlier_run_is_cleared_up_while_the_next_one_works(orchestra: Orchestra, janitors: JanitorService) -> None:
    job = orchestra.submit(n=1)
    orchestra.machine.cancel(job)
    orchestra.submit(n=1)
    orchestra.released.clear()
    orchestra.leftovers = [(job.job_id, 1), (job.job_id, 2)]
    assert acted(janitors.run_orphan_detection())["released"] == [f"{job.job_id}:1"]


def test_a_dead_lettered_task_is_sent_again_while_it_has_attempts_left(
    orchestra: Orchestra, janitors: JanitorService, letters: Letters
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    dead = orchestra.bus.tasks.pop()
    orchestra.claim(dead)
    letters.add(dead)
    task_id = orchestra.tasks(job)[0].task_id
    assert acted(janitors.run_orphan_detection()) == {"dead_letters_revived": [task_id]}
    assert letters.settled == [dead.message_id]
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
    assert orchestra.tasks(job)[0].failures == 1


def test_a_dead_lettered_task_without_attempts_left_fails_with_the_brokers_reason(
    orchestra: Orchestra, janitors: JanitorService, letters: Letters
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    dead = orchestra.bus.tasks.pop()
    orchestra.claim(dead)
    orchestra.change("UPDATE app.tasks SET failures = 2")
    letters.add(dead)
    janitors.run_orphan_detection()
    ended = orchestra.job(job.job_id)
    assert ended.status == JobStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "dead_lettered"
    assert "gave up after 10 deliveries" in ended.error["message"]


def test_a_dead_letter_of_a_task_that_went_on_is_only_settled(
    orchestra: Orchestra, janitors: JanitorService, letters: Letters
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks[0]
    letters.add(message)
    orchestra.claim(message.model_copy(update={"message_id": "a later one"}))
    assert acted(janitors.run_orphan_detection()) == {}
    assert orchestra.tasks(job)[0].status == TaskStatus.PROCESSING
    assert letters.settled == [message.message_id]


def test_a_dead_lettered_job_message_is_sent_again(
    orchestra: Orchestra, janitors: JanitorService, letters: Letters
) -> None:
    job = orchestra.submit(n=1)
    letters.add(orchestra.bus.jobs.pop())
    assert acted(janitors.run_orphan_detection()) == {"dead_letters_jobs_resent": [job.job_id]}
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_dead_letter_nobody_can_read_is_kept_as_it_was(
    orchestra: Orchestra, janitors: JanitorService, letters: Letters
) -> None:
    letters.add(Outgoing(message_id="m-1", body={}), body="{not json \x00")
    assert acted(janitors.run_orphan_detection()) == {"dead_letters_kept": ["m-1"]}
    kept = orchestra.rows("SELECT queue, message_id, reason, body FROM app.dead_letters")
    assert kept == [
        {
            "queue": "vector-tasks",
            "message_id": "m-1",
            "reason": "unreadable message; MaxDeliveryCountExceeded: gave up after 10 deliveries",
            "body": "{not json ",
        }
    ]


def test_old_history_is_forgotten(orchestra: Orchestra, janitors: JanitorService) -> None:
    orchestra.change(
        "INSERT INTO app.janitor_runs (janitor, started_at) VALUES ('task_watchdog', now() - interval '31 days')"
    )
    janitors.run_orphan_detection()
    assert [row["janitor"] for row in orchestra.rows("SELECT janitor FROM app.janitor_runs")] == ["orphan_detector"]


def test_a_job_whose_message_was_never_confirmed_is_sent_soon(orchestra: Orchestra, janitors: JanitorService) -> None:
    orchestra.bus.down = 1
    job = orchestra.submit(n=1)
    assert acted(janitors.run_outbox()) == {}
    age(orchestra, 16)
    assert acted(janitors.run_outbox()) == {"jobs_resent": [job.job_id]}
    assert acted(janitors.run_outbox()) == {}
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
    assert [row["actions"] for row in orchestra.rows("SELECT actions FROM app.janitor_runs")] == [
        {"jobs_resent": [job.job_id]}
    ]


def age_history(orchestra: Orchestra, seconds: int) -> None:
    orchestra.change(
        "UPDATE app.janitor_runs SET started_at = started_at - make_interval(secs => %(seconds)s)", seconds=seconds
    )


def test_who_could_not_speak_while_the_database_was_away_is_given_some_minutes(
    orchestra: Orchestra, janitors: JanitorService
) -> None:
    orchestra.submit(n=1)
    orchestra.deliver_job()
    task = orchestra.claim(orchestra.bus.tasks.pop())
    assert ran(janitors) == {}
    age(orchestra, 2200)
    age_history(orchestra, 2200)
    assert ran(janitors) == {}
    age_history(orchestra, 200)
    assert ran(janitors) == {}
    age_history(orchestra, 100)
    assert ran(janitors) == {"expired": [task.task_id]}


def test_a_watchdog_that_seldom_runs_judges_all_the_same(orchestra: Orchestra, janitors: JanitorService) -> None:
    orchestra.submit(n=1)
    orchestra.deliver_job()
    orchestra.claim(orchestra.bus.tasks.pop())
    age(orchestra, 2200)
    assert list(ran(janitors)) == ["expired"]
    orchestra.claim(orchestra.bus.tasks.pop())
    age(orchestra, 2200)
    age_history(orchestra, 1000)
    assert ran(janitors) == {}
    age_history(orchestra, 1000)
    assert list(ran(janitors)) == ["expired"]


def test_jobs_are_not_failed_for_a_day_without_a_database(orchestra: Orchestra, janitors: JanitorService) -> None:
    job = orchestra.submit(n=1)
    assert acted(janitors.run_orphan_detection()) == {}
    orchestra.deliver_job()
    orchestra.claim(orchestra.bus.tasks.pop())
    two_days = 48 * 3600
    age(orchestra, two_days)
    orchestra.change(
        "UPDATE app.tasks SET created_at = created_at - make_interval(secs => %(seconds)s),"
        " started_at = started_at - make_interval(secs => %(seconds)s)",
        seconds=two_days,
    )
    age_history(orchestra, two_days)
    assert "jobs_failed" not in acted(janitors.run_orphan_detection())
    age_history(orchestra, 3600)
    assert acted(janitors.run_orphan_detection())["jobs_failed"] == [job.job_id]
