"""Peek-lock, and what a receiver may do with a message it holds."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from azure.servicebus import AutoLockRenewer, ServiceBusReceiveMode
from azure.servicebus.exceptions import MessageLockLostError, MessageNotFoundError

from tests.local.servicebus.stand_in import LOCK_SECONDS, QueueUnderTest, texts

OpenQueue = Callable[[str], QueueUnderTest]


def test_a_message_arrives_as_it_was_sent(queue: QueueUnderTest) -> None:
    queue.send(
        "payload",
        message_id="m-1",
        subject="hello",
        correlation_id="c-1",
        content_type="text/plain",
        application_properties={"number": 7, "text": "x", "flag": True},
    )
    message = queue.receive()
    assert str(message) == "payload"
    assert (message.message_id, message.subject, message.correlation_id) == ("m-1", "hello", "c-1")
    assert message.content_type == "text/plain"
    assert message.application_properties == {b"number": 7, b"text": b"x", b"flag": True}
    assert message.delivery_count == 0
    assert message.enqueued_time_utc is not None
    assert abs((datetime.now(UTC) - message.enqueued_time_utc).total_seconds()) < 5
    queue.receiver.complete_message(message)


def test_a_completed_message_is_gone(queue: QueueUnderTest) -> None:
    queue.send("once")
    queue.receiver.complete_message(queue.receive())
    assert queue.bodies() == []


def test_messages_come_in_the_order_they_were_sent(queue: QueueUnderTest) -> None:
    queue.send("a", "b", "c")
    messages = queue.receive_many(3)
    assert texts(messages) == ["a", "b", "c"]
    numbers = [message.sequence_number or 0 for message in messages]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]
    for message in messages:
        queue.receiver.complete_message(message)


def test_a_locked_message_is_hidden_from_others_but_can_be_peeked(queue: QueueUnderTest) -> None:
    queue.send("mine")
    message = queue.receive()
    assert queue.is_empty()
    assert queue.bodies() == ["mine"]
    queue.receiver.complete_message(message)


def test_an_abandoned_message_comes_back_with_a_higher_delivery_count(queue: QueueUnderTest) -> None:
    queue.send("again")
    first = queue.receive()
    queue.receiver.abandon_message(first)
    second = queue.receive()
    assert (second.message_id, second.delivery_count) == (first.message_id, 1)
    queue.receiver.complete_message(second)


def test_a_dead_lettered_message_keeps_its_reason_and_its_properties(queue: QueueUnderTest) -> None:
    queue.send("broken", application_properties={"job": "j-1"})
    queue.receiver.dead_letter_message(queue.receive(), reason="Unreadable", error_description="not JSON")
    assert queue.bodies() == []
    dead = queue.dead_letter()
    assert (str(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == (
        "broken",
        "Unreadable",
        "not JSON",
    )
    assert dead.application_properties is not None
    assert dead.application_properties[b"job"] == b"j-1"


def test_dead_lettering_a_dead_letter_does_not_lose_it(queue: QueueUnderTest) -> None:
    queue.send("unwanted")
    queue.receiver.dead_letter_message(queue.receive(), reason="first")
    dead = queue.dead_letters.receive_messages(1, max_wait_time=5)[0]
    queue.dead_letters.dead_letter_message(dead, reason="second")
    assert str(queue.dead_letter()) == "unwanted"


def test_a_deferred_message_is_received_only_by_its_number(queue: QueueUnderTest) -> None:
    queue.send("later")
    message = queue.receive()
    queue.receiver.defer_message(message)
    assert queue.is_empty()
    assert message.sequence_number is not None
    deferred = queue.receiver.receive_deferred_messages(message.sequence_number)[0]
    assert str(deferred) == "later"
    with pytest.raises(MessageNotFoundError):
        queue.receiver.receive_deferred_messages(message.sequence_number)
    queue.receiver.complete_message(deferred)


def test_an_abandoned_deferred_message_stays_deferred(queue: QueueUnderTest) -> None:
    queue.send("later")
    message = queue.receive()
    queue.receiver.defer_message(message)
    assert message.sequence_number is not None
    queue.receiver.abandon_message(queue.receiver.receive_deferred_messages(message.sequence_number)[0])
    assert queue.is_empty()
    queue.receiver.complete_message(queue.receiver.receive_deferred_messages(message.sequence_number)[0])


def test_receive_and_delete_leaves_nothing_to_settle(open_queue: OpenQueue) -> None:
    queue = open_queue("plain")
    queue.send("gone", "too")
    receiver = queue.client.get_queue_receiver(queue.name, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
    received = receiver.receive_messages(2, max_wait_time=5)
    assert texts(received) == ["gone", "too"]
    assert queue.bodies() == []


def test_a_lock_that_ends_returns_the_message_and_refuses_the_old_holder(open_queue: OpenQueue) -> None:
    queue = open_queue("short-lock")
    queue.send("slow")
    first = queue.receive()
    second = queue.receive(seconds=LOCK_SECONDS + 2)
    assert (second.message_id, second.delivery_count) == (first.message_id, 1)
    assert second.lock_token != first.lock_token
    with pytest.raises(MessageLockLostError):
        queue.receiver.renew_message_lock(first)
    # Past the SDK's own clock check, so that it is the server that refuses.
    first._expiry = second.locked_until_utc
    with pytest.raises(MessageLockLostError):
        queue.receiver.complete_message(first)
    queue.receiver.complete_message(second)
    assert queue.bodies() == []


def test_a_renewed_lock_outlives_its_first_end(open_queue: OpenQueue) -> None:
    queue = open_queue("short-lock")
    queue.send("long work")
    message = queue.receive()
    before = message.locked_until_utc
    with AutoLockRenewer() as renewer:
        renewer.register(queue.receiver, message, max_lock_renewal_duration=30)
        time.sleep(LOCK_SECONDS * 1.6)
        after = message.locked_until_utc
        queue.receiver.complete_message(message)
    assert before is not None
    assert after is not None
    assert after > before
    assert queue.bodies() == []


def test_a_message_delivered_too_often_is_dead_lettered(open_queue: OpenQueue) -> None:
    queue = open_queue("short-lock")
    queue.send("poison")
    for earlier in range(3):
        message = queue.receive()
        assert message.delivery_count == earlier
        queue.receiver.abandon_message(message)
    assert queue.bodies() == []
    assert queue.dead_letter().dead_letter_reason == "MaxDeliveryCountExceeded"
