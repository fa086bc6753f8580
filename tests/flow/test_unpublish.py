"""A published table is taken back by a job like any other."""

from typing import Any

import httpx
import pytest

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv

POINTS = csv("name,lat,lon", "a,1,2", "b,3,4")
PLACE = {"lat_name": "lat", "lon_name": "lon"}


def unpublish(flow: Flow, table: str, **parameters: Any) -> httpx.Response:
    return flow.post({"table_name": table, **parameters}, "unpublish_vector")


def taken_back(flow: Flow, table: str) -> Json:
    return flow.completed(flow.accepted(unpublish(flow, table)))


def items(flow: Flow, table: str) -> list[Any]:
    return flow.all("SELECT id FROM pgstac.items WHERE id = %s", f"geo.{table}")


def metadata(flow: Flow, table: str) -> list[Any]:
    return flow.all("SELECT * FROM geo.table_metadata WHERE table_name = %s", table)


def test_the_table_its_metadata_and_its_item_are_gone_and_the_result_tells_what_they_were(
    flow: Flow, table: str
) -> None:
    loaded = flow.load(POINTS, "points.csv", table, **PLACE)
    assert items(flow, table)
    job = taken_back(flow, table)
    assert not flow.there(table)
    assert not metadata(flow, table)
    assert not items(flow, table)
    assert job["result_data"] == {
        "schema": "geo",
        "name": table,
        "rows": 2,
        "geometry_type": "Point",
        "bbox": [2.0, 1.0, 4.0, 3.0],
        "dropped": True,
        "published_by": {"job_id": loaded["job_id"], "run": 1},
        "stac": {"collection": "system-vectors", "item_id": f"geo.{table}"},
        "degraded": False,
        "degraded_reason": None,
    }
    assert (job["stage_name"], job["progress"]["percent"]) == ("unpublish", 100.0)


def test_taking_back_twice_is_the_same_job(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    first = taken_back(flow, table)
    with flow.nothing_accepted():
        again = unpublish(flow, table, schema="geo")
    assert (again.status_code, again.json()["status"]) == (200, "already_completed")
    assert again.json()["job_id"] == first["job_id"]


def test_load_and_take_back_in_turns(flow: Flow, table: str) -> None:
    """Each request is the same as before, and each time it is done anew."""
    blob = flow.put(POINTS, "points.csv")
    for run in (1, 2, 3):
        loaded = flow.completed(flow.submit(blob, table, **PLACE))
        assert [row["name"] for row in flow.rows(table)] == ["a", "b"]
        back = taken_back(flow, table)
        assert not flow.there(table)
        assert (loaded["run"], back["run"]) == (run, run)
        assert back["result_data"]["published_by"] == {"job_id": loaded["job_id"], "run": run}


def test_another_file_under_the_name_is_taken_back_too(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    taken_back(flow, table)
    other = flow.load(csv("name,lat,lon", "c,5,6"), "other.csv", table, **PLACE)
    assert taken_back(flow, table)["result_data"]["published_by"]["job_id"] == other["job_id"]


def refused(flow: Flow, table: str, code: str, parameter: str = "table_name", **parameters: Any) -> str:
    with flow.nothing_accepted():
        told = problem(unpublish(flow, table, **parameters), 400, code)
    assert [error["parameter"] for error in told["errors"]] == [parameter]
    return str(told["detail"])


def test_a_table_that_is_not_there(flow: Flow, table: str) -> None:
    assert table in refused(flow, table, "table_not_found")


def test_a_table_that_somebody_else_made(flow: Flow, table: str) -> None:
    flow.run(f"CREATE TABLE geo.{table} (id bigint, geom geometry, etl_batch_id integer)")
    refused(flow, table, "table_not_published")
    assert flow.there(table)


def test_the_apps_own_table_of_metadata(flow: Flow) -> None:
    refused(flow, "table_metadata", "table_not_published")
    assert flow.there("table_metadata")


def test_a_table_on_which_a_view_and_a_foreign_key_stand(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    view = flow.make_view(table)
    flow.run(f"CREATE TABLE geo.{table}_notes (point bigint REFERENCES geo.{table})")
    detail = refused(flow, table, "table_has_dependents")
    assert view in detail
    assert f"{table}_notes" in detail
    assert len(flow.rows(table)) == 2


@pytest.mark.parametrize("schema", ["app", "public", "elsewhere"])
def test_a_schema_off_the_list(flow: Flow, table: str, schema: str) -> None:
    refused(flow, table, "schema_not_allowed", "schema", schema=schema)


@pytest.mark.parametrize(
    ("given", "parameter"),
    [({}, "table_name"), ({"table_name": "A"}, "table_name"), ({"table_name": "a", "cascade": True}, "cascade")],
)
def test_a_parameter_that_is_wrong(flow: Flow, given: Json, parameter: str) -> None:
    with flow.nothing_accepted():
        told = problem(flow.post(given, "unpublish_vector"), 400, "invalid_parameters")
    assert [error["parameter"] for error in told["errors"]] == [parameter]


def test_a_stranger_that_took_the_name_after_the_table_was_taken_back(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    taken_back(flow, table)
    flow.run(f"CREATE TABLE geo.{table} (n integer)")
    refused(flow, table, "table_not_published")
