"""Service Bus: one client and two senders a process, errors translated once."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    ServiceBusError,
)

from core.config import Settings
from core.errors import AppError
from core.models.messages import Outgoing
from infrastructure.bus_errors import translate_errors
from infrastructure.dead_letters import DeadLetter, dead_letters
from infrastructure.identity import credential

PEEKED = 100
# The SDK does not count the envelope that it gives a batch after the first message.
ENVELOPE_BYTES = 1024
L = TypeVar("L", ServiceBusSender, ServiceBusReceiver)


class ServiceBus:
    """Implements core.ports.Bus. The SDK's senders and receivers are not thread-safe, so each has a lock."""

    def __init__(self, settings: Settings) -> None:
        self._client = client = open_client(settings)
        queues = (settings.jobs_queue, settings.vector_tasks_queue)
        self._jobs, self._tasks = (Link(queue, partial(client.get_queue_sender, queue)) for queue in queues)
        self._browsers = [Link(queue, partial(client.get_queue_receiver, queue)) for queue in queues]

    def send_jobs(self, messages: Sequence[Outgoing]) -> None:
        with self._jobs.open() as sender:
            send(sender, messages)

    def send_tasks(self, messages: Sequence[Outgoing]) -> None:
        with self._tasks.open() as sender:
            send(sender, messages)

    def warm_up(self) -> None:
        """Open both senders meanwhile: the SDK takes half a second for each, nearly all of it in naps of 50 ms."""
        for link in (self._jobs, self._tasks):
            threading.Thread(target=opened_ahead, args=[link], daemon=True).start()

    def check(self) -> None:
        """Raises Unavailable or Rejected when a queue cannot be looked into."""
        for browser in self._browsers:
            with browser.open() as receiver:
                receiver.peek_messages(max_message_count=1)

    def depth(self) -> dict[str, int]:
        """Messages in each queue, by name, as far as one look sees: at most PEEKED."""
        return {browser.queue: self._peeked(browser) for browser in self._browsers}

    def _peeked(self, browser: "Link[ServiceBusReceiver]") -> int:
        with browser.open() as receiver:
            return len(receiver.peek_messages(max_message_count=PEEKED, sequence_number=1))

    def dead_letters(self, most: int) -> Iterator[list[DeadLetter]]:
        """Batches of dead-lettered messages of both queues, at most `most` of each."""
        for browser in self._browsers:
            yield from dead_letters(self._client, browser.queue, most)

    def close(self) -> None:
        self._client.close()


class Link(Generic[L]):
    """A sender or receiver of a queue: opened when first used, then kept; after an error, opened anew."""

    def __init__(self, queue: str, connect: Callable[[], L]) -> None:
        self.queue = queue
        self._connect: Callable[[], L] = connect
        self._lock = threading.Lock()
        self._link: L | None = None

    @contextmanager
    def open(self) -> Iterator[L]:
        with self._lock, translate_errors(self.queue):
            self._link = link = self._link or self._connect()
            try:
                yield link
            except (ServiceBusError, OSError):
                self._link = None
                with suppress(ServiceBusError, OSError):
                    link.close()
                raise


def opened_ahead(link: Link[ServiceBusSender]) -> None:
    """What keeps it from being opened is said to whoever sends."""
    with suppress(AppError), link.open() as sender:
        sender.create_message_batch()


def send(sender: ServiceBusSender, messages: Sequence[Outgoing]) -> None:
    """As few batches as the size limit allows. What was sent before an error may be sent again."""
    most = sender.create_message_batch().max_size_in_bytes - ENVELOPE_BYTES
    batch = sender.create_message_batch(max_size_in_bytes=most)
    for message in map(to_service_bus, messages):
        try:
            batch.add_message(message)
        except MessageSizeExceededError:
            sender.send_messages(batch)
            batch = sender.create_message_batch(max_size_in_bytes=most)
            batch.add_message(message)
    sender.send_messages(batch)


def open_client(settings: Settings) -> ServiceBusClient:
    """Few and short retries inside the SDK: the caller holds its message and tries again."""
    retries: dict[str, Any] = {"retry_total": 2, "retry_backoff_factor": 0.2, "retry_backoff_max": 2}
    if settings.use_managed_identity:
        return ServiceBusClient(str(settings.service_bus_namespace), credential(settings.azure_client_id), **retries)
    return ServiceBusClient.from_connection_string(str(settings.service_bus_connection), **retries)


def to_service_bus(message: Outgoing) -> ServiceBusMessage:
    return ServiceBusMessage(
        json.dumps(message.body),
        message_id=message.message_id,
        content_type="application/json",
        scheduled_enqueue_time_utc=message.not_before,
    )
