"""What planners, finalizers and handlers see of the run they belong to."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from core.models.task import ClaimedTask
from core.ports import Transaction
from core.state_manager import StateManager
from core.workflow import JobType


class Run:
    """A run of a job. Results are read when they are asked for and validated by their handler's model."""

    def __init__(
        self, job_id: str, run: int, parameters: Mapping[str, Any], job_type: JobType, state: StateManager
    ) -> None:
        self.job_id = job_id
        self.run = run
        self._parameters = parameters
        self._job_type = job_type
        self._state = state

    @cached_property
    def params(self) -> Any:
        return self._job_type.params.model_validate(self._parameters)

    def results(self, stage: str) -> Sequence[Any]:
        number = self._job_type.number_of(stage)
        model = self._job_type.stage(number).result_model
        return [model.model_validate(row) for row in self._state.stage_results(self.job_id, self.run, number)]


class RunningTask(Run):
    """A claimed task, as its handler sees it."""

    def __init__(self, task: ClaimedTask, job_type: JobType, state: StateManager, resources: Any) -> None:
        super().__init__(task.job_id, task.run, task.job_parameters, job_type, state)
        self._task = task
        self.stage = task.stage
        self.task_id = task.task_id
        self.attempt = task.attempt
        self.resources = resources

    @property
    def source(self) -> Mapping[str, Any]:
        return self._task.job_source

    def result(self, stage: str) -> Any:
        number = self._job_type.number_of(stage)
        model, planned_at = self._job_type.stage(number).result_model, self._task.created_at
        return self._state.only_result(self.job_id, self.run, number, model, planned_at)

    def progress(self) -> None:
        self._state.touch(self._task)

    def hold(self, tx: Transaction) -> None:
        self._state.hold(tx, self._task)
