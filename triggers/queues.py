"""Messages from the bus. What raises here goes back to the bus, and comes again."""

from typing import TypeVar

import azure.functions as func
from pydantic import ValidationError

from core.config import settings
from core.errors import InvalidInput
from core.models.messages import Delivery, JobMessage, TaskMessage
from triggers.wiring import machine

bp = func.Blueprint()
M = TypeVar("M", JobMessage, TaskMessage)


@bp.service_bus_queue_trigger(arg_name="message", queue_name=settings().jobs_queue, connection="ServiceBusConnection")
def geospatial_jobs(message: func.ServiceBusMessage) -> None:
    machine().process_job_message(parsed(JobMessage, message))


@bp.service_bus_queue_trigger(
    arg_name="message", queue_name=settings().vector_tasks_queue, connection="ServiceBusConnection"
)
def vector_tasks(message: func.ServiceBusMessage) -> None:
    delivery = Delivery(message_id=str(message.message_id), delivery_count=message.delivery_count or 1)
    machine().process_task_message(parsed(TaskMessage, message), delivery)


def parsed(model: type[M], message: func.ServiceBusMessage) -> M:
    """Raises InvalidInput; the bus dead-letters the message when it has failed often enough."""
    try:
        return model.model_validate_json(message.get_body())
    except ValidationError as error:
        raise InvalidInput("unreadable_message", f"message {message.message_id} is not a {model.__name__}") from error
