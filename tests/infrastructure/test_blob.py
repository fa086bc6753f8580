"""Blob storage through the real SDK against Azurite."""

from pathlib import Path
from uuid import uuid4

import pytest

from core.errors import InvalidInput, NotFound, Transient
from infrastructure.blob import BlobRepository
from tests.infrastructure.conftest import UNUSED, settings_from

NOWHERE = {"POSTGIS_HOST": "unused", "POSTGIS_USER": "unused", "POSTGIS_PASSWORD": "unused"}


@pytest.fixture
def silver(blob_storage: str) -> BlobRepository:
    return BlobRepository.for_zone(settings_from(UNUSED | NOWHERE | {"BLOB_CONNECTION_STRING": blob_storage}), "silver")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 600_000)
    return path


def test_what_is_written_is_read_and_downloaded_as_it_was(silver: BlobRepository, file: Path, tmp_path: Path) -> None:
    name = f"{uuid4()}/a"
    silver.write(name, file)
    silver.download(name, tmp_path / "copy", etag=silver.facts(name).etag)
    assert silver.read(name) == (tmp_path / "copy").read_bytes() == file.read_bytes()
    assert silver.facts(name).size == 6_000_000


def test_a_range_comes_to_its_place_in_the_file(silver: BlobRepository, file: Path, tmp_path: Path) -> None:
    name, copy = f"{uuid4()}/a", tmp_path / "copy"
    silver.write(name, file)
    silver.download_range(name, copy, 5_999_995, 100)
    silver.download_range(name, copy, 3, 4, etag=silver.facts(name).etag)
    assert copy.stat().st_size == 6_000_000
    assert copy.read_bytes()[:12] == bytes(3) + b"3456" + bytes(5)
    assert copy.read_bytes()[-6:] == bytes(1) + b"56789"
    old = silver.facts(name).etag
    silver.write(name, file)
    with pytest.raises(InvalidInput, match="replaced"):
        silver.download_range(name, copy, 0, 4, etag=old)


def test_new_bytes_have_a_new_etag_and_the_old_one_is_not_downloaded(
    silver: BlobRepository, file: Path, tmp_path: Path
) -> None:
    name = f"{uuid4()}/a"
    silver.write(name, file)
    old = silver.facts(name).etag
    silver.write(name, file)
    with pytest.raises(InvalidInput, match="replaced after the job was submitted") as refused:
        silver.download(name, tmp_path / "copy", etag=old)
    assert refused.value.code == "source_changed"


def test_a_blob_or_container_that_is_not_there_is_not_found(silver: BlobRepository) -> None:
    with pytest.raises(NotFound, match="no-such-blob"):
        silver.facts("no-such-blob")
    with pytest.raises(NotFound):
        silver.facts("blob", container="no-such-container")
    with pytest.raises(NotFound):
        silver.read("no-such-blob")


def test_everything_under_a_prefix_is_deleted_and_nothing_else(silver: BlobRepository, file: Path) -> None:
    prefix = str(uuid4())
    for name in ("1/a", "1/b", "10/a"):
        silver.write(f"{prefix}/{name}", file)
    assert silver.delete_under(f"{prefix}/1/") == 2
    assert silver.delete_under(f"{prefix}/1/") == 0
    assert silver.names(prefix) == [f"{prefix}/10/a"]


def test_storage_that_does_not_answer_is_worth_another_try() -> None:
    dead = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:1/a"
    repository = BlobRepository.for_zone(settings_from(UNUSED | NOWHERE | {"BLOB_CONNECTION_STRING": dead}), "bronze")
    with pytest.raises(Transient) as refused:
        repository.facts("x")
    assert refused.value.code == "storage_unavailable"
