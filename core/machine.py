"""CoreMachine: moves jobs through their stages, one message at a time."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from core.context import Run, RunningTask
from core.errors import Fenced, InvalidInput, Transient, Unavailable, WorkerLost
from core.logs import bound
from core.models.job import Job
from core.models.messages import Delivery, JobMessage, Outgoing, TaskMessage
from core.models.task import ClaimedTask, Task
from core.ports import Bus, Transaction
from core.retry import Failed, Retry, RetryPolicy, judge
from core.state_manager import StateManager, Waiting
from core.workflow import InTransaction, JobType, Registry, Stage

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a message is held while the database or the bus is away, and how much later its copy comes then.
    Letting go at once would burn the delivery count within seconds."""

    seconds: float = 120.0
    longest_pause: float = 5.0
    postponed: float = 15.0


class CoreMachine:
    def __init__(
        self,
        state: StateManager,
        bus: Bus,
        registry: Registry,
        resources: Any,
        retry: RetryPolicy | None = None,
        patience: Patience | None = None,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell`: called after a transition that somebody may want to be told of. Not to be relied on: whatever is lost
        here is told by a timer."""
        self.state = state
        self.bus = bus
        self.registry = registry
        self.resources = resources
        self.policy = retry or RetryPolicy()
        self.patience = patience or Patience()
        self.tell = tell

    # Jobs

    def process_job_message(self, message: JobMessage) -> None:
        """Plan the stage the job has reached, or finish the job after its last one. Any number of times. What fails for
        good (a message the bus refuses, say) fails the job; the rest goes back to the bus."""
        with bound(job_id=message.job_id, run=message.run):
            try:
                self.move_on(message)
            except Unavailable:
                self.postpone(self.bus.send_jobs, f"{message.job_id}:{message.run}:{message.stage}", message)
            except Exception as error:
                verdict = judge(error, 1, self.policy)
                if not isinstance(verdict, Failed):
                    raise
                log.exception("the job cannot move on")
                self.fail_job(message.job_id, message.run, verdict.error)

    def move_on(self, message: JobMessage) -> None:
        job = self.patiently(lambda: self.state.get_job(message.job_id))
        if job is None or (job.run, job.stage) != (message.run, message.stage):
            log.info("job message dropped", extra={"stage": message.stage, "reason": "job is elsewhere"})
        elif not job.status.is_open:
            # Its worker may have died between ending the job and clearing up.
            self.release(job.job_id)
        else:
            self.patiently(lambda: self.enter_stage(job))

    def enter_stage(self, job: Job) -> None:
        job_type = self.registry[job.job_type]
        if job.stage > job.total_stages:
            return self.finish(job, job_type)
        stage = job_type.stage(job.stage)
        if not self.state.is_planned(job.job_id, job.run, job.stage):
            planned = self.computed(job, lambda: plan_tasks(stage, self.run_of(job, job_type)))
            if planned is None:
                return None
            if self.state.start_stage(job, stage.name, stage.task_type, planned):
                log.info("stage started", extra={"stage": stage.name, "tasks": len(planned)})
                self.tell()
        self.dispatch(self.state.unsent_tasks(job))
        return None

    def finish(self, job: Job, job_type: JobType) -> None:
        result = self.computed(job, lambda: job_type.finalize(self.run_of(job, job_type)))
        if result is not None and self.state.finish_job(job, result):
            log.info("job completed")
            self.release(job.job_id)

    def computed(self, job: Job, step: Callable[[], T]) -> T | None:
        """Planning and finalizing compute on results they read: what fails there fails every time, and the job with it,
        unless it was the reading or the memory."""

        def computing() -> T:
            try:
                return step()
            except (Transient, MemoryError) as passing:
                raise Unavailable(f"{type(passing).__name__} while the job moved on") from passing

        match guarded(computing, 1, ONE_ATTEMPT):
            case Done(value):
                return value
            case Failed(error):
                self.fail_job(job.job_id, job.run, error)
                return None
            case outcome:
                raise Unavailable(outcome.error["message"] if isinstance(outcome, Retry) else "the run was taken over")

    def fail_job(self, job_id: str, run: int, error: dict[str, Any]) -> None:
        if self.state.fail_all_job_tasks(job_id, run, error):
            log.error("job failed", extra={"code": error["code"], "reason": error["message"]})
            self.release(job_id)

    def cancel(self, job: Job) -> bool:
        """Open tasks end at once, running ones at their next sign of progress. False when the run has ended already."""
        cancelled = self.state.cancel_job(job.job_id, job.run)
        if cancelled:
            log.info("job cancelled")
        self.release(job.job_id)
        return cancelled

    def send_job(self, job_id: str, run: int, stage: int) -> None:
        """Send the message that makes the job enter `stage`; without effect when it is not there any more."""
        dispatch = self.state.next_job_dispatch(job_id, run, stage)
        if dispatch is None:
            return
        message = JobMessage(job_id=job_id, run=run, stage=stage)
        self.bus.send_jobs([Outgoing(message_id=f"{job_id}:{run}:{stage}:{dispatch}", body=message.model_dump())])
        self.state.mark_job_dispatched(job_id, run, stage)

    # Tasks

    def process_task_message(self, message: TaskMessage, delivery: Delivery) -> None:
        """claim -> attempt -> record -> advance."""
        with bound(task_id=message.task_id):
            try:
                task = self.claim(message, delivery)
            except Unavailable:
                stand_in = message.model_copy(update={"stands_for": message.stands_for or delivery.message_id})
                self.postpone(self.bus.send_tasks, message.task_id, stand_in)
                return
            if task is None:
                if delivery.redelivered:
                    self.nudge(message.task_id)
                return
            with bound(job_id=task.job_id, run=task.run, attempt=task.attempt):
                self.work_on(task)

    def claim(self, message: TaskMessage, delivery: Delivery) -> ClaimedTask | None:
        """An outage may hide that the claim was recorded: then the task is this message's already, and nobody works."""
        hidden = message.stands_for is not None

        def attempt() -> ClaimedTask | None:
            nonlocal hidden
            may_be_ours, hidden = hidden, True
            return self.state.claim(
                message.task_id,
                delivery.message_id,
                redelivered=delivery.redelivered or may_be_ours,
                holder=message.stands_for,
                released=message.released,
                counted=not may_be_ours,
            )

        return self.patiently(attempt)

    def work_on(self, task: ClaimedTask) -> None:
        outcome = self.attempt(task)
        try:
            self.patiently(lambda: self.record(task, outcome), Transient)
        except Transient:
            again = TaskMessage(task_id=task.task_id, released=task.attempt)
            self.postpone(self.bus.send_tasks, task.task_id, again)

    def postpone(self, send: Callable[[Sequence[Outgoing]], None], name: str, message: BaseModel) -> None:
        """A service is away for longer than the message can be held. A copy for later takes its place: going back to
        the bus would count as a failed delivery, and an outage is nobody's failure. Raises Unavailable when the bus
        is away too."""
        later = datetime.now(UTC) + timedelta(seconds=self.patience.postponed)
        copy = Outgoing(message_id=f"{name}:{uuid4().hex}", body=message.model_dump(), not_before=later)
        send([copy])
        log.warning("message postponed", extra={"seconds": self.patience.postponed})

    def attempt(self, task: ClaimedTask) -> "Outcome[bool]":
        """Run the handler and complete the task; Done says whether the job advanced."""

        def run() -> bool:
            self.refuse_lost_cause(task)
            result = self.handle(task)
            return self.patiently(lambda: self.state.complete_task(task, result))

        return guarded(run, task.failures + 1, self.policy)

    def refuse_lost_cause(self, task: ClaimedTask) -> None:
        if task.failures >= self.policy.max_attempts:
            raise WorkerLost(
                f"the worker died or timed out {task.failures} times while it ran this task"
                " (out of memory, a crash, or the function timeout)"
            )

    def handle(self, task: ClaimedTask) -> Callable[[Transaction], BaseModel]:
        job_type = self.registry[task.job_type]
        stage = job_type.stage(task.stage)
        params = stage.params_model.model_validate(task.parameters)
        log.info("task started", extra={"task_type": task.task_type})
        answer = stage.run(params, RunningTask(task, job_type, self.state, self.resources))
        return answer.effect if isinstance(answer, InTransaction) else lambda _tx: answer

    def record(self, task: ClaimedTask, outcome: "Outcome[bool]") -> None:
        match outcome:
            case Done(advanced):
                log.info("task completed", extra={"advanced": advanced})
                if advanced:
                    self.tell()
                    self.send_job(task.job_id, task.run, task.stage + 1)
            case Retry():
                self.retry(task, outcome)
            case Failed(error):
                self.fail_task(task, error)
            case Lost():
                log.info("attempt fenced out")
                self.nudge(task.task_id)

    def retry(self, task: ClaimedTask, outcome: Retry) -> None:
        again = self.state.retry_task(task, outcome) or self.state.recorded_retry(task)
        if again:
            log.info("task waits for its next attempt", extra={"after_seconds": round(outcome.after_seconds, 2)})
            self.dispatch([again])

    def fail_task(self, task: Task, error: dict[str, Any]) -> None:
        if self.state.fail_task(task, error):
            log.error("task and job failed", extra={"code": error["code"], "reason": error["message"]})
            self.release(task.job_id)

    def nudge(self, task_id: str) -> None:
        """A message for a task that is not to be had. Its worker may have died between completing the task and
        sending the job on, or between ending the job and clearing up: make up for it."""
        task = self.patiently(lambda: self.state.get_task(task_id))
        if task is None:
            log.warning("message for an unknown task dropped")
            return
        job = self.state.get_job(task.job_id)
        if job is None or job.run != task.run:
            return
        if not job.status.is_open:
            self.release(job.job_id)
        elif job.stage > task.stage and not self.state.is_planned(job.job_id, job.run, job.stage):
            self.send_job(job.job_id, job.run, job.stage)

    def dispatch(self, waiting: Sequence[Waiting]) -> None:
        """Rows are committed: send, then mark. What crashes in between is sent again."""
        if waiting:
            self.bus.send_tasks([task.message for task in waiting])
            self.state.mark_queued(waiting)

    # Runs

    def release(self, job_id: str) -> None:
        """Tell of its end, and remove what the ended run left behind. Not worth failing for: orphan detection removes
        what stays."""
        self.tell()
        job = self.state.get_job(job_id)
        if job is not None and not job.status.is_open:
            self.release_run(self.registry[job.job_type], job.job_id, job.run)

    def release_run(self, job_type: JobType, job_id: str, run: int) -> bool:
        """False when something could not be removed; the log says what."""
        return isinstance(guarded(lambda: job_type.release(job_id, run, self.resources), 1, ONE_ATTEMPT), Done)

    def run_of(self, job: Job, job_type: JobType) -> Run:
        return Run(job.job_id, job.run, job.parameters, job_type, self.state)

    def patiently(self, step: Callable[[], T], passing: type[Transient] = Unavailable) -> T:
        """Do the step; while the database or the bus is away, or another `passing` trouble lasts, try again."""
        give_up, pause = time.monotonic() + self.patience.seconds, 0.5
        while True:
            try:
                return step()
            except passing as outage:
                if time.monotonic() + pause > give_up:
                    raise
                log.warning("waiting for a service", extra={"reason": outage.message, "seconds": pause})
                time.sleep(pause)
                pause = min(pause * 2, self.patience.longest_pause)


@dataclass(frozen=True)
class Done(Generic[T]):
    value: T


class Lost:
    """The attempt was fenced out: somebody else has the task, or it has ended."""


Outcome = Done[T] | Retry | Failed | Lost
ONE_ATTEMPT = RetryPolicy(max_attempts=1)


def guarded(step: Callable[[], T], failures: int, policy: RetryPolicy) -> Outcome[T]:
    """Do the step; whatever goes wrong in it is judged, nothing is swallowed."""
    try:
        return Done(step())
    except Fenced:
        return Lost()
    except Exception as error:
        verdict = judge(error, failures, policy)
        log.warning("step failed", exc_info=True, extra={"verdict": type(verdict).__name__})
        return verdict


def plan_tasks(stage: Stage, run: Run) -> Sequence[BaseModel]:
    """Raises InvalidInput when there is nothing to do: a stage of zero tasks is an error, never a success."""
    planned = stage.plan(run)
    if not planned:
        raise InvalidInput("no_tasks", f"stage {stage.name!r} has nothing to do; an earlier stage produced no work")
    return planned
