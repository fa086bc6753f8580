"""How often the app waits for the database, and how much it is told: for each chunk of a file, and for each task that
does nothing.

    python -m bench.round_trips

Counted between the app and Postgres, by a proxy that hands on every byte: a round trip is an answer of the server that
the client waits for. The app's own machine works a job off in this process, one message after the other, so that
nothing else is counted. Small jobs beside large ones: what a chunk or a task takes must not grow with their number.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.figures import Figure, arguments, conclude
from bench.many_tasks import MANY
from bench.proxy import RoundTrips, counted
from bench.speed_data import Maker
from bench.speed_rivals import upload
from core.config import Settings
from core.machine import CoreMachine
from core.models.messages import Delivery, JobMessage, Outgoing, TaskMessage
from core.state_manager import StateManager
from core.submission import Submissions
from core.workflow import Registry
from infrastructure.blob import BlobRepository
from infrastructure.postgresql import PostgresDatabase
from infrastructure.resources import Resources
from infrastructure.sandbox import Sandbox
from jobs.process_vector import PROCESS_VECTOR
from local.stack import Stack
from services.vector.parsed import SANDBOXED

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".local" / "bench-data"
CHUNK_ROWS = 500
FEW_CHUNKS, MANY_CHUNKS = 10, 100
FEW_TASKS, MANY_TASKS = 100, 5_000
SHORT_TASKS = 1_000
UPLOADS = 2


@dataclass
class Inbox:
    """Implements core.ports.Bus: what is sent waits here."""

    jobs: list[Outgoing] = field(default_factory=list)
    tasks: list[Outgoing] = field(default_factory=list)
    sent: int = 0

    def send_jobs(self, messages: Sequence[Outgoing]) -> None:
        self.jobs += messages
        self.sent += len(messages)

    def send_tasks(self, messages: Sequence[Outgoing]) -> None:
        self.tasks += messages
        self.sent += len(messages)


@dataclass(frozen=True)
class Taken:
    """By one job. in_all: round trips from the first job message to the last. by_task: of each task message, by stage.
    answered: bytes that came from the database for the task messages of each stage. messages: that were sent."""

    in_all: int
    by_task: dict[int, list[int]]
    answered: dict[int, int]
    messages: int


@dataclass(frozen=True)
class Counting:
    """The machine of the app, whose database is behind the proxy."""

    machine: CoreMachine
    inbox: Inbox
    trips: RoundTrips

    def work_off(self, job_type: str, params: dict[str, Any]) -> Taken:
        Submissions(self.machine).submit(job_type, params)
        before, sent_before = self.trips.count, self.inbox.sent
        by_task: dict[int, list[int]] = {}
        answered: dict[int, int] = {}
        while self.inbox.jobs:
            message = JobMessage.model_validate(self.inbox.jobs.pop().body)
            self.machine.process_job_message(message)
            tasks, self.inbox.tasks = self.inbox.tasks, []
            told_before = self.trips.answered
            by_task[message.stage] = [self.work_on(each) for each in tasks]
            answered[message.stage] = self.trips.answered - told_before
        job = self.machine.state.get_job(message.job_id)
        assert job
        assert job.status == "completed", job.error
        return Taken(self.trips.count - before, by_task, answered, self.inbox.sent - sent_before)

    def work_on(self, message: Outgoing) -> int:
        before = self.trips.count
        delivery = Delivery(message_id=message.message_id)
        self.machine.process_task_message(TaskMessage.model_validate(message.body), delivery)
        return self.trips.count - before


@contextmanager
def counting(stack: Stack) -> Iterator[Counting]:
    with counted(stack.server.port) as trips:
        settings = Settings(**{**stack.env, "POSTGIS_PORT": str(trips.port), "POSTGIS_SSLMODE": "disable"})  # type: ignore[arg-type]
        database, inbox = PostgresDatabase(settings), Inbox()
        sandbox = Sandbox(SANDBOXED, settings.parser_memory_mb)
        bronze, silver = (BlobRepository.for_zone(settings, zone) for zone in ("bronze", "silver"))
        resources = Resources(settings, database, bronze, silver, sandbox)
        machine = CoreMachine(StateManager(database), inbox, Registry(MANY, PROCESS_VECTOR), resources)
        yield Counting(machine, inbox, trips)
        sandbox.close()
        database.close()


def chunks(counting: Counting, stack: Stack) -> list[Figure]:
    taken = {}
    # The first is not counted: after it, connections are open and statements prepared.
    for number in (FEW_CHUNKS, FEW_CHUNKS, MANY_CHUNKS):
        data = Maker(FOLDER).points(number * CHUNK_ROWS)
        params = {"blob_name": upload(stack, data), "table_name": "round_trips", "overwrite": True}
        params |= {"chunk_size": CHUNK_ROWS, "title": uuid4().hex} | data.request
        taken[number] = counting.work_off(PROCESS_VECTOR.name, params)
        assert len(taken[number].by_task[UPLOADS]) == number
    few, many = (taken[number].by_task[UPLOADS] for number in (FEW_CHUNKS, MANY_CHUNKS))
    told = f"{tell(many)} / {tell(few)}"
    further = (taken[MANY_CHUNKS].in_all - taken[FEW_CHUNKS].in_all) / (MANY_CHUNKS - FEW_CHUNKS)
    whole = f"{taken[MANY_CHUNKS].in_all} - {taken[FEW_CHUNKS].in_all} round trips, {MANY_CHUNKS - FEW_CHUNKS} chunks"
    one_of = f"one of {MANY_CHUNKS} / one of {FEW_CHUNKS}"
    kb = [taken[number].answered[UPLOADS] / number / 1e3 for number in (FEW_CHUNKS, MANY_CHUNKS)]
    return [
        Figure(
            f"round trips to upload a chunk, {one_of}",
            statistics.median(many) / statistics.median(few),
            None,
            told,
            at_most=1,
        ),
        Figure(f"KB from the database to upload a chunk, {one_of}", kb[1] / kb[0], None, told_of(kb), at_most=1),
        Figure("round trips of a whole job for each further chunk", further, None, whole),
    ]


def tell(counts: Sequence[int]) -> str:
    return f"{statistics.median(counts):g} ({min(counts)}-{max(counts)})"


def tasks(counting: Counting, many_tasks: int) -> list[Figure]:
    numbers = (FEW_TASKS, many_tasks)
    taken = [counting.work_off(MANY.name, {"n": number, "name": uuid4().hex}) for number in numbers]
    trips, messages = (
        [getattr(one, name) / n for one, n in zip(taken, numbers, strict=True)] for name in ("in_all", "messages")
    )
    between = f"a stage of {many_tasks:,} / of {FEW_TASKS}"
    return [
        Figure(f"round trips for each task, {between}", trips[1] / trips[0], None, told_of(trips), at_most=1),
        Figure(f"messages for each task, {between}", messages[1] / messages[0], None, told_of(messages), at_most=1),
    ]


def told_of(few_and_many: Sequence[float]) -> str:
    few, many = few_and_many
    return f"{many:.2f} / {few:.2f}"


def main() -> int:
    given = arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    with Stack(ROOT, "bench", fast=True) as stack:
        stack.start("postgres", "servicebus", "azurite")
        stack.migrate()
        with counting(stack) as counted_machine:
            figures = chunks(counted_machine, stack)
            figures += tasks(counted_machine, SHORT_TASKS if given.short else MANY_TASKS)
    return conclude("round_trips", figures, short=given.short)


if __name__ == "__main__":
    sys.exit(main())
