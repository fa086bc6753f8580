"""One client's connection: handshake, framing, heartbeats (OASIS AMQP 1.0, part 2)."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from . import encoding
from .decoding import DecodeError
from .namespace import Namespace
from .performatives import (
    ATTACH,
    BEGIN,
    CLOSE,
    DETACH,
    DISPOSITION,
    END,
    FLOW,
    OPEN,
    SASL_INIT,
    SASL_MECHANISMS,
    SASL_OUTCOME,
    TRANSFER,
    Attach,
    Begin,
    Detach,
    Disposition,
    Fields,
    Flow,
    Open,
    Transfer,
    read_performative,
)
from .session import WINDOW, Session

log = logging.getLogger(__name__)

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_FRAMES, SASL_FRAMES = 0, 1

MAX_FRAME = 65536
"""The service's own frame size: a larger message comes in several frames."""


class Turns(Protocol):
    """What a connection needs of the server: each read is a turn, committed before anything is answered."""

    namespace: Namespace

    def joined(self, connection: "Connection") -> None: ...
    def left(self, connection: "Connection") -> None: ...
    def has_output(self, connection: "Connection") -> None: ...
    def turn(self, connection: "Connection", work: Callable[[], None]) -> None: ...


class Connection(asyncio.Protocol):
    def __init__(self, server: Turns) -> None:
        self.server = server
        self.namespace = server.namespace
        self.peer = "nobody yet"
        self.peer_max_frame = 512
        self.transport: asyncio.Transport | None = None
        self.sessions: dict[int, Session] = {}
        self.heartbeat: asyncio.TimerHandle | None = None
        self.received = bytearray()
        self.output: list[bytes] = []
        self.expects_header = True
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = "{}:{}".format(*transport.get_extra_info("peername")[:2])
        self.server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio names it
        self.server.left(self)
        self.stop()
        self.transport = None

    def data_received(self, data: bytes) -> None:
        if not self.closing:
            self.received += data
            self.server.turn(self, self._read)

    def send(self, channel: int, body: bytes) -> None:
        self._write(encoding.frame(channel, body))

    def _write(self, data: bytes) -> None:
        self.output.append(data)
        self.server.has_output(self)

    def flush(self) -> None:
        """Called after the commit, never before: what a client reads has happened."""
        data, self.output = b"".join(self.output), []
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(data)
        if self.closing:
            self.transport.close()

    def refuse(self, condition: str, description: str) -> None:
        """Say why in a close frame, and end the connection with the next flush."""
        self.send(0, encoding.performative(CLOSE, [encoding.error(condition, description)]))
        self.stop()

    def abort(self) -> None:
        """End the connection and everything it was about to be told."""
        self.output = []
        self.stop()
        if self.transport is not None:
            self.transport.abort()

    def stop(self) -> None:
        """Take no more part: no deliveries, no heartbeats."""
        self.closing = True
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()
        if self.heartbeat is not None:
            self.heartbeat.cancel()

    def _read(self) -> None:
        position = 0
        while not self.closing and (size := self._next_size(position)) is not None:
            piece = bytes(self.received[position : position + size])
            position += size
            if self.expects_header:
                self._on_header(piece)
            else:
                self._on_frame(piece)
        del self.received[:position]

    def _next_size(self, position: int) -> int | None:
        """The size of the next header or frame once all of it is here. Raises DecodeError."""
        available = len(self.received) - position
        if available < 8:
            return None
        if self.expects_header:
            return 8
        size = int.from_bytes(self.received[position : position + 4], "big")
        if not 8 <= size <= MAX_FRAME:
            raise DecodeError(f"a frame of {size} bytes")
        return size if available >= size else None

    def _on_header(self, header: bytes) -> None:
        if header == SASL_HEADER:
            mechanisms = encoding.array_of_symbols(["MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL"])
            offer = encoding.performative(SASL_MECHANISMS, [mechanisms])
            self._write(SASL_HEADER + encoding.frame(0, offer, SASL_FRAMES))
            self.expects_header = False
        elif header == AMQP_HEADER:
            self._write(AMQP_HEADER)
            self.expects_header = False
        else:
            # The protocol's answer to any other header: the one that would have been understood, then the end.
            log.warning("not an AMQP client", extra={"peer": self.peer})
            self._write(AMQP_HEADER)
            self.stop()

    def _on_frame(self, frame: bytes) -> None:
        start = 4 * frame[4]
        if start < 8:
            raise DecodeError(f"a frame whose data starts at byte {start}")
        if start >= len(frame):
            return  # a heartbeat
        descriptor, fields, encoded, payload = read_performative(frame[start:])
        if frame[5] == SASL_FRAMES:
            self._on_sasl(descriptor)
        else:
            self._on_performative(int.from_bytes(frame[6:8], "big"), descriptor, fields, encoded, payload)

    def _on_sasl(self, descriptor: int) -> None:
        if descriptor == SASL_INIT:
            outcome = encoding.performative(SASL_OUTCOME, [encoding.ubyte(0)])
            self._write(encoding.frame(0, outcome, SASL_FRAMES))
            self.expects_header = True

    def _on_performative(
        self, channel: int, descriptor: int, fields: Fields, encoded: list[bytes], payload: bytes
    ) -> None:
        if descriptor == OPEN:
            self._on_open(Open.read(fields))
        elif descriptor == BEGIN:
            self._on_begin(channel, Begin.read(fields))
        elif descriptor == CLOSE:
            self.send(0, encoding.performative(CLOSE, []))
            self.stop()
        elif channel in self.sessions:
            self._on_session_frame(self.sessions[channel], descriptor, fields, encoded, payload)

    def _on_session_frame(
        self, session: Session, descriptor: int, fields: Fields, encoded: list[bytes], payload: bytes
    ) -> None:
        if descriptor == TRANSFER:
            session.on_transfer(Transfer.read(fields, payload))
        elif descriptor == DISPOSITION:
            session.on_disposition(Disposition.read(fields))
        elif descriptor == FLOW:
            session.on_flow(Flow.read(fields))
        elif descriptor == ATTACH:
            session.on_attach(Attach.read(fields, encoded))
        elif descriptor == DETACH:
            session.on_detach(Detach.read(fields))
        elif descriptor == END:
            session.close()
            del self.sessions[session.channel]
            self.send(session.channel, encoding.performative(END, []))

    def _on_open(self, opened: Open) -> None:
        self.peer_max_frame = min(opened.max_frame_size, MAX_FRAME)
        fields = [encoding.string("local-servicebus"), encoding.NULL, encoding.uint(MAX_FRAME), encoding.ushort(255)]
        self.send(0, encoding.performative(OPEN, fields))
        if opened.idle_timeout:
            # Half the client's patience, as the protocol asks.
            self._beat(opened.idle_timeout / 2000)

    def _beat(self, seconds: float) -> None:
        def beat() -> None:
            self._write(encoding.EMPTY_FRAME)
            self.flush()
            self._beat(seconds)

        self.heartbeat = asyncio.get_running_loop().call_later(seconds, beat)

    def _on_begin(self, channel: int, begin: Begin) -> None:
        self.sessions[channel] = Session(self, channel, begin)
        numbers = [encoding.uint(0), encoding.uint(WINDOW), encoding.uint(WINDOW), encoding.uint(255)]
        self.send(channel, encoding.performative(BEGIN, [encoding.ushort(channel), *numbers]))

    def finish_drains(self) -> None:
        for session in self.sessions.values():
            session.finish_drains()
