"""Submitting a job: check everything, write the job down, then tell the bus."""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from core.context import Run
from core.errors import AlreadyTaken, Conflict, InvalidInput, InvalidParameters, Unavailable, problem_of
from core.logs import bound
from core.machine import CoreMachine
from core.models.enums import JobStatus, Submission
from core.models.job import Job, NewJob
from core.models.notify import Notify
from core.receivers import Receivers
from core.workflow import JobType

log = logging.getLogger(__name__)
NOTIFY = "notify"


class Submissions:
    def __init__(self, machine: CoreMachine, receivers: Receivers | None = None) -> None:
        self.machine = machine
        self.receivers = receivers or Receivers()
        self.state = machine.state

    def submit(self, job_type_name: str, given: Mapping[str, Any]) -> tuple[Submission, Job]:
        """The job for this request on these bytes; the same request on the same bytes is the same job, whoever is to be
        told of it (`notify`): a second one subscribes as well, and is told of an end that is past.

        Raises InvalidInput, InvalidParameters (nothing was written), Conflict (another active job holds its key),
        Unavailable (the database is away).
        """
        job_type = self.job_type(job_type_name)
        notify = self.notify_in(given)
        params = parse(job_type, without_notify(given))
        source = job_type.source(params, self.machine.resources)
        new = NewJob(
            job_id=job_id_of(job_type, params, source),
            job_type=job_type.name,
            total_stages=len(job_type.stages),
            parameters=params.model_dump(mode="json"),
            source=dict(source),
            exclusive_key=job_type.exclusive_key(params),
            notify=notify,
        )
        return self.accept(job_type, params, new)

    def retry(self, job: Job) -> tuple[Submission, Job]:
        """The next run of a failed or cancelled job with its own parameters, on the bytes that it was submitted with.

        Raises Conflict ("not_retryable"; "source_changed" when the bytes are not the same any more), and what `submit`
        raises.
        """
        if job.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
            raise Conflict(f"only a failed or cancelled job is retried; this one is {job.status}", code="not_retryable")
        job_type = self.job_type(job.job_type)
        params = parse(job_type, job.parameters)
        source = job_type.source(params, self.machine.resources)
        if dict(source) != job.source:
            raise source_changed(job)
        new = NewJob(
            **job.model_dump(include={"job_id", "job_type", "parameters", "source", "exclusive_key"}),
            total_stages=len(job_type.stages),
        )
        return self.accept(job_type, params, new)

    def accept(self, job_type: JobType, params: BaseModel, new: NewJob) -> tuple[Submission, Job]:
        with bound(job_id=new.job_id):
            submission, job = self.settle(job_type, params, new)
            if job.status == JobStatus.QUEUED:
                self.send(job)
            log.info("job submitted", extra={"job_type": job.job_type, "submission": submission})
        return submission, job

    def job_type(self, name: str) -> JobType:
        job_type = self.machine.registry.get(name)
        if job_type is None:
            known = ", ".join(self.machine.registry.names)
            raise InvalidInput(
                "unknown_job_type",
                f"there is no job type {name!r}.",
                parameter="job_type",
                remedy=f"Use one of: {known}.",
            )
        return job_type

    def notify_in(self, given: Mapping[str, Any]) -> Notify | None:
        """Raises InvalidParameters, InvalidInput when nobody, or not this host, may be told."""
        if given.get(NOTIFY) is None:
            return None
        try:
            notify = Notify.model_validate(given[NOTIFY])
        except ValidationError as error:
            wrong = [told_of_notify(problem) for problem in error.errors(include_url=False)]
            raise InvalidParameters(wrong) from None
        self.receivers.check(notify.target)
        return notify

    def settle(self, job_type: JobType, params: BaseModel, new: NewJob) -> tuple[Submission, Job]:
        existing = self.state.get_job(new.job_id)
        if existing and (standing := self.standing(job_type, existing)):
            if new.notify:
                self.state.subscribe(existing.job_id, new.notify)
                self.machine.tell()
            return standing, existing
        for check in job_type.checks:
            check(params, self.machine.resources)
        return self.write(existing, new) or self.settle(job_type, params, new)

    def standing(self, job_type: JobType, job: Job) -> Submission | None:
        """The answer to a request whose job is at work already, or whose outcome is still there."""
        if job.status.is_open:
            return Submission(job.status)
        run = Run(job.job_id, job.run, job.parameters, job_type, self.state)
        stands = job.status == JobStatus.COMPLETED and job_type.stands(run, self.machine.resources)
        return Submission.ALREADY_COMPLETED if stands else None

    def write(self, existing: Job | None, new: NewJob) -> tuple[Submission, Job] | None:
        try:
            job = self.state.restart_job(existing, new) if existing else self.state.insert_job(new)
        except AlreadyTaken:
            key = new.exclusive_key or ""
            raise busy(key, self.state.holder_of(key)) from None
        if job:
            return Submission.RESUBMITTED if existing else Submission.CREATED, job
        # Somebody submitted the same at the same time and was first.
        return None

    def send(self, job: Job) -> None:
        """The row is its own outbox: while the bus is away, the watchdog sends the message later."""
        try:
            self.machine.send_job(job.job_id, job.run, job.stage)
        except Unavailable as outage:
            log.warning("job message not sent yet", extra={"reason": outage.message})


def busy(exclusive_key: str, holder: str | None) -> Conflict:
    return Conflict(
        f"another job is working on {exclusive_key}; wait for it to end, then submit again",
        code="table_busy",
        details={"job_id": holder},
    )


def source_changed(job: Job) -> Conflict:
    return Conflict(
        "the source was replaced after this job was submitted, and a job is bound to the bytes that it was given;"
        " submit the request again, to load the new bytes as a new job",
        code="source_changed",
        details={"parameters": job.parameters},
    )


def parse(job_type: JobType, given: Mapping[str, Any]) -> BaseModel:
    try:
        return as_json(job_type.params, given)
    except ValidationError as error:
        raise InvalidParameters([told(job_type, problem) for problem in error.errors(include_url=False)]) from None


def as_json(model: type[BaseModel], given: Mapping[str, Any]) -> BaseModel:
    """Strictly by its JSON Schema: true is no number, and "5" neither. Raises pydantic.ValidationError."""
    return model.model_validate_json(json.dumps(given), strict=True)


def told(job_type: JobType, problem: Any) -> dict[str, str]:
    described = problem_of(problem)
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        names = [field.alias or name for name, field in job_type.params.model_fields.items()]
        described["detail"] = f"there is no such parameter; known are: {', '.join([*names, NOTIFY])}"
    return described


def without_notify(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != NOTIFY}


def told_of_notify(problem: Any) -> dict[str, str]:
    parameter = ".".join((NOTIFY, *(str(part) for part in problem["loc"])))
    return {"parameter": parameter, "code": problem["type"], "detail": problem["msg"].removeprefix("Value error, ")}


def job_id_of(job_type: JobType, params: BaseModel, source: Mapping[str, Any]) -> str:
    """SHA-256, hex, of the job type, the normalized parameters and the facts about the source, which take the place of
    parameters of their name: a default spelled out is the same request as one left out."""
    content = [job_type.name, params.model_dump(mode="json") | dict(source)]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
