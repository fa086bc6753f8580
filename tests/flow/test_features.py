"""OGC API Features and vector tiles of what is published, and of nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tests.flow.flow import Flow
from tests.flow.serving import GRID, PLACE, collection, features_of_tile, got, items, ogrinfo, refusal
from tests.flow.sources import airports, csv
from tests.flow.test_unpublish import taken_back

POINTS = csv("code,day,lat,lon", "DE,2020-02-29,50,7", "FR,2019-01-01,48,2", "IT,,45,9")
MANY = {"lat_name": "latitude", "lon_name": "longitude"}


def names(flow: Flow) -> list[str]:
    return [each["id"] for each in got(flow, "/api/features/collections")["collections"]]


def test_a_loaded_table_is_a_collection_at_once(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, title="Places", description="Three.", temporal_property="day", **PLACE)
    told = got(flow, collection(flow, table))
    assert (told["title"], told["description"]) == ("Places", "Three.")
    assert told["extent"]["spatial"]["bbox"] == [[2, 45, 9, 50]]
    assert [moment[:10] for moment in told["extent"]["temporal"]["interval"][0]] == ["2019-01-01", "2020-02-29"]
    first = items(flow, table)[0]
    assert first["geometry"] == {"type": "Point", "coordinates": [7, 50]}
    assert first["properties"] == {"id": 1, "code": "DE", "day": "2020-02-29", "lat": 50, "lon": 7}
    assert f"geo.{table}" in names(flow)


def test_a_replaced_table_is_served_as_it_is_now_by_every_worker(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    for _ in range(8):
        items(flow, table)
    flow.load(csv("name,code,lat,lon", "Bonn,53,50,7"), "new.csv", table, overwrite=True, **PLACE)
    for _ in range(8):
        [only] = items(flow, table)
        assert only["properties"] == {"id": 1, "name": "Bonn", "code": 53, "lat": 50, "lon": 7}


def test_an_unpublished_table_is_gone_at_once(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    assert items(flow, table)
    taken_back(flow, table)
    refusal(flow.http.get(f"{collection(flow, table)}/items"), 404, "collection_not_found")
    assert f"geo.{table}" not in names(flow)


@pytest.mark.parametrize("name", ["app.jobs", "geo.table_metadata", "pgstac.items", "public.spatial_ref_sys", "jobs"])
def test_tables_of_the_app_are_not_served(flow: Flow, name: str) -> None:
    refusal(flow.http.get(f"/api/features/collections/{name}/items"), 404, "collection_not_found")
    assert name not in names(flow)


def test_a_table_that_the_app_did_not_publish_and_a_function_are_not_served(flow: Flow, table: str) -> None:
    flow.run(f"CREATE TABLE geo.{table} (id bigint PRIMARY KEY, geom geometry(Point, 4326))")
    returned = "RETURNS TABLE (id bigint, geom geometry) LANGUAGE sql STABLE"
    flow.run(f"CREATE FUNCTION geo.f_{table}() {returned} AS 'SELECT id, geom FROM geo.{table}'")  # noqa: S608
    for name in (f"geo.{table}", f"geo.f_{table}"):
        refusal(flow.http.get(f"/api/features/collections/{name}"), 404, "collection_not_found")
        assert name not in names(flow)


def test_a_schema_that_is_not_allowed_is_not_served(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    flow.run(f"CREATE SCHEMA hidden_{table}")
    flow.run(f"ALTER TABLE geo.{table} SET SCHEMA hidden_{table}")
    flow.run(f"UPDATE geo.table_metadata SET schema_name = 'hidden_{table}' WHERE table_name = '{table}'")  # noqa: S608
    refusal(flow.http.get(f"/api/features/collections/hidden_{table}.{table}"), 404, "collection_not_found")
    assert f"hidden_{table}.{table}" not in names(flow)


def test_a_tile_has_the_features_with_their_attributes(flow: Flow, table: str, tmp_path: Path) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    told = got(flow, f"{collection(flow, table)}/tiles/{GRID}/tilejson.json")
    assert set(told["vector_layers"][0]["fields"]) == {"id", "code", "day", "lat", "lon"}
    tile = flow.http.get(told["tiles"][0].format(z=0, x=0, y=0))
    assert (tile.status_code, tile.headers["content-type"]) == (200, "application/vnd.mapbox-vector-tile")
    described = features_of_tile(tile.content, tmp_path)
    assert described.count("OGRFeature") == 3
    assert "code (String) = DE" in described


def test_gdal_reads_every_feature_page_by_page(flow: Flow, table: str) -> None:
    flow.load(airports(), "airports.csv", table, **MANY)
    source = (f"OAPIF:{flow.base_url}/api/features", f"geo.{table}", "-oo", "PAGE_SIZE=1000")
    described = ogrinfo(*source, GDAL_HTTP_HEADERS=f"x-functions-key: {flow.key}")
    assert "Feature Count: 3376" in described
    assert described.count("OGRFeature") == 3376


def test_gdal_may_carry_the_key_in_the_address(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    described = ogrinfo(f"OAPIF:{flow.base_url}/api/features?code={flow.key}", f"geo.{table}")
    assert described.count("OGRFeature") == 3


def test_a_key_in_the_address_is_no_filter_for_a_column_called_code(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, **PLACE)
    page = flow.stranger.get(f"{collection(flow, table)}/items", params={"code": flow.key, "limit": 2}).json()
    assert page["numberMatched"] == 3
    assert flow.key not in str(page)
    assert [each["properties"]["code"] for each in items(flow, table, code="FR")] == ["FR"]


def test_features_are_filtered_by_box_time_and_cql2(flow: Flow, table: str) -> None:
    flow.load(POINTS, "points.csv", table, temporal_property="day", **PLACE)

    def codes(**query: Any) -> list[str]:
        return [each["properties"]["code"] for each in items(flow, table, **query)]

    assert codes(bbox="0,47,3,49") == ["FR"]
    assert codes(datetime="2020-01-01T00:00:00Z/..") == ["DE"]
    assert codes(filter="code IN ('DE', 'IT') AND lat < 50") == ["IT"]
    assert codes(filter="S_INTERSECTS(geom, POINT(7 50))") == ["DE"]
    assert codes(filter="CASEI(code) LIKE 'd%'") == ["DE"]
    assert codes(filter="lat " + "+ 1 " * 400 + "> 449") == ["DE"]
    assert codes(sortby="-code", limit=1) == ["IT"]


@pytest.mark.parametrize(
    "cql",
    [
        "query_to_xml('select * from app.jobs', true, true, '') = 'x'",
        "pg_sleep(5) = 1",
        "PG_READ_FILE('/etc/passwd') = 'x'",
        '{"op": "=", "args": [{"op": "set_config", "args": ["transaction_read_only", "off", false]}, "off"]}',
        "etl_batch_id = 'x'",
        "current_user = 'postgres'",
        "ctid = '(0,1)'",
        "code < 5",
        "code =",
        "",
        "{",
        "(" * 5000 + "code = 'DE'" + ")" * 5000,
        "NOT " * 5000 + "code = 'DE'",
        '{"op": "not", "args": [' * 400 + "true" + "]}" * 400,
    ],
)
def test_a_filter_names_nothing_but_columns_and_operators_of_cql2(flow: Flow, places: str, cql: str) -> None:
    answer = flow.http.get(f"{collection(flow, places)}/items", params={"filter": cql})
    told = refusal(answer, 400, "invalid_parameter")
    assert "postgres" not in told["detail"]


@pytest.fixture(scope="module")
def places(session_flow: Flow) -> str:
    """A table for those that only read it."""
    session_flow.load(POINTS, "points.csv", "places_to_read", temporal_property="day", overwrite=True, **PLACE)
    return "places_to_read"


@pytest.mark.parametrize(
    "asked",
    [
        *("items?bbox=abc", "items?bbox=nan,1,2,3", "items?bbox=1,2", "items?bbox=999,0,1000,1", "items?datetime=x"),
        *("items?datetime=../..", "items?sortby=nope", "items?limit=-1", "items?limit=999999", "items?limit=x"),
        *("items?offset=99999999999999999999", "items?f=html", "items?f=x", "items?simplify=-1", "items?simplify=nan"),
        *("items?ids=99999999999999999999", "items?geom-column=x", "items?day=x", "items?lat=%00"),
        *("items/99999999999999999999", f"tiles/{GRID}/99/0/0", f"tiles/{GRID}/x/0/0", "tiles/Nope/0/0/0"),
        *(f"tiles/{GRID}/0/0/0?simplify=nan", f"tiles/{GRID}/0/0/0?limit=999999", f"tiles/{GRID}/0/0/0?bbox=x"),
    ],
)
def test_bad_input_is_the_requests_fault(flow: Flow, places: str, asked: str) -> None:
    answer = flow.http.get(f"{collection(flow, places)}/{asked}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in ("invalid_parameter", "invalid_parameters", "invalid_text")


@pytest.mark.parametrize("asked", ["items/77", "items/x", "nope", "tiles/nope/x/y"])
def test_what_is_not_there_is_not_found(flow: Flow, places: str, asked: str) -> None:
    refusal(flow.http.get(f"{collection(flow, places)}/{asked}"), 404, "not_found")


def test_no_row_is_an_empty_page_in_every_format(flow: Flow, places: str) -> None:
    for form in ("geojson", "json", "csv", "geojsonseq", "ndjson"):
        nowhere = {"bbox": "100,10,101,11", "f": form}
        answer = flow.http.get(f"{collection(flow, places)}/items", params=nowhere)
        assert answer.status_code == 200, answer.text
        assert "coordinates" not in answer.text


def test_a_browser_gets_json_and_nothing_of_a_cdn(flow: Flow, places: str) -> None:
    for path in ("", "/collections", f"/collections/geo.{places}/items", "/tileMatrixSets", "/conformance"):
        answer = flow.http.get(f"/api/features{path}", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert "json" in answer.headers["content-type"]
        assert "cdn" not in answer.text


def test_links_hold_behind_a_proxy(flow: Flow, places: str) -> None:
    proxy = {"x-forwarded-proto": "https", "x-forwarded-host": "maps.example.org", "x-forwarded-prefix": "/gis"}
    page = flow.http.get(f"{collection(flow, places)}/items?limit=1", headers=proxy).json()
    told = [link["href"] for link in page["links"]] + [link["href"] for link in page["features"][0]["links"]]
    assert len(told) == 5
    assert all(href.startswith(f"https://maps.example.org/gis{collection(flow, places)}") for href in told)


def test_the_definition_says_where_it_holds_and_forgets_who_asked(flow: Flow) -> None:
    for host in ("one.example.org", "two.example.org"):
        told = flow.http.get("/api/features/api", headers={"x-forwarded-host": host}).json()
        assert told["servers"] == [{"url": f"http://{host}/api/features"}]


def test_only_a_key_opens_it(flow: Flow, places: str) -> None:
    assert flow.stranger.get("/api/features").status_code == 401
    assert flow.stranger.get(f"{collection(flow, places)}/tiles/{GRID}/0/0/0").status_code == 401
    assert flow.stranger.get("/api/stac").status_code == 401


def test_everybody_may_read_where_the_setting_says_so(open_flow: Flow, table: str) -> None:
    open_flow.load(POINTS, "points.csv", table, **PLACE)
    for path in (f"{collection(open_flow, table)}/items", "/api/stac/search"):
        assert len(open_flow.stranger.get(path).json()["features"]) > 0
    for path in ("/api/jobs", "/api/health", "/api/cleanup/status"):
        assert open_flow.stranger.get(path).status_code == 401
