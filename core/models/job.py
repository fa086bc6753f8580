"""A job as Postgres holds it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.models.enums import JobStatus
from core.models.notify import Notify


class Job(BaseModel):
    """`stage` is the stage being worked on, from 1; `source` the facts about the input that identify the job."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    job_id: str
    job_type: str
    status: JobStatus
    run: int
    stage: int
    total_stages: int
    parameters: dict[str, Any]
    source: dict[str, Any]
    exclusive_key: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    dispatch: int
    created_at: datetime
    updated_at: datetime
    run_started_at: datetime
    finished_at: datetime | None = None


class NewJob(BaseModel):
    """What a submission asks to be written down. `notify`: who is to be told, for this run."""

    job_id: str
    job_type: str
    total_stages: int
    parameters: dict[str, Any]
    source: dict[str, Any]
    exclusive_key: str | None = None
    notify: Notify | None = None
