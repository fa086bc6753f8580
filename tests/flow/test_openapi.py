"""The OpenAPI document: complete, valid, and kept to by the app, whatever it is sent."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

from tests.conftest import ROOT, RunningApp
from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv

HERE = Path(__file__).parent
PLACE = {"lat_name": "lat", "lon_name": "lon"}
# A wrong method is not found, on Azure too; and what a request asks for need not be there.
NOT_CHECKED = "unsupported_method,positive_data_acceptance"


@pytest.fixture(scope="module")
def document(session_flow: Flow) -> Json:
    answer = session_flow.http.get("/api/openapi.json")
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


@pytest.fixture(scope="module")
def routes(app: RunningApp) -> list[tuple[str, str, bool]]:
    """Method, route and whether it is anonymous, as the Function App registers them."""
    python = [sys.executable, "-m", "tests.flow.registered_routes"]
    environment = os.environ | app.stack.app.environment()
    told = subprocess.run(python, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    return [(method, route, anonymous) for method, route, anonymous in json.loads(told)]


def operations(document: Json) -> list[tuple[str, str, Json]]:
    return [(path, method, told) for path, item in document["paths"].items() for method, told in item.items()]


def path_of(route: str) -> str:
    return "/" + route.replace("{*", "{")


def covers(route: str, path: str) -> bool:
    """The path is the route's own, or each of its parameters has a value of the same place."""
    own = path_of(route)
    values = re.sub(r"\\{\w+\\}", "[a-z_]+", re.escape(own))
    return path == own or re.fullmatch(values, path) is not None


def test_every_endpoint_is_described(document: Json, routes: list[tuple[str, str, bool]]) -> None:
    described = [(path, method.upper()) for path, method, _ in operations(document)]
    services = [tag["externalDocs"]["url"] for tag in document["tags"] if "externalDocs" in tag]
    undescribed = [
        f"{method} {route}"
        for method, route, _ in routes
        if not any(method == known and covers(route, path) for path, known in described)
        and not ("{*" in route and any(f"/{route.split('{')[0]}" in url for url in services))
    ]
    assert len(routes) > 20
    assert undescribed == [], "declare them with triggers.endpoint.endpoint"


def test_nothing_else_is_described(document: Json, routes: list[tuple[str, str, bool]]) -> None:
    known = [(method, route) for method, route, _ in routes]
    assert all(
        any(method == verb.upper() and covers(route, path) for method, route in known)
        for path, verb, _ in operations(document)
    )


def test_who_needs_a_key_is_told(document: Json, routes: list[tuple[str, str, bool]]) -> None:
    for path, verb, told in operations(document):
        [open_to_all] = {
            open_ for method, route, open_ in routes if method == verb.upper() and path_of(route) == path
        } or {False}
        assert (told.get("security") == []) == open_to_all, path
        assert ("401" in told["responses"]) != open_to_all, path


def test_it_is_openapi_3_1(document: Json) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "/api"}]
    assert all(told["summary"] and told["tags"] for _, _, told in operations(document))


def test_each_body_has_examples_that_fit(document: Json) -> None:
    bodies = [
        content["schema"]
        for _, _, told in operations(document)
        for kind, content in told.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json"
    ]
    assert bodies
    for body in bodies:
        schema = {**body, "components": document["components"]}
        examples = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]["examples"]
        assert examples
        for example in examples:
            jsonschema.validate(example, schema, cls=jsonschema.Draft202012Validator)


def test_every_code_it_names_is_documented(document: Json) -> None:
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs/errors.md").read_text()))
    told = json.dumps([told["responses"] for _, _, told in operations(document)])
    codes = {code for listed in re.findall(r'"code": {"enum": (\[.*?\])}', told) for code in json.loads(listed)}
    assert {"job_not_found", "table_exists", "table_busy"} <= codes <= documented


def test_the_key_may_stand_in_the_query(flow: Flow) -> None:
    assert flow.stranger.get("/api/openapi.json", params={"code": flow.key}).status_code == 200
    assert flow.stranger.get("/api/openapi.json").status_code == 401


# What real jobs are answered with


def fits(document: Json, path: str, method: str, answer: httpx.Response) -> None:
    told = document["paths"][path][method]["responses"][str(answer.status_code)]
    kind = answer.headers["content-type"].split(";")[0]
    schema = {**told["content"][kind]["schema"], "components": document["components"]}
    jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)
    assert set(told.get("headers", ())) - {"Retry-After", "Link"} <= {name.title() for name in answer.headers}


def test_the_answers_about_a_loaded_table_fit(flow: Flow, document: Json, table: str) -> None:
    rows = [*(f"{n},{n % 80},3" for n in range(60)), "60,nowhere,3"]
    request = {"blob_name": flow.put(csv("n,lat,lon", *rows), "points.csv"), "table_name": table, **PLACE}
    inspected = flow.http.post("/api/jobs/inspect/process_vector", json=request)
    fits(document, "/jobs/inspect/process_vector", "post", inspected)
    submitted = flow.post(request)
    fits(document, "/jobs/submit/process_vector", "post", submitted)
    job_id = submitted.json()["job_id"]
    flow.completed(job_id)
    fits(document, "/jobs/submit/process_vector", "post", flow.post(request))
    for path in ("status/{job_id}", "status/{job_id}?verbose=true", "rejects/{job_id}", "diagnosis/{job_id}"):
        answer = flow.http.get(f"/api/jobs/{path.format(job_id=job_id)}")
        fits(document, f"/jobs/{path.split('?')[0]}", "get", answer)
    for path in ("/jobs", "/cleanup/history", "/cleanup/status", "/health", "/processes/jobs"):
        fits(document, path, "get", flow.http.get(f"/api{path}"))
    for path in ("/jobs/{job_id}", "/jobs/{job_id}/results"):
        fits(document, path, "get", flow.http.get(f"/api{path.format(job_id=job_id)}"))


def test_the_answers_about_a_failed_job_fit(flow: Flow, document: Json, table: str) -> None:
    job_id = flow.submit(flow.put(b"name,lat,lon\n", "header.csv"), table, **PLACE)
    flow.failed(job_id)
    for path in ("/jobs/status/{job_id}", "/jobs/{job_id}", "/jobs/{job_id}/results"):
        fits(document, path, "get", flow.http.get(f"/api{path.format(job_id=job_id)}"))


@pytest.mark.parametrize("given", [{"failure_rate": False}, {"n": "3"}, {"n": True}, {"n": 1.5}, {"message": 7}])
def test_a_value_of_another_type_is_refused(flow: Flow, given: dict[str, Any]) -> None:
    with flow.nothing_accepted():
        told = problem(flow.post(given, "hello_world"), 400, "invalid_parameters")
    assert [error["parameter"] for error in told["errors"]] == list(given)


def test_whatever_is_sent_is_answered_as_described(app: RunningApp, tmp_path: Path) -> None:
    """Examples, edge cases of every schema, and random data, valid and not: the same each time."""
    schemathesis = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{app.base_url}/api/openapi.json", "--header", f"x-functions-key: {app.key}"),
        *("--exclude-checks", NOT_CHECKED, "--phases", "examples,coverage,fuzzing", "--max-examples", "10"),
        *("--generation-deterministic", "--workers", "2", "--continue-on-failure", "--warnings", "off", "--no-color"),
    ]
    told = subprocess.run(schemathesis, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    tested = re.search(r"(\d+) generated", told.stdout)
    assert tested
    assert int(tested[1]) > 500
