"""The one composition root: what a process needs is opened when it is first used, and kept."""

import threading
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from core.config import settings
from core.inspection import Inspections
from core.machine import CoreMachine, Patience
from core.state_manager import StateManager
from core.submission import Submissions
from core.workflow import Registry
from infrastructure.blob import BlobRepository
from infrastructure.logging import set_up_logging
from infrastructure.migrate import migrate
from infrastructure.postgresql import PostgresDatabase
from infrastructure.resources import Resources
from infrastructure.sandbox import Sandbox
from infrastructure.service_bus import ServiceBus
from infrastructure.webhook import Webhook
from jobs.hello_world import HELLO_WORLD
from jobs.process_vector import PROCESS_VECTOR
from jobs.unpublish_vector import UNPUBLISH_VECTOR
from services.janitor_service import JanitorService, Limits
from services.notification_service import NotificationService
from services.uploads import Uploads
from services.vector.parsed import SANDBOXED
from services.vector.source_file import remove_abandoned_folders

# A worker may be silent a little longer than a function may run, before it is given up.
STALE_GRACE_SECONDS = 300.0
JOB_TYPES = Registry(HELLO_WORLD, PROCESS_VECTOR, UNPUBLISH_VECTOR)

set_up_logging(settings().log_level)


T = TypeVar("T")
_opening = threading.RLock()


def once(opened: Callable[[], T]) -> Callable[[], T]:
    """Open it when it is first used, and once: functions run on many threads. A failure is tried again."""
    cached = lru_cache(maxsize=1)(opened)

    @wraps(opened)
    def get() -> T:
        with _opening:
            return cached()

    return get


def stale_seconds() -> float:
    return settings().function_timeout_seconds + STALE_GRACE_SECONDS


@once
def resources() -> Resources:
    """Raises Unavailable while the database is away; the next call tries again."""
    config = settings()
    remove_abandoned_folders(stale_seconds())
    database = PostgresDatabase(config)
    try:
        migrate(database, config)
    except BaseException:
        database.close()
        raise
    sandbox = Sandbox(SANDBOXED, config.parser_memory_mb)
    sandbox.warm_up()
    bronze, silver = (BlobRepository.for_zone(config, zone) for zone in ("bronze", "silver"))
    return Resources(config, database, bronze, silver, sandbox)


@once
def bus() -> ServiceBus:
    opened = ServiceBus(settings())
    opened.warm_up()
    return opened


@once
def notifications() -> NotificationService:
    config = settings()
    webhook = Webhook(config.receivers)
    return NotificationService(resources().database, JOB_TYPES, webhook, config.notify_secrets, config.notify_source)


@once
def machine() -> CoreMachine:
    held = resources()
    return CoreMachine(
        StateManager(held.database),
        bus(),
        JOB_TYPES,
        held,
        settings().retry_policy,
        Patience(settings().outage_patience_seconds),
        notifications().kick if settings().receivers.hosts else lambda: None,
    )


@once
def submissions() -> Submissions:
    return Submissions(machine(), settings().receivers)


@once
def inspections() -> Inspections:
    return Inspections(submissions(), settings().inspection_seconds)


@once
def uploads() -> Uploads:
    return Uploads(resources())


@once
def janitors() -> JanitorService:
    config = settings()
    limits = Limits(stale=config.function_timeout_seconds + STALE_GRACE_SECONDS, max_attempts=config.max_task_attempts)
    return JanitorService(machine(), limits, bus().dead_letters, remove_abandoned_folders, uploads().forget_unsubmitted)
