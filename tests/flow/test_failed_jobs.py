"""A job that fails says which and why, and leaves nothing: no chunks, no staging table, no half of a target."""

from pathlib import Path

import geopandas
import psycopg
import pytest

from tests.flow.flow import Flow, Json
from tests.flow.sources import airports, csv, feature, geojson, written, zipped

POINTS = csv("name,lat,lon", "a,1,2", "b,3,4")
PLACE = {"lat_name": "lat", "lon_name": "lon"}
AIRPORT = {"lat_name": "latitude", "lon_name": "longitude"}


def failure(flow: Flow, content: bytes | Path, name: str, table: str, code: str, **parameters: object) -> str:
    """The message of a job that fails with this code and leaves nothing behind."""
    job_id = flow.submit(flow.put(content, name), table, **parameters)
    error = flow.failed(job_id)
    assert error["code"] == code, error
    assert not flow.there(table)
    assert not flow.all("SELECT * FROM geo.table_metadata WHERE table_name = %s", table)
    assert not flow.all("SELECT id FROM pgstac.items WHERE id = %s", f"geo.{table}")
    assert_all_ended(flow, job_id)
    flow.assert_nothing_left()
    return str(error["message"])


def assert_all_ended(flow: Flow, job_id: str) -> None:
    told = flow.status(job_id, verbose="true")
    assert told["finished_at"]
    assert told["result_data"] is None
    assert told["tasks"]
    assert {task["status"] for task in told["tasks"]} <= {"completed", "failed"}
    assert told["error"]["task_id"] in [task["task_id"] for task in told["tasks"] if task["status"] == "failed"]
    for stage in told["progress"]["stages"].values():
        assert stage["completed"] + stage["failed"] == stage["total"]


def test_a_csv_with_nothing_but_its_header(flow: Flow, table: str) -> None:
    message = failure(flow, b"name,lat,lon\n", "header.csv", table, "no_features", **PLACE)
    assert "no features" in message


def test_a_feature_collection_without_features(flow: Flow, table: str) -> None:
    failure(flow, geojson(), "none.geojson", table, "no_features")


def test_a_geopackage_without_features(flow: Flow, table: str, tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"n": []}, geometry=[], crs=4326)
    path = written(frame, tmp_path / "none.gpkg", geometry_type="Point")
    failure(flow, path, "none.gpkg", table, "no_features")


def test_features_that_all_lack_a_geometry(flow: Flow, table: str) -> None:
    nothing: Json = {"type": "Feature", "properties": {"n": 1}, "geometry": None}
    message = failure(flow, geojson(nothing, nothing), "null.geojson", table, "no_usable_features")
    assert "null_geometry 2" in message


def test_features_that_are_all_rejected_in_the_second_stage(flow: Flow, table: str) -> None:
    line = feature({"n": 1}, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0], [0, 0]]]})
    message = failure(flow, geojson(line), "collapsed.geojson", table, "no_usable_features")
    assert "collapsed_geometry 1" in message


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"lat_name": "latitude", "lon_name": "lon"}, "latitude"), ({"wkt_column": "shape"}, "shape")],
)
def test_a_csv_without_the_columns_that_were_named(flow: Flow, table: str, wrong: Json, name: str) -> None:
    message = failure(flow, POINTS, "points.csv", table, "column_not_found", **wrong)
    assert message == f"column '{name}' not found; available: name, lat, lon"


@pytest.mark.parametrize("wrong", [{"temporal_property": "day"}, {"indexes": {"attributes": ["day"]}}])
def test_a_column_to_index_or_to_date_by_that_is_not_there(flow: Flow, table: str, wrong: Json) -> None:
    message = failure(flow, POINTS, "points.csv", table, "column_not_found", **PLACE, **wrong)
    assert "'day' not found; available: name, lat, lon" in message


def test_a_text_to_date_by(flow: Flow, table: str) -> None:
    failure(flow, POINTS, "points.csv", table, "not_temporal", **PLACE, temporal_property="name")


def test_lines_and_polygons_in_one_layer(flow: Flow, table: str) -> None:
    line = feature({}, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]})
    square = feature({}, {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]})
    message = failure(flow, geojson(line, square), "mixed.geojson", table, "mixed_geometry_types")
    assert "1 LineString" in message


@pytest.mark.parametrize("extension", ["geojson", "gpkg", "kml", "kmz", "zip"])
def test_a_file_that_is_not_what_its_name_says(flow: Flow, table: str, extension: str) -> None:
    failure(flow, b"<OGRVRTDataSource/>", f"x.{extension}", table, "content_mismatch")


def test_a_geojson_that_was_cut_off(flow: Flow, table: str) -> None:
    content = geojson(*(feature({"n": n}) for n in range(1000)))
    failure(flow, content[: len(content) // 2], "cut.geojson", table, "unreadable_file")


def test_a_row_with_too_many_columns_is_named(flow: Flow, table: str) -> None:
    message = failure(flow, POINTS + b"c,5,6,7\n", "ragged.csv", table, "malformed_csv", **PLACE)
    assert "Row 4 has 4 columns" in message


def test_a_zip_that_points_out_of_itself(flow: Flow, table: str) -> None:
    content = zipped({"../../points.geojson": geojson(feature({"n": 1}))})
    failure(flow, content, "slip.zip", table, "unsafe_archive")


def test_a_zip_of_two_data_sets(flow: Flow, table: str) -> None:
    content = zipped({"a.geojson": geojson(feature({"n": 1})), "b.geojson": geojson(feature({"n": 1}))})
    message = failure(flow, content, "two.zip", table, "archive_ambiguous")
    assert "a.geojson, b.geojson" in message


def test_utm_coordinates_without_a_crs(flow: Flow, table: str) -> None:
    content = csv("shape", "POINT (365000 5621000)")
    message = failure(flow, content, "utm.csv", table, "crs_missing", wkt_column="shape")
    assert "source_crs" in message


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "base64", "idna"])
def test_an_encoding_that_is_none(flow: Flow, table: str, encoding: str) -> None:
    """It is told at submission or at run time, but as what it is."""
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, **PLACE}
    answer = flow.post(body | {"converter_params": {"encoding": encoding}})
    if answer.status_code == 202:
        assert flow.failed(answer.json()["job_id"])["code"] == "invalid_parameter"
    else:
        assert answer.json()["errors"][0]["parameter"] == "converter_params.encoding"


def test_a_source_that_is_replaced_before_it_is_read(flow: Flow, table: str) -> None:
    blob = flow.put(POINTS, "points.csv")
    with flow.held_before_first_stage():
        job_id = flow.submit(blob, table, **PLACE)
        flow.replace(blob, csv("name,lat,lon", "c,5,6"))
    assert flow.failed(job_id)["code"] == "source_changed"
    assert not flow.there(table)
    flow.assert_nothing_left()


def test_a_source_that_is_deleted_before_it_is_read(flow: Flow, table: str) -> None:
    blob = flow.put(POINTS, "points.csv")
    with flow.held_before_first_stage():
        job_id = flow.submit(blob, table, **PLACE)
        flow.blobs.get_blob_client("bronze", blob).delete_blob()
    assert flow.failed(job_id)["code"] == "blob_not_found"
    flow.assert_nothing_left()


# Overwriting


def test_an_overwrite_that_fails_early_leaves_the_old_table(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    before = published(flow, table)
    assert flow.failed(flow.submit(flow.put(geojson(), "none.geojson"), table, overwrite=True))["code"] == "no_features"
    flow.assert_nothing_left()
    assert published(flow, table) == before


def test_an_overwrite_that_fails_at_the_very_end_leaves_the_old_table(flow: Flow, table: str) -> None:
    """A view that is made after the submission keeps the old table from being dropped."""
    flow.load(POINTS, "points.csv", table, **PLACE)
    before = published(flow, table)
    blob = flow.put(csv("name,lat,lon", "c,5,6"), "others.csv")
    with flow.held_before_first_stage():
        job_id = flow.submit(blob, table, overwrite=True, **PLACE)
        view = flow.make_view(table)
    error = flow.failed(job_id)
    assert error["code"] == "table_has_dependents", error
    assert view in error["message"]
    flow.assert_nothing_left()
    assert published(flow, table) == before


def test_a_table_that_appears_while_the_job_runs_is_left_alone(flow: Flow, table: str) -> None:
    blob = flow.put(POINTS, "points.csv")
    with flow.held_before_first_stage():
        job_id = flow.submit(blob, table, **PLACE)
        flow.run(f"CREATE TABLE geo.{table} (mine integer)")
    assert flow.failed(job_id)["code"] == "table_exists"
    flow.assert_nothing_left()
    assert flow.types(table) == {"mine": "integer"}


def published(flow: Flow, table: str) -> list[object]:
    """All that a reader can see of a table."""
    item = flow.one("SELECT content FROM pgstac.items WHERE id = %s", f"geo.{table}")
    record = flow.one("SELECT * FROM geo.table_metadata WHERE table_name = %s", table)
    return [flow.rows(table), flow.types(table), item, record]


def test_an_overwrite_takes_the_place_of_the_old_table_at_once(flow: Flow, table: str) -> None:
    """Whoever reads meanwhile sees the old rows or the new ones: never none, never a part."""
    flow.load(POINTS, "points.csv", table, **PLACE)
    blob = flow.put(airports(), "airports.csv")
    job_id = flow.submit(blob, table, overwrite=True, chunk_size=100, **AIRPORT)
    seen = set()
    with psycopg.connect(flow.database_url, autocommit=True) as reader:
        while flow.status(job_id)["status"] in ("queued", "processing"):
            for _ in range(10):
                seen.add(reader.execute(f"SELECT count(*) FROM geo.{table}".encode()).fetchone())  # noqa: S608
    job = flow.completed(job_id)
    assert seen <= {(2,), (3376,)}
    assert (2,) in seen
    assert len(flow.rows(table)) == 3376
    assert job["result_data"]["replaced"]["rows_before"] == 2
    assert (
        flow.one("SELECT feature_count FROM geo.table_metadata WHERE table_name = %s", table)["feature_count"] == 3376
    )
    flow.assert_nothing_left()


def test_an_overwrite_keeps_who_may_read_the_table(flow: Flow, table: str) -> None:
    flow.run(f"CREATE ROLE reader_{table}")
    flow.load(POINTS, "points.csv", table, **PLACE)
    flow.run(f"GRANT SELECT ON geo.{table} TO reader_{table}, PUBLIC")
    flow.load(POINTS, "others.csv", table, overwrite=True, **PLACE)
    allowed = flow.one("SELECT has_table_privilege(%s, %s, 'SELECT') AS it", f"reader_{table}", f"geo.{table}")
    flow.run(f"DROP OWNED BY reader_{table}; DROP ROLE reader_{table}")
    assert allowed["it"]


def test_an_overwrite_leaves_the_table_to_its_owner(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    flow.run(f"CREATE ROLE owner_{table}; ALTER TABLE geo.{table} OWNER TO owner_{table}")
    flow.load(POINTS, "others.csv", table, overwrite=True, **PLACE)
    allowed = flow.one("SELECT has_table_privilege(%s, %s, 'SELECT') AS it", f"owner_{table}", f"geo.{table}")
    flow.run(f"DROP OWNED BY owner_{table} CASCADE; DROP ROLE owner_{table}")
    assert allowed["it"]
