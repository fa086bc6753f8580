"""The AMQP performatives a client sends, read into typed records (OASIS AMQP 1.0, part 2.7)."""

from dataclasses import dataclass
from typing import Any, Self

from . import encoding
from .decoding import DecodeError, Described, Symbol, compound_bounds, decode, skip

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27

MAX_UINT = 0xFFFF_FFFF
SENDER_SETTLES = 1
"""snd-settle-mode `settled`: the sender forgets a message as it sends it (receive-and-delete)."""


class Fields:
    """A performative's fields by position. A missing or null field gives its default; a wrong type is DecodeError."""

    def __init__(self, values: Any) -> None:
        if not isinstance(values, list):
            raise DecodeError("a performative's fields are not a list")
        self.values = values

    def get(self, index: int) -> Any:
        return self.values[index] if index < len(self.values) else None

    def uint(self, index: int) -> int:
        value = self.optional_uint(index)
        if value is None:
            raise DecodeError(f"mandatory field {index} is missing")
        return value

    def optional_uint(self, index: int) -> int | None:
        value = self.get(index)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_UINT:
            raise DecodeError(f"field {index} is not an unsigned integer")
        return value

    def flag(self, index: int) -> bool:
        value = self.get(index)
        if value is not None and not isinstance(value, bool):
            raise DecodeError(f"field {index} is not a boolean")
        return bool(value)

    def text(self, index: int) -> str | None:
        value = self.get(index)
        if value is not None and not isinstance(value, str):
            raise DecodeError(f"field {index} is not a string")
        return value

    def described(self, index: int) -> Described | None:
        value = self.get(index)
        if value is not None and not isinstance(value, Described):
            raise DecodeError(f"field {index} is not a described value")
        return value


@dataclass(frozen=True, slots=True)
class Open:
    max_frame_size: int
    idle_timeout: int | None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        size = fields.optional_uint(2)
        return cls(MAX_UINT if size is None else max(512, size), fields.optional_uint(4))


@dataclass(frozen=True, slots=True)
class Begin:
    next_outgoing_id: int
    incoming_window: int

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.uint(1), fields.uint(2))


@dataclass(frozen=True, slots=True)
class Terminus:
    """One end of a link: where messages come from (source) or go to (target), and its bytes as the client sent them."""

    address: str
    filters: dict[Any, Any]
    encoded: bytes

    @classmethod
    def read(cls, described: Described | None, encoded: bytes) -> Self:
        fields = Fields([] if described is None else described.value)
        filters = fields.get(7)
        return cls(fields.text(0) or "", filters if isinstance(filters, dict) else {}, encoded)


@dataclass(frozen=True, slots=True)
class Attach:
    name: str
    handle: int
    client_receives: bool
    sender_settle_mode: int
    receiver_settle_mode: int
    source: Terminus
    target: Terminus

    @classmethod
    def read(cls, fields: Fields, encoded: list[bytes]) -> Self:
        sender_mode = fields.optional_uint(3)
        return cls(
            name=fields.text(0) or "",
            handle=fields.uint(1),
            client_receives=fields.flag(2),
            sender_settle_mode=2 if sender_mode is None else sender_mode & 0xFF,
            receiver_settle_mode=(fields.optional_uint(4) or 0) & 0xFF,
            source=Terminus.read(fields.described(5), _at(encoded, 5)),
            target=Terminus.read(fields.described(6), _at(encoded, 6)),
        )


def _at(encoded: list[bytes], index: int) -> bytes:
    return encoded[index] if index < len(encoded) else encoding.NULL


@dataclass(frozen=True, slots=True)
class Flow:
    next_incoming_id: int | None
    incoming_window: int
    handle: int | None
    delivery_count: int
    link_credit: int
    drain: bool
    echo: bool

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            next_incoming_id=fields.optional_uint(0),
            incoming_window=fields.uint(1),
            handle=fields.optional_uint(4),
            delivery_count=fields.optional_uint(5) or 0,
            link_credit=fields.optional_uint(6) or 0,
            drain=fields.flag(8),
            echo=fields.flag(9),
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    handle: int
    delivery_id: int | None
    message_format: int
    settled: bool
    more: bool
    aborted: bool
    payload: bytes

    @classmethod
    def read(cls, fields: Fields, payload: bytes) -> Self:
        return cls(
            handle=fields.uint(0),
            delivery_id=fields.optional_uint(1),
            message_format=fields.optional_uint(3) or 0,
            settled=fields.flag(4),
            more=fields.flag(5),
            aborted=fields.flag(9),
            payload=payload,
        )


@dataclass(frozen=True, slots=True)
class Disposition:
    from_receiver: bool
    first: int
    last: int
    settled: bool
    state: Described | None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        first = fields.uint(1)
        last = fields.optional_uint(2)
        return cls(fields.flag(0), first, first if last is None else last, fields.flag(3), fields.described(4))


@dataclass(frozen=True, slots=True)
class Detach:
    handle: int
    closed: bool

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(fields.uint(0), fields.flag(1))


def read_performative(frame_body: bytes) -> tuple[int, Fields, list[bytes], bytes]:
    """(descriptor, fields, the fields as encoded when it is an attach, the payload after it). Raises DecodeError."""
    if frame_body[0] != 0x00:
        raise DecodeError("a frame does not start with a performative")
    descriptor, start = decode(frame_body, 1)
    if not isinstance(descriptor, int):
        raise DecodeError(f"unknown performative {descriptor!r}")
    values, end = decode(frame_body, start)
    encoded = _encoded_items(frame_body, start) if descriptor == ATTACH else []
    return descriptor, Fields(values), encoded, frame_body[end:]


def _encoded_items(data: bytes, start: int) -> list[bytes]:
    """Each item of the list at `start`, still encoded: a link's ends are echoed exactly as they came."""
    if data[start] not in (0xC0, 0xD0):
        return []
    count, position, _ = compound_bounds(data[start], data, start + 1)
    items = []
    for _ in range(count):
        end = skip(data, position)
        items.append(data[position:end])
        position = end
    return items


def error_info(rejected: Described) -> dict[Any, Any]:
    """The `info` map inside a rejected outcome's error; empty when there is none."""
    error = Fields(rejected.value).described(0)
    info = None if error is None else Fields(error.value).get(2)
    return info if isinstance(info, dict) else {}


def text_of(value: Any) -> str | None:
    """A string, symbol or UTF-8 binary as text: SDKs disagree on which one they send."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str | Symbol) else None
