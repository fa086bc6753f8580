"""Service Bus: one client and two senders a process, errors translated once."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)

from core.config import Settings
from core.errors import Rejected, Unavailable
from core.models.messages import Outgoing
from infrastructure.identity import credential


class ServiceBus:
    """Implements core.ports.Bus. The SDK's senders are not thread-safe, so each has a lock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        client = open_client(settings)
        self._jobs = LockedSender(client, settings.jobs_queue)
        self._tasks = LockedSender(client, settings.vector_tasks_queue)
        self._client = client

    def send_jobs(self, messages: Sequence[Outgoing]) -> None:
        self._jobs.send(messages)

    def send_tasks(self, messages: Sequence[Outgoing]) -> None:
        self._tasks.send(messages)

    def check(self) -> None:
        """Raises Unavailable or Rejected when a queue cannot be looked into."""
        for queue in (self._settings.jobs_queue, self._settings.vector_tasks_queue):
            with translate_errors(queue), self._client.get_queue_receiver(queue) as receiver:
                receiver.peek_messages(max_message_count=1)

    def close(self) -> None:
        self._client.close()


class LockedSender:
    """A sender that is opened when first used, kept, and opened anew after an error."""

    def __init__(self, client: ServiceBusClient, queue: str) -> None:
        self._client = client
        self._queue = queue
        self._lock = threading.Lock()
        self._sender: ServiceBusSender | None = None

    def send(self, messages: Sequence[Outgoing]) -> None:
        """As few batches as the size limit allows. What was sent before an error may be sent again."""
        with self._lock, translate_errors(self._queue):
            try:
                self._send(self._open(), messages)
            except ServiceBusError:
                self._drop()
                raise

    def _send(self, sender: ServiceBusSender, messages: Sequence[Outgoing]) -> None:
        batch = sender.create_message_batch()
        for message in map(to_service_bus, messages):
            try:
                batch.add_message(message)
            except MessageSizeExceededError:
                sender.send_messages(batch)
                batch = sender.create_message_batch()
                batch.add_message(message)
        sender.send_messages(batch)

    def _open(self) -> ServiceBusSender:
        if self._sender is None:
            self._sender = self._client.get_queue_sender(self._queue)
        return self._sender

    def _drop(self) -> None:
        sender, self._sender = self._sender, None
        if sender:
            with suppress(ServiceBusError):
                sender.close()


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


@contextmanager
def translate_errors(queue: str) -> Iterator[None]:
    try:
        yield
    except MessagingEntityNotFoundError as error:
        raise Rejected(f"the queue {queue!r} does not exist", code="queue_missing") from error
    except MessageSizeExceededError as error:
        raise Rejected("the message is larger than the bus accepts", code="message_too_large") from error
    except (ServiceBusAuthenticationError, ServiceBusAuthorizationError) as error:
        raise Unavailable("the bus refused the credentials") from error
    except (ServiceBusError, OSError) as error:
        raise Unavailable("the bus does not answer") from error
