"""What a stage hands on is validated before anything is built on it."""

from typing import Any

import pytest
from pydantic import ValidationError

from core.models.results import Memory, ProcessVectorStage1Data, Uploaded

STAGE_1: dict[str, Any] = {
    "chunk_paths": ["chunks/a/1/1/000000.arrow"],
    "total_features": 3,
    "num_chunks": 1,
    "table_name": "t",
    "schema": "geo",
    "columns": [],
    "geometry_type": "Point",
    "srid": 4326,
    "source_crs": "EPSG:4326",
    "crs_found_in": "file",
    "layer": "l",
    "driver": "GPKG",
    "plan": {},
}


def test_a_complete_result_is_accepted() -> None:
    assert ProcessVectorStage1Data.model_validate(STAGE_1).schema_name == "geo"


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk_paths": []},
        {"total_features": 0},
        {"num_chunks": 0},
        {"num_chunks": 2},
        {"table_name": ""},
        {"schema": ""},
        {"geometry_type": "LineString"},
        {"srid": 0},
    ],
)
def test_a_result_without_work_or_place_for_it_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProcessVectorStage1Data.model_validate(STAGE_1 | wrong)


@pytest.mark.parametrize("missing", list(STAGE_1))
def test_every_part_of_the_result_is_needed(missing: str) -> None:
    with pytest.raises(ValidationError):
        ProcessVectorStage1Data.model_validate({name: value for name, value in STAGE_1.items() if name != missing})


def test_an_upload_whose_rows_do_not_add_up_is_refused() -> None:
    told: dict[str, Any] = {
        "batch": 0,
        "rows_read": 10,
        "rows_loaded": 7,
        "rows_deleted": 0,
        "rejected": {"null_geometry": 3},
        "repaired": 0,
        "promoted": 0,
        "flattened": 0,
        "chunk_bytes": 1000,
        "memory_mb": Memory(after_load=1, after_write=1),
        "seconds": {},
        "rows_per_second": 1,
    }
    assert Uploaded.model_validate(told).rows_loaded == 7
    with pytest.raises(ValidationError, match="read 10 rows, but loaded 7 and rejected 2"):
        Uploaded.model_validate(told | {"rejected": {"null_geometry": 2}})
