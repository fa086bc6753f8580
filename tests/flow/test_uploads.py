"""A file comes into the bronze zone without rights on the storage account."""

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv

POINTS = csv("name,lat,lon", "a,1,2", "b,3,4")
PLACE = {"lat_name": "lat", "lon_name": "lon"}
BLOB = {"x-ms-blob-type": "BlockBlob"}


def new_upload(flow: Flow, name: str = "points.csv", **more: int) -> Json:
    answer = flow.http.post("/api/uploads", json={"file_name": name, **more})
    assert answer.status_code == 201, answer.text
    told: Json = answer.json()
    return told


def put_block(flow: Flow, upload: Json, number: int, content: bytes) -> httpx.Response:
    return flow.http.put(upload["blocks"]["url"].replace("{number}", str(number)), content=content)


def finish(flow: Flow, upload: Json, blocks: int, size: int) -> httpx.Response:
    return flow.http.post(upload["finish"]["url"], json={"blocks": blocks, "size": size})


def stored(flow: Flow, upload: Json) -> bytes:
    return flow.blobs.get_blob_client("bronze", upload["blob_name"]).download_blob().readall()


def test_a_file_is_put_with_the_signed_url_and_loaded(flow: Flow, table: str) -> None:
    upload = new_upload(flow, size=len(POINTS))
    put = httpx.put(upload["put"]["url"], headers=upload["put"]["headers"], content=POINTS, trust_env=False)
    assert put.status_code == 201, put.text
    assert flow.completed(flow.submit(upload["blob_name"], table, **PLACE))["result_data"]["rows"]["loaded"] == 2


def test_the_signed_url_writes_this_blob_and_does_nothing_else(flow: Flow) -> None:
    upload, other = new_upload(flow), new_upload(flow)
    url = upload["put"]["url"]
    with httpx.Client(trust_env=False) as stranger:
        assert stranger.put(url, headers=BLOB, content=POINTS).status_code == 201
        assert stranger.get(url).status_code == 403
        assert stranger.delete(url).status_code == 403
        elsewhere = url.replace(upload["upload_id"], other["upload_id"])
        assert stranger.put(elsewhere, headers=BLOB, content=POINTS).status_code == 403
        assert stranger.get(f"{url}&restype=container&comp=list").status_code == 403


def test_the_signed_url_ends_within_the_hour(flow: Flow) -> None:
    upload = new_upload(flow)
    until = datetime.fromisoformat(upload["expires_at"])
    assert timedelta(minutes=55) < until - datetime.now(UTC) <= timedelta(minutes=60)
    assert f"se={until:%Y-%m-%dT%H%%3A%M%%3A%SZ}" in upload["put"]["url"]


def test_a_small_file_is_the_body_itself(flow: Flow, table: str) -> None:
    answer = flow.http.post("/api/uploads", params={"file_name": "Städte & Orte.csv"}, content=POINTS)
    assert answer.status_code == 201, answer.text
    assert answer.json()["blob_name"].endswith("/Städte & Orte.csv")
    assert answer.json()["size"] == len(POINTS)
    flow.completed(flow.submit(answer.json()["blob_name"], table, **PLACE))


def test_a_large_file_comes_through_the_app_in_blocks_of_any_order(flow: Flow) -> None:
    upload = new_upload(flow, "Städte & 100%.bin")
    parts = [os.urandom(upload["blocks"]["max_bytes"]), os.urandom(1000), os.urandom(1)]
    for number in (2, 0, 1):
        assert put_block(flow, upload, number, parts[number]).status_code == 201
    size = sum(map(len, parts))
    answers = [finish(flow, upload, 3, size) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201], answers[1].text
    assert answers[0].json()["blob_name"] == upload["blob_name"]
    assert stored(flow, upload) == b"".join(parts)


def test_a_block_may_be_put_again_before_the_end(flow: Flow) -> None:
    upload = new_upload(flow)
    put_block(flow, upload, 0, POINTS[:3])
    problem(finish(flow, upload, 1, len(POINTS)), 400, "upload_incomplete")
    put_block(flow, upload, 0, POINTS)
    assert finish(flow, upload, 1, len(POINTS)).status_code == 201
    assert stored(flow, upload) == POINTS


def test_a_missing_block_is_named(flow: Flow) -> None:
    upload = new_upload(flow)
    problem(finish(flow, upload, 1, 5), 400, "upload_incomplete")
    put_block(flow, upload, 0, b"abc")
    put_block(flow, upload, 2, b"de")
    told = problem(finish(flow, upload, 3, 5), 400, "upload_incomplete")
    assert told["errors"][0]["parameter"] == "blocks"
    assert "the first is 1" in told["detail"]


def test_what_is_there_is_never_overwritten_through_the_app(flow: Flow) -> None:
    upload = new_upload(flow)
    put_block(flow, upload, 0, POINTS)
    finish(flow, upload, 1, len(POINTS))
    put_block(flow, upload, 0, b"other")
    problem(finish(flow, upload, 1, 5), 409, "upload_exists")
    assert stored(flow, upload) == POINTS


@pytest.mark.parametrize(
    "name", ["", "a/b.csv", "../b.csv", "..", "\\b.csv", "a\nb.csv", "a" * 256, "a\x00.csv", None, 5]
)
def test_a_bad_name_is_refused(flow: Flow, name: object) -> None:
    answer = flow.http.post("/api/uploads", json={"file_name": name})
    code = "invalid_text" if name == "a\x00.csv" else "invalid_parameters"
    assert problem(answer, 400, code)["errors"][0]["parameter"] == "file_name"


def test_a_bad_request_is_told_what_is_wrong(flow: Flow) -> None:
    upload = new_upload(flow)
    most = upload["blocks"]["max_bytes"]
    too_large = flow.http.post("/api/uploads", params={"file_name": "a.csv"}, content=bytes(most + 1))
    problem(too_large, 400, "upload_too_large")
    problem(put_block(flow, upload, 0, bytes(most + 1)), 400, "upload_too_large")
    problem(flow.http.post("/api/uploads", params={"file_name": "a.csv"}), 400, "blob_empty")
    problem(flow.http.post("/api/uploads", json={"file_name": "a.csv", "size": 1 << 40}), 400, "source_too_large")
    problem(finish(flow, upload, 1, 1 << 40), 400, "source_too_large")
    problem(finish(flow, upload, 0, 1), 400, "invalid_parameters")
    problem(put_block(flow, upload, 50_000, b"a"), 400, "invalid_parameter")
    for number in ("-1", "x", "²"):
        problem(
            flow.http.put(upload["blocks"]["url"].replace("{number}", number), content=b"a"), 400, "invalid_parameter"
        )
    elsewhere = upload["blocks"]["url"].replace("{number}", "0").replace(upload["upload_id"], "parcels")
    told = problem(flow.http.put(elsewhere, content=b"a"), 400, "invalid_parameters")
    assert told["errors"][0]["parameter"] == "upload_id"
    unnamed = upload["finish"]["url"].split("?")[0]
    told = problem(flow.http.post(unnamed, json={"blocks": 1, "size": 1}), 400, "invalid_parameters")
    assert told["errors"][0]["parameter"] == "file_name"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("PUT", f"/{uuid4().hex}/blocks/0"), ("POST", f"/{uuid4().hex}/finish")]
)
def test_nobody_uploads_without_a_key(flow: Flow, method: str, path: str) -> None:
    assert flow.stranger.request(method, f"/api/uploads{path}", params={"file_name": "a.csv"}).status_code == 401
