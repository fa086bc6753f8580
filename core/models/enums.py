"""The states of jobs and tasks. docs/state_machine.md shows the legal transitions."""

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        return self in (JobStatus.QUEUED, JobStatus.PROCESSING)


class TaskStatus(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Submission(StrEnum):
    """What became of a request to submit a job."""

    CREATED = "created"
    QUEUED = "queued"
    PROCESSING = "processing"
    ALREADY_COMPLETED = "already_completed"
    RESUBMITTED = "resubmitted"
