"""The HTTP surface: who may call it, what it answers, and where its links lead."""

from datetime import datetime
from urllib.parse import quote

import pytest

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv

PLACE = {"lat_name": "lat", "lon_name": "lon"}
GUARDED = [
    ("GET", "readyz"),
    ("GET", "health"),
    ("GET", "jobs"),
    ("GET", f"jobs/status/{'0' * 64}"),
    ("POST", "jobs/submit/hello_world"),
]


def test_livez_needs_no_key(flow: Flow) -> None:
    answer = flow.stranger.get("/api/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("key", [None, "wrong"])
def test_everything_else_does(flow: Flow, method: str, path: str, key: str | None) -> None:
    headers = {"x-functions-key": key} if key else {}
    with flow.nothing_accepted():
        assert flow.stranger.request(method, f"/api/{path}", headers=headers).status_code == 401


def test_the_app_is_ready(flow: Flow) -> None:
    answer = flow.http.get("/api/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


def test_health_names_every_part_with_its_version(flow: Flow) -> None:
    answer = flow.http.get("/api/health")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["status"] == "ok"
    assert {name: part["status"] for name, part in told["parts"].items()} == dict.fromkeys(
        ("database", "service_bus", "bronze", "silver", "notifications"), "ok"
    )
    versions = flow.one("SELECT current_setting('server_version') AS postgres, postgis_lib_version() AS postgis")
    assert told["parts"]["database"]["postgres"] == versions["postgres"]
    assert told["parts"]["database"]["postgis"] == versions["postgis"]
    assert told["parts"]["database"]["pgstac"]
    assert flow.key not in answer.text


def test_a_submission_is_answered_with_links_that_work(flow: Flow, table: str) -> None:
    blob = flow.put(csv("n,lat,lon", "1,2,3"), "points.csv")
    answer = flow.post({"blob_name": blob, "table_name": table, **PLACE})
    assert answer.status_code == 202
    told = answer.json()
    assert set(told) >= {"job_id", "job_type", "status", "message", "parameters", "links"}
    assert (told["job_type"], told["status"]) == ("process_vector", "created")
    assert told["parameters"]["file_extension"] == "csv"
    assert answer.headers["location"] == told["links"]["status"]
    assert int(answer.headers["retry-after"]) > 0
    assert flow.http.get(told["links"]["status"]).json()["job_id"] == told["job_id"]
    flow.completed(told["job_id"])


def test_the_status_tells_everything_of_a_job(flow: Flow, table: str) -> None:
    blob = flow.put(csv("n,lat,lon", *(f"{n},2,3" for n in range(250))), "points.csv")
    job = flow.completed(flow.submit(blob, table, chunk_size=100, **PLACE))
    assert set(job) >= {
        *("job_id", "job_type", "status", "stage", "stage_name", "total_stages", "run", "progress", "parameters"),
        *("result_data", "error", "created_at", "updated_at", "finished_at"),
    }
    assert "tasks" not in job
    stages = job["progress"]["stages"]
    assert [stages[number]["name"] for number in ("1", "2", "3")] == ["prepare_chunks", "upload_chunks", "create_stac"]
    assert [stages[number]["total"] for number in ("1", "2", "3")] == [1, 3, 1]
    assert (job["progress"]["rows_loaded"], job["progress"]["rows_total"]) == (250, 250)
    began = [datetime.fromisoformat(stages[number]["started_at"]) for number in ("1", "2", "3")]
    ended = [datetime.fromisoformat(stages[number]["updated_at"]) for number in ("1", "2", "3")]
    assert began[0] <= ended[0] <= began[1] <= ended[1] <= began[2] <= ended[2]
    assert (job["stage"], job["total_stages"], job["error"]) == (3, 3, None)
    moments = [datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at", "updated_at")]
    assert all(moment.tzinfo for moment in moments)
    assert moments[0] <= moments[1] <= moments[2]


def test_verbose_lists_the_tasks_with_their_results(flow: Flow) -> None:
    job_id = flow.hello(n=3, message="verbose")
    flow.completed(job_id)
    told = flow.status(job_id, verbose="true")
    assert [(task["stage"], task["task_index"]) for task in told["tasks"]] == [(s, i) for s in (1, 2) for i in range(3)]
    assert told["tasks"][4]["result"] == {"reply": "Reply to: verbose from task 1"}
    assert [run["status"] for run in told["runs"]] == ["completed"]


@pytest.mark.parametrize("job_id", ["0" * 64, "nothing", "0" * 63, "\0", "é", "A" * 64, "a" * 5000])
def test_a_job_that_does_not_exist_is_not_found(flow: Flow, job_id: str) -> None:
    problem(flow.http.get(f"/api/jobs/status/{quote(job_id)}"), 404, "job_not_found")


def test_a_database_password_is_in_no_answer(flow: Flow, table: str) -> None:
    password = flow.database_url.split("@")[0].rsplit(":", 1)[1]
    job_id = flow.submit(flow.put(b"name,lat,lon\n", "header.csv"), table, **PLACE)
    flow.failed(job_id)
    for path in ("health", "jobs", f"jobs/status/{job_id}?verbose=true"):
        assert password not in flow.http.get(f"/api/{path}").text


# The list


def pages(flow: Flow, **query: str) -> list[list[Json]]:
    """The list, page by page, up to its end."""
    found, after = [], None
    while True:
        answer = flow.http.get("/api/jobs", params=query | ({"after": after} if after else {}))
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["jobs"])
        after = answer.json()["next"]
        if after is None:
            return found


def test_the_list_of_jobs_can_be_paged_through_and_filtered(clean_flow: Flow, table: str) -> None:
    flow = clean_flow
    greetings = [flow.hello(n=1, message=str(number)) for number in range(7)]
    failing = flow.submit(flow.put(b"name,lat,lon\n", "header.csv"), table, **PLACE)
    for job_id in greetings:
        flow.completed(job_id)
    flow.failed(failing)
    newest_first = [failing, *reversed(greetings)]
    found = pages(flow, limit="3")
    assert [len(page) for page in found] == [3, 3, 2]
    assert [job["job_id"] for page in found for job in page] == newest_first
    assert [job["job_id"] for [job] in pages(flow, limit="1")] == newest_first
    assert [job["job_id"] for page in pages(flow) for job in page] == newest_first
    assert [job["job_id"] for page in pages(flow, status="failed") for job in page] == [failing]
    assert [len(page) for page in pages(flow, status="completed", limit="4")] == [4, 3]
    assert [job["job_id"] for page in pages(flow, job_type="process_vector") for job in page] == [failing]
    assert [len(page) for page in pages(flow, job_type="hello_world")] == [7]
    assert pages(flow, status="queued") == [[]]


def test_the_list_tells_how_far_open_jobs_are(clean_flow: Flow) -> None:
    flow = clean_flow
    ended = flow.hello(n=1, message="has ended")
    flow.completed(ended)
    with flow.standing_still():
        waiting = flow.hello(n=2, message="waiting")
        again = flow.hello(n=3, message="as well")
        listed = {job["job_id"]: job["progress"] for page in pages(flow) for job in page}
    assert listed[ended] is None
    for job_id in (waiting, again):
        assert (listed[job_id]["percent"], listed[job_id]["summary"]) == (0.0, "waiting for its first stage")
        flow.completed(job_id)


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=many",
            "limit=1.5",
            "limit=²",
            "status=done",
            "after=x",
            "after=é",
        ),
        *(
            "after=bnVsbA==",
            "after=WzEsMl0=",
            "after=WyIyMDI0LTAxLTAxIiwgIlx1MDAwMCJd",
            "job_type=%00",
            "job_type=raster",
        ),
    ],
)
def test_a_list_that_cannot_be_is_refused(flow: Flow, query: str) -> None:
    answer = flow.http.get(f"/api/jobs?{query}")
    assert answer.status_code == 400, answer.text
    problem(answer, 400, answer.json()["code"])
