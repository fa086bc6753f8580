"""Uploads that nobody submitted are removed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.models.job import NewJob
from core.state_manager import StateManager
from infrastructure.blob import BlobRepository
from infrastructure.postgresql import PostgresDatabase
from infrastructure.resources import Resources
from services.uploads import Uploads
from tests.conftest import Database, sandbox
from tests.infrastructure.conftest import UNUSED, settings_from


@pytest.fixture
def uploads(database: Database, blob_storage: str) -> Iterator[Uploads]:
    settings = settings_from(UNUSED | database.settings | {"BLOB_CONNECTION_STRING": blob_storage})
    bronze, silver = (BlobRepository.for_zone(settings, zone) for zone in ("bronze", "silver"))
    bronze.delete_under("uploads/")
    opened = PostgresDatabase(settings)
    yield Uploads(Resources(settings, opened, bronze, silver, sandbox()))
    opened.close()


def submitted(uploads: Uploads, blob_name: str) -> None:
    job = NewJob(
        job_id="0" * 64,
        job_type="process_vector",
        total_stages=3,
        parameters={"blob_name": blob_name},
        source={},
    )
    StateManager(uploads.resources.database).insert_job(job)


def test_only_old_uploads_that_no_job_named_are_removed(uploads: Uploads, tmp_path: Path) -> None:
    named, lonely = (uploads.store(uploads.new_place(name), b"1").blob_name for name in ("named.csv", "lonely.csv"))
    submitted(uploads, named)
    (tmp_path / "theirs").write_bytes(b"1")
    uploads.bronze.write("mine/theirs.csv", tmp_path / "theirs")
    assert uploads.forget_unsubmitted() == []
    assert uploads.remove_unsubmitted(datetime.now(UTC) + timedelta(minutes=1)) == [lonely]
    assert uploads.bronze.names("uploads/") == [named]
    assert uploads.bronze.has("mine/theirs.csv", 1)
