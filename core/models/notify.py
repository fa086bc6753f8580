"""notify: who is told of a job's events. A parameter of every job type, and no part of a job's identity."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl


class JobEvent(StrEnum):
    STARTED = "started"
    STAGE_COMPLETED = "stage_completed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = (JobEvent.COMPLETED, JobEvent.FAILED, JobEvent.CANCELLED)


def bare(url: HttpUrl) -> HttpUrl:
    if url.username or url.password:
        raise ValueError("a user or a password in the URL would be stored in the clear; the signature tells who calls")
    if url.fragment:
        raise ValueError("a fragment is never sent")
    return url


class Notify(BaseModel):
    """url: gets a POST for each of the events, a signed CloudEvent. Its host must be on the list of the app.

    events: how the job ends, when left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[HttpUrl, AfterValidator(bare)]
    events: Annotated[list[JobEvent], Field(min_length=1)] = list(ENDS)

    @property
    def target(self) -> str:
        """The URL as it is matched, stored and called: one spelling, so that all read the same host in it."""
        return str(self.url)
