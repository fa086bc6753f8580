"""The rules of orchestration, one by one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import pytest
from pydantic import BaseModel

from core.errors import Fenced, InvalidInput, Rejected, Transient, Unavailable
from core.models.enums import JobStatus, Submission, TaskStatus
from core.models.messages import JobMessage
from core.models.task import Task
from core.ports import Transaction
from core.retry import Retry
from core.state_manager import Waiting
from core.workflow import InTransaction, RunView, TaskContext
from tests.core.conftest import Orchestra, Outcome, Step, Summary


def counters(orchestra: Orchestra, job_id: str, stage: int) -> tuple[int, int, int]:
    query = "SELECT expected, completed, failed FROM app.job_stages WHERE job_id = %(job_id)s AND stage = %(stage)s"
    row = orchestra.rows(query, job_id=job_id, stage=stage)[0]
    return row["expected"], row["completed"], row["failed"]


def complete(task: Task, orchestra: Orchestra) -> bool:
    return orchestra.state.complete_task(task, lambda _tx: Outcome(index=0))


def noting(seen: list[int]) -> Callable[[Step, TaskContext], Outcome]:
    """A handler that notes each time it runs."""

    def handle(step: Step, _ctx: TaskContext) -> Outcome:
        seen.append(step.index)
        return Outcome(index=step.index)

    return handle


def away(*_: object, **__: object) -> NoReturn:
    raise Unavailable("the database is away")


def test_a_job_goes_through_its_stages_and_completes_with_its_result(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=4)
    orchestra.deliver_all()
    ended = orchestra.job(job.job_id)
    assert (ended.status, ended.result, ended.stage) == (JobStatus.COMPLETED, {"done": 4}, 3)
    assert counters(orchestra, job.job_id, 1) == counters(orchestra, job.job_id, 2) == (4, 4, 0)
    assert orchestra.released == [f"{job.job_id}:1"]


def test_the_second_stage_is_planned_from_the_results_of_the_first(orchestra: Orchestra) -> None:
    orchestra.first = lambda step, _ctx: Outcome(index=step.index * 10)
    seen: list[int] = []
    orchestra.second = noting(seen)
    orchestra.submit(n=3)
    orchestra.deliver_all()
    assert seen == [0, 10, 20]


def test_the_one_result_that_all_tasks_of_the_next_stage_ask_for_is_read_once(orchestra: Orchestra) -> None:
    """Or what is read grew with the square of the tasks, when it tells of each of them."""
    orchestra.plan_second = lambda _run: [Step(index=i) for i in range(3)]
    read: list[str] = []
    stage_results = orchestra.state.stage_results

    def noted(job_id: str, run: int, stage: int) -> list[dict[str, Any]]:
        read.append(f"{job_id}:{run}:{stage}")
        return stage_results(job_id, run, stage)

    orchestra.state.stage_results = noted  # type: ignore[method-assign]
    orchestra.second = lambda _step, ctx: ctx.result("first")
    orchestra.finalize = lambda _run: Summary(done=0)
    jobs = [orchestra.submit(n=1, key=key) for key in "ab"]
    orchestra.deliver_all()
    once = sorted(f"{job.job_id}:1:1" for job in jobs)
    assert sorted(read) == once
    # Nobody forgets jobs but who does so by hand; the same one has the same id then.
    orchestra.change("DELETE FROM app.jobs")
    orchestra.submit(n=1, key="a")
    orchestra.deliver_all()
    assert len(read) == len(once) + 1


def test_the_only_result_of_a_stage_of_several_is_an_error(orchestra: Orchestra) -> None:
    orchestra.second = lambda _step, ctx: ctx.result("first")
    job = orchestra.submit(n=2)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.FAILED


def test_tasks_are_pending_until_their_messages_are_sent_and_queued_after(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=2)
    orchestra.bus.down = 1_000
    with pytest.raises(Unavailable):
        orchestra.deliver_job()
    assert {task.status for task in orchestra.tasks(job)} == {TaskStatus.PENDING}
    orchestra.bus.down = 0
    orchestra.machine.process_job_message(JobMessage(job_id=job.job_id, run=1, stage=1))
    assert {task.status for task in orchestra.tasks(job)} == {TaskStatus.QUEUED}
    assert len(orchestra.bus.tasks) == 2


def test_a_doubled_job_message_plans_a_stage_once(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=2)
    message = orchestra.deliver_job()
    orchestra.machine.process_job_message(JobMessage.model_validate(message.body))
    assert len(orchestra.tasks(job)) == 2
    assert len(orchestra.bus.tasks) == 2


def test_a_job_message_of_another_run_or_stage_changes_nothing(orchestra: Orchestra) -> None:
    job = orchestra.submit()
    for run, stage in ((2, 1), (1, 2), (1, 3)):
        orchestra.machine.process_job_message(JobMessage(job_id=job.job_id, run=run, stage=stage))
    assert orchestra.job(job.job_id).status == JobStatus.QUEUED
    assert orchestra.tasks(job) == []


def test_a_doubled_task_message_runs_the_task_once(orchestra: Orchestra) -> None:
    runs: list[int] = []
    orchestra.first = noting(runs)
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.deliver_next()
    orchestra.deliver(message)
    orchestra.deliver(message, delivery_count=2)
    assert runs == [0]
    assert counters(orchestra, job.job_id, 1) == (1, 1, 0)


def test_another_message_for_a_task_that_is_being_processed_is_dropped(orchestra: Orchestra) -> None:
    orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks[0]
    orchestra.claim(message)
    other = message.model_copy(update={"message_id": "another"})
    assert orchestra.state.claim(other.body["task_id"], "another", redelivered=True) is None
    assert orchestra.state.claim(message.body["task_id"], message.message_id, redelivered=False) is None


def test_a_redelivered_message_takes_the_task_over_and_fences_the_first_worker_out(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks[0]
    first = orchestra.claim(message)
    second = orchestra.claim(message, redelivered=True)
    assert (first.attempt, second.attempt, second.failures) == (1, 2, 1)
    with pytest.raises(Fenced):
        complete(first, orchestra)
    with pytest.raises(Fenced):
        orchestra.state.touch(first)
    assert not orchestra.state.fail_task(first, {"code": "x", "message": "x"})
    assert complete(second, orchestra)
    assert orchestra.job(job.job_id).stage == 2


def test_a_worker_that_was_fenced_out_while_it_worked_changes_nothing(orchestra: Orchestra) -> None:
    def taken_over(step: Step, _ctx: TaskContext) -> Outcome:
        orchestra.claim(message, redelivered=True)
        return Outcome(index=step.index)

    orchestra.first = taken_over
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks[0]
    orchestra.deliver(message)
    task = orchestra.tasks(job)[0]
    assert (task.status, task.attempt, task.result) == (TaskStatus.PROCESSING, 2, None)
    assert orchestra.job(job.job_id).stage == 1


def test_the_last_of_many_tasks_that_end_at_once_advances_the_job_exactly_once(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=64)
    orchestra.deliver_job()
    claimed = [orchestra.claim(message) for message in orchestra.bus.tasks]
    with ThreadPoolExecutor(max_workers=8) as pool:
        advanced = list(pool.map(lambda task: complete(task, orchestra), claimed))
    assert advanced.count(True) == 1
    assert counters(orchestra, job.job_id, 1) == (64, 64, 0)
    assert orchestra.job(job.job_id).stage == 2


def test_a_worker_that_dies_after_the_last_task_is_made_up_for_by_the_redelivery(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks.pop()
    assert complete(orchestra.claim(message), orchestra)
    assert orchestra.bus.jobs == []
    orchestra.deliver(message, delivery_count=2)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_worker_that_dies_before_it_clears_up_is_made_up_for_by_the_redelivery(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=1)
    while orchestra.job(job.job_id).status.is_open:
        last = orchestra.deliver_next() if orchestra.bus.tasks else orchestra.deliver_job()
    assert orchestra.released.pop() == f"{job.job_id}:1"
    orchestra.bus.jobs.append(last)
    orchestra.deliver_job(delivery_count=2)
    assert orchestra.released == [f"{job.job_id}:1"]


def test_a_permanent_failure_fails_the_task_its_job_and_its_siblings_at_once(orchestra: Orchestra) -> None:
    def second_is_bad(step: Step, _ctx: TaskContext) -> Outcome:
        if step.index == 1:
            raise InvalidInput("bad_row", "row 7 is bad.", parameter="blob_name")
        return Outcome(index=step.index)

    orchestra.first = second_is_bad
    job = orchestra.submit(n=4)
    orchestra.deliver_job()
    orchestra.deliver_next()
    orchestra.deliver_next()
    ended, listed = orchestra.job(job.job_id), orchestra.tasks(job)
    assert ended.status == JobStatus.FAILED
    assert ended.error == {"code": "bad_row", "message": "row 7 is bad.", "task_id": listed[1].task_id}
    assert [task.status for task in listed] == ["completed", "failed", "failed", "failed"]
    assert [task.error["code"] for task in listed[1:] if task.error] == ["bad_row", "job_failed", "job_failed"]
    assert counters(orchestra, job.job_id, 1) == (4, 1, 3)
    assert orchestra.released == [f"{job.job_id}:1"]
    orchestra.deliver_all()
    assert orchestra.job(job.job_id) == ended


def test_a_sibling_that_still_runs_when_the_job_fails_is_fenced_out(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=2)
    orchestra.deliver_job()
    failing, running = (orchestra.claim(message) for message in orchestra.bus.tasks)
    orchestra.machine.fail_task(failing, {"code": "x", "message": "x"})
    with pytest.raises(Fenced):
        complete(running, orchestra)
    assert counters(orchestra, job.job_id, 1) == (2, 0, 2)


def test_a_passing_failure_is_tried_again_later_under_another_message_id(orchestra: Orchestra) -> None:
    failures = [Transient("try later"), Transient("try later")]

    def fails_twice(step: Step, _ctx: TaskContext) -> Outcome:
        if failures:
            raise failures.pop()
        return Outcome(index=step.index)

    orchestra.first = fails_twice
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    first = orchestra.deliver_next()
    again = orchestra.bus.tasks[0]
    assert again.message_id != first.message_id
    assert again.not_before is not None
    waits = orchestra.tasks(job)[0]
    assert (waits.status, waits.failures, waits.error) == (
        TaskStatus.QUEUED,
        1,
        {"code": "temporary_failure", "message": "try later"},
    )
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_late_mark_does_not_hide_that_a_later_message_is_unsent(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    sent = orchestra.bus.tasks.pop()
    task = orchestra.claim(sent)
    orchestra.state.retry_task(task, Retry({"code": "x", "message": "x"}, after_seconds=0))
    orchestra.state.mark_queued([Waiting(sent, task.task_id, dispatch=1)])
    assert orchestra.tasks(job)[0].status == TaskStatus.PENDING


def test_the_third_failure_is_the_last(orchestra: Orchestra) -> None:
    runs: list[int] = []

    def fails(step: Step, _ctx: TaskContext) -> Outcome:
        runs.append(step.index)
        raise Transient("never")

    orchestra.first = fails
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    assert len(runs) == 3
    ended = orchestra.job(job.job_id)
    assert ended.status == JobStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "temporary_failure"


def test_a_task_whose_worker_dies_three_times_fails_with_that_reason(orchestra: Orchestra) -> None:
    runs: list[int] = []
    orchestra.first = noting(runs)
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks.pop()
    orchestra.claim(message)
    orchestra.claim(message, redelivered=True)
    orchestra.claim(message, redelivered=True)
    orchestra.deliver(message, delivery_count=4)
    ended = orchestra.job(job.job_id)
    assert runs == []
    assert ended.status == JobStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "worker_lost"
    assert "died or timed out 3 times" in ended.error["message"]


def test_an_outage_of_the_database_counts_against_no_task(orchestra: Orchestra) -> None:
    outages = [Unavailable("away")] * 5

    def away(step: Step, _ctx: TaskContext) -> Outcome:
        if outages:
            raise outages.pop()
        return Outcome(index=step.index)

    orchestra.first = away
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
    assert orchestra.tasks(job)[0].failures == 0


def test_a_worker_that_cannot_record_its_outcome_gives_the_task_back_without_a_failure(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    orchestra.first = noting(runs)
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    with monkeypatch.context() as outage:
        for transition in ("complete_task", "retry_task"):
            outage.setattr(orchestra.state, transition, away)
        orchestra.deliver_next()
    assert orchestra.tasks(job)[0].status == TaskStatus.PROCESSING
    given_back = orchestra.bus.tasks[0]
    assert given_back.body == {"task_id": orchestra.tasks(job)[0].task_id, "released": 1, "stands_for": None}
    assert given_back.not_before is not None
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
    assert (runs, orchestra.tasks(job)[0].failures) == ([0, 0], 0)


def test_a_message_that_was_given_back_cannot_take_a_later_attempt_over(orchestra: Orchestra) -> None:
    orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks[0]
    orchestra.claim(message)
    orchestra.claim(message, redelivered=True)
    assert orchestra.state.claim(message.body["task_id"], "copy", redelivered=False, released=1) is None


def test_a_message_that_comes_while_the_database_is_away_comes_again_later(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = orchestra.submit(n=1)
    with monkeypatch.context() as outage:
        outage.setattr(orchestra.state, "get_job", away)
        orchestra.deliver_job()
    assert len(orchestra.bus.jobs) == 1
    orchestra.deliver_job()
    with monkeypatch.context() as outage:
        outage.setattr(orchestra.state, "claim", away)
        orchestra.deliver_next()
    assert len(orchestra.bus.tasks) == 1
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_claim_that_was_recorded_but_not_confirmed_is_found_again(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    claim, lost = orchestra.state.claim, [True]

    def unconfirmed(*args: Any, **kwargs: Any) -> Any:
        claimed = claim(*args, **kwargs)
        if lost and lost.pop():
            raise Unavailable("the connection broke after the commit")
        return claimed

    monkeypatch.setattr(orchestra.state, "claim", unconfirmed)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
    assert orchestra.tasks(job)[0].failures == 0


def test_a_copy_takes_over_what_the_message_it_stands_for_had_claimed(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks.pop()
    orchestra.claim(message)
    with monkeypatch.context() as outage:
        outage.setattr(orchestra.state, "claim", away)
        orchestra.deliver(message, delivery_count=2)
    assert orchestra.bus.tasks[0].body["stands_for"] == message.message_id
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_with_the_database_and_the_bus_away_the_message_goes_back_to_the_bus(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestra.submit(n=1)
    orchestra.deliver_job()
    monkeypatch.setattr(orchestra.state, "claim", away)
    orchestra.bus.down = 1
    with pytest.raises(Unavailable):
        orchestra.deliver_next()


def test_a_cancelled_job_ends_with_its_open_tasks_and_fences_the_running_one_out(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=3)
    orchestra.deliver_job()
    orchestra.deliver_next()
    running = orchestra.claim(orchestra.bus.tasks.pop(0))
    assert orchestra.machine.cancel(job)
    assert not orchestra.machine.cancel(job)
    assert orchestra.job(job.job_id).status == JobStatus.CANCELLED
    assert [task.status for task in orchestra.tasks(job)] == ["completed", "cancelled", "cancelled"]
    with pytest.raises(Fenced):
        complete(running, orchestra)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.CANCELLED
    assert orchestra.submit_told(n=3) == Submission.RESUBMITTED
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_short_outage_of_the_bus_is_waited_out(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=2)
    orchestra.bus.down = 1
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_stage_whose_messages_the_bus_refuses_for_good_fails_the_job(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=2)
    orchestra.bus.refuses_tasks = True
    orchestra.deliver_all()
    ended = orchestra.job(job.job_id)
    assert (ended.status, ended.error) == (
        JobStatus.FAILED,
        {"code": "rejected_by_service", "message": "the queue does not exist"},
    )
    assert orchestra.released == [f"{job.job_id}:1"]


def test_a_stage_without_tasks_fails_the_job(orchestra: Orchestra) -> None:
    orchestra.plan_second = lambda _run: []
    job = orchestra.submit(n=2)
    orchestra.deliver_all()
    ended = orchestra.job(job.job_id)
    assert ended.status == JobStatus.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "no_tasks"
    assert "'second'" in ended.error["message"]


def test_an_error_that_quotes_what_the_database_cannot_hold_is_kept_all_the_same(orchestra: Orchestra) -> None:
    def broken(_step: Step, _ctx: TaskContext) -> Outcome:
        raise InvalidInput("bad_cell", "cannot read 'a\x00b'", details={"cell": "a\x00b"})

    orchestra.first = broken
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    ended = orchestra.job(job.job_id)
    assert ended.error is not None
    assert ended.error["details"] == {"cell": "a\ufffdb"}


def test_a_planner_that_breaks_fails_the_job(orchestra: Orchestra) -> None:
    orchestra.plan_second = lambda _run: [Step(index=1 // 0)]
    job = orchestra.submit()
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.FAILED


def test_a_finalizer_that_breaks_fails_the_job(orchestra: Orchestra) -> None:
    def broken(_run: RunView) -> BaseModel:
        raise KeyError("x")

    orchestra.finalize = broken
    job = orchestra.submit()
    orchestra.deliver_all()
    ended = orchestra.job(job.job_id)
    assert ended.status == JobStatus.FAILED
    assert ended.error == {
        "code": "internal_error",
        "message": "KeyError in a task handler; the log has the traceback",
    }


def test_an_effect_commits_with_the_completion_of_its_task(orchestra: Orchestra) -> None:
    def insert(tx: Transaction) -> Outcome:
        tx.run("INSERT INTO app.janitor_runs (janitor) VALUES ('effect')")
        return Outcome(index=7)

    orchestra.second = lambda _step, _ctx: InTransaction(insert)
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    assert len(orchestra.rows("SELECT 1 FROM app.janitor_runs WHERE janitor = 'effect'")) == 1
    assert orchestra.tasks(job)[1].result == {"index": 7}


def test_the_effect_of_a_worker_that_was_fenced_out_never_happens(orchestra: Orchestra) -> None:
    def insert(tx: Transaction) -> Outcome:
        tx.run("INSERT INTO app.janitor_runs (janitor) VALUES ('effect')")
        return Outcome(index=7)

    orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks[0]
    first = orchestra.claim(message)
    orchestra.claim(message, redelivered=True)
    with pytest.raises(Fenced):
        orchestra.state.complete_task(first, insert)
    assert orchestra.rows("SELECT 1 FROM app.janitor_runs") == []


def test_an_effect_that_fails_leaves_the_task_to_be_judged(orchestra: Orchestra) -> None:
    def refuse(tx: Transaction) -> Outcome:
        tx.run("INSERT INTO app.janitor_runs (janitor) VALUES ('effect')")
        tx.run("SELECT 1 / 0")
        return Outcome(index=7)

    orchestra.second = lambda _step, _ctx: InTransaction(refuse)
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.FAILED
    assert orchestra.rows("SELECT 1 FROM app.janitor_runs") == []


@pytest.mark.parametrize("status", ["queued", "processing", "failed"])
def test_the_database_refuses_to_change_a_completed_job_or_task(orchestra: Orchestra, status: str) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    for table in ("jobs", "tasks"):
        change = f"UPDATE app.{table} SET status = %(status)s WHERE job_id = %(job_id)s"  # noqa: S608
        with pytest.raises(Rejected, match="it cannot become"):
            orchestra.change(change, status=status, job_id=job.job_id)


def test_no_lock_outlives_its_transaction(orchestra: Orchestra) -> None:
    orchestra.submit(n=3)
    orchestra.deliver_all()
    assert orchestra.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []


def test_a_copy_that_is_redelivered_takes_over_what_it_had_claimed_itself(orchestra: Orchestra) -> None:
    orchestra.submit(n=1)
    orchestra.deliver_job()
    message = orchestra.bus.tasks[0]
    orchestra.claim(message)
    at = {"task_id": message.body["task_id"], "message_id": "copy", "holder": message.message_id}
    assert orchestra.state.claim(**at, redelivered=True, counted=False) is not None
    again = orchestra.state.claim(**at, redelivered=True)
    assert again is not None
    assert (again.attempt, again.failures) == (3, 1)


def test_a_run_that_is_past_its_last_stage_is_left_to_complete(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=1)
    for _ in range(2):
        orchestra.deliver_job()
        orchestra.deliver_next()
    assert orchestra.job(job.job_id).stage == 3
    assert not orchestra.machine.cancel(job)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_passing_trouble_while_a_job_moves_on_does_not_fail_it(orchestra: Orchestra) -> None:
    troubles: list[Exception] = [Transient("busy"), MemoryError()]

    def finalize(_run: RunView) -> BaseModel:
        if troubles:
            raise troubles.pop()
        return Outcome(index=1)

    orchestra.finalize = finalize
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED


def test_a_retry_whose_message_could_not_be_sent_at_once_is_sent_all_the_same(orchestra: Orchestra) -> None:
    failures = [Transient("later")]

    def fails_once(step: Step, _ctx: TaskContext) -> Outcome:
        if failures:
            orchestra.bus.down = 1
            raise failures.pop()
        return Outcome(index=step.index)

    orchestra.first = fails_once
    job = orchestra.submit(n=1)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
