"""Submitting: content is identity, and nothing is written for a request that is wrong."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.errors import Conflict, InvalidInput, InvalidParameters
from core.models.enums import JobStatus, Submission
from core.models.job import Job
from core.submission import job_id_of
from tests.core.conftest import Orchestra, Params


def fail(orchestra: Orchestra, job: Job) -> None:
    orchestra.machine.fail_job(job.job_id, job.run, {"code": "x", "message": "told why"})


def test_the_same_request_is_the_same_job(orchestra: Orchestra) -> None:
    first = orchestra.submit(n=2)
    assert orchestra.submit_told(n=2) == Submission.QUEUED
    orchestra.deliver_job()
    assert orchestra.submit_told(n=2) == Submission.PROCESSING
    orchestra.deliver_all()
    told, again = orchestra.submissions.submit("steps", {"n": 2})
    assert (told, again.job_id, again.run) == (Submission.ALREADY_COMPLETED, first.job_id, 1)


def test_a_default_that_is_sent_and_one_that_is_left_out_are_the_same_job(orchestra: Orchestra) -> None:
    assert orchestra.submit().job_id == orchestra.submit(n=3).job_id


def test_other_bytes_under_the_same_name_are_another_job(orchestra: Orchestra) -> None:
    job_type = orchestra.machine.registry["steps"]
    assert job_id_of(job_type, Params(), {"etag": "1"}) != job_id_of(job_type, Params(), {"etag": "2"})


def test_the_same_request_sent_many_times_at_once_makes_one_job(orchestra: Orchestra) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        told = list(pool.map(lambda _: orchestra.submit_told(n=5), range(8)))
    assert told.count(Submission.CREATED) == 1
    assert len(orchestra.rows("SELECT 1 FROM app.jobs")) == 1
    orchestra.deliver_all()
    assert orchestra.rows("SELECT status FROM app.jobs")[0]["status"] == JobStatus.COMPLETED


def test_a_failed_job_runs_again_and_keeps_its_history(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=1)
    fail(orchestra, job)
    told, again = orchestra.submissions.submit("steps", {"n": 1})
    assert (told, again.job_id, again.run, again.error) == (Submission.RESUBMITTED, job.job_id, 2, None)
    orchestra.deliver_all()
    assert orchestra.job(job.job_id).status == JobStatus.COMPLETED
    runs = orchestra.rows("SELECT run, status, error FROM app.job_runs ORDER BY run")
    assert [(row["run"], row["status"]) for row in runs] == [(1, "failed"), (2, "completed")]
    assert runs[0]["error"]["message"] == "told why"


def test_messages_of_an_earlier_run_do_nothing_to_the_next(orchestra: Orchestra) -> None:
    job = orchestra.submit(n=1)
    orchestra.deliver_job()
    old = orchestra.bus.tasks.pop()
    fail(orchestra, job)
    orchestra.submit(n=1)
    orchestra.deliver(old)
    assert orchestra.job(job.job_id).status == JobStatus.QUEUED


def test_two_jobs_for_one_key_cannot_both_be_active(orchestra: Orchestra) -> None:
    holder = orchestra.submit(n=1, key="table geo.t")
    with pytest.raises(Conflict) as refused:
        orchestra.submit(n=2, key="table geo.t")
    assert refused.value.details == {"job_id": holder.job_id}
    orchestra.deliver_all()
    assert orchestra.submit_told(n=2, key="table geo.t") == Submission.CREATED


def test_only_one_of_many_jobs_for_one_key_wins_when_they_come_at_once(orchestra: Orchestra) -> None:
    def attempt(n: int) -> Any:
        try:
            return orchestra.submit_told(n=n, key="table geo.t")
        except Conflict as conflict:
            return conflict.code

    with ThreadPoolExecutor(max_workers=8) as pool:
        told = list(pool.map(attempt, range(1, 9)))
    assert sorted(told) == [Submission.CREATED] + ["table_busy"] * 7


def test_a_submission_while_the_bus_is_away_is_written_down(orchestra: Orchestra) -> None:
    orchestra.bus.down = 1
    job = orchestra.submit()
    assert orchestra.job(job.job_id).status == JobStatus.QUEUED
    assert orchestra.bus.jobs == []


def test_an_unknown_job_type_names_those_there_are(orchestra: Orchestra) -> None:
    with pytest.raises(InvalidInput, match="Use one of: steps") as refused:
        orchestra.submissions.submit("process_raster", {})
    assert refused.value.parameter == "job_type"


def test_wrong_parameters_are_all_named_and_nothing_is_written(orchestra: Orchestra) -> None:
    with pytest.raises(InvalidParameters) as refused:
        orchestra.submissions.submit("steps", {"n": "many", "key": 5})
    assert [error["parameter"] for error in refused.value.errors] == ["n", "key"]
    assert orchestra.rows("SELECT 1 FROM app.jobs") == []
    assert orchestra.bus.jobs == []
