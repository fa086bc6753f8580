"""Between a client and Postgres: hands on every byte, and counts the answers and the waits for them."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
BLOCK_BYTES = 1 << 18
# Of the messages of a server those for which a client waits before it goes on: ready for the next query, ready to be
# copied into.
AWAITED = (b"Z", b"G")
HEADER = struct.Struct("!ci")
# The server's whole answer to a client that asks whether it may encrypt.
REFUSED = b"N"


@dataclass
class Reading:
    """Finds the messages in what a server sends, however it is cut."""

    rest: bytes = b""
    skip: int = 0

    def awaited(self, block: bytes) -> int:
        """How many of the messages that begin in this block a client waits for."""
        data, at, found = self.rest + block, self.skip, 0
        while at + HEADER.size <= len(data):
            kind, length = HEADER.unpack_from(data, at)
            found += kind in AWAITED
            at += 1 + length
        self.rest, self.skip = (data[at:], 0) if at <= len(data) else (b"", at - len(data))
        return found


@dataclass
class RoundTrips:
    """count: since the proxy began, over all connections. Becoming ready after the log-in is one. answered: bytes."""

    port: int
    count: int = 0
    answered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, more: int, answered: int) -> None:
        with self.lock:
            self.count += more
            self.answered += answered


@contextmanager
def counted(port: int) -> Iterator[RoundTrips]:
    """A port of this machine that leads to that one, whose server speaks without encryption."""
    with socket.create_server((HOST, 0)) as listening:
        trips = RoundTrips(listening.getsockname()[1])
        threading.Thread(target=accept, args=(listening, port, trips), daemon=True).start()
        yield trips
        # Closing alone would not wake the thread that waits in accept.
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def accept(listening: socket.socket, port: int, trips: RoundTrips) -> None:
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            server = socket.create_connection((HOST, port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=hand_on, args=(client, server), daemon=True).start()
            threading.Thread(target=answer, args=(server, client, trips), daemon=True).start()


def hand_on(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while block := client.recv(BLOCK_BYTES):
            server.sendall(block)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def answer(server: socket.socket, client: socket.socket, trips: RoundTrips) -> None:
    reading = Reading()
    with client, server, suppress(OSError):
        while block := server.recv(BLOCK_BYTES):
            # Counted before it is handed on: who looks after a statement sees it counted.
            if block != REFUSED:
                trips.add(reading.awaited(block), len(block))
            client.sendall(block)
