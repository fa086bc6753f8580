"""The dead-letter queues: what the broker gave up delivering."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver, ServiceBusSubQueue

from infrastructure.bus_errors import translate_errors

BATCH = 100
WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class DeadLetter:
    """`body` is the message's text, as well as it can be read. `settle` removes it from the dead-letter queue."""

    queue: str
    message_id: str
    body: str
    reason: str
    settle: Callable[[], None]


def dead_letters(client: ServiceBusClient, queue: str, most: int) -> Iterator[list[DeadLetter]]:
    """Batches of dead-lettered messages, locked for the caller; those it does not settle come back."""
    with translate_errors(queue), open_dead_letter_queue(client, queue) as receiver:
        while most > 0:
            messages = receiver.receive_messages(max_message_count=min(BATCH, most), max_wait_time=WAIT_SECONDS)
            if not messages:
                return
            most -= len(messages)
            yield [as_dead_letter(queue, receiver, message) for message in messages]


def open_dead_letter_queue(client: ServiceBusClient, queue: str) -> ServiceBusReceiver:
    return client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)


def as_dead_letter(queue: str, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> DeadLetter:
    told = [message.dead_letter_reason, message.dead_letter_error_description]
    return DeadLetter(
        queue=queue,
        message_id=str(message.message_id),
        body=b"".join(message.body).decode(errors="replace"),
        reason=": ".join(str(part) for part in told if part) or "dead-lettered without a reason",
        settle=lambda: receiver.complete_message(message),
    )
