"""What travels on the bus. A message is a hint: the rows in Postgres decide."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class JobMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    job_id: str
    run: int
    stage: int


class TaskMessage(BaseModel):
    """A copy that was sent because a service was away for too long carries `released`, the attempt that gave the task
    back, or `stands_for`, the id of the message whose place it takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_id: str
    released: int | None = None
    stands_for: str | None = None


class Delivery(BaseModel):
    """How a message arrived. The first delivery has count 1, as the Functions host counts."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    delivery_count: int = 1

    @property
    def redelivered(self) -> bool:
        return self.delivery_count > 1


class Outgoing(BaseModel):
    """A message to send; `not_before` makes it a scheduled one."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    body: dict[str, Any]
    not_before: datetime | None = None
