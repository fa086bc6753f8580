"""Rows that are not loaded: counted, kept with their reason, and too many of them fail the job."""

import csv as csv_format
import io
from collections.abc import Iterator
from pathlib import Path

import geopandas
import httpx
import pytest
import shapely

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import csv, geojson, written

PLACE = {"lat_name": "lat", "lon_name": "lon"}
POINT, SQUARE = shapely.Point(1, 2), shapely.box(0, 0, 1, 1)
# A file that begins with a NUL is taken for a binary one.
BEFORE_NUL = ["POINT (1 1)"] * 20_000
GEOJSON, CSV = {"Accept": "application/geo+json"}, {"Accept": "text/csv"}


def rejects(flow: Flow, job_id: str) -> Json:
    answer = flow.http.get(f"/api/jobs/rejects/{job_id}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/geo+json")
    told: Json = answer.json()
    assert told["type"] == "FeatureCollection"
    assert told["numberReturned"] == len(told["features"])
    return told


def reasons(flow: Flow, job_id: str) -> dict[int, str]:
    features = rejects(flow, job_id)["features"]
    return {told["properties"]["row_number"]: told["properties"]["reason"] for told in features}


def wkt_csv(*shapes: str) -> bytes:
    return csv("name,shape", *(f'row {number},"{shape}"' for number, shape in enumerate(shapes, 1)))


def test_rejected_rows_are_kept_with_their_reason_their_place_and_their_values(flow: Flow, table: str) -> None:
    content = csv(
        "Name,id,lat,lon,flag",
        "good,1,50,10,true",
        '"nowhere, ""quoted""",0002,,,false',
        "swapped,3,-117.5,33.25,",
        "north,4,12°,10,ü",
        "far,5,200,300,x",
    )
    job = flow.load(content, "points.csv", table, max_reject_percent=100, **PLACE)
    counted = job["result_data"]["rows"]
    told = {"null_geometry": 1, "axes_swapped": 1, "unreadable_coordinates": 1, "coordinates_out_of_range": 1}
    assert (counted["read"], counted["loaded"], counted["rejected"]) == (5, 1, told)
    features = rejects(flow, job["job_id"])["features"]
    properties = [one["properties"] for one in features]
    assert [(row["row_number"], row["reason"]) for row in properties] == list(enumerate(told, 2))
    values = {"name": 'nowhere, "quoted"', "source_id": "0002", "lat": None, "lon": None, "flag": "false"}
    assert properties[0]["attributes"] == values
    assert properties[1]["location"] == [-117.5, 33.25]
    assert properties[2]["detail"] == "12°, 10"
    assert properties[3]["detail"] == "vertex 1 is (300 200)"
    assert properties[3]["location"] is None
    assert [one["geometry"] for one in features] == [None] * 4


def test_the_same_rows_come_as_csv_to_who_asks_for_it(flow: Flow, table: str) -> None:
    content = csv("reason,list,lat,lon", "a,1,1,1", '"b, ""x""",2,95,-33.5', "c,,,")
    job = flow.load(content, "points.csv", table, max_reject_percent=100, **PLACE)
    answer = flow.http.get(f"/api/jobs/rejects/{job['job_id']}", headers=CSV)
    assert answer.headers["content-type"].startswith("text/csv")
    header, *lines = csv_format.reader(io.StringIO(answer.text))
    assert header[:5] == ["row_number", "reason", "detail", "lon", "lat"]
    assert header[5:] == ["attributes.reason", "attributes.list", "attributes.lat", "attributes.lon"]
    assert lines == [
        ["2", "axes_swapped", "vertex 1 is (-33.5 95)", "95.0", "-33.5", 'b, "x"', "2", "95.0", "-33.5"],
        ["3", "null_geometry", "", "", "", "c", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("*/*", "application/geo+json"),
        ("application/json", "application/geo+json"),
        ("text/csv;q=0.5, application/geo+json", "application/geo+json"),
        ("text/csv, application/geo+json;q=0.5", "text/csv"),
        ("text/*", "text/csv"),
    ],
)
def test_the_format_is_negotiated(flow: Flow, table: str, accept: str, answered: str) -> None:
    job = flow.load(csv("n,lat,lon", "1,1,1"), "points.csv", table, **PLACE)
    answer = flow.http.get(f"/api/jobs/rejects/{job['job_id']}", headers={"Accept": accept})
    assert answer.headers["content-type"].split(";")[0] == answered


def pages(flow: Flow, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    following: str | None = url
    while following:
        answer = flow.http.get(following, headers=headers)
        assert answer.status_code == 200, answer.text
        yield answer
        following = answer.links.get("next", {}).get("url")


def test_rejects_come_in_pages_over_all_chunks(flow: Flow, table: str) -> None:
    lines = (f"{n},{n % 90 if n % 3 else ''},1" for n in range(1, 1001))
    job = flow.load(csv("n,lat,lon", *lines), "points.csv", table, chunk_size=100, max_reject_percent=50, **PLACE)
    url = flow.status(job["job_id"])["links"]["rejects"] + "?limit=100"
    as_features = [page.json() for page in pages(flow, url, GEOJSON)]
    assert [page["numberReturned"] for page in as_features] == [100, 100, 100, 33]
    assert as_features[0]["links"][0]["rel"] == "next"
    assert as_features[-1]["links"] == []
    numbers = [told["properties"]["row_number"] for page in as_features for told in page["features"]]
    assert numbers == list(range(3, 1001, 3))
    rows = [row for page in pages(flow, url, CSV) for row in csv_format.DictReader(io.StringIO(page.text))]
    assert [(int(row["row_number"]), row["attributes.n"]) for row in rows] == [(n, str(n)) for n in numbers]


def test_a_page_of_large_shapes_ends_before_its_limit(flow: Flow, table: str, tmp_path: Path) -> None:
    """Twenty lines of 60,000 vertices between polygons, a megabyte each; a page has eight."""
    line = shapely.LineString([(n / 1000, 50) for n in range(60_000)])
    frame = geopandas.GeoDataFrame({"n": range(30)}, geometry=[SQUARE] * 10 + [line] * 20, crs=4326)
    collections = [shapely.GeometryCollection([shape, POINT]) if shape is line else shape for shape in frame.geometry]
    path = written(frame.set_geometry(collections, crs=4326), tmp_path / "lines.gpkg")
    job = flow.load(path, "lines.gpkg", table, max_reject_percent=100)
    found = [page.json() for page in pages(flow, flow.status(job["job_id"])["links"]["rejects"], GEOJSON)]
    assert [told["id"] for page in found for told in page["features"]] == list(range(11, 31))
    assert len(found) == 3
    geometry = shapely.geometry.shape(found[0]["features"][0]["geometry"])
    assert shapely.get_num_coordinates(geometry) == 60_001


def test_a_job_that_rejects_nothing_has_no_rejects(flow: Flow, table: str) -> None:
    job = flow.load(csv("n,lat,lon", "1,1,1"), "points.csv", table, **PLACE)
    told = rejects(flow, job["job_id"])
    assert (told["features"], told["links"], told["run"]) == ([], [], 1)
    answer = flow.http.get(f"/api/jobs/rejects/{job['job_id']}", headers=CSV)
    assert answer.text.splitlines() == [
        "row_number,reason,detail,lon,lat,attributes.n,attributes.lat,attributes.lon",
    ]


def test_only_jobs_that_read_rows_have_rejects(flow: Flow) -> None:
    problem(flow.http.get(f"/api/jobs/rejects/{'0' * 64}"), 404, "job_not_found")
    job_id = flow.hello(n=1, message="no rows")
    problem(flow.http.get(f"/api/jobs/rejects/{job_id}"), 404, "no_rejects")
    assert flow.status(job_id)["links"] == {}
    assert flow.stranger.get(f"/api/jobs/rejects/{job_id}").status_code == 401


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "10001"}, {"after": "-1"}, {"after": "x"}, {"limit": "1.5"}]
)
def test_a_page_that_is_none_is_refused(flow: Flow, table: str, query: dict[str, str]) -> None:
    job = flow.load(csv("n,lat,lon", "1,1,1"), "points.csv", table, **PLACE)
    problem(flow.http.get(f"/api/jobs/rejects/{job['job_id']}", params=query), 400, "invalid_parameter")


def test_a_text_that_is_no_geometry_is_shown(flow: Flow, table: str) -> None:
    content = wkt_csv(*BEFORE_NUL, "non\0sense", "POINT (" + "1" * 300)
    job = flow.load(content, "texts.csv", table, wkt_column="shape", max_reject_percent=100)
    details = [told["properties"]["detail"] for told in rejects(flow, job["job_id"])["features"]]
    assert details == ["nonsense", "POINT (" + "1" * 93 + "..."]


# Too many of them


def points(good: int, *bad: str) -> bytes:
    return csv("n,lat,lon", *(f"{n},1,1" for n in range(good)), *bad)


def test_more_than_a_twentieth_fails_the_job_with_the_commonest_reason_and_rows_to_look_at(
    flow: Flow, table: str
) -> None:
    bad = ("a,,", "b,95,33", "c,-117,33", "d,117,33", "e,100,-33")
    job_id = flow.submit(flow.put(points(90, *bad), "points.csv"), table, **PLACE)
    error = flow.failed(job_id)
    assert error["code"] == "too_many_rejects"
    assert "5 of the 95 rows read (5.26316 %)" in error["message"]
    assert "Most often axes_swapped, for example row 92 (at 95, 33), row 93 (at -117, 33), row 94" in error["message"]
    assert "exchange lat_name and lon_name" in error["message"]
    assert f"/api/jobs/rejects/{job_id}" in error["message"]
    assert error["details"]["examples"][0] == {"row_number": 92, "lon": 95.0, "lat": 33.0}
    assert error["details"]["rejected"] == {"axes_swapped": 4, "null_geometry": 1}
    assert not flow.there(table)
    flow.assert_nothing_left()
    assert list(reasons(flow, job_id)) == [91, 92, 93, 94, 95]


@pytest.mark.parametrize(("bad", "limit", "ends"), [(5, 5, "completed"), (5, 4.9, "failed"), (1, 0, "failed")])
def test_the_limit_is_the_requests(flow: Flow, table: str, bad: int, limit: float, ends: str) -> None:
    content = points(100 - bad, *["x,,"] * bad)
    job = flow.ended(flow.submit(flow.put(content, "points.csv"), table, max_reject_percent=limit, **PLACE))
    assert job["status"] == ends
    assert len(reasons(flow, job["job_id"])) == bad


def test_no_limit_is_needed_where_nothing_is_rejected(flow: Flow, table: str) -> None:
    flow.load(points(10), "points.csv", table, max_reject_percent=0, **PLACE)


@pytest.mark.parametrize("limit", [-1, 101, "all", None])
def test_a_limit_that_is_none_is_refused(flow: Flow, table: str, limit: object) -> None:
    blob = flow.put(points(1), "points.csv")
    answer = flow.post({"blob_name": blob, "table_name": table, "max_reject_percent": limit, **PLACE})
    assert problem(answer, 400, "invalid_parameters")["errors"][0]["parameter"] == "max_reject_percent"


def test_a_file_without_a_usable_row_fails_and_its_rows_can_be_looked_at(flow: Flow, table: str) -> None:
    nothing: Json = {"type": "Feature", "properties": {"n": 1}, "geometry": None}
    job_id = flow.submit(flow.put(geojson(nothing, nothing), "null.geojson"), table, max_reject_percent=100)
    error = flow.failed(job_id)
    assert error["code"] == "no_usable_features"
    assert "null_geometry 2" in error["message"]
    assert reasons(flow, job_id) == {1: "null_geometry", 2: "null_geometry"}


def test_the_rejects_of_a_run_make_way_for_those_of_the_next(flow: Flow, table: str) -> None:
    content = points(10, "x,,", "y,1,300")
    blob = flow.put(content, "points.csv")
    job_id = flow.submit(blob, table, **PLACE)
    assert flow.failed(job_id)["code"] == "too_many_rejects"
    assert reasons(flow, job_id) == {11: "null_geometry", 12: "coordinates_out_of_range"}
    assert flow.submit(blob, table, **PLACE) == job_id
    assert flow.failed(job_id)["code"] == "too_many_rejects"
    told = rejects(flow, job_id)
    assert (told["run"], len(told["features"])) == (2, 2)
    flow.assert_nothing_left()
    assert flow.all("SELECT DISTINCT run FROM app.rejects WHERE job_id = %s", job_id) == [{"run": 2}]


# Geometries


def test_collections_of_one_kind_are_loaded_and_mixed_ones_are_rejected(flow: Flow, table: str) -> None:
    shapes = (
        "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        "GEOMETRYCOLLECTION (POLYGON ((2 2, 3 2, 3 3, 2 2)), POLYGON ((5 5, 6 5, 6 6, 5 5)))",
        "GEOMETRYCOLLECTION (POLYGON ((2 2, 3 2, 3 3, 2 2)), POINT (1 1))",
    )
    job = flow.load(wkt_csv(*shapes), "mixed.csv", table, wkt_column="shape", max_reject_percent=50)
    assert [(row["id"], len(row["geom"].geoms)) for row in flow.rows(table)] == [(1, 1), (2, 2)]
    (told,) = rejects(flow, job["job_id"])["features"]
    assert told["properties"]["reason"] == "mixed_collection"
    assert told["properties"]["detail"] == "of Point, Polygon"
    assert told["geometry"]["type"] == "GeometryCollection"


def test_a_file_of_nothing_but_collections_gets_the_column_of_their_parts(flow: Flow, table: str) -> None:
    shapes = ("GEOMETRYCOLLECTION (LINESTRING (0 0, 1 1))", "GEOMETRYCOLLECTION (MULTILINESTRING ((0 0, 1 1)))")
    job = flow.load(wkt_csv(*shapes), "lines.csv", table, wkt_column="shape")
    assert flow.types(table)["geom"] == "geometry(MultiLineString,4326)"
    assert job["result_data"]["rows"]["promoted"] == 2


def test_a_column_of_any_type_takes_points_lines_polygons_and_collections(flow: Flow, table: str) -> None:
    shapes = (
        "POINT (1 1)",
        "LINESTRING (0 0, 1 1)",
        "POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))",
        "GEOMETRYCOLLECTION (POINT (1 1), LINESTRING (0 0, 1 1))",
    )
    blob = flow.put(wkt_csv(*shapes), "mixed.csv")
    error = flow.failed(flow.submit(blob, table, wkt_column="shape"))
    assert error["code"] == "mixed_geometry_types"
    assert "1 Point" in error["message"]
    assert "geometry_type: any" in error["message"]
    job = flow.completed(flow.submit(blob, table, wkt_column="shape", geometry_type="any"))
    found = [row["geom"] for row in flow.rows(table)]
    assert [shape.geom_type for shape in found] == ["Point", "LineString", "MultiPolygon", "GeometryCollection"]
    assert found[2].area == pytest.approx(2.0)
    assert flow.types(table)["geom"] == "geometry(Geometry,4326)"
    assert job["result_data"]["table"]["geometry_type"] == "Geometry"
    item = flow.one("SELECT content FROM pgstac.items WHERE id = %s", f"geo.{table}")["content"]
    assert {"name": "geom", "type": "geometry(Geometry,4326)"} in item["properties"]["table:columns"]


def test_the_receipt_counts_heights_and_measures_apart(flow: Flow, table: str) -> None:
    shapes = ("POINT Z (1 1 1)", "POINT M (1 1 1)", "POINT ZM (1 1 1 1)", "POINT (1 1)")
    rows = flow.load(wkt_csv(*shapes), "z.csv", table, wkt_column="shape")["result_data"]["rows"]
    assert (rows["flattened"], rows["with_z"], rows["with_m"]) == (3, 2, 2)


# What is told of the columns, and of what was replaced


def test_mixed_values_are_loaded_as_text_and_that_is_said(flow: Flow, table: str) -> None:
    content = csv("plz,name,n,lat,lon", "01067,a,1,1,1", "99999,b,n/a,1,1", "12345,c,3,1,1")
    told = flow.load(content, "mixed.csv", table, **PLACE)["result_data"]["table"]
    assert {column["name"]: column["pg_type"] for column in told["columns"]}["n"] == "text"
    assert {note["name"] for note in told["notes"]} == {"plz", "n"}
    assert "bigint" in next(note["note"] for note in told["notes"] if note["name"] == "n")


def test_nul_characters_are_stripped_and_counted(flow: Flow, table: str) -> None:
    job = flow.load(csv("s,lat,lon", *["c,2,2"] * len(BEFORE_NUL), "a\0b,1,1"), "nul.csv", table, **PLACE)
    assert flow.rows(table)[-1]["s"] == "ab"
    assert job["result_data"]["rows"]["stripped_nuls"] == 1


def test_an_overwrite_tells_what_it_changed(flow: Flow, table: str) -> None:
    first = flow.load(csv("a,b,gone,lat,lon", "1,1,1,1,1", "2,2,2,2,2"), "first.csv", table, **PLACE)
    assert first["result_data"]["replaced"] is None
    second = flow.load(csv("a,b,new,lat,lon", "x,1,1,5,5"), "second.csv", table, overwrite=True, **PLACE)
    assert second["result_data"]["replaced"] == {
        "rows_before": 2,
        "rows_after": 1,
        "bbox_before": [1, 1, 2, 2],
        "bbox_after": [5, 5, 5, 5],
        "columns_added": ["new"],
        "columns_removed": ["gone"],
        "columns_changed": [{"name": "a", "before": "bigint", "after": "text"}],
    }


def test_a_table_of_somebody_else_is_replaced_and_its_columns_are_told(flow: Flow, table: str) -> None:
    flow.run(f"CREATE TABLE geo.{table} (theirs integer, lat double precision)")
    job = flow.load(csv("lat,lon", "1,2"), "ours.csv", table, overwrite=True, **PLACE)
    told = job["result_data"]["replaced"]
    assert (told["rows_before"], told["bbox_before"]) == (None, None)
    assert (told["columns_removed"], told["columns_added"]) == (["theirs"], ["id", "etl_batch_id", "lon", "geom"])


def test_the_catalog_carries_the_receipt(flow: Flow, table: str) -> None:
    content = points(50, "x,,")
    job = flow.load(content, "points.csv", table, **PLACE)
    properties = flow.one("SELECT content FROM pgstac.items WHERE id = %s", f"geo.{table}")["content"]["properties"]
    assert properties["etl:rows"] == job["result_data"]["rows"]
    assert properties["etl:rows"]["rejected"] == {"null_geometry": 1}
    assert properties["etl:source"]["sha256"] == job["result_data"]["source"]["sha256"]
    assert properties["etl:renamed"] == job["result_data"]["table"]["renamed"]
    assert {note["name"] for note in properties["etl:notes"]} == {"n"}
