"""AMQP 1.0 values from bytes (OASIS AMQP 1.0, part 1)."""

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 32
"""Deeper nesting than this is an attack or a bug: no performative or message section needs it."""


class DecodeError(ValueError):
    """The peer's bytes are not AMQP."""


class Symbol(str):
    """An AMQP symbol: ASCII from a constrained domain."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Described:
    """A described value: performatives, outcomes, errors and message sections are made of these."""

    descriptor: Any
    value: Any


Decoded = tuple[Any, int]
Decoder = Callable[[bytes, int], Decoded]


def decode(data: bytes, position: int, depth: int = 0) -> Decoded:
    """The value whose constructor is at `position`, and the position after it.

    Raises DecodeError for anything malformed, and never reads past the end.
    """
    try:
        return _decode_body(data[position], data, position + 1, depth)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise DecodeError(f"malformed AMQP value at byte {position}: {error}") from error


def _decode_body(constructor: int, data: bytes, position: int, depth: int) -> Decoded:
    simple = _SIMPLE.get(constructor)
    if simple is not None:
        return simple(data, position)
    if depth >= MAX_DEPTH:
        raise DecodeError("values are nested too deeply")
    if constructor == 0x00:
        descriptor, position = decode(data, position, depth + 1)
        value, position = decode(data, position, depth + 1)
        return Described(descriptor, value), position
    return _decode_compound(constructor, data, position, depth + 1)


def _decode_compound(constructor: int, data: bytes, position: int, depth: int) -> Decoded:
    count, start, end = compound_bounds(constructor, data, position)
    if constructor in (0xC0, 0xD0):
        value: Any = _read_list(data, start, count, depth)
    elif constructor in (0xC1, 0xD1):
        pairs = _read_list(data, start, count, depth)
        value = dict(zip(pairs[::2], pairs[1::2], strict=False))
    else:
        value = _read_array(data, start, count, depth)
    return value, end


def compound_bounds(constructor: int, data: bytes, position: int) -> tuple[int, int, int]:
    """(count, first byte, byte after the last) of the list, map or array whose size field is at `position`."""
    if constructor in (0xC0, 0xC1, 0xE0):
        count, start, end = data[position + 1], position + 2, position + 1 + data[position]
    elif constructor in (0xD0, 0xD1, 0xF0):
        size, count = struct.unpack_from(">II", data, position)
        start, end = position + 8, position + 4 + size
    else:
        raise DecodeError(f"unknown constructor 0x{constructor:02x}")
    # A count larger than the bytes that hold it would make us build a huge list of nothing.
    if not start <= end <= len(data) or count > end - start + 1:
        raise DecodeError("a list, map or array overruns its buffer")
    return count, start, end


def _read_list(data: bytes, position: int, count: int, depth: int) -> list[Any]:
    items = []
    for _ in range(count):
        item, position = decode(data, position, depth)
        items.append(item)
    return items


def _read_array(data: bytes, position: int, count: int, depth: int) -> list[Any]:
    """An array's items share one constructor, written once before the first."""
    if count == 0:
        return []
    if data[position] == 0x00:
        _, position = decode(data, position + 1, depth)
    constructor = data[position]
    position += 1
    items = []
    for _ in range(count):
        item, position = _decode_body(constructor, data, position, depth)
        items.append(item)
    return items


def skip(data: bytes, position: int) -> int:
    """The position after the value at `position`, found without building the value."""
    try:
        while data[position] == 0x00:
            position = skip(data, position + 1)
        constructor = data[position]
        position += 1
        end = position + _encoded_size(constructor, data, position)
    except (IndexError, struct.error, RecursionError) as error:
        raise DecodeError("truncated AMQP value") from error
    if end > len(data):
        raise DecodeError("truncated AMQP value")
    return end


def _encoded_size(constructor: int, data: bytes, position: int) -> int:
    """The upper half of a constructor says how wide its value is."""
    category = constructor >> 4
    if category in _FIXED_WIDTHS:
        return _FIXED_WIDTHS[category]
    if category in (0xA, 0xC, 0xE):
        return 1 + data[position]
    if category in (0xB, 0xD, 0xF):
        return 4 + int(struct.unpack_from(">I", data, position)[0])
    raise DecodeError(f"unknown constructor 0x{constructor:02x}")


_FIXED_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def _constant(value: Any) -> Decoder:
    return lambda _data, position: (value, position)


def _number(code: str) -> Decoder:
    layout = struct.Struct(">" + code)
    return lambda data, position: (layout.unpack_from(data, position)[0], position + layout.size)


def _variable(width: int, convert: Callable[[bytes], Any]) -> Decoder:
    def read(data: bytes, position: int) -> Decoded:
        start = position + width
        end = start + int.from_bytes(data[position:start], "big")
        if end > len(data):
            raise DecodeError("a string or binary overruns its buffer")
        return convert(data[start:end]), end

    return read


def _sixteen_bytes(convert: Callable[[bytes], Any]) -> Decoder:
    def read(data: bytes, position: int) -> Decoded:
        if position + 16 > len(data):
            raise DecodeError("truncated AMQP value")
        return convert(data[position : position + 16]), position + 16

    return read


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8")


def _symbol(raw: bytes) -> Symbol:
    return Symbol(raw.decode("ascii", "replace"))


def _uuid(raw: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=raw)


_SIMPLE: dict[int, Decoder] = {
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(0),
    0x44: _constant(0),
    0x45: lambda _data, position: ([], position),
    0x50: _number("B"),
    0x51: _number("b"),
    0x52: _number("B"),
    0x53: _number("B"),
    0x54: _number("b"),
    0x55: _number("b"),
    0x56: _number("?"),
    0x60: _number("H"),
    0x61: _number("h"),
    0x70: _number("I"),
    0x71: _number("i"),
    0x72: _number("f"),
    0x73: _number("I"),
    0x74: _number("I"),
    0x80: _number("Q"),
    0x81: _number("q"),
    0x82: _number("d"),
    0x83: _number("q"),
    0x84: _number("Q"),
    0x94: _sixteen_bytes(bytes),
    0x98: _sixteen_bytes(_uuid),
    0xA0: _variable(1, bytes),
    0xA1: _variable(1, _utf8),
    0xA3: _variable(1, _symbol),
    0xB0: _variable(4, bytes),
    0xB1: _variable(4, _utf8),
    0xB3: _variable(4, _symbol),
}
