import json
import time

import azure.functions as func

from .record import record

bp = func.Blueprint()


@bp.service_bus_queue_trigger(arg_name="message", queue_name="%ORDERS_QUEUE%", connection="ServiceBusConnection")
def orders(message: func.ServiceBusMessage) -> None:
    """Does what the message says."""
    order = json.loads(message.get_body())
    describe("order", message, order)
    if message.delivery_count <= order.get("sleep_times", 99):
        time.sleep(order.get("sleep", 0))
    if order.get("fail") or message.delivery_count <= order.get("fail_times", 0):
        raise ValueError("the order asked for it")
    record("done", order=order.get("name"))


@bp.service_bus_queue_trigger(
    arg_name="message", queue_name="%ORDERS_QUEUE%/$DeadLetterQueue", connection="ServiceBusConnection"
)
async def dead_orders(message: func.ServiceBusMessage) -> None:
    describe("dead", message, json.loads(message.get_body()))


def describe(kind: str, message: func.ServiceBusMessage, order: dict[str, object]) -> None:
    record(
        kind,
        order=order.get("name"),
        sent=order.get("sent"),
        message_id=message.message_id,
        delivery_count=message.delivery_count,
        properties=message.application_properties,
        enqueued=message.enqueued_time_utc.isoformat() if message.enqueued_time_utc else None,
        correlation_id=message.correlation_id,
        subject=message.subject,
        content_type=message.content_type,
    )
