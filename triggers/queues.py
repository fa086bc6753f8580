"""Messages from the bus. What raises here goes back to the bus, and comes again."""

import logging
from typing import TypeVar

import azure.functions as func
from pydantic import ValidationError

from core.config import settings
from core.models.messages import Delivery, JobMessage, TaskMessage
from core.sql import janitor
from triggers.wiring import machine

log = logging.getLogger(__name__)
bp = func.Blueprint()
MOST_BODY = 10_000
M = TypeVar("M", JobMessage, TaskMessage)


@bp.service_bus_queue_trigger(arg_name="message", queue_name=settings().jobs_queue, connection="ServiceBusConnection")
def geospatial_jobs(message: func.ServiceBusMessage) -> None:
    read = parsed(JobMessage, settings().jobs_queue, message)
    if read:
        machine().process_job_message(read)


@bp.service_bus_queue_trigger(
    arg_name="message", queue_name=settings().vector_tasks_queue, connection="ServiceBusConnection"
)
def vector_tasks(message: func.ServiceBusMessage) -> None:
    delivery = Delivery(message_id=str(message.message_id), delivery_count=message.delivery_count or 1)
    read = parsed(TaskMessage, settings().vector_tasks_queue, message)
    if read:
        machine().process_task_message(read, delivery)


def keep(queue: str, message: func.ServiceBusMessage, error: ValidationError) -> None:
    """Delivering it again would not make it readable: it is kept, with the reason, where somebody can look at it."""
    reason = "; ".join(f"{'.'.join(map(str, wrong['loc']))} {wrong['msg']}".strip() for wrong in error.errors())
    body = message.get_body().decode(errors="replace").replace("\x00", "")[:MOST_BODY]
    log.error("unreadable message", extra={"queue": queue, "message_id": message.message_id, "reason": reason})
    with machine().state.database.transaction() as tx:
        tx.run(
            janitor.keep_dead_letter,
            queue=queue,
            message_id=str(message.message_id),
            reason=f"unreadable message: {reason}",
            body=body,
        )


def parsed(model: type[M], queue: str, message: func.ServiceBusMessage) -> M | None:
    """None for what is not a message of the app; it is kept."""
    try:
        return model.model_validate_json(message.get_body())
    except ValidationError as error:
        keep(queue, message, error)
        return None
