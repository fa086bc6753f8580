"""AMQP 1.0 values to bytes (OASIS AMQP 1.0, part 1). Each function returns one complete encoded value."""

import struct
import uuid
from collections.abc import Iterable, Sequence

NULL = b"\x40"
EMPTY_LIST = b"\x45"


def boolean(value: bool) -> bytes:
    return b"\x41" if value else b"\x42"


def ubyte(value: int) -> bytes:
    return struct.pack(">BB", 0x50, value)


def ushort(value: int) -> bytes:
    return struct.pack(">BH", 0x60, value)


def uint(value: int) -> bytes:
    if value == 0:
        return b"\x43"
    return struct.pack(">BB", 0x52, value) if value < 256 else struct.pack(">BI", 0x70, value)


def ulong(value: int) -> bytes:
    if value == 0:
        return b"\x44"
    return struct.pack(">BB", 0x53, value) if value < 256 else struct.pack(">BQ", 0x80, value)


def int32(value: int) -> bytes:
    return struct.pack(">Bi", 0x71, value)


def long(value: int) -> bytes:
    return struct.pack(">Bq", 0x81, value)


def timestamp(milliseconds: int) -> bytes:
    return struct.pack(">Bq", 0x83, milliseconds)


def uuid_value(value: uuid.UUID) -> bytes:
    return b"\x98" + value.bytes


def binary(value: bytes) -> bytes:
    return _variable(0xA0, value)


def string(value: str) -> bytes:
    return _variable(0xA1, value.encode("utf-8"))


def symbol(value: str) -> bytes:
    return _variable(0xA3, value.encode("ascii"))


def _variable(short_code: int, value: bytes) -> bytes:
    """The long form of every variable-width constructor is the short one + 0x10."""
    if len(value) < 256:
        return struct.pack(">BB", short_code, len(value)) + value
    return struct.pack(">BI", short_code + 0x10, len(value)) + value


def list_of(items: Sequence[bytes]) -> bytes:
    if not items:
        return EMPTY_LIST
    return _compound(0xC0, len(items), b"".join(items))


def map_of(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    entries = [key + value for key, value in pairs]
    return map_of_entries(len(entries), b"".join(entries))


def map_of_entries(entries: int, encoded: bytes) -> bytes:
    """A map whose entries (key, then value) are encoded already."""
    return _compound(0xC1, 2 * entries, encoded)


def _compound(short_code: int, count: int, body: bytes) -> bytes:
    """The size field counts the count field: one byte in the short form, four in the long."""
    if len(body) < 255 and count < 256:
        return struct.pack(">BBB", short_code, len(body) + 1, count) + body
    return struct.pack(">BII", short_code + 0x10, len(body) + 4, count) + body


def array_of_symbols(values: Sequence[str]) -> bytes:
    return _array(0xB3, [struct.pack(">I", len(value)) + value.encode("ascii") for value in values])


def array_of_longs(values: Sequence[int]) -> bytes:
    return _array(0x81, [struct.pack(">q", value) for value in values])


def array_of_timestamps(values: Sequence[int]) -> bytes:
    return _array(0x83, [struct.pack(">q", value) for value in values])


def _array(constructor: int, items: Sequence[bytes]) -> bytes:
    body = bytes([constructor]) + b"".join(items)
    return struct.pack(">BII", 0xF0, len(body) + 4, len(items)) + body


def message_id(value: object) -> bytes:
    """A message id in the type it came in: the SDK matches a reply's correlation id by value and type."""
    if value is None:
        return NULL
    if isinstance(value, uuid.UUID):
        return uuid_value(value)
    if isinstance(value, int):
        return ulong(value)
    if isinstance(value, bytes):
        return binary(value)
    return string(str(value))


def described(descriptor: int, value: bytes) -> bytes:
    """Always descriptor 0x53 (smallulong): the SDK reads the descriptor's third byte without looking at the form."""
    return b"\x00\x53" + bytes([descriptor]) + value


def performative(descriptor: int, fields: Sequence[bytes]) -> bytes:
    return described(descriptor, list_of(fields))


def frame(channel: int, body: bytes, frame_type: int = 0) -> bytes:
    return struct.pack(">IBBH", len(body) + 8, 2, frame_type, channel) + body


EMPTY_FRAME = frame(0, b"")


def error(condition: str, description: str) -> bytes:
    """All three fields: the SDK indexes them without asking how many came."""
    return described(0x1D, list_of([symbol(condition), string(description), NULL]))
