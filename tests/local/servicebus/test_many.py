"""Batches, prefetch, large messages, competing receivers, and the asynchronous SDK."""

import asyncio
import os
import threading
from collections.abc import Callable

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient as AsyncClient
from azure.servicebus.exceptions import MessageSizeExceededError, MessagingEntityNotFoundError

from tests.local.servicebus.stand_in import QueueUnderTest, StandIn, texts, wait_until

OpenQueue = Callable[[str], QueueUnderTest]


def test_a_batch_arrives_whole_and_in_order(queue: QueueUnderTest) -> None:
    batch = queue.sender.create_message_batch()
    for number in range(300):
        batch.add_message(ServiceBusMessage(str(number)))
    queue.sender.send_messages(batch)
    messages = queue.receive_many(300)
    assert texts(messages) == [str(number) for number in range(300)]
    for message in messages:
        queue.receiver.complete_message(message)


@pytest.mark.parametrize("size", [0, 255, 256, 65_400, 65_536, 131_072, 260_000])
def test_a_message_of_any_size_survives_the_frames_it_is_cut_into(queue: QueueUnderTest, size: int) -> None:
    body = os.urandom(size)
    queue.sender.send_messages(ServiceBusMessage(body))
    message = queue.receive()
    assert b"".join(message.body) == body
    queue.receiver.complete_message(message)


def test_a_message_over_the_limit_is_refused(queue: QueueUnderTest) -> None:
    with pytest.raises(MessageSizeExceededError):
        queue.sender.send_messages(ServiceBusMessage(os.urandom(270_000)))


def test_peeking_pages_through_the_queue_without_locking(queue: QueueUnderTest) -> None:
    queue.send("a", "b", "c")
    first = queue.receiver.peek_messages(2, sequence_number=1)
    rest = queue.receiver.peek_messages(2)
    assert texts(first) + texts(rest) == ["a", "b", "c"]
    for message in queue.receive_many(3):
        assert message.delivery_count == 0
        queue.receiver.complete_message(message)


def test_a_prefetching_receiver_gets_everything_once(open_queue: OpenQueue) -> None:
    queue = open_queue("plain")
    queue.sender.send_messages([ServiceBusMessage(str(number)) for number in range(200)])
    receiver = queue.client.get_queue_receiver(queue.name, prefetch_count=50, max_wait_time=2)
    seen = []
    for message in receiver:
        seen.append(str(message))
        receiver.complete_message(message)
        if len(seen) == 200:
            break
    assert seen == [str(number) for number in range(200)]


def test_competing_receivers_share_the_work_and_never_a_message(open_queue: OpenQueue) -> None:
    queue = open_queue("plain")
    seen: dict[int, list[str]] = {number: [] for number in range(4)}
    done = threading.Event()

    def work(number: int) -> None:
        with queue.client.get_queue_receiver(queue.name) as receiver:
            while not done.is_set():
                for message in receiver.receive_messages(5, max_wait_time=0.5):
                    receiver.complete_message(message)
                    seen[number].append(str(message))

    workers = [threading.Thread(target=work, args=(number,)) for number in seen]
    for worker in workers:
        worker.start()
    for start in range(0, 200, 10):
        queue.sender.send_messages([ServiceBusMessage(str(number)) for number in range(start, start + 10)])
    wait_until(lambda: sum(map(len, seen.values())) >= 200, "the receivers to finish")
    done.set()
    for worker in workers:
        worker.join()
    everything = [body for bodies in seen.values() for body in bodies]
    assert sorted(everything, key=int) == [str(number) for number in range(200)]


def test_the_asynchronous_sdk_speaks_to_it_too(stand_in: StandIn, open_queue: OpenQueue) -> None:
    queue = open_queue("plain")

    async def trip() -> list[str]:
        async with (
            AsyncClient.from_connection_string(stand_in.connection_string) as client,
            client.get_queue_sender(queue.name) as sender,
            client.get_queue_receiver(queue.name) as receiver,
        ):
            await sender.send_messages([ServiceBusMessage("x" * 100_000), ServiceBusMessage("second")])
            first = (await receiver.receive_messages(1, max_wait_time=5))[0]
            await receiver.renew_message_lock(first)
            await receiver.complete_message(first)
            second = (await receiver.receive_messages(1, max_wait_time=5))[0]
            await receiver.dead_letter_message(second, reason="asked", error_description="to")
            return [str(first), str(second)]

    assert asyncio.run(trip()) == ["x" * 100_000, "second"]
    assert queue.dead_letter().dead_letter_reason == "asked"
    assert queue.bodies() == []


def test_an_unknown_queue_is_not_found(queue: QueueUnderTest) -> None:
    with pytest.raises(MessagingEntityNotFoundError), queue.client.get_queue_sender("nowhere") as sender:
        sender.send_messages(ServiceBusMessage("lost"))
