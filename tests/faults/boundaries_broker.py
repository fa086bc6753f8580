"""A Service Bus for one worker: locks, delivery counts, schedules, duplicate detection, dead letters. No sockets."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from core.errors import Unavailable
from core.models.messages import Outgoing
from infrastructure.dead_letters import DeadLetter
from tests.faults.boundaries_effects import Effects

LOCK_SECONDS = 60.0
MOST_DELIVERIES = 10


def bus_silent() -> Exception:
    return Unavailable("the bus does not answer")


@dataclass
class Held:
    """A message in a queue; nobody gets it before `visible_at`, in seconds of the simulated clock."""

    queue: str
    message: Outgoing
    visible_at: float
    number: int
    deliveries: int = 0


@dataclass
class Clock:
    """Real time, and how far the simulation is ahead of it."""

    ahead: float = 0.0

    def now(self) -> float:
        return datetime.now(UTC).timestamp() + self.ahead


@dataclass
class Broker:
    """Implements core.ports.Bus. `swallows`: whether a message id it has seen is dropped, as duplicate detection does;
    both must be harmless."""

    effects: Effects
    clock: Clock
    swallows: bool = True
    held: list[Held] = field(default_factory=list)
    dead: list[Held] = field(default_factory=list)
    unreadable: list[DeadLetter] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    most_deliveries: int = 0
    _numbers: Iterator[int] = field(default_factory=count)

    def send_jobs(self, messages: Sequence[Outgoing]) -> None:
        self.send("jobs", messages)

    def send_tasks(self, messages: Sequence[Outgoing]) -> None:
        self.send("tasks", messages)

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        with self.effects.effect("bus send", bus_silent):
            for message in messages:
                if not (self.swallows and message.message_id in self.seen):
                    due = message.not_before.timestamp() if message.not_before else 0.0
                    self.held.append(Held(queue, message, due, next(self._numbers)))
                self.seen.add(message.message_id)

    def receive(self) -> Held | None:
        """The oldest message that is due, locked for the caller."""
        now = self.clock.now()
        due = [held for held in self.held if held.visible_at <= now]
        if not due:
            return None
        held = min(due, key=lambda held: (held.visible_at > 0, held.number))
        held.deliveries += 1
        held.visible_at = now + LOCK_SECONDS
        self.most_deliveries = max(self.most_deliveries, held.deliveries)
        return held

    def complete(self, held: Held) -> None:
        self.held.remove(held)

    def give_back(self, held: Held) -> None:
        """At once, as the host does when the function raised."""
        held.visible_at = self.clock.now()
        if held.deliveries >= MOST_DELIVERIES:
            self.dead_letter(held)

    def dead_letter(self, held: Held) -> None:
        self.held.remove(held)
        self.dead.append(held)

    def next_due(self) -> float | None:
        return min((held.visible_at for held in self.held), default=None)

    def dead_letters(self, most: int) -> Iterator[list[DeadLetter]]:
        """What is not settled comes back."""
        with self.effects.effect("receive dead letters", bus_silent):
            found = [*map(self._letter, self.dead), *self.unreadable]
        if found:
            yield found[:most]

    def _letter(self, held: Held) -> DeadLetter:
        reason = f"MaxDeliveryCountExceeded: gave up after {MOST_DELIVERIES} deliveries"
        settle = self._settling(lambda: self.dead.remove(held))
        return DeadLetter(held.queue, held.message.message_id, json.dumps(held.message.body), reason, settle)

    def cannot_be_read(self, body: str) -> None:
        letter = DeadLetter("tasks", "m-1", body, "no reason", lambda: settle())
        settle = self._settling(lambda: self.unreadable.remove(letter))
        self.unreadable.append(letter)

    def _settling(self, remove: Callable[[], None]) -> Callable[[], None]:
        def settle() -> None:
            with self.effects.effect("settle dead letter", bus_silent):
                remove()

        return settle
