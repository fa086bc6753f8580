"""process_vector in this process: real Postgres and blob storage, messages delivered one by one by the test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from azure.storage.blob import ContainerClient

from core.config import Settings
from core.machine import CoreMachine
from core.models.job import Job
from core.models.messages import Delivery, JobMessage, Outgoing, TaskMessage
from core.retry import RetryPolicy
from core.state_manager import StateManager
from core.submission import Submissions
from core.workflow import Registry
from infrastructure.blob import BlobRepository
from infrastructure.migrate import migrate
from infrastructure.postgresql import PostgresDatabase
from infrastructure.resources import Resources
from jobs.process_vector import PROCESS_VECTOR
from jobs.unpublish_vector import UNPUBLISH_VECTOR
from tests.conftest import Database, sandbox
from tests.core.conftest import HeldBus
from tests.infrastructure.conftest import UNUSED, settings_from

CSV = "name,lat,lon\n" + "".join(f"row {n},{n / 10},{n / 5}\n" for n in range(1, 251))


@dataclass
class Etl:
    """The pipeline with its parts in hand."""

    settings: Settings
    database: PostgresDatabase
    url: str
    bus: HeldBus
    machine: CoreMachine
    bronze: ContainerClient

    def put(self, content: str | bytes, suffix: str = "csv") -> str:
        name = f"{uuid4()}.{suffix}"
        self.bronze.upload_blob(name, content)
        return name

    def submit(self, blob_name: str, **params: Any) -> Job:
        given = {"blob_name": blob_name, "table_name": "t", "lat_name": "lat", "lon_name": "lon", "chunk_size": 100}
        return Submissions(self.machine).submit("process_vector", given | params)[1]

    def submit_unpublish(self, table_name: str = "t") -> Job:
        return Submissions(self.machine).submit("unpublish_vector", {"table_name": table_name})[1]

    def unpublish(self) -> Job:
        job = self.submit_unpublish()
        self.finish()
        return self.job(job)

    def next_job(self) -> None:
        self.machine.process_job_message(JobMessage.model_validate(self.bus.jobs.pop(0).body))

    def next_task(self) -> Outgoing:
        message = self.bus.tasks.pop(0)
        self.deliver(message)
        return message

    def deliver(self, message: Outgoing, delivery_count: int = 1) -> None:
        delivery = Delivery(message_id=message.message_id, delivery_count=delivery_count)
        self.machine.process_task_message(TaskMessage.model_validate(message.body), delivery)

    def until_stage(self, stage: int) -> None:
        """Everything before the stage is done; its tasks wait on the bus."""
        for _ in range(stage - 1):
            self.next_job()
            while self.bus.tasks:
                self.next_task()
        self.next_job()

    def finish(self) -> None:
        while self.bus.jobs or self.bus.tasks:
            if self.bus.jobs:
                self.next_job()
            else:
                self.next_task()

    def load(self, blob_name: str, **params: Any) -> Job:
        job = self.submit(blob_name, **params)
        self.finish()
        return self.job(job)

    def job(self, job: Job) -> Job:
        found = self.machine.state.get_job(job.job_id)
        assert found is not None
        return found

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def run(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def left_behind(self, job: Job) -> list[str]:
        """Staging tables, ledger rows and chunks of the job, and rejects of its earlier runs."""
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'")
        ledger = self.rows(f"SELECT batch FROM app.batches WHERE job_id = '{job.job_id}'")  # noqa: S608
        chunks = self.machine.resources.silver.names(f"chunks/{job.job_id}/")
        outdated = self.rows("SELECT r.run FROM app.rejects AS r JOIN app.jobs AS j USING (job_id) WHERE r.run < j.run")
        return [*map(str, tables), *map(str, ledger), *map(str, outdated), *chunks]


def etl_on(settings: Settings, postgres: PostgresDatabase, url: str, blob_storage: str) -> Etl:
    bronze, silver = BlobRepository.for_zone(settings, "bronze"), BlobRepository.for_zone(settings, "silver")
    resources, bus = Resources(settings, postgres, bronze, silver, sandbox()), HeldBus()
    retry = RetryPolicy(base_seconds=0.01)
    machine = CoreMachine(StateManager(postgres), bus, Registry(PROCESS_VECTOR, UNPUBLISH_VECTOR), resources, retry)
    container = ContainerClient.from_connection_string(blob_storage, "bronze")
    return Etl(settings, postgres, url, bus, machine, container)


@pytest.fixture
def etl(database: Database, blob_storage: str) -> Iterator[Etl]:
    settings = settings_from(UNUSED | database.settings | {"BLOB_CONNECTION_STRING": blob_storage})
    postgres = PostgresDatabase(settings)
    yield etl_on(settings, postgres, database.url, blob_storage)
    postgres.close()


@pytest.fixture
def no_temporary_files_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return lambda: [path.name for path in tmp_path.iterdir()]


@pytest.fixture
def plain_etl(database: Database, blob_storage: str) -> Iterator[Etl]:
    """The pipeline as an ordinary role, as on a managed server: it owns its schemas and may write the catalog."""
    role = f"plain_{uuid4().hex[:8]}"
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA app, geo, staging CASCADE")
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p' NOSUPERUSER".encode())
        admin.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}".encode())
        admin.execute(f"GRANT pgstac_ingest TO {role}".encode())
    given = {"POSTGIS_USER": role, "POSTGIS_PASSWORD": "p", "BLOB_CONNECTION_STRING": blob_storage}
    settings = settings_from(UNUSED | database.settings | given)
    postgres = PostgresDatabase(settings)
    migrate(postgres, settings)
    yield etl_on(settings, postgres, database.url, blob_storage)
    postgres.close()
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute(f"DROP OWNED BY {role} CASCADE".encode())
        admin.execute(f"DROP ROLE {role}".encode())
