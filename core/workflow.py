"""How a job type is declared: parameters, checks at submission, stages."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from core.errors import Refusal
from core.ports import Transaction

R = TypeVar("R", bound=BaseModel)
R_co = TypeVar("R_co", bound=BaseModel, covariant=True)


@dataclass(frozen=True)
class InTransaction(Generic[R]):
    """A handler's answer when its effect must commit with the task's completion, or not at all.

    `effect` runs in the completing transaction after the fence was checked, and returns the result.
    """

    effect: Callable[[Transaction], R]


class RunView(Protocol):
    """A run of a job as planners and finalizers see it."""

    job_id: str
    run: int

    @property
    def params(self) -> Any:
        """The job's parameters as the model its type declares."""

    def results(self, stage: str) -> Sequence[Any]:
        """The results of an earlier stage as its handler's model, in task order."""


class TaskContext(RunView, Protocol):
    """What a handler may know and do besides its own parameters."""

    stage: int
    task_id: str
    attempt: int
    resources: Any

    @property
    def source(self) -> Mapping[str, Any]:
        """Facts about the input that identify the job, as the checks found them."""

    def result(self, stage: str) -> Any:
        """The result of an earlier stage of one task. A process reads it once for all tasks of this stage."""

    def progress(self) -> None:
        """Say that work goes on. Raises Fenced when this attempt is no longer the current one."""

    def hold(self, tx: Transaction) -> None:
        """Keep the attempt from being taken over until `tx` ends. Raises Fenced when it is not current."""


Handler = Callable[[Any, Any], BaseModel | InTransaction[Any]]
Plan = Callable[[RunView], Sequence[BaseModel]]
Check = Callable[[Any, Any], None]


@dataclass(frozen=True)
class Stage:
    """`run(params, context)` does one task; `plan(run)` says which tasks there are, from earlier results. `unit`: what
    a client is told the tasks are."""

    name: str
    task_type: str
    run: Handler
    plan: Plan
    unit: str = "tasks"

    @cached_property
    def params_model(self) -> type[BaseModel]:
        hints = get_type_hints(self.run)
        return cast(type[BaseModel], next(hint for name, hint in hints.items() if name != "return"))

    @cached_property
    def result_model(self) -> type[BaseModel]:
        hint = get_type_hints(self.run)["return"]
        return cast(type[BaseModel], get_args(hint)[0] if get_origin(hint) is InTransaction else hint)


@dataclass(frozen=True)
class Look:
    """What a look at a job's input told, and what the job would fail with."""

    facts: BaseModel
    refusals: Sequence[Refusal]


@dataclass(frozen=True)
class Inspection:
    """How a job's input can be looked at before the job is submitted. `look(params, source, resources)` writes nothing.
    `stand_ins`: values of parameters that a look can do without; they take the place of wrong and missing ones."""

    look: Callable[[Any, Mapping[str, Any], Any], Look]
    stand_ins: Mapping[str, Any]


@dataclass(frozen=True)
class JobType:
    """`source(params, resources)` returns the facts about the input that, with the parameters, identify the job; it and
    the `checks` run at submission and raise InvalidInput, Conflict or NotFound.
    `exclusive_key(params)` names what only one active job may write. `stands(params, run, resources)` tells whether a
    completed job's outcome is still there. `release(job_id, run, resources)` removes what a run leaves behind, however
    it ended; running it twice changes nothing. `leftovers(resources)` names the runs, open ones too, that have
    something in the world which release would remove. `inspection`: how to look before submitting, where one can.
    `keeps_rejects`: the rows that it does not load can be looked at. `title`: what it does, for people."""

    name: str
    params: type[BaseModel]
    stages: tuple[Stage, ...]
    finalize: Callable[[RunView], BaseModel]
    source: Callable[[Any, Any], Mapping[str, Any]] = lambda _params, _resources: {}
    checks: tuple[Check, ...] = ()
    exclusive_key: Callable[[Any], str | None] = lambda _params: None
    stands: Callable[[RunView, Any], bool] = lambda _run, _resources: True
    release: Callable[[str, int, Any], None] = lambda _job_id, _run, _resources: None
    leftovers: Callable[[Any], Iterable[tuple[str, int]]] = lambda _resources: ()
    inspection: Inspection | None = None
    keeps_rejects: bool = False
    title: str = ""

    @cached_property
    def result_model(self) -> type[BaseModel]:
        return cast(type[BaseModel], get_type_hints(self.finalize)["return"])

    def stage(self, number: int) -> Stage:
        """The stage with this number, from 1."""
        return self.stages[number - 1]

    def number_of(self, name: str) -> int:
        return next(n for n, stage in enumerate(self.stages, 1) if stage.name == name)


class Registry:
    """The job types by name."""

    def __init__(self, *job_types: JobType) -> None:
        self._job_types = {job_type.name: job_type for job_type in job_types}

    def get(self, name: str) -> JobType | None:
        return self._job_types.get(name)

    def __getitem__(self, name: str) -> JobType:
        return self._job_types[name]

    def __iter__(self) -> Iterator[JobType]:
        return iter(self._job_types.values())

    @property
    def names(self) -> list[str]:
        return sorted(self._job_types)
