"""What is fetched for a look, from real blob storage."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core.errors import InvalidInput
from core.models.vector import ProcessVectorParams
from infrastructure.blob import BlobRepository
from services.timing import Deadline
from services.vector.inspection import fetch as module
from services.vector.inspection.fetch import SourceBlob
from tests.infrastructure.conftest import UNUSED, settings_from

NOWHERE = {"POSTGIS_HOST": "unused", "POSTGIS_USER": "unused", "POSTGIS_PASSWORD": "unused"}
CONTENT = bytes(range(1, 251)) * 400


@pytest.fixture
def bronze(blob_storage: str, monkeypatch: pytest.MonkeyPatch) -> BlobRepository:
    for name, size in (("HEAD_BYTES", 3000), ("TAIL_BYTES", 500), ("STEP_BYTES", 7000)):
        monkeypatch.setattr(module, name, size)
    return BlobRepository.for_zone(settings_from(UNUSED | NOWHERE | {"BLOB_CONNECTION_STRING": blob_storage}), "bronze")


def put(bronze: BlobRepository, tmp_path: Path, suffix: str, **sidecars: bytes) -> SourceBlob:
    stem = f"{uuid4()}/a b"
    parts = {suffix: CONTENT, **sidecars}
    for part, content in parts.items():
        (tmp_path / "part").write_bytes(content)
        bronze.write(f"{stem}.{part}", tmp_path / "part")
    params = ProcessVectorParams.model_validate({"blob_name": f"{stem}.{suffix}", "table_name": "t"})
    beside = {f"{stem}.{part}": bronze.facts(f"{stem}.{part}").etag for part in sidecars}
    facts: dict[str, Any] = {"bytes": len(CONTENT), "etag": bronze.facts(params.blob_name).etag, "sidecars": beside}
    return SourceBlob(params, facts, bronze)


@pytest.mark.parametrize("suffix", ["csv", "geojson", "kml"])
def test_of_a_large_text_only_its_ends_are_fetched(bronze: BlobRepository, tmp_path: Path, suffix: str) -> None:
    path, has_all = put(bronze, tmp_path, suffix).fetch(tmp_path, Deadline(10))
    assert has_all
    assert path.name == f"a_b.{suffix}"
    assert path.read_bytes() == CONTENT[:3000] + bytes(len(CONTENT) - 3500) + CONTENT[-500:]


def test_a_format_that_needs_all_of_it_is_fetched_as_a_whole(bronze: BlobRepository, tmp_path: Path) -> None:
    path, has_all = put(bronze, tmp_path, "gpkg").fetch(tmp_path, Deadline(10))
    assert has_all
    assert path.read_bytes() == CONTENT


def test_a_shapefile_comes_with_its_sidecars(bronze: BlobRepository, tmp_path: Path) -> None:
    path, _ = put(bronze, tmp_path, "shp", dbf=b"attributes", prj=b"crs").fetch(tmp_path, Deadline(10))
    assert path.read_bytes() == CONTENT
    assert [path.with_suffix(suffix).read_bytes() for suffix in (".dbf", ".prj")] == [b"attributes", b"crs"]


def test_when_the_time_is_up_the_beginning_is_there(bronze: BlobRepository, tmp_path: Path) -> None:
    path, has_all = put(bronze, tmp_path, "gpkg").fetch(tmp_path, Deadline(0))
    assert not has_all
    assert path.read_bytes() == CONTENT[:7000]


def test_a_source_that_is_replaced_meanwhile_is_refused(bronze: BlobRepository, tmp_path: Path) -> None:
    blob = put(bronze, tmp_path, "gpkg")
    (tmp_path / "part").write_bytes(b"new")
    bronze.write(blob.params.blob_name, tmp_path / "part")
    with pytest.raises(InvalidInput) as refused:
        blob.fetch(tmp_path, Deadline(10))
    assert refused.value.code == "source_changed"
