"""What survives the server's end, gentle or not."""

import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessage

from tests.local.servicebus.stand_in import LOCK_SECONDS, QueueUnderTest, StandIn

OpenQueue = Callable[[str], QueueUnderTest]


def test_messages_locks_and_history_survive_a_crash(own_stand_in: StandIn, closing: ThreadPoolExecutor) -> None:
    queue, brief = own_stand_in.open_queue("once-only-0"), own_stand_in.open_queue("short-lock-0")
    queue.send("held", message_id="held")
    queue.send("waiting", message_id="waiting")
    queue.sender.schedule_messages(
        ServiceBusMessage("scheduled", message_id="scheduled"), datetime.now(UTC) + timedelta(seconds=2)
    )
    held = queue.receive()
    brief.send("held briefly")
    brief.receive()

    own_stand_in.crash()
    own_stand_in.start()

    for known in ("held", "waiting", "scheduled"):
        queue.send("a duplicate", message_id=known)
    assert queue.bodies() == ["held", "waiting", "scheduled"]
    waiting = queue.receive()
    assert str(waiting) == "waiting"
    queue.receiver.complete_message(waiting)
    # The lock outlived the process that gave it, and so did its end.
    queue.receiver.complete_message(held)
    again = brief.receive()
    assert (str(again), again.delivery_count) == ("held briefly", 1)
    scheduled = queue.receive()
    assert str(scheduled) == "scheduled"
    # Three were sent, and the scheduled one got a second number when it was due.
    assert scheduled.sequence_number == 4
    queue.receiver.complete_message(scheduled)
    assert queue.bodies() == []
    closing.submit(queue.client.close)
    closing.submit(brief.client.close)


def test_a_dropped_connection_keeps_its_locks_until_they_end(open_queue: OpenQueue) -> None:
    queue, gone = open_queue("short-lock"), open_queue("short-lock")
    gone.receiver = gone.client.get_queue_receiver(queue.name)
    queue.send("held")
    held = gone.receive()
    drop_connection(gone)
    again = queue.receive(seconds=LOCK_SECONDS + 2)
    assert held.locked_until_utc is not None
    assert datetime.now(UTC) >= held.locked_until_utc
    assert again.delivery_count == 1
    queue.receiver.complete_message(again)


def drop_connection(queue: QueueUnderTest) -> None:
    """End the receiver's TCP connection with no farewell."""
    connection = queue.receiver._handler._connection
    assert connection is not None
    connection._transport.sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_even_while_clients_are_connected(own_stand_in: StandIn, number: signal.Signals) -> None:
    with socket.create_connection(("127.0.0.1", own_stand_in.port)) as client:
        client.sendall(b"AMQP\x00\x01\x00\x00")
        assert client.recv(8) == b"AMQP\x00\x01\x00\x00"
        assert own_stand_in.stop(number) == 0
        assert b"The server is stopping." in client.recv(1000)


def test_a_second_server_on_the_same_database_is_refused(stand_in: StandIn, tmp_path: Path) -> None:
    second = StandIn(tmp_path)
    second.database = stand_in.database
    try:
        with pytest.raises(AssertionError, match="database is locked"):
            second.start()
    finally:
        second.end()
