"""AMQP links: what each end of one counts, and what its address names (OASIS AMQP 1.0, part 2.6)."""

import uuid
from typing import TYPE_CHECKING

from .errors import not_allowed
from .namespace import Namespace
from .performatives import SENDER_SETTLES, Attach, Flow, Transfer
from .queues import Queue

if TYPE_CHECKING:
    from .session import Session

MAX_MESSAGE = 256 * 1024
"""The Standard tier's limit, announced on every link: the SDK refuses more, and fills batches up to it."""

LINK_CREDIT = 1000
SERIAL = 0x1_0000_0000
"""Delivery ids and counts are 32-bit serial numbers (RFC 1982)."""


class Inbound:
    """A link on which the client sends: to a queue, to `$cbs` or to `$management`."""

    def __init__(self, attach: Attach, node: "Node") -> None:
        self.handle = attach.handle
        self.node = node
        self.credit = LINK_CREDIT
        self.delivery_count = 0
        self.first: Transfer | None = None
        self.received = bytearray()
        self.too_large = False

    def collect(self, transfer: Transfer) -> None:
        """Add one frame to the delivery it belongs to. What is too large is not kept, only remembered as such."""
        if self.first is None:
            self.first, self.received, self.too_large = transfer, bytearray(), False
        self.too_large = self.too_large or len(self.received) + len(transfer.payload) > MAX_MESSAGE
        if not self.too_large:
            self.received += transfer.payload

    def finish(self) -> tuple[Transfer, bytes]:
        """The delivery's first frame and its whole payload."""
        assert self.first is not None
        first, self.first = self.first, None
        self.delivery_count = (self.delivery_count + 1) % SERIAL
        self.credit -= 1
        return first, bytes(self.received)

    def refill(self) -> bool:
        if self.credit >= LINK_CREDIT // 2:
            return False
        self.credit = LINK_CREDIT
        return True


class Outbound:
    """A link on which the client receives: from a queue, or the answers of `$cbs` and `$management`."""

    def __init__(self, session: "Session", attach: Attach, node: "Node") -> None:
        self.session = session
        self.handle = attach.handle
        self.node = node
        self.reply_address = attach.target.address
        self.receives_and_deletes = attach.sender_settle_mode == SENDER_SETTLES
        self.credit = 0
        self.delivery_count = 0
        self.draining = False

    def can_take(self) -> bool:
        return self.credit > 0 and not self.session.outbox

    def deliver(self, message: bytes, lock_token: uuid.UUID | None) -> None:
        tag = lock_token or uuid.uuid4()
        delivery_id = self.session.transfer(self, tag.bytes_le, message, settled=lock_token is None)
        if lock_token is not None and self.node.queue is not None:
            self.session.unsettled[delivery_id] = (self.node.queue, lock_token)

    def reply(self, message: bytes) -> None:
        self.session.transfer(self, self.delivery_count.to_bytes(4, "big"), message, settled=True)

    def grant(self, flow: Flow) -> None:
        """The client counts from its own idea of the delivery count; a negative difference means none is left."""
        credit = (flow.delivery_count + flow.link_credit - self.delivery_count) % SERIAL
        self.credit = credit if credit < SERIAL // 2 else 0
        self.draining = flow.drain

    def spend(self) -> None:
        self.credit = max(0, self.credit - 1)
        self.delivery_count = (self.delivery_count + 1) % SERIAL

    def finish_draining(self) -> None:
        self.delivery_count = (self.delivery_count + self.credit) % SERIAL
        self.credit = 0
        self.draining = False


class Node:
    """What a link's address names: a queue, a queue's `$management`, or `$cbs`."""

    def __init__(self, kind: str, address: str, queue: Queue | None) -> None:
        self.kind = kind
        self.address = address.lower()
        self.queue = queue


def find_node(namespace: Namespace, attach: Attach) -> Node:
    """Raises Refused: no such queue, or something a queue does not do."""
    address = attach.source.address if attach.client_receives else attach.target.address
    if address.lower() == "$cbs":
        return Node("cbs", address, None)
    if address.lower().endswith("/$management"):
        return Node("management", address, namespace.find(address[: -len("/$management")]))
    queue = namespace.find(address)
    if queue.dead_letters is None and not attach.client_receives:
        raise not_allowed("Messages cannot be sent to a dead-letter queue.")
    if "com.microsoft:session-filter" in attach.source.filters:
        raise not_allowed("Sessions are not offered by this stand-in.")
    return Node("queue", address, queue)
