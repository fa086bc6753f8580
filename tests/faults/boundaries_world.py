"""The app in one process with a simulated bus and clock: what fails recovers the way production does."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import uuid4

import azure.functions.servicebus as func
import psycopg
from azure.storage.blob import ContainerClient

from core.config import Settings
from core.errors import AppError
from core.machine import CoreMachine, Patience
from core.models.job import Job
from core.models.notify import JobEvent
from core.receivers import Receivers
from core.retry import RetryPolicy
from core.state_manager import StateManager
from core.submission import Submissions
from core.workflow import Registry
from infrastructure.blob import open_service
from infrastructure.resources import Resources
from infrastructure.service_bus import ServiceBus
from jobs.process_vector import PROCESS_VECTOR
from jobs.unpublish_vector import UNPUBLISH_VECTOR
from services.janitor_service import JanitorService, Limits
from services.notification_service import NotificationService, Persistence
from services.vector.source_file import remove_abandoned_folders
from tests.conftest import sandbox
from tests.faults.boundaries_broker import Broker, Clock, Held
from tests.faults.boundaries_effects import Effects, Fault, Vanished
from tests.faults.boundaries_proxies import WatchedBlobs, WatchedDatabase, WatchedDisk, WatchedWebhook
from tests.infrastructure.conftest import UNUSED

T = TypeVar("T")
Function = Callable[[func.ServiceBusMessage], None]
# The triggers read their settings when they are imported; what they lead to is put in their place.
TRIGGERS = {"POSTGIS_HOST": "unused", "POSTGIS_USER": "unused", "POSTGIS_PASSWORD": "unused"} | UNUSED
STALE = 2100.0
# When the janitors' timers fire, in seconds: every minute, 5 and 15 minutes as by default. The outbox, every 10 s by
# default, is simulated twice a minute.
OUTBOX_AFTER, WATCHDOG, HEALTH, ORPHANS = 20, 60, 300, 900
# Events are delivered at every turn, in one thread: what others do at the same time would be another order each time.
EVENTS, ALONE = 10, Persistence(threads=0)
TELL = {"url": "https://hooks.example.com/", "events": [event.value for event in JobEvent]}
RECEIVERS = Receivers.parse(["hooks.example.com"])
# Longer than any recovery may take: the stale limit, the retries and two rounds of orphan detection.
PATIENCE_OF_THE_TEST = 3 * 3600.0
AGED = {
    "tasks": ("created_at", "updated_at", "started_at", "finished_at", "not_before"),
    "jobs": ("created_at", "updated_at", "dispatched_at", "run_started_at"),
    "janitor_runs": ("started_at", "finished_at"),
    "notifications": ("enqueued_at", "due_at", "leased_until", "delivered_at", "given_up_at"),
}


@dataclass
class World:
    """Machine, janitors and their parts. `functions`: what takes the messages of each queue. `outside`: a connection of
    the test's own; `bronze_container` and `silver_container`: clients. `elapsed`: simulated seconds since the start;
    `ended`: when no job was open any more."""

    outside: psycopg.Connection[tuple[Any, ...]]
    bronze_container: ContainerClient
    silver_container: ContainerClient
    effects: Effects
    broker: Broker
    database: WatchedDatabase
    silver: WatchedBlobs
    machine: CoreMachine
    janitors: JanitorService
    notifications: NotificationService
    webhook: WatchedWebhook
    disk: WatchedDisk
    functions: dict[str, Function]
    elapsed: float = 0.0
    ended: float | None = None
    lose_message_of_vanished: bool = False
    janitors_failed: int = 0
    at_work: Held | None = None

    # What clients do

    def client(self, request: Callable[[], T]) -> T:
        """A client that asks again when it gets a 5xx or no answer."""
        for _ in range(5):
            try:
                return request()
            except Vanished:
                self.effects.dead = False
            except AppError as error:
                if error.permanent:
                    raise
        raise AssertionError("the client was refused five times")

    def submit(self, blob_name: str, **params: Any) -> Job:
        given = {"blob_name": blob_name, "table_name": "t", "notify": TELL} | params
        return self.client(lambda: self.submissions.submit("process_vector", given))[1]

    @contextmanager
    def bronze_blob(self, name: str, content: bytes) -> Iterator[str]:
        """A file in a folder of its own, as long as it is needed."""
        blob = f"{uuid4().hex}/{name}"
        self.bronze_container.upload_blob(blob, content)
        yield blob
        self.bronze_container.delete_blob(blob)

    def unpublish(self, table_name: str) -> Job:
        given = {"table_name": table_name, "notify": TELL}
        return self.client(lambda: self.submissions.submit("unpublish_vector", given))[1]

    @property
    def submissions(self) -> Submissions:
        return Submissions(self.machine, RECEIVERS)

    def cancel(self, job: Job) -> None:
        self.client(lambda: self.machine.cancel(job))

    def aside(self, action: Callable[[], object]) -> None:
        """As somebody else, in the middle of what a worker does."""
        thread = threading.Thread(target=action)
        thread.start()
        thread.join()

    # What the host does

    def deliver(self) -> bool:
        """One message to one worker. False when nothing is due."""
        held = self.broker.receive()
        if held is None:
            return False
        try:
            self.work_on(held)
            with self.effects.effect(f"{held.queue} message acknowledged", ConnectionError):
                self.broker.complete(held)
        except (Vanished, ConnectionError):
            # The lock runs out, then the message comes again.
            self.effects.dead = False
            if self.lose_message_of_vanished and held in self.broker.held:
                self.broker.complete(held)
        except Exception:  # noqa: BLE001  whatever it is, the host gives the message back
            self.broker.give_back(held)
        return True

    def deliver_again(self) -> None:
        """The lock of the message that is worked on runs out: it comes to another worker, too."""
        assert self.at_work is not None
        again = replace(self.at_work, deliveries=self.at_work.deliveries + 1)
        self.aside(lambda: self.tick(lambda: self.work_on(again)))

    def work_on(self, held: Held) -> None:
        self.at_work = held
        message = func.ServiceBusMessage(
            body=held.text.encode(),
            message_id=held.message_id,
            delivery_count=held.deliveries,
            application_properties={},
            user_properties={},
        )
        self.functions[held.queue](message)

    def drain(self) -> None:
        for _ in range(500):
            if not self.deliver():
                return
        raise AssertionError("the bus never gets empty")

    def until_stage(self, job: Job, stage: int) -> None:
        """Deliver until the tasks of the stage wait on the bus."""
        for _ in range(200):
            if self.rows("SELECT 1 FROM app.tasks WHERE job_id = %s AND stage = %s AND status = 'queued'", job, stage):
                return
            if not self.deliver():
                self.pass_time()
        raise AssertionError(f"stage {stage} was never reached")

    def tick(self, timer: Callable[[], object]) -> None:
        """Nobody waits for it: whatever becomes of it, it comes again."""
        try:
            timer()
        except Vanished:
            self.effects.dead = False
        except Exception:  # noqa: BLE001  the next turn comes anyway
            self.janitors_failed += 1

    # Time

    def settle(self, is_quiet: Callable[[], bool]) -> None:
        """Let time pass, with janitors, until nothing is left to do."""
        self.drain()
        while not (self.has_ended() and is_quiet()) and self.elapsed < PATIENCE_OF_THE_TEST:
            self.pass_time()
            self.drain()
        for timer in self.timers.values():
            self.tick(timer)
        self.drain()

    def has_ended(self) -> bool:
        if self.rows("SELECT 1 FROM app.jobs WHERE status IN ('queued', 'processing')"):
            return False
        self.ended = self.elapsed if self.ended is None else self.ended
        return True

    def pass_time(self) -> None:
        """To the next timer; messages become due on the way."""
        minute = self.elapsed // WATCHDOG * WATCHDOG
        outbox = minute + OUTBOX_AFTER
        self.go_to(outbox if self.elapsed < outbox else minute + WATCHDOG)
        for seconds, timer in self.timers.items():
            if seconds == OUTBOX_AFTER or self.elapsed % seconds == 0:
                self.tick(timer)

    @property
    def timers(self) -> dict[int, Callable[[], object]]:
        service = self.janitors
        return {
            OUTBOX_AFTER: service.run_outbox,
            WATCHDOG: service.run_task_watchdog,
            HEALTH: service.run_job_health_check,
            ORPHANS: service.run_orphan_detection,
            EVENTS: self.deliver_events,
        }

    def deliver_events(self) -> None:
        self.notifications.give_up()
        self.notifications.deliver_due()

    def go_to(self, moment: float) -> None:
        self.age(moment - self.elapsed)
        self.elapsed = moment

    def age(self, seconds: float) -> None:
        """As if everything had happened that much earlier."""
        self.broker.clock.ahead += seconds
        for table, columns in AGED.items():
            moved = ", ".join(f"{column} = {column} - make_interval(secs => {seconds})" for column in columns)
            self.run(f"UPDATE app.{table} SET {moved}")  # noqa: S608
        for path in self.disk.folder.iterdir():
            earlier = path.stat().st_mtime - seconds
            os.utime(path, (earlier, earlier))

    # What a test looks at

    def rows(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        return self._execute(query, given).fetchall()

    def run(self, statement: str, *given: object) -> None:
        self._execute(statement, given)

    def _execute(self, query: str, given: Sequence[object]) -> psycopg.Cursor[tuple[Any, ...]]:
        params = [value.job_id if isinstance(value, Job) else value for value in given]
        return self.outside.execute(query.encode(), params or None)

    def chunks(self) -> list[str]:
        return list(self.silver_container.list_blob_names(name_starts_with="chunks/"))


@contextmanager
def opened(
    url: str, settings: Settings, folder: Path, injected: Fault | None = None, *, swallows: bool = True
) -> Iterator[World]:
    """A world on the database behind `url`; its silver container is emptied first."""
    effects = Effects(injected=injected)
    folder.mkdir(parents=True)
    disk, clock, database = WatchedDisk(folder, effects), Clock(), WatchedDatabase(settings, effects)
    broker = Broker(effects, clock, swallows)
    bronze, silver = WatchedBlobs.for_zone(settings, "bronze"), WatchedBlobs.for_zone(settings, "silver")
    bronze.effects = silver.effects = effects
    silver.delete_under("")
    with patch("infrastructure.service_bus.open_client", lambda _: broker):
        bus = ServiceBus(settings)
    machine = CoreMachine(
        StateManager(database),
        bus,
        Registry(PROCESS_VECTOR, UNPUBLISH_VECTOR),
        Resources(settings, database, bronze, silver, sandbox()),
        RetryPolicy(base_seconds=0.01),
        Patience(postponed=15.0),
    )
    webhook = WatchedWebhook(effects)
    notifications = NotificationService(database, machine.registry, webhook, [], "urn:boundaries", ALONE)
    janitors = JanitorService(machine, Limits(stale=STALE), bus.dead_letters, remove_abandoned_folders, list)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.callback(database.close)
        stack.enter_context(patch.object(imported_queues(), "machine", lambda: machine))
        stack.enter_context(patch("services.vector.source_file.tempfile", disk))
        stack.enter_context(patch("services.vector.source_file.shutil", disk))
        stack.enter_context(patch("core.machine.time", quick_time()))
        outside = stack.enter_context(psycopg.connect(url, autocommit=True))
        yield World(
            outside,
            open_service(settings).get_container_client(settings.bronze_container),
            silver_container_of(settings),
            effects,
            broker,
            database,
            silver,
            machine,
            janitors,
            notifications,
            webhook,
            disk,
            functions_of(settings),
        )


def imported_queues() -> ModuleType:
    with patch.dict(os.environ, TRIGGERS):
        return import_module("triggers.queues")


def functions_of(settings: Settings) -> dict[str, Function]:
    """The app's functions that take messages, by queue."""
    queues = imported_queues()
    return {
        settings.jobs_queue: queues.geospatial_jobs.build().get_user_function(),
        settings.vector_tasks_queue: queues.vector_tasks.build().get_user_function(),
    }


def quick_time() -> SimpleNamespace:
    """Waiting for a service that is away takes no time here."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)


def silver_container_of(settings: Settings) -> ContainerClient:
    return open_service(settings).get_container_client(settings.silver_container)


def ensure_silver(settings: Settings) -> None:
    container = silver_container_of(settings)
    if not container.exists():
        container.create_container()
