"""Look before you load: what is foretold is what the load gives, and what is refused is refused in the same words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import httpx
import pytest
import shapely

from tests.flow.flow import Flow, Json, problem
from tests.flow.sources import (
    COUNTRIES,
    airports,
    countries,
    csv,
    feature,
    geojson,
    of_package,
    shapefile_parts,
    written,
    zipped,
)
from tests.gdal_process import write_by_gdal

PLACE = {"lat_name": "lat", "lon_name": "lon"}
POINTS = csv("name,lat,lon", "a,1,2", "b,3,4")
Made = tuple[bytes | Path, str, Json]


def fixture(package: str, path: str, name: str, **parameters: Any) -> Callable[[Path], Made]:
    return lambda _: (of_package(package, path), name, parameters)


def content(data: bytes, name: str, **parameters: Any) -> Callable[[Path], Made]:
    return lambda _: (data, name, parameters)


def zipped_countries(_folder: Path) -> Made:
    parts = shapefile_parts(of_package("pyogrio", f"{COUNTRIES}/naturalearth_lowres.shp"))
    return zipped({f"data/ne{suffix}": data for suffix, data in parts.items()}), "countries.zip", {}


def countries_in_utm(folder: Path) -> Made:
    frame = countries().query("name == 'Germany' or name == 'Poland'").to_crs(25832)
    return written(frame, folder / "utm.gpkg"), "utm.gpkg", {}


def countries_as_geojson(folder: Path) -> Made:
    return write_by_gdal(countries(), folder / "c.geojson", "GeoJSON", COORDINATE_PRECISION=15), "countries.json", {}


def two_layers(folder: Path) -> Made:
    path = folder / "two.gpkg"
    written(countries().assign(geometry=countries().representative_point()), path, layer="points")
    written(countries(), path, layer="areas", append=True)
    return path, "two.gpkg", {"layer_name": "areas"}


def placemarks(folder: Path) -> Made:
    frame = countries()[["name", "geometry"]].rename(columns={"name": "Name"})
    return (
        write_by_gdal(frame.assign(geometry=frame.representative_point()), folder / "p.kml", "LIBKML"),
        "places.kml",
        {},
    )


def placemarks_zipped(folder: Path) -> Made:
    path = placemarks(folder)[0]
    assert isinstance(path, Path)
    return zipped({"doc.kml": path.read_bytes()}), "places.kmz", {}


def latin_names(folder: Path) -> Made:
    frame = geopandas.GeoDataFrame({"ort": ["Köln", "Düren"]}, geometry=shapely.points([[6, 50], [19, 51]]), crs=4326)
    parts = shapefile_parts(written(frame, folder / "orte.shp", encoding="CP1252"))
    return zipped({f"orte{suffix}": data for suffix, data in parts.items()}), "orte.zip", {}


BOWTIE = "POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))"
SQUARE = "POLYGON ((5 5, 6 5, 6 6, 5 6, 5 5))"
FILES: dict[str, Callable[[Path], Made]] = {
    "csv": fixture("vega_datasets", "_data/airports.csv", "a.csv", lat_name="latitude", lon_name="longitude"),
    "csv with dates": fixture(
        "vega_datasets", "_data/la-riots.csv", "r.csv", lat_name="latitude", lon_name="longitude"
    ),
    "csv in cp1252": content(
        "Straße;lat;lon;ID\nKöln;50,9;6,9;007\n".encode("cp1252"), "k.csv", **PLACE, converter_params={"decimal": ","}
    ),
    "csv of wkt": content(
        csv("shape;Größe m²", f"{BOWTIE};1", f"{SQUARE};2.5", ";3", "POLYGON EMPTY;4"),
        "w.csv",
        wkt_column="shape",
        max_reject_percent=50,
    ),
    "csv in utm": content(
        csv("n,r,h", "1,365000,5621000", "2,366000,5622000"),
        "u.csv",
        lat_name="h",
        lon_name="r",
        source_crs="EPSG:25832",
    ),
    "csv in zip": lambda _: (zipped({"x/p.csv": POINTS}), "p.zip", PLACE),
    "zipped shapefile": zipped_countries,
    "shapefile in cp1252": latin_names,
    "geojson": countries_as_geojson,
    "geojson with a null": fixture("geopandas", "tests/data/null_geom.geojson", "null.geojson", max_reject_percent=50),
    "geojson with nested values": content(
        geojson(feature({"ID": 1, "tags": ["a"], "when": "2024-05-01T10:00:00Z"})), "n.geojson"
    ),
    "geopackage": fixture("pyogrio", "tests/fixtures/test_gpkg_nulls.gpkg", "nulls.gpkg"),
    "geopackage in utm": countries_in_utm,
    "geopackage of two layers": two_layers,
    "line with heights": fixture("pyogrio", "tests/fixtures/line_zm.gpkg", "line.gpkg"),
    "curves": fixture("pyogrio", "tests/fixtures/curvepolygon.gpkg", "curves.gpkg"),
    "kml": placemarks,
    "kmz": placemarks_zipped,
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_foretold_is_what_the_load_gives(flow: Flow, table: str, tmp_path: Path, name: str) -> None:
    data, blob_name, parameters = FILES[name](tmp_path)
    body = {"blob_name": flow.put(data, blob_name), "table_name": table, **parameters}
    seen = flow.inspect(body)
    assert seen["refusals"] == []
    assert (seen["would_be_accepted"], seen["submission"], seen["complete"]) == (True, "created", True)
    result = flow.completed(flow.accepted(flow.post(body)))["result_data"]
    columns = [
        {key: value for key, value in column.items() if key != "examples"} for column in seen["table"]["columns"]
    ]
    assert columns == result["table"]["columns"]
    assert seen["table"]["renamed"] == result["table"]["renamed"]
    assert seen["table"]["geometry_type"] == result["table"]["geometry_type"]
    for fact in ("crs", "crs_found_in", "layer", "driver", "bytes"):
        assert seen["source"][fact] == result["source"][fact]
    assert (seen["estimate"]["rows"], seen["estimate"]["rows_found_in"]) == (result["rows"]["read"], "counted")
    assert seen["estimate"]["chunks"] == result["chunks"]
    assert seen["geometry"]["rejected"] == result["rows"]["rejected"]
    assert seen["geometry"]["invalid"] >= result["rows"]["repaired"]
    assert seen["extent"] == {"bbox": pytest.approx(result["table"]["bbox"], abs=1e-9), "found_in": "rows"}


def test_a_bare_shapefile_is_looked_at_with_its_sidecars(flow: Flow, table: str) -> None:
    parts = shapefile_parts(of_package("pyogrio", f"{COUNTRIES}/naturalearth_lowres.shp"))
    blob = flow.put(parts.pop(".shp"), "countries.shp")
    for suffix, data in parts.items():
        flow.replace(blob.removesuffix(".shp") + suffix, data)
    seen = flow.inspect({"blob_name": blob, "table_name": table})
    assert seen["source"]["encoding"] == {
        "name": "ISO-8859-1",
        "confidence": 1.0,
        "found_in": "declaration",
        "suspected": None,
    }
    assert seen["source"]["layers"][0]["features"] == seen["estimate"]["rows"] == 177
    assert seen["geometry"]["types"] == {"Polygon": 148, "MultiPolygon": 29}


def test_a_csv_whose_geometry_columns_are_not_known_gets_them_proposed(flow: Flow, table: str) -> None:
    body = {"blob_name": flow.put(airports(), "airports.csv"), "table_name": table}
    seen = flow.inspect(body)
    assert [(refusal["code"], refusal["by"]) for refusal in seen["refusals"]] == [
        ("csv_geometry_missing", "submission")
    ]
    proposed = seen["candidates"]["proposed"]
    assert proposed == {"lat_name": "latitude", "lon_name": "longitude"}
    assert seen["table"]["geometry_type"] == "Point"
    again = flow.inspect(body | proposed)
    assert again["would_be_accepted"] is True
    assert again["table"] == seen["table"]


# What is refused

POINT = feature({"n": 1})
NOTHING: Json = {"type": "Feature", "properties": {"n": 1}, "geometry": None}
LINE = feature({"n": 1}, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]})
COLLAPSED = feature({"n": 1}, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0], [0, 0]]]})


def two_without_a_name(folder: Path) -> Made:
    path, name, _ = two_layers(folder)
    return path, name, {}


def without_crs(folder: Path) -> Made:
    frame = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.Point(365000, 5621000)])
    with pytest.warns(UserWarning, match="crs"):
        return written(frame, folder / "n.gpkg"), "n.gpkg", {}


def only_a_table(folder: Path) -> Made:
    frame = countries().drop(columns="geometry")
    return written(frame, folder / "t.gpkg"), "t.gpkg", {}


def nobody(folder: Path) -> Made:
    frame = geopandas.GeoDataFrame({"n": []}, geometry=[], crs=4326)
    return written(frame, folder / "none.gpkg", geometry_type="Point"), "none.gpkg", {}


DOOMED: dict[str, tuple[Callable[[Path], Made], list[str]]] = {
    "no rows": (content(b"name,lat,lon\n", "h.csv", **PLACE), ["no_features"]),
    "no features": (content(geojson(), "n.geojson"), ["no_features"]),
    "an empty layer": (nobody, ["no_features"]),
    "no geometries": (content(geojson(NOTHING, NOTHING), "n.geojson"), ["no_usable_features"]),
    "no geometry that can be kept": (content(geojson(COLLAPSED), "c.geojson"), ["no_usable_features"]),
    "no coordinates": (content(csv("n,lat,lon", "1,x,y"), "x.csv", **PLACE), ["no_usable_features"]),
    "many rejects": (content(geojson(POINT, NOTHING), "n.geojson"), ["too_many_rejects"]),
    "several types": (content(geojson(POINT, LINE), "m.geojson"), ["mixed_geometry_types"]),
    "a wrong column": (content(POINTS, "p.csv", lat_name="breite", lon_name="lon"), ["column_not_found"]),
    "a wrong wkt column": (content(POINTS, "p.csv", wkt_column="shape"), ["column_not_found"]),
    "a wrong column to index": (
        content(POINTS, "p.csv", **PLACE, indexes={"attributes": ["day"]}),
        ["column_not_found"],
    ),
    "a text to date by": (content(POINTS, "p.csv", **PLACE, temporal_property="name"), ["not_temporal"]),
    "another format": (content(b"<OGRVRTDataSource/>", "x.gpkg"), ["content_mismatch"]),
    "a broken geopackage": (content(b"SQLite format 3\x00" + bytes(500), "x.gpkg"), ["unreadable_file"]),
    "half a geojson": (content(geojson(*[POINT] * 500)[:9000], "cut.geojson"), ["unreadable_file"]),
    "a ragged row": (content(POINTS + b"c,5,6,7\n", "r.csv", **PLACE), ["malformed_csv"]),
    "an unsafe zip": (lambda _: (zipped({"../p.csv": POINTS}), "p.zip", PLACE), ["unsafe_archive"]),
    "two data sets": (lambda _: (zipped({"a.csv": POINTS, "b.csv": POINTS}), "p.zip", PLACE), ["archive_ambiguous"]),
    "a zip without": (lambda _: (zipped({"a.txt": b"x"}), "p.zip", {}), ["archive_without_data"]),
    "a csv in a zip": (lambda _: (zipped({"a.csv": POINTS}), "p.zip", {}), ["geometry_columns_missing"]),
    "several layers": (two_without_a_name, ["layer_ambiguous"]),
    "no such layer": (lambda folder: (*two_layers(folder)[:2], {"layer_name": "rivers"}), ["layer_not_found"]),
    "no spatial layer": (only_a_table, ["no_spatial_layer"]),
    "no crs": (without_crs, ["crs_missing"]),
    "a wrong crs": (content(geojson(POINT), "p.geojson", source_crs="EPSG:0"), ["invalid_crs"]),
    "utm as wkt": (content(csv("shape", "POINT (365000 5621000)"), "u.csv", wkt_column="shape"), ["crs_missing"]),
    "two at once": (
        content(geojson(POINT, LINE), "m.geojson", temporal_property="n", indexes={"attributes": ["day"]}),
        ["mixed_geometry_types", "column_not_found", "not_temporal"],
    ),
}


@pytest.mark.parametrize("name", DOOMED)
def test_what_a_job_would_fail_with_is_told_before(flow: Flow, table: str, tmp_path: Path, name: str) -> None:
    make, codes = DOOMED[name]
    data, blob_name, parameters = make(tmp_path)
    body = {"blob_name": flow.put(data, blob_name), "table_name": table, **parameters}
    seen = flow.inspect(body)
    assert seen["would_be_accepted"] is False
    assert seen["submission"] is None
    assert {refusal["by"] for refusal in seen["refusals"]} == {"job"}
    assert sorted(refusal["code"] for refusal in seen["refusals"]) == sorted(codes)
    error = flow.failed(flow.accepted(flow.post(body)))
    told = {refusal["code"]: refusal["message"] for refusal in seen["refusals"]}
    assert error["code"] in told
    if error["code"] in ("no_usable_features", "too_many_rejects"):
        # The job names rows, too.
        assert error["message"].startswith(told[error["code"]])
    else:
        assert error["message"] == told[error["code"]]


def test_what_a_refused_file_holds_is_told_as_far_as_it_can_be(flow: Flow, table: str, tmp_path: Path) -> None:
    data, name, _ = two_without_a_name(tmp_path)
    seen = flow.inspect({"blob_name": flow.put(data, name), "table_name": table})
    layers = [(layer["name"], layer["features"], layer["geometry_type"]) for layer in seen["source"]["layers"]]
    assert layers == [("points", 177, "Point"), ("areas", 177, "Unknown")] or layers[0] == ("points", 177, "Point")
    assert seen["assumed"] == {"layer_name": "points"}
    assert seen["table"]["geometry_type"] == "Point"
    data, name, _ = without_crs(tmp_path)
    seen = flow.inspect({"blob_name": flow.put(data, name), "table_name": table})
    assert (seen["source"]["crs"], seen["extent"]) == (None, None)
    assert seen["table"]["columns"][0]["pg_type"] == "bigint"


def submission_refusals(flow: Flow, body: Json) -> list[tuple[str, str]]:
    return [(r["code"], r["parameter"]) for r in flow.inspect(body)["refusals"] if r["by"] == "submission"]


REFUSED: dict[str, tuple[Json, str]] = {
    "no such blob": ({"blob_name": "no/such.csv", **PLACE}, "blob_not_found"),
    "a container off the list": ({"container_name": "silver", **PLACE}, "container_name_not_allowed"),
    "a schema off the list": ({"schema": "public", **PLACE}, "schema_not_allowed"),
    "no geometry columns": ({}, "csv_geometry_missing"),
    "half of the geometry columns": ({"lat_name": "lat"}, "invalid_parameters"),
    "an unknown parameter": ({"colour": "red", **PLACE}, "invalid_parameters"),
    "a wrong name": ({"table_name": "A", **PLACE}, "invalid_parameters"),
    "a wrong encoding": ({"converter_params": {"encoding": "klingon"}, **PLACE}, "invalid_parameters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_submission_would_be_refused_for_is_told_before(flow: Flow, table: str, name: str) -> None:
    given, code = REFUSED[name]
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, **given}
    refused = submission_refusals(flow, body)
    assert [code for code, _ in refused] == [code]
    told = problem(flow.post(body), 400, code)
    assert [parameter for _, parameter in refused] == [error["parameter"] for error in told["errors"]]


def test_a_table_in_the_way_is_told_with_its_reason(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    body = {"blob_name": flow.put(POINTS, "others.csv"), "table_name": table, **PLACE}
    assert submission_refusals(flow, body) == [("table_exists", "table_name")]
    flow.make_view(table)
    assert submission_refusals(flow, body | {"overwrite": True}) == [("table_has_dependents", "overwrite")]


def test_everything_is_told_at_once(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    body = {
        "blob_name": flow.put(POINTS, "points.csv"),
        "table_name": table,
        "colour": "red",
        "chunk_size": 1,
        "converter_params": {"delimiter": "ab", "encoding": "klingon"},
        "temporal_property": "name",
    }
    seen = flow.inspect(body)
    told = {(refusal["code"], refusal["parameter"]) for refusal in seen["refusals"]}
    assert told == {
        ("invalid_parameters", "colour"),
        ("invalid_parameters", "chunk_size"),
        ("invalid_parameters", "converter_params.delimiter"),
        ("invalid_parameters", "converter_params.encoding"),
        ("table_exists", "table_name"),
        ("csv_geometry_missing", "lat_name"),
        ("not_temporal", "temporal_property"),
    }
    assert [column["name"] for column in seen["table"]["columns"]] == ["name", "lat", "lon"]


def test_a_file_can_be_looked_at_before_there_is_a_name_for_the_table(flow: Flow) -> None:
    seen = flow.inspect({"blob_name": flow.put(POINTS, "points.csv"), **PLACE})
    assert [(r["code"], r["parameter"]) for r in seen["refusals"]] == [("invalid_parameters", "table_name")]
    assert seen["estimate"]["rows"] == 2


def test_without_a_file_there_is_nothing_to_look_at(flow: Flow) -> None:
    seen = flow.inspect({"table_name": "Wrong"})
    assert {refusal["parameter"] for refusal in seen["refusals"]} == {"blob_name", "file_extension", "table_name"}
    assert "table" not in seen


def test_a_request_whose_job_was_done_already_would_be_answered_with_it(flow: Flow, table: str) -> None:
    body = {"blob_name": flow.put(POINTS, "points.csv"), "table_name": table, **PLACE}
    with flow.held_before_first_stage():
        job_id = flow.accepted(flow.post(body))
        assert flow.inspect(body)["submission"] == "queued"
        other = flow.inspect(body | {"title": "another"})
        assert [(r["code"], r["by"]) for r in other["refusals"]] == [("table_busy", "submission")]
    flow.completed(job_id)
    seen = flow.inspect(body)
    assert (seen["would_be_accepted"], seen["submission"]) == (True, "already_completed")
    flow.run(f"DROP TABLE geo.{table}")
    assert flow.inspect(body)["submission"] == "resubmitted"


def test_when_the_time_is_up_what_is_known_is_told(strict_flow: Flow, table: str) -> None:
    body = {"blob_name": strict_flow.put(POINTS, "points.csv"), "table_name": table, "schema": "public", **PLACE}
    seen = strict_flow.inspect(body)
    assert (seen["complete"], seen["source"]["bytes"], seen["estimate"]["rows"]) == (False, len(POINTS), None)
    assert [refusal["code"] for refusal in seen["refusals"]] == ["schema_not_allowed"]


def ask(flow: Flow, body: Any, job_type: str = "process_vector") -> httpx.Response:
    return flow.http.post(f"/api/jobs/inspect/{job_type}", json=body)


def test_what_cannot_be_looked_at(flow: Flow) -> None:
    problem(ask(flow, {}, "process_raster"), 400, "unknown_job_type")
    problem(ask(flow, {}, "hello_world"), 400, "not_inspectable")
    problem(ask(flow, []), 400, "malformed_json")
    assert flow.stranger.post("/api/jobs/inspect/process_vector", json={}).status_code == 401
