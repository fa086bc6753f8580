"""Messages as they travel: reading what a sender wrote, writing what a receiver gets (AMQP 1.0, part 3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import encoding
from .decoding import DecodeError, compound_bounds, decode, skip

HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES = range(0x70, 0x75)
DATA, SEQUENCE, VALUE, FOOTER = range(0x75, 0x79)

BATCH_FORMAT = 0x80013700
"""Service Bus's message format for a batch: every data section is a whole message."""

SERVER_ANNOTATIONS = {
    "x-opt-enqueued-time",
    "x-opt-sequence-number",
    "x-opt-locked-until",
    "x-opt-message-state",
}
MAX_TIMESTAMP = 253_402_300_799_999
"""The last millisecond of the year 9999: what a later time is cut to, so that every client can represent it."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What the queue keeps but does not look at: the sender's annotations, and the sections that follow them."""

    annotation_count: int
    annotations: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as sent. Times in milliseconds: `time_to_live` from now, `due_at` since 1970."""

    message_id: str | None
    priority: int
    time_to_live: int | None
    due_at: int | None
    payload: Payload


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message's place in its queue, as a receiver is told. Times in milliseconds since 1970."""

    sequence_number: int
    state: int
    enqueued_at: int
    locked_until: int | None
    delivery_count: int
    priority: int
    time_to_live: int | None
    payload: Payload


def sections(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(descriptor, first byte of the value, byte after it) of every section. Raises DecodeError."""
    position = 0
    while position < len(data):
        if data[position] != 0x00:
            raise DecodeError("a message section is not a described value")
        descriptor, start = decode(data, position + 1)
        if not isinstance(descriptor, int) or not HEADER <= descriptor <= FOOTER:
            raise DecodeError(f"unknown message section {descriptor!r}")
        position = skip(data, start)
        yield descriptor, start, position


def unpack(data: bytes, message_format: int) -> list[Incoming]:
    """The messages of one transfer: several when it is a batch. Raises DecodeError."""
    if message_format != BATCH_FORMAT:
        return [read_message(data)]
    return [read_message(_bytes(data, start)) for section, start, _ in sections(data) if section == DATA]


def _bytes(data: bytes, start: int) -> bytes:
    value, _ = decode(data, start)
    if not isinstance(value, bytes):
        raise DecodeError("a data section does not hold bytes")
    return value


def read_message(data: bytes) -> Incoming:
    """Take a message apart as far as the queue needs. Raises DecodeError."""
    header: list[Any] = []
    properties: list[Any] = []
    entries: list[tuple[str | None, bytes]] = []
    body = []
    for section, start, end in sections(data):
        if section == HEADER:
            header = _list(data, start)
        elif section == ANNOTATIONS:
            entries = map_entries(data, start)
        elif section != DELIVERY_ANNOTATIONS:
            if section == PROPERTIES:
                properties = _list(data, start)
            elif section == APPLICATION_PROPERTIES:
                # Read now so that it can be added to later, should the message be dead-lettered.
                map_entries(data, start)
            body.append(encoding.described(section, data[start:end]))
    kept = [raw for key, raw in entries if key not in SERVER_ANNOTATIONS]
    return Incoming(
        message_id=None if not properties or properties[0] is None else str(properties[0]),
        priority=_number(header, 1, 0xFF, default=4) or 0,
        time_to_live=_number(header, 2, 0xFFFF_FFFF, default=None),
        due_at=_scheduled_time(entries),
        payload=Payload(len(kept), b"".join(kept), b"".join(body)),
    )


def _list(data: bytes, start: int) -> list[Any]:
    value, _ = decode(data, start)
    if not isinstance(value, list):
        raise DecodeError("a header or properties section does not hold a list")
    return value


def _number(fields: list[Any], index: int, largest: int, default: int | None) -> int | None:
    value = fields[index] if index < len(fields) else None
    if value is None:
        return default
    if not isinstance(value, int) or not 0 <= value <= largest:
        raise DecodeError(f"header field {index} is out of range")
    return value


def _scheduled_time(entries: list[tuple[str | None, bytes]]) -> int | None:
    for key, raw in entries:
        if key == "x-opt-scheduled-enqueue-time":
            due, _ = decode(raw, skip(raw, 0))
            if due is not None and not isinstance(due, int):
                raise DecodeError("x-opt-scheduled-enqueue-time is not a timestamp")
            return None if due is None else min(due, MAX_TIMESTAMP)
    return None


def map_entries(data: bytes, start: int) -> list[tuple[str | None, bytes]]:
    """(key if it is text, encoded key and value) of the map at `start`; a null is an empty map."""
    if data[start] == 0x40:
        return []
    if data[start] not in (0xC1, 0xD1):
        raise DecodeError("an annotations or properties section does not hold a map")
    count, position, _ = compound_bounds(data[start], data, start + 1)
    entries = []
    for _ in range(count // 2):
        key, value_at = decode(data, position)
        end = skip(data, value_at)
        entries.append((key if isinstance(key, str) else None, data[position:end]))
        position = end
    return entries


def write_message(message: Outgoing) -> bytes:
    header = [
        encoding.boolean(True),
        encoding.ubyte(message.priority),
        encoding.NULL if message.time_to_live is None else encoding.uint(message.time_to_live),
        encoding.NULL,
        encoding.uint(message.delivery_count),
    ]
    annotations = [
        encoding.symbol("x-opt-enqueued-time") + encoding.timestamp(message.enqueued_at),
        encoding.symbol("x-opt-sequence-number") + encoding.long(message.sequence_number),
        encoding.symbol("x-opt-message-state") + encoding.int32(message.state),
    ]
    if message.locked_until is not None:
        annotations.append(encoding.symbol("x-opt-locked-until") + encoding.timestamp(message.locked_until))
    payload = message.payload
    count = payload.annotation_count + len(annotations)
    return b"".join(
        [
            encoding.described(HEADER, encoding.list_of(header)),
            encoding.described(
                ANNOTATIONS, encoding.map_of_entries(count, payload.annotations + b"".join(annotations))
            ),
            payload.body,
        ]
    )


def with_application_properties(body: bytes, added: Mapping[str, str]) -> bytes:
    """The same sections with these application properties set; others are kept as they were sent."""
    before: list[bytes] = []
    entries: list[bytes] = []
    after: list[bytes] = []
    for section, start, end in sections(body):
        if section == APPLICATION_PROPERTIES:
            entries = [raw for key, raw in map_entries(body, start) if key not in added]
            continue
        place = before if section < APPLICATION_PROPERTIES else after
        place.append(encoding.described(section, body[start:end]))
    entries += [encoding.string(key) + encoding.string(value) for key, value in added.items()]
    properties = encoding.described(APPLICATION_PROPERTIES, encoding.map_of_entries(len(entries), b"".join(entries)))
    return b"".join([*before, properties, *after])
