"""The real stack that faults are injected into, with short times where the app lets them be short."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg

from local.stack import Stack
from local.stack.azurite import Azurite
from local.stack.function_app import FunctionApp
from local.stack.layout import Layout
from local.stack.postgres import Postgres
from local.stack.servicebus import CONFIG, ServiceBus
from tests.faults import invariants
from tests.flow.flow import Flow, Row

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.1
# Shorter with the lock: locks of 6 s instead of 60. The outbox keeps its 10 s.
LOCK_SECONDS = 6
PATIENCE_SECONDS = 8
SHORT = {
    "OUTAGE_PATIENCE_SECONDS": str(PATIENCE_SECONDS),
    "RETRY_BASE_SECONDS": "1",
    "TASK_WATCHDOG_SCHEDULE": "*/6 * * * * *",
    "JOB_HEALTH_SCHEDULE": "*/10 * * * * *",
    "ORPHAN_DETECTION_SCHEDULE": "*/10 * * * * *",
}


class Broker(ServiceBus):
    """A bus whose locks last as long as we like."""

    def __init__(self, layout: Layout, name: str = "servicebus", *, lock_seconds: int = 60) -> None:
        super().__init__(layout, name)
        self.lock_seconds = lock_seconds

    def launch(self, port: int) -> None:
        folder = self.layout.folder("run")
        config, ready = folder / f"{self.name}.config.json", folder / f"{self.name}.ready"
        config.write_text(with_lock((ROOT / CONFIG).read_text(), self.lock_seconds))
        ready.unlink(missing_ok=True)
        program = [sys.executable, "-m", "local.servicebus", "--config", str(config), "--database", str(self.file)]
        self.processes.launch(self.name, [*program, "--port", str(port), "--ready-file", str(ready)], port=port)

    @property
    def file(self) -> Path:
        """Where the messages are."""
        return self.layout.folder(self.name) / "messages.db"


def with_lock(config: str, seconds: int) -> str:
    document = json.loads(config)
    for namespace in document["UserConfig"]["Namespaces"]:
        for queue in namespace["Queues"]:
            queue["Properties"]["LockDuration"] = f"PT{seconds}S"
    return json.dumps(document)


class App(FunctionApp):
    """The app under settings of ours, with a temporary folder of its own."""

    def __init__(self, layout: Layout, others: Callable[[], dict[str, str]], name: str = "app") -> None:
        super().__init__(layout, others)
        self.name = name
        self.extra: dict[str, str] = {}

    def settings(self) -> dict[str, str]:
        return super().settings() | self.extra | {"TMPDIR": str(self.layout.folder(f"tmp-{self.name}"))}

    def folders(self) -> list[str]:
        """Temporary folders of jobs that are there now."""
        return [path.name for path in self.layout.folder(f"tmp-{self.name}").glob("vector-etl-*")]

    def host(self) -> psutil.Process:
        running = self.running
        assert running, "the host is down"
        return psutil.Process(running.pid)

    def workers(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return [child for child in self.host().children() if is_worker(child)]
        return []


def is_worker(process: psutil.Process) -> bool:
    try:
        return "local.host.worker" in process.cmdline()
    except psutil.Error:
        return False


@dataclass
class Ground:
    """What a fault may break, and what looks at the outcome."""

    app: App
    other_app: App
    bus: Broker
    postgres: Postgres
    azurite: Azurite
    database_url: str
    flow: Flow
    lock_seconds: int
    # What each shared table holds since the job that published it last: its tag, its rows.
    published: dict[str, tuple[str, int]] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        return self.app.key

    def all(self, query: str, *values: Any) -> list[Row]:
        """Rows, however long the database is away."""
        deadline = time.monotonic() + 420
        while True:
            try:
                return self.flow.all(query, *values)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def one(self, query: str, *values: Any) -> Row:
        [row] = self.all(query, *values)
        return row

    def forget(self, *, jobs: bool) -> None:
        """What happened so far, once it is judged; `jobs`: those, too. Tables stay."""
        self.flow.run(f"TRUNCATE watch.jobs, watch.tasks, faults.history{', app.jobs' if jobs else ''} CASCADE")

    def wait_for(self, query: str, *values: Any, seconds: float = 10.0) -> bool:
        """Whether the query found a row in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.all(query, *values):
                return True
            time.sleep(POLL_SECONDS)
        return False


WATCH = """
CREATE SCHEMA IF NOT EXISTS faults;
CREATE TABLE IF NOT EXISTS faults.history (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL, job_id text NOT NULL, id text NOT NULL, before text, status text NOT NULL, attempt int);
CREATE INDEX IF NOT EXISTS history_jobs ON faults.history (job_id);
CREATE INDEX IF NOT EXISTS history_at ON faults.history (at);
CREATE OR REPLACE FUNCTION faults.note_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO faults.history (kind, job_id, id, before, status, attempt)
    VALUES ('task', NEW.job_id, NEW.task_id, OLD.status, NEW.status, NEW.attempt);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION faults.note_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO faults.history (kind, job_id, id, before, status)
    VALUES ('job', NEW.job_id, NEW.job_id, OLD.status, NEW.status);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER note AFTER INSERT OR UPDATE ON app.tasks FOR EACH ROW EXECUTE FUNCTION faults.note_task();
CREATE OR REPLACE TRIGGER note AFTER INSERT OR UPDATE ON app.jobs FOR EACH ROW EXECUTE FUNCTION faults.note_job();
"""


def watch(database_url: str) -> None:
    """Keep every transition of a job or a task, and when it was."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        invariants.install(connection)
        connection.execute(WATCH.encode())


@contextmanager
def own_ground(
    instance: str = "faults", *, lock_seconds: int = LOCK_SECONDS, extra: Mapping[str, str] | None = None
) -> Iterator[Ground]:
    """A stack of our own, from nothing. It ends with the block, or with this process."""
    with Stack(ROOT, instance, fast=True) as stack:
        stack.postgres.remove_data()
        with ground_of(stack, lock_seconds=lock_seconds, extra=extra) as ground:
            yield ground


@contextmanager
def ground_of(
    stack: Stack, *, lock_seconds: int = LOCK_SECONDS, extra: Mapping[str, str] | None = None
) -> Iterator[Ground]:
    """On a stack that is held, its bus and app down. `extra`: settings of the app instead of the short ones."""
    stack.servicebus = bus = Broker(stack.layout, lock_seconds=lock_seconds)
    stack.app = app = App(stack.layout, stack.settings_for_app)
    other = App(stack.layout, stack.settings_for_app, "other-app")
    app.extra = other.extra = dict(SHORT if extra is None else extra)
    for part in (stack.azurite, stack.servicebus):
        part.remove_data()
    stack.start()
    watch(stack.database_url)
    flow = Flow(app.url, app.key, stack.database_url, stack.azurite.connection_string, bus.connection_string)
    yield Ground(app, other, bus, stack.postgres, stack.azurite, stack.database_url, flow, lock_seconds)
    flow.close()
