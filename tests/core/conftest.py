"""The core on a real Postgres, with a bus whose messages a test delivers, doubles, loses or holds back at will."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from core.config import Settings
from core.errors import Rejected, Unavailable
from core.machine import CoreMachine, Patience
from core.models.enums import Submission
from core.models.job import Job
from core.models.messages import Delivery, JobMessage, Outgoing, TaskMessage
from core.models.task import ClaimedTask, Task
from core.retry import RetryPolicy
from core.sql import tasks
from core.state_manager import StateManager
from core.submission import Submissions
from core.workflow import InTransaction, JobType, Registry, RunView, Stage, TaskContext
from infrastructure.postgresql import PostgresDatabase
from tests.conftest import Database


class Params(BaseModel):
    n: int = 3
    key: str | None = None


class Step(BaseModel):
    index: int


class Outcome(BaseModel):
    index: int


class Summary(BaseModel):
    done: int


@dataclass
class HeldBus:
    """Keeps what is sent until a test delivers it. `down`: how many sends fail; `refuses_tasks`: for good."""

    jobs: list[Outgoing] = field(default_factory=list)
    tasks: list[Outgoing] = field(default_factory=list)
    down: int = 0
    refuses_tasks: bool = False

    def send_jobs(self, messages: Sequence[Outgoing]) -> None:
        self.refuse_while_down()
        self.jobs += messages

    def send_tasks(self, messages: Sequence[Outgoing]) -> None:
        self.refuse_while_down()
        if self.refuses_tasks:
            raise Rejected("the queue does not exist")
        self.tasks += messages

    def refuse_while_down(self) -> None:
        if self.down:
            self.down -= 1
            raise Unavailable("the bus is down")


@dataclass
class Orchestra:
    """A machine with its parts. `first` and `second` are the handlers of the two stages of job type `steps`."""

    state: StateManager
    bus: HeldBus
    first: Callable[[Step, TaskContext], Any] = lambda step, _ctx: Outcome(index=step.index)
    second: Callable[[Step, TaskContext], Any] = lambda step, _ctx: Outcome(index=step.index)
    plan_second: Callable[[RunView], Sequence[Step]] = lambda run: [Step(index=o.index) for o in run.results("first")]
    finalize: Callable[[RunView], BaseModel] = lambda run: Summary(done=len(run.results("second")))
    released: list[str] = field(default_factory=list)
    leftovers: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        def run_first(step: Step, ctx: TaskContext) -> Outcome:
            return self.first(step, ctx)  # type: ignore[no-any-return]

        def run_second(step: Step, ctx: TaskContext) -> InTransaction[Outcome]:
            return self.second(step, ctx)  # type: ignore[no-any-return]

        steps = JobType(
            "steps",
            params=Params,
            stages=(
                Stage("first", "do_first", run_first, lambda run: [Step(index=i) for i in range(run.params.n)]),
                Stage("second", "do_second", run_second, lambda run: self.plan_second(run)),
            ),
            finalize=lambda run: self.finalize(run),
            exclusive_key=lambda params: params.key,
            release=lambda job_id, run, _resources: self.released.append(f"{job_id}:{run}"),
            leftovers=lambda _resources: self.leftovers,
        )
        retry = RetryPolicy(max_attempts=3, base_seconds=0.01)
        self.machine = CoreMachine(
            self.state, self.bus, Registry(steps), None, retry, Patience(seconds=1.0, longest_pause=0.1, postponed=0)
        )
        self.submissions = Submissions(self.machine)

    def submit(self, **params: Any) -> Job:
        return self.submissions.submit("steps", params)[1]

    def submit_told(self, **params: Any) -> Submission:
        return self.submissions.submit("steps", params)[0]

    def deliver_job(self, delivery_count: int = 1) -> Outgoing:
        message = self.bus.jobs.pop(0)
        self.machine.process_job_message(JobMessage.model_validate(message.body))
        return message

    def deliver(self, message: Outgoing, delivery_count: int = 1) -> None:
        delivery = Delivery(message_id=message.message_id, delivery_count=delivery_count)
        self.machine.process_task_message(TaskMessage.model_validate(message.body), delivery)

    def deliver_next(self, delivery_count: int = 1) -> Outgoing:
        message = self.bus.tasks.pop(0)
        self.deliver(message, delivery_count)
        return message

    def deliver_all(self) -> None:
        """Whatever is on the bus and what comes of it, until it is quiet."""
        while self.bus.jobs or self.bus.tasks:
            if self.bus.jobs:
                self.deliver_job()
            else:
                self.deliver_next()

    def claim(self, message: Outgoing, *, redelivered: bool = False) -> ClaimedTask:
        given = TaskMessage.model_validate(message.body)
        task = self.state.claim(given.task_id, message.message_id, redelivered=redelivered, released=given.released)
        assert task is not None
        return task

    def job(self, job_id: str) -> Job:
        job = self.state.get_job(job_id)
        assert job is not None
        return job

    def tasks(self, job: Job) -> list[Task]:
        ids = [row["task_id"] for row in self.rows(tasks.list_tasks, job_id=job.job_id, run=job.run, limit=20_000)]
        found = [self.state.get_task(task_id) for task_id in ids]
        return [task for task in found if task]

    def rows(self, query: str, **params: Any) -> list[dict[str, Any]]:
        with self.state.database.transaction() as tx:
            return tx.all(query, **params)

    def change(self, statement: str, **params: Any) -> int:
        with self.state.database.transaction() as tx:
            return tx.run(statement, **params)


def settings_for(database: Database) -> Settings:
    unused = {"BLOB_CONNECTION_STRING": "unused", "ServiceBusConnection": "unused"}
    given = {name.lower() if name.isupper() else name: value for name, value in (database.settings | unused).items()}
    return Settings.model_validate(given)


@pytest.fixture
def postgres(database: Database) -> Iterator[PostgresDatabase]:
    opened = PostgresDatabase(settings_for(database))
    yield opened
    opened.close()


@pytest.fixture
def orchestra(postgres: PostgresDatabase) -> Orchestra:
    return Orchestra(StateManager(postgres), HeldBus())
