"""Job identity is content: the same request on the same bytes is the same job."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas
import httpx
import shapely

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv, shapefile_parts, written

POINTS = csv("name,lat,lon", "a,1,2", "b,3,4")
OTHERS = csv("name,lat,lon", "c,5,6")
PLACE = {"lat_name": "lat", "lon_name": "lon"}


def request(blob: str, table: str, **parameters: object) -> Json:
    return {"blob_name": blob, "table_name": table, **PLACE, **parameters}


def names(flow: Flow, table: str) -> list[str]:
    return [row["name"] for row in flow.rows(table)]


def test_the_same_request_again_finds_the_completed_job(flow: Flow, table: str) -> None:
    body = request(flow.put(POINTS, "points.csv"), table)
    job_id = flow.accepted(flow.post(body))
    flow.completed(job_id)
    with flow.nothing_accepted():
        again = flow.post(body)
    assert again.status_code == 200
    assert (again.json()["job_id"], again.json()["status"]) == (job_id, "already_completed")


def test_spelling_a_default_out_is_the_same_request(flow: Flow, table: str) -> None:
    body = request(flow.put(POINTS, "points.csv"), table)
    job_id = flow.accepted(flow.post(body))
    flow.completed(job_id)
    same = body | {"file_extension": "CSV", "schema": "geo", "overwrite": False, "container_name": "bronze"}
    again = flow.post(same)
    assert again.status_code == 200, again.text
    assert again.json()["job_id"] == job_id


def test_the_same_request_while_the_job_runs_is_told_so(flow: Flow, table: str) -> None:
    body = request(flow.put(POINTS, "points.csv"), table)
    with flow.held_before_first_stage():
        job_id = flow.accepted(flow.post(body))
        again = flow.post(body)
        assert again.status_code == 202
        assert (again.json()["job_id"], again.json()["status"]) == (job_id, "queued")
    flow.completed(job_id)


def test_new_bytes_under_the_old_name_are_a_new_job(flow: Flow, table: str) -> None:
    blob = flow.put(POINTS, "points.csv")
    body = request(blob, table, overwrite=True)
    first = flow.accepted(flow.post(body))
    flow.completed(first)
    flow.replace(blob, OTHERS)
    second = flow.accepted(flow.post(body))
    assert second != first
    flow.completed(second)
    assert names(flow, table) == ["c"]


def test_other_parameters_are_another_job(flow: Flow, table: str) -> None:
    blob = flow.put(POINTS, "points.csv")
    first = flow.accepted(flow.post(request(blob, table)))
    second = flow.accepted(flow.post(request(blob, f"{table}_2")))
    assert first != second
    flow.completed(first)
    flow.completed(second)


def test_new_attributes_beside_the_same_shapes_are_a_new_job(flow: Flow, table: str, tmp_path: Path) -> None:
    """The bytes of a bare shapefile are those of all its parts."""
    old, new = (shapefile(tmp_path / f"{name}.shp", name) for name in ("old", "new"))
    blob = flow.put(old[".shp"], "point.shp")
    for suffix in (".dbf", ".shx", ".prj"):
        flow.replace(blob.removesuffix(".shp") + suffix, old[suffix])
    body = {"blob_name": blob, "table_name": table, "overwrite": True}
    flow.completed(flow.accepted(flow.post(body)))
    flow.replace(blob.removesuffix(".shp") + ".dbf", new[".dbf"])
    again = flow.post(body)
    assert again.status_code == 202, again.text
    flow.completed(again.json()["job_id"])
    assert names(flow, table) == ["new"]


def shapefile(path: Path, name: str) -> dict[str, bytes]:
    frame = geopandas.GeoDataFrame({"name": [name]}, geometry=[shapely.Point(1, 1)], crs=4326)
    return shapefile_parts(written(frame, path))


def test_a_failed_job_runs_again_and_its_history_is_kept(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    blob = flow.put(OTHERS, "others.csv")
    body = request(blob, table, overwrite=True)
    with flow.held_before_first_stage():
        job_id = flow.accepted(flow.post(body))
        view = flow.make_view(table)
    error = flow.failed(job_id)
    flow.run(f"DROP VIEW geo.{view}")
    again = flow.post(body)
    assert again.status_code == 202
    assert (again.json()["job_id"], again.json()["status"]) == (job_id, "resubmitted")
    job = flow.completed(job_id)
    assert (job["run"], job["error"]) == (2, None)
    assert names(flow, table) == ["c"]
    runs = flow.status(job_id, verbose="true")["runs"]
    assert [(run["run"], run["status"]) for run in runs] == [(1, "failed"), (2, "completed")]
    assert runs[0]["error"] == error
    flow.assert_nothing_left()


def test_a_table_dropped_by_hand_is_loaded_again(flow: Flow, table: str) -> None:
    body = request(flow.put(POINTS, "points.csv"), table)
    job_id = flow.accepted(flow.post(body))
    flow.completed(job_id)
    flow.run(f"DROP TABLE geo.{table}")
    again = flow.post(body)
    assert (again.status_code, again.json()["status"]) == (202, "resubmitted")
    assert flow.completed(job_id)["run"] == 2
    assert names(flow, table) == ["a", "b"]


def test_a_table_that_another_job_replaced_is_loaded_again(flow: Flow, table: str) -> None:
    body = request(flow.put(POINTS, "points.csv"), table, overwrite=True)
    job_id = flow.accepted(flow.post(body))
    flow.completed(job_id)
    flow.completed(flow.submit(flow.put(OTHERS, "others.csv"), table, overwrite=True, **PLACE))
    assert flow.post(body).json()["status"] == "resubmitted"
    flow.completed(job_id)
    assert names(flow, table) == ["a", "b"]


def at_once(flow: Flow, bodies: list[Json]) -> list[httpx.Response]:
    with ThreadPoolExecutor(max_workers=len(bodies)) as pool:
        return list(pool.map(flow.post, bodies))


def test_two_requests_for_one_table_at_once_cannot_both_win(flow: Flow, table: str) -> None:
    blobs = [flow.put(POINTS, "points.csv"), flow.put(OTHERS, "others.csv")]
    with flow.held_before_first_stage():
        answers = at_once(flow, [request(blob, table, overwrite=True) for blob in blobs])
        winner, loser = sorted(answers, key=lambda answer: answer.status_code)
        job_id = flow.accepted(winner)
        told = problem(loser, 409, "table_busy")
        assert told["job_id"] == job_id
        assert flow.one("SELECT count(*) FROM app.jobs WHERE exclusive_key LIKE %s", f"%{table}")["count"] == 1
    flow.completed(job_id)
    assert names(flow, table) == (["a", "b"] if winner is answers[0] else ["c"])


def test_the_same_request_ten_times_at_once_is_one_job(flow: Flow, table: str) -> None:
    body = request(flow.put(POINTS, "points.csv"), table)
    answers = at_once(flow, [body] * 10)
    told = [answer.json() for answer in answers]
    assert {answer.status_code for answer in answers} <= {200, 202}, told
    assert [body["status"] for body in told].count("created") == 1
    [job_id] = {body["job_id"] for body in told}
    assert flow.completed(job_id)["run"] == 1
    assert names(flow, table) == ["a", "b"]
    flow.assert_nothing_left()


def test_a_failed_job_resubmitted_five_times_at_once_runs_once_more(flow: Flow, table: str) -> None:
    body = {"blob_name": flow.put(csv("name,lat,lon"), "header.csv"), "table_name": table, **PLACE}
    job_id = flow.accepted(flow.post(body))
    flow.failed(job_id)
    with flow.held_before_first_stage():
        statuses = [answer.json()["status"] for answer in at_once(flow, [body] * 5)]
    assert statuses.count("resubmitted") == 1
    flow.failed(job_id)
    assert flow.status(job_id)["run"] == 2
