"""Schedules, expiry, and the window of duplicate detection."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageState
from azure.servicebus.exceptions import MessageNotFoundError

from tests.local.servicebus.stand_in import ID_WINDOW_SECONDS, QueueUnderTest

OpenQueue = Callable[[str], QueueUnderTest]


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def schedule(queue: QueueUnderTest, body: str, seconds: float, message_id: str | None = None) -> int:
    message = ServiceBusMessage(body, message_id=message_id)
    return queue.sender.schedule_messages(message, in_seconds(seconds))[0]


def test_a_scheduled_message_comes_when_it_is_due(queue: QueueUnderTest) -> None:
    due = in_seconds(0.8)
    queue.sender.schedule_messages(ServiceBusMessage("now"), due)
    waiting = queue.receiver.peek_messages(1, sequence_number=1)[0]
    assert waiting.state == ServiceBusMessageState.SCHEDULED
    message = queue.receive()
    assert datetime.now(UTC) >= due
    assert message.enqueued_time_utc is not None
    assert message.enqueued_time_utc >= due - timedelta(milliseconds=1)
    queue.receiver.complete_message(message)


def test_a_message_sent_with_a_schedule_waits_too(queue: QueueUnderTest) -> None:
    due = in_seconds(0.6)
    queue.send("now", scheduled_enqueue_time_utc=due)
    message = queue.receive()
    assert datetime.now(UTC) >= due
    queue.receiver.complete_message(message)


def test_a_scheduled_message_joins_the_end_of_the_queue(queue: QueueUnderTest) -> None:
    reserved = schedule(queue, "scheduled first", 0.5)
    queue.send("sent second")
    time.sleep(0.6)
    first, second = queue.receive_many(2)
    assert [str(first), str(second)] == ["sent second", "scheduled first"]
    assert second.sequence_number is not None
    assert second.sequence_number > reserved
    queue.receiver.complete_message(first)
    queue.receiver.complete_message(second)


def test_a_cancelled_message_never_comes(queue: QueueUnderTest) -> None:
    number = schedule(queue, "cancelled", 0.4)
    queue.sender.cancel_scheduled_messages(number)
    assert queue.bodies() == []
    time.sleep(0.4)
    assert queue.is_empty()


def test_cancelling_what_is_not_scheduled_is_refused(queue: QueueUnderTest) -> None:
    with pytest.raises(MessageNotFoundError):
        queue.sender.cancel_scheduled_messages(987_654)


def test_an_expired_message_is_dead_lettered_with_a_reason(open_queue: OpenQueue) -> None:
    queue = open_queue("dead-lettering")
    queue.send("stale", time_to_live=timedelta(seconds=0.3))
    assert queue.dead_letter().dead_letter_reason == "TTLExpiredException"
    assert queue.bodies() == []


def test_the_queue_caps_how_long_a_message_lives(open_queue: OpenQueue) -> None:
    queue = open_queue("short-lived")
    queue.send("stale", time_to_live=timedelta(hours=1))
    assert queue.dead_letter().dead_letter_reason == "TTLExpiredException"


def test_without_dead_lettering_an_expired_message_vanishes(open_queue: OpenQueue) -> None:
    queue = open_queue("plain")
    queue.send("stale", time_to_live=timedelta(seconds=0.2))
    time.sleep(0.3)
    assert queue.bodies() == []
    assert queue.dead_letters.peek_messages(1) == []


def test_a_locked_message_does_not_expire_under_its_holder(open_queue: OpenQueue) -> None:
    queue = open_queue("dead-lettering")
    queue.send("kept", "dropped", time_to_live=timedelta(seconds=1))
    kept, dropped = queue.receive_many(2)
    time.sleep(1)
    queue.receiver.complete_message(kept)
    queue.receiver.abandon_message(dropped)
    assert str(queue.dead_letter()) == "dropped"
    assert queue.bodies() == []


def test_the_same_message_id_is_kept_once(open_queue: OpenQueue) -> None:
    queue = open_queue("once-only")
    queue.send("first", "second", message_id="same")
    queue.sender.send_messages([ServiceBusMessage("batched", message_id=name) for name in ("same", "other", "other")])
    assert queue.bodies() == ["first", "batched"]


def test_a_completed_message_is_still_remembered(open_queue: OpenQueue) -> None:
    queue = open_queue("once-only")
    queue.send("first", message_id="same")
    queue.receiver.complete_message(queue.receive())
    queue.send("again", message_id="same")
    assert queue.is_empty()


def test_a_scheduled_message_counts_from_the_moment_it_is_scheduled(open_queue: OpenQueue) -> None:
    queue = open_queue("once-only")
    schedule(queue, "scheduled", 60, message_id="same")
    schedule(queue, "scheduled twice", 60, message_id="same")
    queue.send("sent", message_id="same")
    assert queue.bodies() == ["scheduled"]


def test_an_id_may_be_used_again_after_the_window(open_queue: OpenQueue) -> None:
    queue = open_queue("forgetful")
    queue.send("first", message_id="same")
    queue.send("too early", message_id="same")
    time.sleep(ID_WINDOW_SECONDS)
    queue.send("late enough", message_id="same")
    assert queue.bodies() == ["first", "late enough"]
