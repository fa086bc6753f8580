"""A look in this process: what it fetches, and that it leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest

from core.inspection import Inspections
from core.submission import Submissions
from services.vector.inspection.beginning import HEAD_BYTES, TAIL_BYTES
from tests.jobs.conftest import CSV, Etl
from tests.services.vector.reading import feature, point

PLACE = {"table_name": "t", "lat_name": "lat", "lon_name": "lon"}


def inspect(etl: Etl, blob_name: str, **given: Any) -> dict[str, Any]:
    return Inspections(Submissions(etl.machine), patience=1).inspect(
        "process_vector", {"blob_name": blob_name, **given}
    )


# More than the beginning that is looked at.
LARGE = HEAD_BYTES + TAIL_BYTES + 1000


def test_no_temporary_file_stays(etl: Etl, no_temporary_files_left: Callable[[], list[str]]) -> None:
    assert inspect(etl, etl.put(CSV), **PLACE)["estimate"]["rows"] == 250
    assert inspect(etl, etl.put(b"<x/>", "gpkg"), table_name="t")["refusals"][0]["code"] == "content_mismatch"
    assert no_temporary_files_left() == []


def test_the_beginning_of_a_large_text_is_enough(etl: Etl) -> None:
    row = f"{'name' * 100},1,2\n"
    rows = LARGE // len(row) + 1
    seen = inspect(etl, etl.put("name,lat,lon\n" + rows * row), **PLACE)
    assert (seen["sample"]["is_whole"], seen["complete"], seen["refusals"]) == (False, True, [])
    assert seen["estimate"]["rows"] == pytest.approx(rows, rel=0.01)
    assert seen["estimate"]["rows_found_in"] == "estimated"


def test_a_text_whose_beginning_is_not_enough_is_fetched_as_a_whole(etl: Etl) -> None:
    wide = "text,lat,lon\n" + "x" * LARGE + ",1,2\n"
    seen = inspect(etl, etl.put(wide), **PLACE)
    assert (seen["sample"], seen["complete"]) == ({"rows": 1, "is_whole": True}, True)


def test_one_that_is_too_large_for_that_is_not(etl: Etl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.vector.inspection.look.MOST_TEXT", LARGE)
    seen = inspect(etl, etl.put("text,lat,lon\n" + "x" * LARGE + ",1,2\n"), **PLACE)
    assert (seen["sample"]["rows"], seen["complete"], seen["refusals"]) == (0, False, [])


def test_when_there_is_no_time_to_fetch_it_all_the_signature_is_looked_at(
    etl: Etl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.vector.inspection.look.FETCH_SHARE", 0.0)
    monkeypatch.setattr("services.vector.inspection.fetch.STEP_BYTES", 2000)
    good, bad = etl.put(b"SQLite format 3\x00" + bytes(9000), "gpkg"), etl.put(b"PK\x03\x04" + bytes(9000), "gpkg")
    seen = inspect(etl, good, table_name="t")
    assert (seen["complete"], seen["refusals"], seen["source"]["bytes"]) == (False, [], 9016)
    assert [refusal["code"] for refusal in inspect(etl, bad, table_name="t")["refusals"]] == ["content_mismatch"]


def test_a_file_without_room_on_this_machine_is_refused_as_a_job_would(
    etl: Etl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.vector.source_file.ROOM", 1e12)
    seen = inspect(etl, etl.put(CSV), **PLACE)
    assert [(refusal["code"], refusal["by"]) for refusal in seen["refusals"]] == [("no_room", "job")]
    assert seen["complete"] is False


def test_chunks_are_counted_as_they_will_be(etl: Etl) -> None:
    name = etl.put(CSV)
    assert inspect(etl, name, **PLACE, chunk_size=100)["estimate"]["chunks"] == 3
    job = etl.load(name)
    assert job.result is not None
    assert job.result["chunks"] == 3


def test_a_geometry_that_the_requests_own_wishes_ruin_is_foretold(etl: Etl) -> None:
    shape = {"type": "Polygon", "coordinates": [[[0, 0], [0.001, 0], [0, 0.001], [0, 0]]]}
    content = '{"type": "FeatureCollection", "features": [%s]}'
    name = etl.put(content % str(feature(shape, n=1)).replace("'", '"'), "geojson")
    seen = inspect(etl, name, table_name="t", geometry_params={"quantize": {"snap_to_grid": 1}})
    assert [refusal["code"] for refusal in seen["refusals"]] == ["no_usable_features"]
    fine = etl.put(content % str(feature(point(1, 2), n=1)).replace("'", '"'), "geojson")
    assert inspect(etl, fine, table_name="t", geometry_params={"quantize": {"snap_to_grid": 1}})["refusals"] == []
