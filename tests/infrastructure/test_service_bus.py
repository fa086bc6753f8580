"""The bus through the real SDK."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest
from azure.servicebus import ServiceBusClient, ServiceBusReceiveMode, parse_connection_string

from core.errors import Rejected, Unavailable
from core.models.messages import Outgoing
from infrastructure.service_bus import ServiceBus
from tests.infrastructure.conftest import UNUSED, settings_from
from tests.infrastructure.test_blob import NOWHERE
from tests.local.servicebus.stand_in import wait_until


@pytest.fixture
def bus(service_bus: str) -> Iterator[ServiceBus]:
    opened = ServiceBus(settings_from(UNUSED | NOWHERE | {"ServiceBusConnection": service_bus}))
    yield opened
    opened.close()


def received(service_bus: str, queue: str, most: int) -> list[str]:
    with ServiceBusClient.from_connection_string(service_bus) as client, client.get_queue_receiver(queue) as receiver:
        messages = receiver.receive_messages(max_message_count=most, max_wait_time=3)
        for message in messages:
            receiver.complete_message(message)
        return [str(message.message_id) for message in messages]


def test_messages_go_to_their_queues_under_their_ids(bus: ServiceBus, service_bus: str) -> None:
    job, task = str(uuid4()), str(uuid4())
    bus.send_jobs([Outgoing(message_id=job, body={"x": 1})])
    bus.send_tasks([Outgoing(message_id=task, body={"x": 2})])
    assert received(service_bus, "geospatial-jobs", 1) == [job]
    assert received(service_bus, "vector-tasks", 1) == [task]


def test_more_messages_than_one_batch_holds_all_arrive(bus: ServiceBus, service_bus: str) -> None:
    ids = [str(uuid4()) for _ in range(3)]
    bus.send_tasks([Outgoing(message_id=name, body={"filler": "x" * 150_000}) for name in ids])
    got: list[str] = []
    while len(got) < 3 and (more := received(service_bus, "vector-tasks", 3)):
        got += more
    assert sorted(got) == sorted(ids)


def test_a_message_for_later_is_not_there_yet(bus: ServiceBus, service_bus: str) -> None:
    name = str(uuid4())
    bus.send_tasks([Outgoing(message_id=name, body={}, not_before=datetime.now(UTC) + timedelta(seconds=2))])
    client = ServiceBusClient.from_connection_string(service_bus)
    with client, client.get_queue_receiver("vector-tasks") as receiver:
        assert receiver.receive_messages(max_message_count=1, max_wait_time=0.3) == []
    assert received(service_bus, "vector-tasks", 1) == [name]


def connections_to(service_bus: str) -> int:
    port = urlsplit(parse_connection_string(service_bus).endpoint).port
    found = psutil.Process().net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and bool(one.raddr) and one.raddr.port == port for one in found)


def test_warming_up_opens_both_senders_before_anything_is_sent(bus: ServiceBus, service_bus: str) -> None:
    before = connections_to(service_bus)
    bus.warm_up()
    wait_until(lambda: connections_to(service_bus) == before + 2, "two connections to the bus")
    sent = str(uuid4())
    bus.send_jobs([Outgoing(message_id=sent, body={})])
    bus.send_tasks([Outgoing(message_id=sent, body={})])
    assert connections_to(service_bus) == before + 2
    assert received(service_bus, "geospatial-jobs", 1) == received(service_bus, "vector-tasks", 1) == [sent]


def test_a_check_of_healthy_queues_is_silent(bus: ServiceBus) -> None:
    bus.check()


def test_a_queue_that_is_not_there_is_named(service_bus: str) -> None:
    wrong = {"ServiceBusConnection": service_bus, "VECTOR_TASKS_QUEUE": "no-such-queue"}
    bus = ServiceBus(settings_from(UNUSED | NOWHERE | wrong))
    with pytest.raises(Rejected, match="'no-such-queue' does not exist"):
        bus.send_tasks([Outgoing(message_id="x", body={})])
    bus.close()


def test_a_bus_that_does_not_answer_is_an_outage() -> None:
    dead = "Endpoint=sb://localhost:1;SharedAccessKeyName=k;SharedAccessKey=k;UseDevelopmentEmulator=true"
    bus = ServiceBus(settings_from(UNUSED | NOWHERE | {"ServiceBusConnection": dead}))
    bus.warm_up()
    with pytest.raises(Unavailable):
        bus.send_jobs([Outgoing(message_id="x", body={})])
    bus.close()


def test_a_dead_letter_tells_its_reason_and_is_gone_once_settled(bus: ServiceBus, service_bus: str) -> None:
    name = str(uuid4())
    bus.send_tasks([Outgoing(message_id=name, body={"task_id": "t"})])
    client = ServiceBusClient.from_connection_string(service_bus)
    with client, client.get_queue_receiver("vector-tasks") as receiver:
        message = receiver.receive_messages(max_message_count=1, max_wait_time=3)[0]
        receiver.dead_letter_message(message, reason="because", error_description="of this")
    told = []
    for batch in bus.dead_letters(10):
        for letter in batch:
            told.append((letter.queue, letter.message_id, letter.reason, letter.body))
            letter.settle()
    assert told == [("vector-tasks", name, "because: of this", '{"task_id": "t"}')]
    assert list(bus.dead_letters(10)) == []


def test_the_depth_of_the_queues_is_seen_without_taking_anything(bus: ServiceBus, service_bus: str) -> None:
    name = str(uuid4())
    bus.send_tasks([Outgoing(message_id=name, body={})])
    assert bus.depth() == {"geospatial-jobs": 0, "vector-tasks": 1}
    assert bus.depth()["vector-tasks"] == 1
    assert received(service_bus, "vector-tasks", 1) == [name]
    assert bus.depth()["vector-tasks"] == 0


def test_a_thousand_messages_fit_their_batches(bus: ServiceBus, service_bus: str) -> None:
    for filler in (0, 33, 66):
        ids = [f"{uuid4()}-{'x' * 60}" for _ in range(1000)]
        bus.send_tasks([Outgoing(message_id=name, body={"task_id": name, "filler": "y" * filler}) for name in ids])
    client = ServiceBusClient.from_connection_string(service_bus)
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    taken = 0
    with client, client.get_queue_receiver("vector-tasks", receive_mode=mode) as receiver:
        while taken < 3000 and (messages := receiver.receive_messages(max_message_count=500, max_wait_time=2)):
            taken += len(messages)
    assert taken == 3000
