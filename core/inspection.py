"""Looking before submitting: everything that would be refused, told at once, and what the input is like."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from core.errors import AppError, Conflict, InvalidInput, InvalidParameters, NotFound, Refusal, Transient
from core.models.enums import Submission
from core.submission import Submissions, as_json, busy, job_id_of, told, without_notify
from core.workflow import Inspection, JobType

log = logging.getLogger(__name__)
SUBMISSION, JOB = "submission", "job"


@dataclass(frozen=True)
class Understood:
    """A request as far as it can be understood. `replaced`: parameters that are wrong or missing, in whose place stands
    a stand-in or the default. `params` is None when there is no getting by without one of them."""

    params: BaseModel | None
    replaced: frozenset[str]
    refusals: list[Refusal]


@dataclass(frozen=True)
class Foresight:
    """What `submit` would answer: `submission`, or `refusals`. `source`: the facts about the input, if it is there."""

    source: Mapping[str, Any] | None
    submission: Submission | None
    refusals: list[Refusal]


class Inspections:
    """One at a time: an inspection may take as much memory as a task. The others wait up to `patience` seconds."""

    def __init__(self, submissions: Submissions, patience: float) -> None:
        self.submissions = submissions
        self.patience = patience
        self._turn = threading.Lock()

    def inspect(self, job_type_name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The answer for the client, as JSON. Writes nothing.

        Raises InvalidInput ("unknown_job_type", "not_inspectable"), Transient ("inspection_busy", a service is away).
        """
        job_type = self.submissions.job_type(job_type_name)
        inspection = inspection_of(job_type)
        with self.turn():
            started = time.perf_counter()
            request = understood(job_type, inspection, without_notify(given))
            answer = self.answer(job_type, inspection, replace(request, refusals=self.untold(given) + request.refusals))
            seconds = round(time.perf_counter() - started, 2)
        log.info("job inspected", extra={"job_type": job_type.name, "seconds": seconds})
        return answer | {"seconds": seconds}

    @contextmanager
    def turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self.patience):
            raise Transient("another inspection is at work; ask again in a moment", code="inspection_busy")
        try:
            yield
        finally:
            self._turn.release()

    def answer(self, job_type: JobType, inspection: Inspection, request: Understood) -> dict[str, Any]:
        foresight, facts, fails = Foresight(None, None, []), dict[str, Any](), list[Refusal]()
        if request.params is not None:
            foresight = self.foresee(job_type, request.params)
        if request.params is not None and foresight.source is not None:
            look = inspection.look(request.params, foresight.source, self.submissions.machine.resources)
            facts, fails = look.facts.model_dump(mode="json"), list(look.refusals)
        # What a stand-in is refused for is nobody's fault, and what is wrong with a parameter has been told.
        refused = [refusal for refusal in foresight.refusals if refusal.parameter not in request.replaced]
        refusals = [
            *(asdict(refusal) | {"by": SUBMISSION} for refusal in [*request.refusals, *refused]),
            *(asdict(refusal) | {"by": JOB} for refusal in fails),
        ]
        return {
            "job_type": job_type.name,
            "would_be_accepted": not refusals,
            "submission": foresight.submission if not refusals else None,
            "refusals": refusals,
            **facts,
        }

    def untold(self, given: Mapping[str, Any]) -> list[Refusal]:
        """Why nobody could be told as the request asks."""
        try:
            self.submissions.notify_in(given)
        except InvalidParameters as wrong:
            return [Refusal(wrong.code, error["detail"], error["parameter"]) for error in wrong.errors]
        except InvalidInput as refused:
            return [Refusal.of(refused)]
        return []

    def foresee(self, job_type: JobType, params: BaseModel) -> Foresight:
        resources, refused = self.submissions.machine.resources, list[AppError]()
        source, submission = None, Submission.CREATED
        with noted(refused):
            source = job_type.source(params, resources)
        if source is not None and (job := self.submissions.state.get_job(job_id_of(job_type, params, source))):
            submission = self.submissions.standing(job_type, job) or Submission.RESUBMITTED
        if submission in (Submission.CREATED, Submission.RESUBMITTED):
            self.check(job_type, params, refused)
        return Foresight(source, submission, [Refusal.of(error) for error in refused])

    def check(self, job_type: JobType, params: BaseModel, refused: list[AppError]) -> None:
        for check in job_type.checks:
            with noted(refused):
                check(params, self.submissions.machine.resources)
        key = job_type.exclusive_key(params)
        if key and (holder := self.submissions.state.holder_of(key)):
            refused.append(busy(key, holder))


def inspection_of(job_type: JobType) -> Inspection:
    if job_type.inspection is None:
        raise InvalidInput(
            "not_inspectable",
            f"{job_type.name} has no input to look at.",
            parameter="job_type",
            remedy="Submit it.",
        )
    return job_type.inspection


def understood(job_type: JobType, inspection: Inspection, given: Mapping[str, Any]) -> Understood:
    """Parse as often as it takes to leave out, or to replace, what is wrong."""
    stand_ins = inspection.stand_ins
    optional = {name for name, value in stand_ins.items() if value is None}
    replaced: set[str] = set()
    refusals: list[Refusal] = []
    while True:
        kept = {name: value for name, value in given.items() if name not in replaced}
        try:
            params = as_json(job_type.params, kept | {name: stand_ins[name] for name in replaced & set(stand_ins)})
            return Understood(params, frozenset(replaced), refusals)
        except ValidationError as error:
            problems = [(str(problem["loc"][0]) if problem["loc"] else None, problem) for problem in error.errors()]
        # None: the request as a whole, which may be contradictory because of what was left out.
        told_before = replaced | ({None} if replaced & optional else set())
        refusals += [refusal_of(job_type, problem) for name, problem in problems if name not in told_before]
        wrong = {name for name, _ in problems if name is not None} or optional
        if wrong <= replaced:
            return Understood(None, frozenset(replaced), refusals)
        replaced |= wrong


def refusal_of(job_type: JobType, problem: Any) -> Refusal:
    described = told(job_type, problem)
    return Refusal("invalid_parameters", described["detail"], described["parameter"])


@contextmanager
def noted(refused: list[AppError]) -> Iterator[None]:
    """What would be refused is noted, and the looking goes on."""
    try:
        yield
    except (InvalidInput, NotFound, Conflict) as error:
        refused.append(error)
