"""The STAC API of the catalog, as its clients see it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
import pytest
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from pystac_client import Client

from tests.flow.flow import Flow
from tests.flow.serving import PLACE, refusal
from tests.flow.sources import csv
from tests.flow.test_catalog import validated
from tests.flow.test_unpublish import taken_back

POINTS = csv("n,lat,lon", "1,-51.7,-57.8", "2,-51.6,-57.9")
ITEMS = "/api/stac/collections/system-vectors/items"
AROUND: dict[str, Any] = {
    "type": "Polygon",
    "coordinates": [[[-58, -52], [-57, -52], [-57, -51], [-58, -51], [-58, -52]]],
}
VALIDATOR = str(Path(sys.executable).with_name("stac-api-validator"))


@pytest.fixture
def stanley(flow: Flow, table: str) -> str:
    flow.load(POINTS, "stanley.csv", table, title="Stanley", **PLACE)
    return table


def client(flow: Flow) -> Client:
    return Client.open(f"{flow.base_url}/api/stac", headers={"x-functions-key": flow.key})


def test_pystac_client_finds_the_item_and_what_it_describes(flow: Flow, stanley: str) -> None:
    opened = client(flow)
    assert "system-vectors" in [each.id for each in opened.get_collections()]
    found = {item.id: item for item in opened.search(bbox=[-58, -52, -57, -51]).items()}
    item = found[f"geo.{stanley}"]
    assert item.properties["title"] == "Stanley"
    features = flow.http.get(item.assets["items"].href).json()
    assert features["numberMatched"] == 2
    tiles = flow.http.get(item.assets["tiles"].href).json()
    assert flow.http.get(tiles["tiles"][0].format(z=0, x=0, y=0)).content
    assert item.assets["map"].href == f"{flow.base_url}/api/map/geo.{stanley}"
    assert item.assets["table"].href == f"postgresql:///geo.{stanley}"


def test_pystac_client_may_carry_the_key_in_the_address(flow: Flow, stanley: str) -> None:
    opened = Client.open(f"{flow.base_url}/api/stac", parameters={"code": flow.key})
    for method in ("GET", "POST"):
        found = opened.search(ids=[f"geo.{stanley}"], method=method).items()
        assert [item.id for item in found] == [f"geo.{stanley}"]


def test_the_served_item_and_its_collection_are_valid(flow: Flow, stanley: str) -> None:
    item = validated(flow.http.get(f"{ITEMS}/geo.{stanley}").json())
    assert isinstance(item, pystac.Item)
    told = flow.http.get("/api/stac/collections/system-vectors").json()
    JsonSchemaSTACValidator().validate_core(told, pystac.STACObjectType.COLLECTION, told["stac_version"])


def test_the_catalog_knows_no_host(flow: Flow, stanley: str) -> None:
    [row] = flow.all("SELECT content FROM pgstac.items WHERE id = %s", f"geo.{stanley}")
    assert "http" not in json.dumps(row["content"]["assets"])


def test_assets_and_links_hold_behind_a_proxy(flow: Flow, stanley: str) -> None:
    proxy = {"x-forwarded-proto": "https", "x-forwarded-host": "maps.example.org", "x-forwarded-prefix": "/gis"}
    for address in (f"{ITEMS}/geo.{stanley}", f"/api/stac/search?ids=geo.{stanley}&fields=-links"):
        told = flow.http.get(address, headers=proxy).json()
        item = told["features"][0] if "features" in told else told
        served = [item["assets"][name]["href"] for name in ("items", "tiles", "map")]
        served += [link["href"] for link in item.get("links", ())]
        assert all(href.startswith("https://maps.example.org/gis/api/") for href in served), served


def test_an_unpublished_table_has_no_item(flow: Flow, stanley: str) -> None:
    taken_back(flow, stanley)
    refusal(flow.http.get(f"{ITEMS}/geo.{stanley}"), 404, "not_found")


def test_pages_lead_to_each_other(flow: Flow, stanley: str, table: str) -> None:
    flow.load(POINTS, "other.csv", f"{table}_2", **PLACE)
    found = client(flow).search(intersects=AROUND, limit=1, max_items=50)
    ids = [item.id for page in found.pages() for item in page.items]
    assert len(ids) == len(set(ids))
    assert {f"geo.{stanley}", f"geo.{table}_2"} <= set(ids)


def test_it_is_only_read(flow: Flow, stanley: str) -> None:
    collection = {"type": "Collection", "id": "x"}
    refusal(flow.http.post("/api/stac/collections", json=collection), 405, "method_not_allowed")
    refusal(flow.http.post(ITEMS, json={"type": "Feature", "id": "x"}), 405, "method_not_allowed")
    assert flow.http.delete(f"{ITEMS}/geo.{stanley}").status_code == 404
    assert flow.http.get(f"{ITEMS}/geo.{stanley}").status_code == 200


@pytest.mark.parametrize(
    "asked",
    [
        *("bbox=1", "bbox=a,b,c,d", "datetime=x", "limit=0", "limit=x", "ids=%00", "intersects=x", "intersects={}"),
        *("filter=((", "filter=foo(id)=1", "token=x", "token=next:x", "query=x", "query={}", "f=html"),
        "filter=" + "(" * 5000 + "id=1" + ")" * 5000,
    ],
)
def test_bad_input_is_the_requests_fault(flow: Flow, asked: str) -> None:
    answer = flow.http.get(f"/api/stac/search?{asked}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in ("invalid_parameter", "invalid_parameters", "invalid_text")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"limit": "x"}',
        '{"bbox": [1]}',
        '{"ids": ["\\u0000"]}',
        '{"filter": {"op": "nope", "args": []}}',
        '{"filter": ' + '{"op": "not", "args": [' * 3000 + "true" + "]}" * 3000 + "}",
        '{"intersects": {"type": "Point", "coordinates": "x"}}',
        '{"sortby": [{"field": "id; drop table x", "direction": "up"}]}',
    ],
)
def test_a_bad_body_is_the_requests_fault(flow: Flow, body: str) -> None:
    answer = flow.http.post("/api/stac/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture
def without_pgstac(open_flow: Flow) -> Iterator[Flow]:
    open_flow.run("ALTER SCHEMA pgstac RENAME TO away")
    yield open_flow
    open_flow.run("ALTER SCHEMA away RENAME TO pgstac")


def test_without_pgstac_it_says_so_and_the_tables_are_served(without_pgstac: Flow, table: str) -> None:
    job = without_pgstac.load(POINTS, "stanley.csv", table, **PLACE)
    assert "stac" not in job["result_data"]["links"]
    for path in ("search", "collections", "collections/system-vectors", "collections/system-vectors/items/x"):
        answer = without_pgstac.http.get(f"/api/stac/{path}")
        assert "pgSTAC" in refusal(answer, 503, "catalog_missing")["detail"]
        assert answer.headers["retry-after"]
    assert without_pgstac.http.get(job["result_data"]["links"]["items"]).status_code == 200


@pytest.mark.parametrize("conformance", ["core", "collections", "features", "item-search"])
def test_stac_api_validator_finds_nothing_but_schemas_that_it_cannot_fetch(
    open_flow: Flow, table: str, conformance: str
) -> None:
    open_flow.load(POINTS, "stanley.csv", table, **PLACE)
    where = ("--collection", "system-vectors", "--geometry", json.dumps(AROUND))
    command = [VALIDATOR, "--root-url", f"{open_flow.base_url}/api/stac/", "--conformance", conformance, *where]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    _, _, errors = (told.stdout + told.stderr).partition("Errors:")
    listed = [line for line in errors.strip().splitlines() if line.startswith("- ")]
    assert errors.strip() == "none" or listed
    assert [line for line in listed if "schemas.stacspec.org" not in line] == []
