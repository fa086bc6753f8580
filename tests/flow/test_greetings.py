"""hello_world: the orchestration alone, with its progress and its failures."""

from tests.flow.flow import Flow, Json

COUNTED = ("completed", "failed", "processing", "queued", "pending")


def assert_adds_up(job: Json, n: int) -> None:
    """Every task of a started stage is in exactly one state."""
    for stage in job["progress"]["stages"].values():
        assert stage["total"] == n
        assert sum(stage[state] for state in COUNTED) == n, stage


def test_fifty_greetings_get_fifty_replies(flow: Flow) -> None:
    job_id = flow.hello(n=50, message="Grüß Gott")
    states = list(flow.states(job_id))
    for job in states:
        assert_adds_up(job, 50)
    percents = [job["progress"]["percent"] for job in states]
    assert percents == sorted(percents)
    job = states[-1]
    assert job["status"] == "completed"
    assert job["result_data"] == {
        "greetings": 50,
        "replies": 50,
        "first_reply": "Reply to: Grüß Gott from task 0",
    }
    assert (job["stage"], job["stage_name"], job["total_stages"]) == (2, "replies", 2)
    assert percents[-1] == 100
    assert [stage["completed"] for stage in job["progress"]["stages"].values()] == [50, 50]
    assert job["progress"]["summary"] == "replies: 50 of 50 tasks"


def test_progress_is_told_while_the_job_runs(flow: Flow) -> None:
    job_id = flow.hello(n=300, message="slowly")
    running = [job for job in flow.states(job_id) if job["status"] == "processing" and job["progress"]["stages"]]
    assert any(0 < job["progress"]["percent"] < 100 for job in running)
    assert flow.completed(job_id)["result_data"]["replies"] == 300


def test_greetings_that_fail_now_and_then_are_tried_again(strict_flow: Flow) -> None:
    """Ten attempts each: that one of fifty fails every time happens once in 200,000 runs."""
    flow = strict_flow
    job_id = flow.hello(n=50, failure_rate=0.2)
    job = flow.completed(job_id)
    assert job["result_data"]["replies"] == 50
    tasks = [task for task in flow.status(job_id, verbose="true")["tasks"] if task["stage"] == 1]
    assert sum(task["failures"] for task in tasks) > 0
    assert all(task["attempt"] == task["failures"] + 1 for task in tasks)
    assert all(task["error"] is None for task in tasks)


def test_a_greeting_that_always_fails_fails_the_job_and_all_its_tasks(flow: Flow) -> None:
    job_id = flow.hello(n=20, failure_rate=1, message="never")
    error = flow.failed(job_id)
    assert error["code"] == "simulated_failure"
    told = flow.status(job_id, verbose="true")
    assert_adds_up(told, 20)
    assert told["progress"]["stages"]["1"]["failed"] == 20
    assert list(told["progress"]["stages"]) == ["1"]
    assert (told["stage"], told["result_data"]) == (1, None)
    assert {task["status"] for task in told["tasks"]} == {"failed"}
    culprit = next(task for task in told["tasks"] if task["task_id"] == error["task_id"])
    assert culprit["failures"] == 3
    assert culprit["error"]["code"] == "simulated_failure"


def test_a_thousand_greetings_are_the_most(flow: Flow) -> None:
    job_id = flow.hello(n=1000, message="crowd")
    assert flow.completed(job_id)["result_data"]["greetings"] == 1000
    assert len(flow.status(job_id, verbose="true")["tasks"]) == 1000
