"""What a client is told of a job: by the status endpoint, and in an event."""

from collections.abc import Sequence
from typing import Any

from core.models.enums import JobStatus
from core.models.job import Job
from core.ports import Row
from core.workflow import JobType


def job_facts(job: Job, job_type: JobType | None) -> dict[str, Any]:
    """As JSON. `job_type`: None when this app does not know it any more."""
    return {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "status": job.status,
        "stage": min(job.stage, job.total_stages),
        "stage_name": job_type.stage(min(job.stage, job.total_stages)).name if job_type else None,
        "total_stages": job.total_stages,
        "run": job.run,
        "parameters": job.parameters,
        "result_data": job.result,
        "error": job.error,
        **job.model_dump(mode="json", include={"created_at", "run_started_at", "updated_at", "finished_at"}),
    }


def percent(job: Job, stages: Sequence[Row]) -> float:
    """Every stage counts the same, by its completed tasks."""
    done = sum(stage["completed"] / stage["total"] for stage in stages)
    return 100.0 if job.status == JobStatus.COMPLETED else round(100 * done / job.total_stages, 1)


def summary(job_type: JobType | None, stages: Sequence[Row]) -> str:
    """For people, of the last stage that was entered: `upload_chunks: 5 of 10 chunks`."""
    if not stages:
        return "waiting for its first stage"
    stage = stages[-1]
    unit = job_type.stage(stage["stage"]).unit if job_type else "tasks"
    return f"{stage['name']}: {stage['completed']} of {stage['total']} {unit}"
