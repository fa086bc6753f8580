"""Every link in every answer resolves."""

from tests.flow.flow import Flow
from tests.flow.serving import GRID, PLACE, collection, crawled
from tests.flow.sources import csv
from tests.flow.test_unpublish import taken_back

POINTS = csv("n,lat,lon", "1,50,7", "2,48,2")


def unresolved(flow: Flow, table: str, start: str) -> dict[str, int]:
    fill = {"collectionId": f"geo.{table}", "itemId": "1", "tileMatrixSetId": GRID, "z": "0", "x": "0", "y": "0"}
    seen = crawled(flow.http, f"{flow.base_url}{start}", fill, flow.base_url)
    assert len(seen) > 5, seen
    return {address: status for address, status in seen.items() if status != 200}


def test_from_the_features(clean_flow: Flow, table: str) -> None:
    clean_flow.load(POINTS, "points.csv", table, **PLACE)
    assert unresolved(clean_flow, table, "/api/features") == {}


def test_from_the_catalog(clean_flow: Flow, table: str) -> None:
    for name in (table, f"{table}_2"):
        clean_flow.load(POINTS, "points.csv", name, **PLACE)
    assert unresolved(clean_flow, table, "/api/stac") == {}
    assert unresolved(clean_flow, table, "/api/stac/search?limit=1") == {}


def test_from_a_job(clean_flow: Flow, table: str) -> None:
    job = clean_flow.load(POINTS, "points.csv", table, **PLACE)
    assert job["result_data"]["links"] == {
        "table": f"{clean_flow.base_url}{collection(clean_flow, table)}",
        "items": f"{clean_flow.base_url}{collection(clean_flow, table)}/items",
        "tiles": f"{clean_flow.base_url}{collection(clean_flow, table)}/tiles/{GRID}/tilejson.json",
        "map": f"{clean_flow.base_url}/api/map/geo.{table}",
        "stac": f"{clean_flow.base_url}/api/stac/collections/system-vectors/items/geo.{table}",
    }
    for start in (f"/api/jobs/status/{job['job_id']}", "/api/jobs"):
        assert unresolved(clean_flow, table, start) == {}


def test_a_job_whose_table_is_gone_has_no_links_to_it(flow: Flow, table: str) -> None:
    job = flow.load(POINTS, "points.csv", table, **PLACE)
    taken_back(flow, table)
    assert "links" not in flow.status(job["job_id"])["result_data"]


def test_the_links_of_a_job_hold_behind_a_proxy(flow: Flow, table: str) -> None:
    job = flow.load(POINTS, "points.csv", table, **PLACE)
    proxy = {"x-forwarded-proto": "https", "x-forwarded-host": "maps.example.org"}
    told = flow.http.get(f"/api/jobs/status/{job['job_id']}", headers=proxy).json()
    links = [*told["links"].values(), *told["result_data"]["links"].values()]
    assert all(link.startswith("https://maps.example.org/api/") for link in links)
