"""AMQP sessions: windows, transfers and settlement (OASIS AMQP 1.0, part 2.5)."""

import uuid
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from . import encoding, management
from .decoding import DecodeError, Described
from .errors import Refused, lock_lost
from .links import MAX_MESSAGE, SERIAL, Inbound, Node, Outbound, find_node
from .messages import unpack
from .namespace import Namespace
from .performatives import (
    ACCEPTED,
    ATTACH,
    DETACH,
    DISPOSITION,
    FLOW,
    TRANSFER,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Transfer,
)
from .queues import Queue
from .settlement import rejected, settle

WINDOW = 65536

TRANSFER_OVERHEAD = 64
"""More than the frame header and the largest transfer performative we write (tag of 16 bytes)."""


class Wire(Protocol):
    """What a session needs of its connection."""

    namespace: Namespace
    peer_max_frame: int

    def send(self, channel: int, body: bytes) -> None: ...


class Session:
    """One AMQP session: its links, what it sent and is not settled, and what waits for the client's window."""

    def __init__(self, wire: Wire, channel: int, begin: Begin) -> None:
        self.wire = wire
        self.channel = channel
        self.next_incoming = begin.next_outgoing_id
        self.peer_window = begin.incoming_window
        self.next_outgoing = 0
        self.received_since_flow = 0
        self.inbound: dict[int, Inbound] = {}
        self.outbound: dict[int, Outbound] = {}
        self.unsettled: dict[int, tuple[Queue, uuid.UUID]] = {}
        self.outbox: deque[bytes] = deque()

    def on_attach(self, attach: Attach) -> None:
        try:
            node = find_node(self.wire.namespace, attach)
        except Refused as refusal:
            self._refuse(attach, refusal)
            return
        self._send_attach(attach, attach.source.encoded, attach.target.encoded)
        if attach.client_receives:
            self._open_outbound(Outbound(self, attach, node))
        else:
            self.inbound[attach.handle] = Inbound(attach, node)
            self._send_inbound_flow(self.inbound[attach.handle])

    def _open_outbound(self, link: Outbound) -> None:
        self._forget(link.handle)
        self.outbound[link.handle] = link
        if link.node.kind == "queue" and link.node.queue is not None:
            link.node.queue.consumers.append(link)

    def _refuse(self, attach: Attach, refusal: Refused) -> None:
        """As the protocol asks: an attach without the missing end, then a detach that says why."""
        source = encoding.NULL if attach.client_receives else attach.source.encoded
        target = attach.target.encoded if attach.client_receives else encoding.NULL
        self._send_attach(attach, source, target)
        error = encoding.error(refusal.condition, refusal.description)
        self._send(DETACH, [encoding.uint(attach.handle), encoding.boolean(True), error])

    def _send_attach(self, attach: Attach, source: bytes, target: bytes) -> None:
        fields = [
            encoding.string(attach.name),
            encoding.uint(attach.handle),
            encoding.boolean(not attach.client_receives),
            encoding.ubyte(attach.sender_settle_mode),
            encoding.ubyte(attach.receiver_settle_mode),
            source,
            target,
            encoding.NULL,
            encoding.NULL,
            encoding.uint(0) if attach.client_receives else encoding.NULL,
            encoding.ulong(MAX_MESSAGE),
        ]
        self._send(ATTACH, fields)

    def on_detach(self, detach: Detach) -> None:
        if self._forget(detach.handle):
            self._send(DETACH, [encoding.uint(detach.handle), encoding.boolean(detach.closed)])

    def _forget(self, handle: int) -> bool:
        """Drop a link. What it holds stays locked until the lock ends, as in the service."""
        link = self.outbound.pop(handle, None)
        if link is not None and link.node.queue is not None and link in link.node.queue.consumers:
            link.node.queue.consumers.remove(link)
        return self.inbound.pop(handle, None) is not None or link is not None

    def close(self) -> None:
        for handle in [*self.inbound, *self.outbound]:
            self._forget(handle)

    def on_flow(self, flow: Flow) -> None:
        seen = 0 if flow.next_incoming_id is None else flow.next_incoming_id
        window = (seen + flow.incoming_window - self.next_outgoing) % SERIAL
        self.peer_window = window if window < SERIAL // 2 else 0
        self._send_waiting()
        link = None if flow.handle is None else self.outbound.get(flow.handle)
        if link is not None:
            link.grant(flow)
        if flow.echo:
            self._answer_echo(flow.handle)

    def _answer_echo(self, handle: int | None) -> None:
        if handle is not None and handle in self.outbound:
            link = self.outbound[handle]
            self._send_flow(handle, link.delivery_count, link.credit)
        elif handle is not None and handle in self.inbound:
            self._send_inbound_flow(self.inbound[handle])
        else:
            self._send_flow()

    def finish_drains(self) -> None:
        """A drain is answered once nothing more could be delivered on the link."""
        for link in self.outbound.values():
            if link.draining:
                link.finish_draining()
                self._send_flow(link.handle, link.delivery_count, 0, drain=True)

    def _send_inbound_flow(self, link: Inbound) -> None:
        self._send_flow(link.handle, link.delivery_count, max(0, link.credit))

    def _send_flow(
        self, handle: int | None = None, delivery_count: int = 0, credit: int = 0, drain: bool = False
    ) -> None:
        self.received_since_flow = 0
        fields = [self.next_incoming, WINDOW, self.next_outgoing, WINDOW]
        encoded = [encoding.uint(value) for value in fields]
        if handle is not None:
            encoded += [encoding.uint(handle), encoding.uint(delivery_count), encoding.uint(credit)]
            encoded += [encoding.NULL, encoding.boolean(drain)]
        self._send(FLOW, encoded)

    def on_transfer(self, transfer: Transfer) -> None:
        self.next_incoming = (self.next_incoming + 1) % SERIAL
        self.received_since_flow += 1
        link = self.inbound.get(transfer.handle)
        if link is None:
            raise DecodeError("a transfer on a handle that is not attached")
        link.collect(transfer)
        if transfer.aborted:
            link.first = None
        elif not transfer.more:
            first, payload = link.finish()
            self._accept(link, first, payload)
        if link.refill():
            self._send_inbound_flow(link)
        elif self.received_since_flow > WINDOW // 2:
            self._send_flow()

    def _accept(self, link: Inbound, first: Transfer, payload: bytes) -> None:
        try:
            self._take(link, first, payload)
            outcome = encoding.described(ACCEPTED, encoding.EMPTY_LIST)
        except Refused as refusal:
            outcome = rejected(refusal)
        except DecodeError as error:
            outcome = rejected(Refused("amqp:decode-error", str(error)))
        if not first.settled and first.delivery_id is not None:
            self._settle(True, first.delivery_id, outcome)

    def _take(self, link: Inbound, first: Transfer, payload: bytes) -> None:
        if link.too_large:
            raise Refused("amqp:link:message-size-exceeded", f"The message is larger than {MAX_MESSAGE} bytes.")
        if link.node.kind != "queue":
            self._answer(link.node, payload)
        elif link.node.queue is not None:
            for message in unpack(payload, first.message_format):
                link.node.queue.put(message)

    def _answer(self, node: Node, payload: bytes) -> None:
        """Requests and answers travel on two links of one session with the same address."""
        request = management.read_request(payload)
        answers = [link for link in self.outbound.values() if link.node.address == node.address]
        if not answers:
            raise Refused("amqp:not-found", "There is no link to answer this request on.")
        named = [link for link in answers if link.reply_address == request.reply_to]
        (named or answers)[0].reply(management.answer(node.queue, request))

    def transfer(self, link: Outbound, tag: bytes, payload: bytes, *, settled: bool) -> int:
        """Queue a delivery's frames, as many as the client's frame size asks for. Returns the delivery id."""
        delivery_id = self.next_outgoing
        size = self.wire.peer_max_frame - TRANSFER_OVERHEAD
        for start in range(0, max(1, len(payload)), size):
            identity = [encoding.NULL, encoding.NULL, encoding.NULL]
            if start == 0:
                identity = [encoding.uint(delivery_id), encoding.binary(tag), encoding.uint(0)]
            more = start + size < len(payload)
            fields = [encoding.uint(link.handle), *identity, encoding.boolean(settled), encoding.boolean(more)]
            self.outbox.append(encoding.performative(TRANSFER, fields) + payload[start : start + size])
            self.next_outgoing = (self.next_outgoing + 1) % SERIAL
        link.spend()
        self._send_waiting()
        return delivery_id

    def _send_waiting(self) -> None:
        while self.outbox and self.peer_window > 0:
            self.wire.send(self.channel, self.outbox.popleft())
            self.peer_window -= 1

    def on_disposition(self, disposition: Disposition) -> None:
        if not disposition.from_receiver:
            return
        for delivery_id in self._deliveries(disposition):
            outcome = self._apply(delivery_id, disposition.state)
            if not disposition.settled:
                self._settle(False, delivery_id, outcome)

    def _deliveries(self, disposition: Disposition) -> Iterable[int]:
        """The range a client names may be of any size: walk what we sent, not the range."""
        first, last = disposition.first, disposition.last
        if first == last:
            return [first]
        return [delivery_id for delivery_id in list(self.unsettled) if first <= delivery_id <= last]

    def _apply(self, delivery_id: int, state: Described | None) -> bytes:
        """Settle one delivery and return the outcome to echo."""
        try:
            if delivery_id not in self.unsettled:
                raise lock_lost()
            queue, token = self.unsettled.pop(delivery_id)
            return encoding.described(settle(queue, token, state), encoding.EMPTY_LIST)
        except Refused as refusal:
            return rejected(refusal)

    def _settle(self, as_receiver: bool, delivery_id: int, outcome: bytes) -> None:
        number = encoding.uint(delivery_id)
        self._send(DISPOSITION, [encoding.boolean(as_receiver), number, number, encoding.boolean(True), outcome])

    def _send(self, performative: int, fields: list[bytes]) -> None:
        self.wire.send(self.channel, encoding.performative(performative, fields))
