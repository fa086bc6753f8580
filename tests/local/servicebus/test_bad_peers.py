"""A client that speaks nonsense hurts nobody but itself."""

import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from local.servicebus import encoding
from local.servicebus.performatives import ATTACH, BEGIN, DISPOSITION, FLOW, OPEN, TRANSFER
from tests.local.servicebus.stand_in import QueueUnderTest, StandIn

OpenQueue = Callable[[str], QueueUnderTest]

AMQP = b"AMQP\x00\x01\x00\x00"
OPENED = encoding.frame(0, encoding.performative(OPEN, [encoding.string("raw")]))
BEGUN = encoding.frame(
    1, encoding.performative(BEGIN, [encoding.NULL, encoding.uint(0), encoding.uint(100), encoding.uint(100)])
)
GREETING = AMQP + OPENED + BEGUN


def terminus(descriptor: int, address: str) -> bytes:
    return encoding.described(descriptor, encoding.list_of([encoding.string(address)]))


def attach(address: str, *, receives: bool, handle: int = 0) -> bytes:
    fields = [
        encoding.string(f"raw-{handle}"),
        encoding.uint(handle),
        encoding.boolean(receives),
        encoding.NULL,
        encoding.NULL,
        terminus(0x28, address),
        terminus(0x29, address),
    ]
    return encoding.frame(1, encoding.performative(ATTACH, fields))


def transfer(payload: bytes) -> bytes:
    fields = [encoding.uint(0), encoding.uint(0), encoding.binary(b"tag"), encoding.uint(0), encoding.boolean(False)]
    return encoding.frame(1, encoding.performative(TRANSFER, fields) + payload)


@contextmanager
def raw_connection(stand_in: StandIn) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", stand_in.port), timeout=5) as connection:
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


MALFORMED = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "random bytes after the header": AMQP + b"\xff" * 64,
    "a frame that claims two gigabytes": AMQP + struct.pack(">IBBH", 2**31, 2, 0, 0),
    "a frame smaller than its header": AMQP + struct.pack(">IBBH", 3, 2, 0, 0),
    "a data offset inside the header": AMQP + struct.pack(">IBBH", 12, 1, 0, 0) + b"1234",
    "an open that is no list": AMQP + encoding.frame(0, encoding.described(OPEN, encoding.string("x"))),
    "a begin without its windows": AMQP + OPENED + encoding.frame(1, encoding.performative(BEGIN, [])),
    "a list that claims four billion items": AMQP
    + encoding.frame(0, b"\x00\x53\x10\xd0" + struct.pack(">II", 8, 2**32 - 1) + b"\x40" * 4),
    "values nested a thousand deep": AMQP + encoding.frame(0, b"\x00" * 1000),
    "a transfer on no link": GREETING + transfer(b"x"),
    "a flow with text for a window": GREETING
    + encoding.frame(1, encoding.performative(FLOW, [encoding.NULL, encoding.string("wide")])),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bytes_end_only_the_connection_they_came_on(
    stand_in: StandIn, queue: QueueUnderTest, name: str
) -> None:
    queue.send("unharmed")
    message = queue.receive()
    with raw_connection(stand_in) as peer:
        peer.sendall(MALFORMED[name])
        told = read_to_end(peer)
    assert told == AMQP if name == "another protocol" else b"amqp:decode-error" in told
    queue.receiver.complete_message(message)


def test_random_bytes_never_stop_the_server(stand_in: StandIn, queue: QueueUnderTest) -> None:
    for size in range(1, 200, 7):
        with raw_connection(stand_in) as peer:
            peer.sendall(GREETING + encoding.frame(1, os.urandom(size)) + os.urandom(size))
    queue.send("unharmed")
    queue.receiver.complete_message(queue.receive())


def test_a_peer_that_vanishes_within_a_frame_is_forgotten(stand_in: StandIn, queue: QueueUnderTest) -> None:
    with raw_connection(stand_in) as peer:
        peer.sendall(GREETING + attach(queue.name, receives=False) + transfer(b"x" * 500)[:100])
    queue.send("unharmed")
    queue.receiver.complete_message(queue.receive())


def test_a_message_that_is_not_amqp_is_rejected_and_not_kept(stand_in: StandIn, queue: QueueUnderTest) -> None:
    with raw_connection(stand_in) as peer:
        peer.sendall(GREETING + attach(queue.name, receives=False) + transfer(b"not a section"))
        peer.shutdown(socket.SHUT_WR)
        assert b"amqp:decode-error" in read_to_end(peer)
    assert queue.bodies() == []


def test_a_message_that_could_not_be_dead_lettered_is_not_taken(stand_in: StandIn, queue: QueueUnderTest) -> None:
    """Application properties that are no map would fail later, when a reason has to be added to them."""
    odd = encoding.described(0x74, encoding.string("no map"))
    with raw_connection(stand_in) as peer:
        peer.sendall(GREETING + attach(queue.name, receives=False) + transfer(odd))
        peer.shutdown(socket.SHUT_WR)
        assert b"amqp:decode-error" in read_to_end(peer)
    assert queue.bodies() == []


def test_settling_four_billion_deliveries_at_once_costs_nothing(stand_in: StandIn, queue: QueueUnderTest) -> None:
    everything = [encoding.boolean(True), encoding.uint(0), encoding.uint(2**32 - 1), encoding.boolean(True)]
    echo = [encoding.uint(0), encoding.uint(9), encoding.uint(0), encoding.uint(9), *[encoding.NULL] * 5]
    with raw_connection(stand_in) as peer:
        peer.sendall(GREETING + attach(queue.name, receives=True))
        peer.sendall(encoding.frame(1, encoding.performative(DISPOSITION, everything)))
        peer.sendall(encoding.frame(1, encoding.performative(FLOW, [*echo, encoding.boolean(True)])))
        assert b"\x00\x53\x13" in read_quietly(peer), "the connection should live, and its flow be answered"
    queue.send("unharmed")
    queue.receiver.complete_message(queue.receive())


def test_a_frame_that_arrives_byte_by_byte_is_understood(stand_in: StandIn, queue: QueueUnderTest) -> None:
    data = encoding.described(0x75, encoding.binary(b"slowly"))
    with raw_connection(stand_in) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GREETING + attach(queue.name, receives=False) + transfer(data):
            peer.sendall(bytes([byte]))
        message = queue.receive()
    assert b"".join(message.body) == b"slowly"
    queue.receiver.complete_message(message)


def test_a_client_with_a_narrow_window_is_not_overrun(stand_in: StandIn, open_queue: OpenQueue) -> None:
    """Two frames of window and a frame size of 512: the third frame of a message waits for the next flow."""
    queue = open_queue("plain")
    queue.send("x" * 2000)
    narrow_open = encoding.performative(OPEN, [encoding.string("raw"), encoding.NULL, encoding.uint(512)])
    narrow_begin = encoding.performative(BEGIN, [encoding.NULL, encoding.uint(0), encoding.uint(2), encoding.uint(100)])
    credit = [encoding.uint(0), encoding.uint(2), encoding.uint(0), encoding.uint(100)]
    credit += [encoding.uint(0), encoding.uint(0), encoding.uint(1)]
    wider = [encoding.uint(2), encoding.uint(100), encoding.uint(0), encoding.uint(100)]
    with raw_connection(stand_in) as peer:
        peer.sendall(AMQP + encoding.frame(0, narrow_open) + encoding.frame(1, narrow_begin))
        peer.sendall(attach(queue.name, receives=True) + encoding.frame(1, encoding.performative(FLOW, credit)))
        before = read_quietly(peer)
        peer.sendall(encoding.frame(1, encoding.performative(FLOW, wider)))
        after = read_quietly(peer)
    assert before.count(b"\x00\x53\x14") == 2
    assert before.count(b"x") + after.count(b"x") >= 2000
    assert b"x" * 100 in after


def read_quietly(connection: socket.socket) -> bytes:
    """What comes until nothing has come for a moment."""
    connection.settimeout(0.3)
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except TimeoutError:
        pass
    return received
