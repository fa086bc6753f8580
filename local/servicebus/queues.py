"""What a Service Bus queue promises: order, locks, delivery counts, dead letters, schedules, expiry, duplicates.

Nothing here knows AMQP's transport. All state is in the store; times are milliseconds since 1970.
"""

import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from .config import QueueConfig
from .errors import lock_lost, message_not_found
from .messages import Incoming, Outgoing, with_application_properties, write_message
from .store import ACTIVE, DEFERRED, SCHEDULED, Kept, Store, queries

DEAD_LETTER_SUFFIX = "/$deadletterqueue"
AT_ONCE = 250
"""Messages delivered or woken in one turn, so that ten thousand at once do not hold up every connection."""

PEEK_BYTES = 1024 * 1024
"""A peek stops after this much, as the service's does: it may return fewer than asked."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Consumer(Protocol):
    """A link that takes messages from a queue."""

    receives_and_deletes: bool

    def can_take(self) -> bool: ...
    def deliver(self, message: bytes, lock_token: uuid.UUID | None) -> None: ...


class Queue:
    """A queue, or the dead-letter queue of one."""

    def __init__(self, store: Store, config: QueueConfig, dead_letters: "Queue | None") -> None:
        self.store = store
        self.config = config
        self.name = config.name.lower()
        self.root = self.name.removesuffix(DEAD_LETTER_SUFFIX)
        self.dead_letters = dead_letters
        self.consumers: deque[Consumer] = deque()
        self._wake_at: int | None = None
        self._wake_is_known = False

    def put(self, message: Incoming) -> int:
        """Keep a message and return its sequence number; 0 for one whose id was sent within the window."""
        now = now_ms()
        if self._is_duplicate(message.message_id, now):
            return 0
        scheduled = message.due_at is not None and message.due_at > now
        expires_at = self._expiry(message, now)
        sequence_number = self._next_sequence_number()
        row_id = self.store.number(
            queries.add_message,
            entity=self.name,
            sequence_number=sequence_number,
            state=SCHEDULED if scheduled else ACTIVE,
            enqueued_at=now,
            due_at=message.due_at,
            expires_at=expires_at,
            wake_at=message.due_at if scheduled else expires_at,
            priority=message.priority,
            time_to_live=message.time_to_live,
        )
        self._run(queries.add_payload, id=row_id, **_columns(message))
        return sequence_number

    def _is_duplicate(self, message_id: str | None, now: int) -> bool:
        window = self.config.duplicate_window
        if window is None or message_id is None:
            return False
        before = now - window
        fresh = self.store.number(queries.remember_id, entity=self.name, message_id=message_id, now=now, before=before)
        return fresh is None

    def _expiry(self, message: Incoming, now: int) -> int | None:
        """The shorter of the message's and the queue's time to live, counted from when it can be received."""
        lives = [life for life in (message.time_to_live, self.config.time_to_live) if life is not None]
        return max(now, message.due_at or 0) + min(lives) if lives else None

    def _next_sequence_number(self) -> int:
        number = self.store.number(queries.next_sequence_number, queue=self.root)
        assert number is not None
        return number

    def forget_old_ids(self) -> None:
        if self.config.duplicate_window is not None:
            self._run(queries.forget_ids, entity=self.name, before=now_ms() - self.config.duplicate_window)

    def deliver(self) -> bool:
        """Hand waiting messages, oldest first, to consumers in turn. True: there may be more to hand out."""
        for _ in range(AT_ONCE):
            consumer = self._next_consumer()
            if consumer is None:
                return False
            if not (self._remove_for(consumer) if consumer.receives_and_deletes else self._lock_for(consumer)):
                return False
        return True

    def _next_consumer(self) -> Consumer | None:
        for _ in range(len(self.consumers)):
            self.consumers.rotate(-1)
            if self.consumers[-1].can_take():
                return self.consumers[-1]
        return None

    def _lock_for(self, consumer: Consumer) -> bool:
        token = uuid.uuid4()
        self.forget_wake()
        row = self.store.one(queries.lock_next, entity=self.name, token=token.bytes, until=self._lock_end())
        if row is not None:
            consumer.deliver(self.encode(row), token)
        return row is not None

    def _remove_for(self, consumer: Consumer) -> bool:
        self.forget_wake()
        row = self.store.one(queries.take_next, entity=self.name)
        if row is not None:
            consumer.deliver(self.encode(row), None)
            self._run(queries.remove_payload, id=row.id)
        return row is not None

    def _lock_end(self) -> int:
        return now_ms() + self.config.lock_duration

    def encode(self, row: Kept) -> bytes:
        return write_message(
            Outgoing(
                sequence_number=row.sequence_number,
                state=row.state,
                enqueued_at=row.enqueued_at,
                locked_until=row.locked_until,
                delivery_count=row.delivery_count,
                priority=row.priority,
                time_to_live=row.time_to_live,
                payload=self.store.payload(row.id),
            )
        )

    def _held(self, token: uuid.UUID) -> Kept:
        row = self.store.read_one(queries.held, entity=self.name, token=token.bytes, now=now_ms())
        if row is None:
            raise lock_lost()
        return row

    def complete(self, token: uuid.UUID) -> None:
        """Raises Refused when the lock is gone; so do all that take a token."""
        self._remove(self._held(token))

    def abandon(self, token: uuid.UUID) -> None:
        row = self._held(token)
        self._give_back(row, row.state, row.delivery_count + 1)

    def release(self, token: uuid.UUID) -> None:
        """Give a message back that was never looked at: it does not count as a delivery."""
        row = self._held(token)
        self._give_back(row, row.state, row.delivery_count)

    def defer(self, token: uuid.UUID) -> None:
        row = self._held(token)
        self._give_back(row, DEFERRED, row.delivery_count + 1)

    def dead_letter(self, token: uuid.UUID, reason: str | None, description: str | None) -> None:
        row = self._held(token)
        if self.dead_letters is None:
            # There is nowhere further to go, and a message must not vanish.
            self._give_back(row, row.state, row.delivery_count + 1)
        else:
            self._move_to_dead_letters(row, reason, description)

    def renew(self, token: uuid.UUID) -> int:
        """When the lock now ends."""
        row, until = self._held(token), self._lock_end()
        self._run(queries.renew, id=row.id, until=until)
        return until

    def _give_back(self, row: Kept, state: int, delivery_count: int) -> None:
        if state == ACTIVE and delivery_count >= self.config.max_delivery_count:
            reason = f"Message could not be consumed after {delivery_count} delivery attempts."
            self._move_to_dead_letters(row, "MaxDeliveryCountExceeded", reason)
        elif state == ACTIVE and row.expires_at is not None and row.expires_at <= now_ms():
            self._expire(row)
        else:
            self._run(queries.unlock, id=row.id, state=state, delivery_count=delivery_count)

    def _move_to_dead_letters(self, row: Kept, reason: str | None, description: str | None) -> None:
        assert self.dead_letters is not None
        named = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        added = {name: text for name, text in named.items() if text}
        if added:
            body = with_application_properties(self.store.payload(row.id).body, added)
            self._run(queries.replace_body, id=row.id, body=body)
        self._run(queries.move_to_dead_letter, id=row.id, entity=self.dead_letters.name)

    def _expire(self, row: Kept) -> None:
        if self.config.dead_letter_on_expiration:
            self._move_to_dead_letters(row, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._remove(row)

    def _remove(self, row: Kept) -> None:
        self._run(queries.remove_message, id=row.id)
        self._run(queries.remove_payload, id=row.id)

    def next_wake(self) -> int | None:
        """When a message here next changes by itself."""
        if not self._wake_is_known:
            self._wake_at = self.store.read_number(queries.next_wake, entity=self.name)
            self._wake_is_known = True
        return self._wake_at

    def forget_wake(self) -> None:
        """A message has changed, or the turn was undone."""
        self._wake_is_known = False

    def _run(self, query: str, **values: object) -> None:
        self.forget_wake()
        self.store.run(query, **values)

    def wake_due(self) -> None:
        """End the locks, start the schedules and expire the messages whose time has come."""
        now = now_ms()
        if self._wake_is_known and (self._wake_at is None or self._wake_at > now):
            return
        due = self.store.read_many(queries.due, entity=self.name, now=now, count=AT_ONCE)
        for row in due:
            self._wake(row, now)

    def _wake(self, row: Kept, now: int) -> None:
        if row.lock_token is not None:
            self._give_back(row, row.state, row.delivery_count + 1)
        elif row.state == SCHEDULED:
            self._run(queries.activate, id=row.id, sequence_number=self._next_sequence_number(), now=now)
        else:
            self._expire(row)

    def peek(self, first: int, count: int) -> list[bytes]:
        """Messages in order from a sequence number on, whatever their state, locking none."""
        messages: list[bytes] = []
        size = 0
        for row in self.store.read_many(queries.browse, entity=self.name, first=first, count=count):
            message = self.encode(_without_lock(row))
            size += len(message)
            if messages and size > PEEK_BYTES:
                break
            messages.append(message)
        return messages

    def cancel_scheduled(self, sequence_numbers: Sequence[int]) -> None:
        """All of them, or none. Raises Refused when one is not scheduled any more."""
        for row in [self._numbered(number, SCHEDULED) for number in sequence_numbers]:
            self._remove(row)

    def lock_deferred(self, sequence_numbers: Sequence[int]) -> list[tuple[uuid.UUID, bytes]]:
        """All of them, or none. Raises Refused when one is not deferred, is locked, or has expired."""
        rows = self._deferred(sequence_numbers)
        return [self._lock_one(row) for row in rows]

    def take_deferred(self, sequence_numbers: Sequence[int]) -> list[bytes]:
        """As lock_deferred, but the messages leave the queue."""
        rows = self._deferred(sequence_numbers)
        messages = [self.encode(row) for row in rows]
        for row in rows:
            self._remove(row)
        return messages

    def _deferred(self, sequence_numbers: Iterable[int]) -> list[Kept]:
        rows = [self._numbered(number, DEFERRED) for number in sequence_numbers]
        # A deferred message does not expire by itself, only when somebody asks for it: so does the service's.
        expired = [row for row in rows if row.expires_at is not None and row.expires_at <= now_ms()]
        for row in expired:
            self._expire(row)
        if expired:
            raise message_not_found(f"The deferred message {expired[0].sequence_number} has expired.")
        return rows

    def _lock_one(self, row: Kept) -> tuple[uuid.UUID, bytes]:
        token = uuid.uuid4()
        self.forget_wake()
        locked = self.store.one(queries.lock_one, id=row.id, token=token.bytes, until=self._lock_end())
        if locked is None:
            raise message_not_found(f"The deferred message {row.sequence_number} was asked for twice.")
        return token, self.encode(locked)

    def _numbered(self, sequence_number: int, state: int) -> Kept:
        row = self.store.read_one(queries.by_sequence_number, entity=self.name, sequence_number=sequence_number)
        if row is None or row.state != state or row.lock_token is not None:
            raise message_not_found(f"The message {sequence_number} could not be found.")
        return row


def _without_lock(row: Kept) -> Kept:
    """What a peek shows of a message: not who holds it."""
    return row._replace(locked_until=None)


def _columns(message: Incoming) -> dict[str, object]:
    payload = message.payload
    return {
        "annotation_count": payload.annotation_count,
        "annotations": payload.annotations,
        "body": payload.body,
    }
