"""What is published besides the table: the STAC item in pgSTAC, and the row of geo.table_metadata."""

from datetime import UTC, datetime
from typing import Any

import pystac
import pytest
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.table import TableExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from tests.flow.flow import Flow, Json
from tests.flow.sources import airports, csv

AIRPORT = {"lat_name": "latitude", "lon_name": "longitude"}
PLACE = {"lat_name": "lat", "lon_name": "lon"}
EXTENT = [-176.6460306, 7.367222, 145.621384, 71.2854475]
ABOUT: dict[str, Any] = {
    "title": "Flughäfen der USA",
    "description": "Every airport.",
    "attribution": "FAA",
    "license": "CC-BY-4.0",
    "keywords": ["air", "Verkehr"],
}


def item_of(flow: Flow, table: str) -> Json:
    """The item as pgSTAC gives it to a STAC API."""
    with flow.database() as connection:
        connection.execute("SET search_path TO pgstac, public")
        row = connection.execute("SELECT get_item(%s, 'system-vectors') AS item", [f"geo.{table}"]).fetchone()
    assert row
    item: Json = row["item"]
    return item


def validated(item: Json) -> pystac.Item:
    """The item as pystac reads it, checked against STAC's own schema."""
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    return pystac.Item.from_dict(item)


def test_a_published_table_has_a_valid_item_that_tells_its_extent_and_columns(flow: Flow, table: str) -> None:
    job = flow.load(airports(), "airports.csv", table, **AIRPORT, **ABOUT)
    assert job["result_data"]["stac"] == {"collection": "system-vectors", "item_id": f"geo.{table}"}
    assert (job["result_data"]["degraded"], job["result_data"]["degraded_reason"]) == (False, None)
    item = validated(item_of(flow, table))
    assert item.collection_id == "system-vectors"
    assert item.bbox == pytest.approx(EXTENT, abs=1e-9)
    assert ProjectionExtension.ext(item).code == "EPSG:4326"
    described = TableExtension.ext(item)
    assert described.row_count == 3376
    assert described.primary_geometry == "geom"
    told = {column.name: column.col_type for column in described.columns or []}
    assert told["iata"] == "text"
    assert told["latitude"] == "double precision"
    assert set(told) == set(flow.types(table)) - {"etl_batch_id"}
    assert item.properties.items() >= ABOUT.items()
    assert item.assets["table"].href.endswith(f"geo.{table}")


def test_the_item_can_be_found_by_place(flow: Flow, table: str) -> None:
    flow.load(csv("name,lat,lon", "a,-51.7,-57.8", "b,-51.6,-57.9"), "stanley.csv", table, **PLACE)
    with flow.database() as connection:
        connection.execute("SET search_path TO pgstac, public")
        search = '{"collections": ["system-vectors"], "bbox": [-58, -52, -57, -51]}'
        row = connection.execute("SELECT search(%s::jsonb) AS found", [search]).fetchone()
    assert row
    assert f"geo.{table}" in [feature["id"] for feature in row["found"]["features"]]


def test_the_metadata_row_tells_the_same_as_the_item(flow: Flow, table: str) -> None:
    job = flow.load(airports(), "airports.csv", table, **AIRPORT, **ABOUT)
    row = flow.one("SELECT * FROM geo.table_metadata WHERE schema_name = 'geo' AND table_name = %s", table)
    assert {name: row[name] for name in ABOUT} == ABOUT
    assert (row["job_id"], row["run"]) == (job["job_id"], 1)
    assert (row["feature_count"], row["geometry_type"], row["srid"]) == (3376, "Point", 4326)
    assert row["bbox"] == pytest.approx(EXTENT, abs=1e-9)
    assert [column["name"] for column in row["columns"]] == [
        column["name"] for column in job["result_data"]["table"]["columns"]
    ]
    assert (row["stac_collection"], row["stac_item"]) == ("system-vectors", f"geo.{table}")
    assert row["source"]["sha256"] == job["result_data"]["source"]["sha256"]


def test_a_temporal_property_gives_the_item_its_interval(flow: Flow, table: str) -> None:
    content = csv("day,lat,lon", "2020-02-29,1,1", "2019-01-01,2,2", ",3,3")
    flow.load(content, "days.csv", table, temporal_property="day", **PLACE)
    item = validated(item_of(flow, table))
    assert item.datetime in (None, datetime(2019, 1, 1, tzinfo=UTC))
    assert item.common_metadata.start_datetime == datetime(2019, 1, 1, tzinfo=UTC)
    assert item.common_metadata.end_datetime == datetime(2020, 2, 29, tzinfo=UTC)
    row = flow.one("SELECT * FROM geo.table_metadata WHERE table_name = %s", table)
    assert row["temporal_property"] == "day"
    assert row["temporal_start"] == datetime(2019, 1, 1, tzinfo=UTC)


def test_a_single_point_has_a_valid_item_too(flow: Flow, table: str) -> None:
    flow.load(csv("n,lat,lon", "1,50.7,7.1"), "one.csv", table, **PLACE)
    assert validated(item_of(flow, table)).bbox == [7.1, 50.7, 7.1, 50.7]


def test_an_overwrite_takes_the_place_of_the_item(flow: Flow, table: str) -> None:
    flow.load(airports(), "airports.csv", table, title="old", **AIRPORT)
    flow.load(csv("n,lat,lon", "1,2,3", "4,5,6"), "new.csv", table, title="new", overwrite=True, **PLACE)
    rows = flow.all("SELECT id FROM pgstac.items WHERE id = %s", f"geo.{table}")
    assert len(rows) == 1
    item = validated(item_of(flow, table))
    assert (item.properties["title"], TableExtension.ext(item).row_count) == ("new", 2)
    assert item.bbox == [3, 2, 6, 5]
