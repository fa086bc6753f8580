"""The watchdog sets going again what a crash, a lost message or a timeout left behind."""

import pytest

from core.models.enums import JobStatus, TaskStatus
from core.sql import janitor
from services.janitor_service import JanitorService, Limits
from tests.core.conftest import Orchestra, orchestra, postgres

__all__ = ["orchestra", "postgres"]

LIMITS = Limits(stale=2100, unsent=120, unclaimed=600)


@pytest.fixture
def janitors(orchestra: Orchestra) -> JanitorService:
    return JanitorService(orchestra.machine, LIMITS)


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
    run = service.run_task_watchdog()
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
