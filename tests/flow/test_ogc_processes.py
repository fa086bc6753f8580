"""OGC API - Processes, through a client made from the standard's own description, which checks what it is answered."""

from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from ogc_api_processes_client.api_client_wrapper import ApiClientWrapper
from ogc_api_processes_client.configuration import Configuration
from ogc_api_processes_client.models.job_list import JobList
from ogc_api_processes_client.models.landing_page import LandingPage
from ogc_api_processes_client.models.status_code import StatusCode
from ogc_api_processes_client.models.status_info import StatusInfo

from tests.flow.flow import Flow, Json, eventually, problem
from tests.flow.sources import csv

EXCEPTION = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
REL = "http://www.opengis.net/def/rel/ogc/1.0"
PLACE = {"lat_name": "lat", "lon_name": "lon"}
# The schema of an input or output: OGC 18-062r2 takes the words of OpenAPI 3.0 only.
WORDS = {
    *("title", "description", "type", "enum", "default", "example", "format", "nullable", "pattern", "required"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "items", "properties"),
    *("additionalProperties", "allOf", "anyOf", "oneOf", "not", "readOnly", "writeOnly", "deprecated"),
}


@pytest.fixture
def client(flow: Flow) -> ApiClientWrapper:
    return ApiClientWrapper(Configuration(host=f"{flow.base_url}/api"), "x-functions-key", flow.key)


def greeting(flow: Flow, **inputs: Any) -> str:
    """Execute a greeting that was never asked for before. Returns the URL of its job."""
    request = {"inputs": {"message": f"ogc {datetime.now(UTC)}", "n": 1} | inputs}
    answer = flow.http.post("/api/processes/hello_world/execution", json=request)
    assert answer.status_code == 201, answer.text
    assert StatusInfo.model_validate(answer.json()).job_id in answer.headers["location"]
    return str(answer.headers["location"])


def info(flow: Flow, url: str) -> Json:
    """The job's status, having made sure that it is one of the standard."""
    answer = flow.http.get(url)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    assert StatusInfo.model_validate(told).type == "process"
    assert None not in told.values()
    return told


def ended(flow: Flow, url: str) -> Json:
    eventually(lambda: info(flow, url)["status"] not in ("accepted", "running"), "the job hangs", patience=60)
    return info(flow, url)


def link(told: Json, rel: str) -> str:
    [found] = [link["href"] for link in told["links"] if link["rel"] == rel]
    return str(found)


def test_a_client_of_the_standard_loads_a_table(flow: Flow, client: ApiClientWrapper, table: str) -> None:
    blob = flow.put(csv("n,lat,lon", "1,2,3", "2,4,5"), "points.csv")
    assert "process_vector" in [process.id for process in client.get_processes().processes]
    taken = client.get_process_description("process_vector").inputs or {}
    assert (taken["table_name"].min_occurs, taken["file_extension"].min_occurs) == (1, 0)
    inputs = {"blob_name": blob, "table_name": table, "indexes": {"value": {"attributes": ["n"]}}, **PLACE}
    headers = {"x-functions-key": flow.key, "Content-Type": "application/json"}
    job = client.execute_simple("process_vector", {"inputs": inputs}, _headers=headers)
    assert (job.process_id, job.status) == ("process_vector", StatusCode.ACCEPTED)
    flow.completed(job.job_id)
    status = client.get_status(job.job_id)
    assert (status.status, status.progress) == (StatusCode.SUCCESSFUL, 100)
    assert len(flow.rows(table)) == 2
    result = flow.http.get(f"/api/jobs/{job.job_id}/results").json()["result"]
    assert result["mediaType"] == "application/json"
    assert result["value"]["rows"]["loaded"] == 2
    assert len(result["value"]["table"]["indexes"]) > 1


def test_what_a_process_says_it_takes_and_gives_is_true(flow: Flow) -> None:
    process = flow.http.get("/api/processes/process_vector").json()
    for described in [*process["inputs"].values(), *process["outputs"].values()]:
        assert words_of(described["schema"]) <= WORDS
    url = greeting(flow)
    ended(flow, url)
    [output] = flow.http.get("/api/processes/hello_world").json()["outputs"].values()
    jsonschema.validate(flow.http.get(f"{url}/results").json()["result"]["value"], output["schema"])


def words_of(schema: Json) -> set[str]:
    """All keywords of a schema, those of the schemas in it too."""
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    return set(schema).union(*map(words_of, inner))


def test_every_link_leads_somewhere(flow: Flow) -> None:
    ended(flow, greeting(flow))
    wanted, seen = [f"{flow.base_url}/api/processes", f"{flow.base_url}/api/conformance"], set[str]()
    while wanted:
        url = wanted.pop()
        seen.add(url)
        answer = flow.http.get(url)
        assert answer.status_code == 200, url
        if answer.headers["content-type"] == "application/json" and not {"status", "openapi.json"} & set(
            url.split("/")
        ):
            wanted += [href for href in links_in(answer.json()) if href not in seen]
    assert {url.rsplit("/", 1)[-1] for url in seen} >= {"processes", "docs", "openapi.json", "conformance", "results"}


def links_in(told: Any) -> list[str]:
    if isinstance(told, list):
        return [href for value in told for href in links_in(value)]
    if not isinstance(told, dict):
        return []
    own = [told["href"]] if "href" in told and told["rel"] != f"{REL}/execute" else []
    return own + [href for value in told.values() for href in links_in(value)]


def test_the_landing_page_leads_to_everything(flow: Flow, client: ApiClientWrapper) -> None:
    landing = flow.http.get("/api/processes").json()
    assert LandingPage.model_validate(landing).title
    for rel in ("self", "service-desc", "service-doc", "conformance", f"{REL}/processes", f"{REL}/job-list"):
        assert link(landing, rel)
    classes = client.get_conformance_classes().conforms_to
    assert "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core" in classes


def test_processes_and_jobs_can_be_paged_through(flow: Flow) -> None:
    made = [greeting(flow) for _ in range(3)]
    processes, url = [], f"{flow.base_url}/api/processes?limit=1"
    while url:
        page = flow.http.get(url).json()
        processes += [process["id"] for process in page["processes"]]
        url = next((found["href"] for found in page["links"] if found["rel"] == "next"), "")
    assert processes == ["hello_world", "process_vector", "unpublish_vector"]
    first = flow.http.get("/api/processes/jobs?limit=2&processID=hello_world").json()
    second = flow.http.get(link(first, "next")).json()
    assert all(JobList.model_validate(page).jobs for page in (first, second))
    newest = [job["jobID"] for page in (first, second) for job in page["jobs"]][:3]
    assert newest == [url.rsplit("/", 1)[-1] for url in reversed(made)]
    for each in made:
        ended(flow, each)
    assert {job["status"] for job in flow.http.get("/api/processes/jobs?status=successful").json()["jobs"]} == {
        "successful"
    }


def test_a_job_is_dismissed(flow: Flow, client: ApiClientWrapper) -> None:
    with flow.standing_still():
        url = greeting(flow, n=3)
        early = flow.http.get(f"{url}/results")
    assert problem(early, 404, "result_not_ready")["type"] == f"{EXCEPTION}/result-not-ready"
    ended(flow, url)
    url = greeting(flow, n=1000)
    assert client.dismiss(url.rsplit("/", 1)[-1]).status == StatusCode.DISMISSED
    assert flow.http.delete(url).json()["status"] == "dismissed"
    assert info(flow, url)["status"] == "dismissed"
    problem(flow.http.get(f"{url}/results"), 404, "no_results")


def test_a_job_that_has_ended_cannot_be_dismissed(flow: Flow) -> None:
    url = greeting(flow)
    ended(flow, url)
    problem(flow.http.delete(url), 409, "job_has_ended")


def test_a_failed_job_answers_with_its_error(flow: Flow, table: str) -> None:
    inputs = {"blob_name": flow.put(b"name,lat,lon\n", "header.csv"), "table_name": table, **PLACE}
    answer = flow.http.post("/api/processes/process_vector/execution", json={"inputs": inputs})
    told = ended(flow, answer.headers["location"])
    assert (told["status"], bool(told["message"])) == ("failed", True)
    problem(flow.http.get(f"{answer.headers['location']}/results"), 400, "no_features")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("job_id", ["0" * 64, "nothing"])
def test_an_unknown_job_is_no_such_job(flow: Flow, method: str, job_id: str) -> None:
    told = problem(flow.http.request(method, f"/api/jobs/{job_id}"), 404, "job_not_found")
    assert told["type"] == f"{EXCEPTION}/no-such-job"


@pytest.mark.parametrize(("method", "path"), [("GET", "raster"), ("POST", "raster/execution")])
def test_an_unknown_process_is_no_such_process(flow: Flow, method: str, path: str) -> None:
    told = problem(flow.http.request(method, f"/api/processes/{path}"), 404, "process_not_found")
    assert told["type"] == f"{EXCEPTION}/no-such-process"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"inputs": {"n": 0}}, "invalid_parameters"),
        ({"inputs": {"unknown": 1}}, "invalid_parameters"),
        ({"inputs": []}, "invalid_parameters"),
        ({"inputs": {}, "outputs": {"other": {}}}, "invalid_parameters"),
        ({"inputs": {}, "response": "raw"}, "invalid_parameters"),
        ({"inputs": {"message": {"href": "https://example.org/x"}}}, "invalid_parameter"),
    ],
)
def test_a_request_that_cannot_be_is_refused(flow: Flow, request_: Json, code: str) -> None:
    with flow.nothing_accepted():
        problem(flow.http.post("/api/processes/hello_world/execution", json=request_), 400, code)


def test_a_client_that_prefers_to_wait_for_nothing_is_told_so(flow: Flow) -> None:
    answer = flow.http.post("/api/processes/hello_world/execution", headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (201, "respond-async")
    ended(flow, answer.headers["location"])
