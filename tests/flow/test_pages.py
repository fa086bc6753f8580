"""The pages' files over HTTP: what is served, to whom, and what never is."""

import gzip
import re

import httpx
import pytest

from tests.flow.flow import Flow, problem

VENDORED = "static/vendor/maplibre-gl-6.17.0/maplibre-gl.css"


def policy(answer: httpx.Response) -> dict[str, list[str]]:
    parts = (part.split() for part in answer.headers["content-security-policy"].split(";"))
    return {name: values for name, *values in parts}


@pytest.mark.parametrize("path", ["ui", "ui/jobs", "ui/jobs/0123", "ui/no/such/page", "map/geo.nothing"])
def test_a_page_is_there_for_everybody_and_may_load_from_the_app_alone(flow: Flow, path: str) -> None:
    answer = flow.stranger.get(f"/api/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    allowed = policy(answer)
    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == allowed["connect-src"] == allowed["style-src"] == ["'self'"]
    assert "http" not in answer.text.lower().replace("http://www.w3.org", "")
    assert "<script>" not in answer.text
    assert " style=" not in answer.text


@pytest.mark.parametrize(
    "path", ["ui", "ui/", "ui/jobs", "ui/jobs/", "ui/jobs/0123", "map/geo.nothing", "map/geo.nothing/"]
)
def test_what_a_page_names_is_there_wherever_the_page_is(flow: Flow, path: str) -> None:
    answer = flow.stranger.get(f"/api/{path}")
    [base] = re.findall(r'<base href="([^"]+)">', answer.text)
    named = re.findall(r'(?:src|href)="(static/[^"]+)"', answer.text)
    assert len(named) >= 3
    for name in named:
        found = flow.stranger.get(answer.url.join(base).join(name))
        assert found.status_code == 200, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("static/style.css", "text/css"),
        ("static/dashboard.js", "text/javascript"),
        ("static/icon.svg", "image/svg+xml"),
        ("static/remedies.json", "application/json"),
        ("static/vendor/maplibre-gl-6.17.0/maplibre-gl.mjs", "text/javascript"),
    ],
)
def test_a_file_has_its_type_and_is_not_sent_twice(flow: Flow, name: str, kind: str) -> None:
    answer = flow.stranger.get(f"/api/{name}")
    assert answer.headers["content-type"].split(";")[0] == kind
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = flow.stranger.get(f"/api/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = flow.stranger.get(f"/api/{name}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content
    assert plain.headers["etag"] != answer.headers["etag"]


def test_what_never_changes_is_kept_and_the_rest_asked_for_again(flow: Flow) -> None:
    assert "immutable" in flow.stranger.get(f"/api/{VENDORED}").headers["cache-control"]
    assert flow.stranger.get("/api/static/style.css").headers["cache-control"] == "no-cache"


def test_the_largest_file_comes_compressed(flow: Flow) -> None:
    with flow.stranger.stream("GET", "/api/static/vendor/maplibre-gl-6.17.0/maplibre-gl.mjs") as answer:
        raw = b"".join(answer.iter_raw())
    assert len(raw) < 400_000 < len(gzip.decompress(raw))


@pytest.mark.parametrize(
    "path",
    [
        *("static", "static/", "static/nothing.js", "static/vendor", "static/../ui.html", "static/%2e%2e/ui.html"),
        *(
            "static/..%2fui.html",
            "static/..%2f..%2fhost.json",
            "static/%2e%2e%2f%2e%2e%2ffunction_app.py",
            "static//etc/passwd",
        ),
        *(
            "static/..%5c..%5chost.json",
            "static/vendor/htm-3.1.1/LICENSE",
            "static/style.css%00.js",
        ),
    ],
)
def test_nothing_else_is_served(flow: Flow, path: str) -> None:
    """As it is: a client would clean such a path up."""
    request = flow.stranger.build_request("GET", "/api/x")
    request.url = httpx.URL(f"{flow.base_url}/api/x").copy_with(raw_path=f"/api/{path}".encode())
    answer = flow.stranger.send(request)
    assert answer.status_code == 404, answer.text
    if answer.content:
        problem(answer, 404, "file_not_found")
