"""What is published, as the map's legend and the dashboard ask for it."""

import pytest

from tests.flow.flow import Flow, problem

SOURCE = "n,kind,size,ready,lat,lon\n" + "".join(
    f"{n},{'even' if n % 2 == 0 else 'odd'},{n / 10},{str(n < 5).lower()},{n % 80},{n % 170}\n" for n in range(100)
)
PLACE = {"lat_name": "lat", "lon_name": "lon"}


def test_a_published_table_tells_its_facts(clean_flow: Flow, table: str) -> None:
    told = {
        "title": "Things",
        "description": "All of them",
        "attribution": "Us",
        "license": "CC0-1.0",
        "keywords": ["a"],
    }
    job = clean_flow.load(SOURCE, "things.csv", table, **PLACE, **told)
    [listed] = clean_flow.http.get("/api/tables").json()["tables"]
    found = clean_flow.http.get(f"/api/tables/geo.{table}").json()
    assert found == listed
    assert {name: found[name] for name in told} == told
    assert (found["name"], found["rows"], found["geometry_type"], found["srid"]) == (f"geo.{table}", 100, "Point", 4326)
    assert found["bbox"] == [0, 0, 99, 79]
    assert found["job_id"] == job["job_id"]
    assert [(column["name"], column["pg_type"]) for column in found["columns"]] == [
        *(("n", "bigint"), ("kind", "text"), ("size", "double precision"), ("ready", "boolean")),
        *(("lat", "double precision"), ("lon", "double precision")),
    ]


def test_a_table_that_is_taken_back_is_not_told_of(clean_flow: Flow, table: str) -> None:
    clean_flow.load(SOURCE, "things.csv", table, **PLACE)
    clean_flow.completed(clean_flow.accepted(clean_flow.post({"table_name": table}, "unpublish_vector")))
    assert clean_flow.http.get("/api/tables").json() == {"tables": []}
    problem(clean_flow.http.get(f"/api/tables/geo.{table}"), 404, "table_not_found")


def test_a_column_tells_its_commonest_values_and_its_quantiles(clean_flow: Flow, table: str) -> None:
    clean_flow.load(SOURCE, "things.csv", table, **PLACE)

    def column(name: str) -> dict[str, object]:
        answer = clean_flow.http.get(f"/api/tables/geo.{table}/columns/{name}")
        assert answer.status_code == 200, answer.text
        told: dict[str, object] = answer.json()
        return told

    kind = column("kind")
    assert (kind["rows"], kind["nulls"], kind["distinct_values"], kind["sampled"]) == (100, 0, 2, False)
    assert kind["categories"] == [{"value": "even", "rows": 50}, {"value": "odd", "rows": 50}]
    assert kind["quantiles"] is None
    assert column("size")["quantiles"] == [0.0, 1.9, 3.9, 5.9, 7.9, 9.9]
    assert column("ready")["categories"] == [{"value": "false", "rows": 95}, {"value": "true", "rows": 5}]


def test_a_long_text_is_no_category(clean_flow: Flow, table: str) -> None:
    source = f"n,text,lat,lon\n1,{'x' * 300},1,1\n2,y,1,1\n3,,1,1\n"
    clean_flow.load(source, "odd.csv", table, **PLACE)
    text = clean_flow.http.get(f"/api/tables/geo.{table}/columns/text").json()
    assert [each["value"] for each in text["categories"]] == ["y"]
    assert text["nulls"] == 1


def test_a_large_table_is_sampled(clean_flow: Flow, table: str) -> None:
    source = "n,lat,lon\n" + "".join(f"{n},1,1\n" for n in range(150_000))
    clean_flow.load(source, "large.csv", table, **PLACE)
    told = clean_flow.http.get(f"/api/tables/geo.{table}/columns/n").json()
    assert told["sampled"]
    assert 50_000 < told["rows"] < 140_000


@pytest.mark.parametrize(
    "name", ["geo.nothing", "geo", "pg_catalog.pg_class", "app.jobs", "geo.table_metadata", "%00", "é.é"]
)
def test_a_table_that_is_not_published_is_not_found(flow: Flow, name: str) -> None:
    problem(flow.http.get(f"/api/tables/{name}"), 404, "table_not_found")


@pytest.mark.parametrize("name", ["nothing", "geom", "etl_batch_id", "ctid", "n;drop", "%00", '"n"'])
def test_a_column_that_is_none_is_not_found(clean_flow: Flow, table: str, name: str) -> None:
    clean_flow.load("n,lat,lon\n1,2,3\n", "one.csv", table, **PLACE)
    problem(clean_flow.http.get(f"/api/tables/geo.{table}/columns/{name}"), 404, "column_not_found")


@pytest.mark.parametrize("path", ["tables", "tables/geo.x", "tables/geo.x/columns/n", "queues"])
def test_all_of_it_needs_a_key(flow: Flow, path: str) -> None:
    assert flow.stranger.get(f"/api/{path}").status_code == 401
