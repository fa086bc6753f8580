"""A Service Bus for one worker: locks, delivery counts, schedules, duplicate detection, dead letters. No sockets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Self

from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusConnectionError,
)

from tests.faults.boundaries_effects import Effects

LOCK_SECONDS = 60.0
MOST_DELIVERIES = 10
# So that the tasks of a stage take more than one batch.
MOST_IN_A_BATCH = 2


def bus_silent() -> Exception:
    return ServiceBusConnectionError(message="the bus does not answer")


@dataclass
class Clock:
    """Real time, and how far the simulation is ahead of it."""

    ahead: float = 0.0

    def now(self) -> float:
        return datetime.now(UTC).timestamp() + self.ahead


@dataclass(eq=False)
class Held:
    """A message in a queue, or dead; nobody gets it before `visible_at`, in seconds of the simulated clock."""

    queue: str
    message_id: str
    text: str
    visible_at: float
    number: int
    deliveries: int = 0
    dead_letter_reason: str | None = None
    dead_letter_error_description: str | None = None

    @property
    def body(self) -> Iterator[bytes]:
        yield self.text.encode()


@dataclass
class Broker:
    """Stands in for the SDK's client. `swallows`: whether a message id it has seen is dropped, as duplicate detection
    does; both must be harmless. `missing`: queues that nothing can be sent to."""

    effects: Effects
    clock: Clock
    swallows: bool = True
    held: list[Held] = field(default_factory=list)
    dead: list[Held] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=count)

    def get_queue_sender(self, queue: str) -> "Sender":
        return Sender(self, queue)

    def get_queue_receiver(self, queue: str, sub_queue: object = None) -> "DeadLetterReceiver":
        return DeadLetterReceiver(self, queue)

    def take(self, queue: str, message_id: str, text: str, due: float = 0.0) -> None:
        if not (self.swallows and message_id in self.seen):
            self.held.append(Held(queue, message_id, text, due, next(self._numbers)))
        self.seen.add(message_id)

    def receive(self) -> Held | None:
        """The oldest message that is due, locked for the caller."""
        now = self.clock.now()
        due = [held for held in self.held if held.visible_at <= now]
        if not due:
            return None
        held = min(due, key=lambda held: (held.visible_at > 0, held.number))
        held.deliveries += 1
        held.visible_at = now + LOCK_SECONDS
        return held

    def complete(self, held: Held) -> None:
        self.held.remove(held)

    def give_back(self, held: Held) -> None:
        """At once, as the host does when the function raised."""
        held.visible_at = self.clock.now()
        if held.deliveries >= MOST_DELIVERIES:
            self.dead_letter(held)

    def dead_letter(self, held: Held) -> None:
        held.visible_at = 0.0
        held.dead_letter_reason = "MaxDeliveryCountExceeded"
        held.dead_letter_error_description = f"gave up after {MOST_DELIVERIES} deliveries"
        self.held.remove(held)
        self.dead.append(held)


class Batch:
    """`is_full`: it refused a message, so that another batch follows."""

    max_size_in_bytes = 256 << 10

    def __init__(self) -> None:
        self.messages: list[ServiceBusMessage] = []
        self.is_full = False

    def add_message(self, message: ServiceBusMessage) -> None:
        self.is_full = len(self.messages) == MOST_IN_A_BATCH
        if self.is_full:
            raise MessageSizeExceededError(message="the batch is full")
        self.messages.append(message)


class Sender:
    def __init__(self, broker: Broker, queue: str) -> None:
        self._broker = broker
        self._queue = queue

    def create_message_batch(self, max_size_in_bytes: int = 0) -> Batch:
        return Batch()

    def send_messages(self, batch: Batch) -> None:
        if self._queue in self._broker.missing:
            raise MessagingEntityNotFoundError(message="there is no such queue")
        with self._broker.effects.effect("send full batch" if batch.is_full else "bus send", bus_silent):
            for message in batch.messages:
                later = message.scheduled_enqueue_time_utc
                text = b"".join(message.body).decode()
                self._broker.take(self._queue, str(message.message_id), text, later.timestamp() if later else 0.0)

    def close(self) -> None:
        pass


class DeadLetterReceiver:
    """What is not settled comes back when its lock has run out."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self._broker = broker
        self._queue = queue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def receive_messages(self, max_message_count: int, **_: Any) -> list[Held]:
        broker, now = self._broker, self._broker.clock.now()
        with broker.effects.effect("receive dead letters", bus_silent):
            due = [held for held in broker.dead if held.queue == self._queue and held.visible_at <= now]
            for held in due[:max_message_count]:
                held.visible_at = now + LOCK_SECONDS
        return due[:max_message_count]

    def complete_message(self, held: Held) -> None:
        with self._broker.effects.effect("settle dead letter", bus_silent):
            self._broker.dead.remove(held)
