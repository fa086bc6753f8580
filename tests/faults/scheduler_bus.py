"""A Service Bus that is only what its contract says: peek-lock, lock expiry, delivery count, dead-letter queue,
scheduled messages, and duplicate detection for those who turned it on. Implements core.ports.Bus."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.models.messages import Outgoing
from infrastructure.dead_letters import DeadLetter
from tests.faults.scheduler_actors import Actor

LOCK_SECONDS = 60.0
DUPLICATE_SECONDS = 600.0


@dataclass(eq=False)
class Message:
    """`due`: when it can be had next. `holder`: whose lock it is under."""

    queue: str
    message_id: str
    body: str
    due: float
    deliveries: int = 0
    holder: Actor | None = None

    @property
    def task_id(self) -> str:
        return str(json.loads(self.body).get("task_id", ""))

    @property
    def stands_in(self) -> bool:
        """A copy for later of a message that was worked on."""
        body = json.loads(self.body)
        return any(body.get(name) is not None for name in ("stands_for", "released"))


class Theatre(Protocol):
    """What the bus needs of the play."""

    clock: float

    def effect(self, kind: str, name: str) -> None: ...

    def seconds_until(self, moment: object) -> float: ...

    def sent(self, queue: str, message: Outgoing) -> None: ...

    def swallowed(self, message: Outgoing) -> None: ...


@dataclass
class SimulatedBus:
    theatre: Theatre
    most_deliveries: int = 10
    detects_duplicates: bool = False
    messages: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)

    def send_jobs(self, messages: Sequence[Outgoing]) -> None:
        self.send("geospatial-jobs", messages)

    def send_tasks(self, messages: Sequence[Outgoing]) -> None:
        self.send("vector-tasks", messages)

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """A batch goes in parts, and each part may be the last that arrives."""
        for message in messages:
            self.theatre.effect("send", f"send {queue} {message.message_id[64:]}")
            self.accept(queue, message)
        self.theatre.effect("sent", f"sent {queue}")

    def accept(self, queue: str, message: Outgoing) -> None:
        now = self.theatre.clock
        self.theatre.sent(queue, message)
        name = f"{queue}/{message.message_id}"
        if self.detects_duplicates and now - self.seen.get(name, -DUPLICATE_SECONDS) < DUPLICATE_SECONDS:
            self.theatre.swallowed(message)
            return
        self.seen[name] = now
        wait = self.theatre.seconds_until(message.not_before) if message.not_before else 0.0
        self.messages.append(Message(queue, message.message_id, json.dumps(message.body), now + max(0.0, wait)))

    # The host's side

    def ready(self) -> list[Message]:
        now = self.theatre.clock
        return [message for message in self.messages if message.holder is None and message.due <= now]

    def lock(self, message: Message, actor: Actor) -> bool:
        """False when it has been delivered too often: it is a dead letter now."""
        if message.deliveries >= self.most_deliveries:
            self.messages.remove(message)
            self.dead.append(message)
            return False
        message.deliveries += 1
        message.holder = actor
        return True

    def complete(self, message: Message, actor: Actor) -> None:
        if message.holder is actor:
            self.messages.remove(message)

    def abandon(self, message: Message, actor: Actor) -> None:
        self.unlock(message, actor, 0.0)

    def unlock(self, message: Message, actor: Actor, after: float = LOCK_SECONDS) -> None:
        if message.holder is actor:
            message.holder = None
            message.due = self.theatre.clock + after

    # The janitor's side

    def dead_letters(self, most: int) -> Iterator[list[DeadLetter]]:
        self.theatre.effect("work", "receive dead letters")
        found = self.dead[:most]
        if found:
            yield [self.letter(message) for message in found]

    def letter(self, message: Message) -> DeadLetter:
        reason = f"MaxDeliveryCountExceeded: gave up after {message.deliveries} deliveries"

        def settle() -> None:
            self.theatre.effect("work", "settle a dead letter")
            if message in self.dead:
                self.dead.remove(message)

        return DeadLetter(message.queue, message.message_id, message.body, reason, settle)
