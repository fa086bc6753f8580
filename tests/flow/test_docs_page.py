"""The page that shows the API: without a key, without data, and from nowhere else."""

import re

from tests.flow.flow import Flow, problem


def test_the_page_and_its_parts_need_no_key(flow: Flow) -> None:
    page = flow.stranger.get("/api/docs")
    assert page.headers["content-type"].startswith("text/html")
    parts = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(parts) == 4
    for part in parts:
        answer = flow.stranger.get(f"/api/{part}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/css" if part.endswith("css") else "text/javascript")


def test_it_holds_no_key_and_loads_nothing_from_elsewhere(flow: Flow) -> None:
    page = flow.http.get("/api/docs")
    assert flow.key not in page.text
    assert "://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "://" not in flow.stranger.get("/api/docs/docs.js").text


def test_it_gives_no_other_files(flow: Flow) -> None:
    for name in ("index.html", "LICENSE", "..%2fdocs.py", "nothing.js"):
        problem(flow.stranger.get(f"/api/docs/{name}"), 404, "not_found")
