"""A task as Postgres holds it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.models.enums import TaskStatus


class Task(BaseModel):
    """`attempt` is the fence: what a worker writes about the task carries it. `failures` counts against the limit."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    task_id: str
    job_id: str
    run: int
    stage: int
    task_index: int
    task_type: str
    status: TaskStatus
    parameters: dict[str, Any]
    attempt: int
    failures: int
    dispatch: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    updated_at: datetime
    not_before: datetime | None = None


class ClaimedTask(Task):
    """A task this worker now owns, with what its handler needs of the job."""

    created_at: datetime
    job_type: str
    job_parameters: dict[str, Any]
    job_source: dict[str, Any]
