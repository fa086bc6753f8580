"""Whatever is wrong with a submission is a 400 that names the parameter, and leaves neither a row nor a message."""

from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv, written

POINTS = csv("name,lat,lon", "a,1,2", "b,3,4")
PLACE = {"lat_name": "lat", "lon_name": "lon"}


def refused(flow: Flow, body: Json, code: str, parameter: str, *, job_type: str = "process_vector") -> str:
    """The detail of the refusal."""
    with flow.nothing_accepted():
        answer = flow.post(body, job_type)
        if answer.status_code == 202:
            # Let it end, so that one wrong answer does not spoil the tests after it.
            flow.ended(answer.json()["job_id"])
        told = problem(answer, 400, code)
    assert parameter in [error["parameter"] for error in told["errors"]]
    return str(told["detail"])


def test_a_blob_that_does_not_exist(flow: Flow, table: str) -> None:
    detail = refused(flow, {"blob_name": "no/such.gpkg", "table_name": table}, "blob_not_found", "blob_name")
    assert "no/such.gpkg" in detail


def test_an_empty_file(flow: Flow, table: str) -> None:
    refused(flow, {"blob_name": flow.put(b"", "empty.geojson"), "table_name": table}, "blob_empty", "blob_name")


@pytest.mark.parametrize("extension", ["csv", "tsv", "xlsx"])
def test_a_table_that_does_not_name_its_geometry_columns(flow: Flow, table: str, extension: str) -> None:
    body = {"blob_name": flow.put(POINTS, f"points.{extension}"), "table_name": table}
    detail = refused(flow, body, "csv_geometry_missing", "lat_name")
    assert "wkt_column" in detail


def test_a_csv_that_names_half_of_its_geometry_columns(flow: Flow, table: str) -> None:
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, "lat_name": "lat"}
    refused(flow, body, "invalid_parameters", "body")


def test_a_csv_that_names_two_ways_to_its_geometry(flow: Flow, table: str) -> None:
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, "wkt_column": "w", **PLACE}
    refused(flow, body, "invalid_parameters", "body")


def test_a_table_that_exists(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    blob = flow.put(POINTS, "others.csv")
    detail = refused(flow, {"blob_name": blob, "table_name": table, **PLACE}, "table_exists", "table_name")
    assert "overwrite" in detail
    assert len(flow.rows(table)) == 2


def test_a_table_that_somebody_else_made(flow: Flow, table: str) -> None:
    flow.run(f"CREATE TABLE geo.{table} (n integer)")
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, **PLACE}
    refused(flow, body, "table_exists", "table_name")


def test_a_view_in_the_place_of_the_table(flow: Flow, table: str) -> None:
    flow.run(f"CREATE VIEW geo.{table} AS SELECT 1 AS n")
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, "overwrite": True, **PLACE}
    refused(flow, body, "name_taken", "table_name")


def test_a_table_on_which_a_view_stands(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    view = flow.make_view(table)
    body = {"blob_name": flow.put(POINTS, "others.csv"), "table_name": table, "overwrite": True, **PLACE}
    detail = refused(flow, body, "table_has_dependents", "overwrite")
    assert view in detail


def test_a_partition_of_another_table(flow: Flow, table: str) -> None:
    flow.run(f"CREATE TABLE geo.{table}_all (n integer) PARTITION BY RANGE (n)")
    flow.run(f"CREATE TABLE geo.{table} PARTITION OF geo.{table}_all DEFAULT")
    flow.run(f"INSERT INTO geo.{table}_all VALUES (1)")  # noqa: S608
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, "overwrite": True, **PLACE}
    refused(flow, body, "name_taken", "table_name")
    assert flow.one(f"SELECT n FROM geo.{table}_all") == {"n": 1}  # noqa: S608


def test_the_apps_own_table_of_metadata(flow: Flow) -> None:
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": "table_metadata", "overwrite": True, **PLACE}
    refused(flow, body, "name_taken", "table_name")
    assert flow.there("table_metadata")


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"blob_name": None}, "blob_name"),
        ({"blob_name": ""}, "blob_name"),
        ({"blob_name": "a" * 1025 + ".csv"}, "blob_name"),
        ({"blob_name": "/etc/passwd.csv"}, "blob_name"),
        ({"blob_name": "../silver/chunks/x.csv"}, "blob_name"),
        ({"blob_name": "a/../../b.csv"}, "blob_name"),
        ({"blob_name": "a/./b.csv"}, "blob_name"),
        ({"blob_name": "a//b.csv"}, "blob_name"),
        ({"blob_name": "..\\b.csv"}, "blob_name"),
        ({"blob_name": "a\nb.csv"}, "blob_name"),
        ({"blob_name": 7}, "blob_name"),
        ({"blob_name": ["a.csv"]}, "blob_name"),
        ({"blob_name": "roads.tif"}, "file_extension"),
        ({"blob_name": "roads"}, "file_extension"),
        ({"file_extension": "vrt"}, "file_extension"),
        ({"table_name": None}, "table_name"),
        ({"table_name": "Roads"}, "table_name"),
        ({"table_name": "1roads"}, "table_name"),
        ({"table_name": "roads; DROP TABLE x"}, "table_name"),
        ({"table_name": 'a"b'}, "table_name"),
        ({"table_name": "straße"}, "table_name"),
        ({"table_name": "roads\n"}, "table_name"),
        ({"table_name": "r" * 58}, "table_name"),
        ({"schema": "Geo"}, "schema"),
        ({"container_name": "Bronze/.."}, "container_name"),
        ({"chunk_size": 99}, "chunk_size"),
        ({"chunk_size": 500_001}, "chunk_size"),
        ({"chunk_size": "many"}, "chunk_size"),
        ({"chunk_size": 1e300}, "chunk_size"),
        ({"chunk_size": 10**400}, "chunk_size"),
        ({"overwrite": "perhaps"}, "overwrite"),
        ({"keywords": "one"}, "keywords"),
        ({"geometry_params": {"simplify": {"tolerance": 0}}}, "geometry_params.simplify.tolerance"),
        ({"geometry_params": {"simplify": {"tolerance": "NaN"}}}, "geometry_params.simplify.tolerance"),
        ({"geometry_params": {"quantize": {"snap_to_grid": -1}}}, "geometry_params.quantize.snap_to_grid"),
        ({"geometry_params": {"smooth": 1}}, "geometry_params.smooth"),
        ({"indexes": {"attributes": "name"}}, "indexes.attributes"),
        ({"indexes": []}, "indexes"),
        ({"converter_params": {"delimiter": "ab"}}, "converter_params.delimiter"),
        ({"converter_params": {"quote": "`"}}, "converter_params.quote"),
        ({"converter_params": {"encoding": "klingon"}}, "converter_params.encoding"),
        ({"encoding": "klingon"}, "encoding"),
        ({"encoding": "rot13"}, "encoding"),
        ({"encoding": "idna"}, "encoding"),
        ({"encoding": "cp1252", "converter_params": {"encoding": "utf-8"}}, "body"),
        ({"wkt_column": "a", "wkb_column": "b"}, "body"),
        ({"wkb_column": "b", **PLACE}, "body"),
        ({"blob_name": "roads.txt"}, "file_extension"),
        ({"blob_name": "roads.gdb"}, "file_extension"),
        ({"blob_name": "roads.xls"}, "file_extension"),
        ({"colour": "red"}, "colour"),
        ({"schema_name": "geo"}, "schema_name"),
    ],
)
def test_a_parameter_that_is_wrong(flow: Flow, given: dict[str, Any], parameter: str) -> None:
    body = {"blob_name": "roads.geojson", "table_name": "roads"} | given
    refused(flow, {name: value for name, value in body.items() if value is not None}, "invalid_parameters", parameter)


def test_every_wrong_parameter_is_named_at_once(flow: Flow) -> None:
    with flow.nothing_accepted():
        told = problem(flow.post({"table_name": "A", "colour": 1, "chunk_size": 1}), 400, "invalid_parameters")
    assert {error["parameter"] for error in told["errors"]} >= {"blob_name", "table_name", "colour", "chunk_size"}


def test_a_container_off_the_list(flow: Flow, table: str) -> None:
    body = {"blob_name": "points.csv", "table_name": table, "container_name": "silver", **PLACE}
    detail = refused(flow, body, "container_name_not_allowed", "container_name")
    assert "bronze" in detail


@pytest.mark.parametrize("schema", ["app", "pgstac", "public", "staging", "pg_catalog", "elsewhere"])
def test_a_schema_off_the_list(flow: Flow, table: str, schema: str) -> None:
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, "schema": schema, **PLACE}
    refused(flow, body, "schema_not_allowed", "schema")


def test_an_unknown_job_type(flow: Flow) -> None:
    detail = refused(flow, {}, "unknown_job_type", "job_type", job_type="process_raster")
    assert "process_vector" in detail


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"not json",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"null",
        b"1e999",
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
    ids=["cut", "words", "list", "text", "bytes", "null", "number", "deep", "long"],
)
def test_a_body_that_is_no_json_object(flow: Flow, content: bytes) -> None:
    with flow.nothing_accepted():
        problem(flow.http.post("/api/jobs/submit/hello_world", content=content), 400, "malformed_json")


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"n": 0}, "n"),
        ({"n": 1001}, "n"),
        ({"n": 1.5}, "n"),
        ({"failure_rate": 1.01}, "failure_rate"),
        ({"failure_rate": -0.1}, "failure_rate"),
        ({"message": ""}, "message"),
        ({"who": "me"}, "who"),
    ],
)
def test_a_greeting_that_cannot_be(flow: Flow, given: Json, parameter: str) -> None:
    refused(flow, given, "invalid_parameters", parameter, job_type="hello_world")


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"], ids=["NUL", "half a character"])
def test_text_that_a_database_cannot_hold(flow: Flow, text: str) -> None:
    content = b'{"message": "%s"}' % text.encode("unicode_escape").replace(b"\\x00", b"\\u0000")
    with flow.nothing_accepted():
        answer = flow.http.post("/api/jobs/submit/hello_world", content=content)
        assert answer.status_code == 400, answer.text


def test_a_bare_shapefile_without_its_table(flow: Flow, table: str, tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.Point(1, 1)], crs=4326)
    body = {"blob_name": flow.put(written(frame, tmp_path / "p.shp"), "p.shp"), "table_name": table}
    detail = refused(flow, body, "sidecar_missing", "blob_name")
    assert ".dbf" in detail


def test_a_source_over_the_limit(strict_flow: Flow, table: str) -> None:
    flow = strict_flow
    blob = flow.put(POINTS + b"x,1,1\n" * 180_000, "large.csv")
    with flow.nothing_accepted():
        told = problem(flow.post({"blob_name": blob, "table_name": table, **PLACE}), 400, "source_too_large")
    assert told["limit_mb"] == 1
    assert told["errors"][0]["parameter"] == "blob_name"


def test_another_container_and_schema_when_they_are_on_the_list(strict_flow: Flow, table: str) -> None:
    flow = strict_flow
    flow.make_container("archive")
    blob = flow.put(POINTS, "points.csv", container="archive")
    flow.completed(flow.submit(blob, table, container_name="archive", schema="survey", **PLACE))
    assert [row["name"] for row in flow.rows(table, "survey")] == ["a", "b"]
    problem(flow.post({"blob_name": blob, "table_name": f"{table}_2", **PLACE}), 400, "blob_not_found")
