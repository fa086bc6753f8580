"""KML geometries to WKB. Coordinates are read while their text comes in, which may be larger than all else together."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.vector.geometry_columns import parse_numbers
from services.vector.wkb import (
    COLLECTION,
    LINESTRING,
    MULTILINESTRING,
    MULTIPOINT,
    MULTIPOLYGON,
    POINT,
    POLYGON,
)

Points = NDArray[np.float64]

_PIECE_CHARACTERS = 1 << 20
_LOOKED_BACK = 1 << 12
_SPACED_COMMAS = tuple(f"{left},{right}" for blank in " \n\t\r" for left, right in ((blank, ""), ("", blank)))
_AROUND_COMMA = re.compile(r"\s*,\s*")
_BETWEEN_POSITIONS = re.compile(r"(?<=[^\s,])\s+(?=[^\s,])")
_FLOATS = msgspec.json.Decoder(list[float])
_MULTI = {POINT: MULTIPOINT, LINESTRING: MULTILINESTRING, POLYGON: MULTIPOLYGON}
_ISO_Z = 1000


class Unreadable(Exception):
    """Coordinates that are no numbers, or not two or three of them a position."""


@dataclass(frozen=True)
class Shape:
    """code: POINT, LINESTRING or POLYGON. parts: its points, or its rings, the outer one first."""

    code: int
    parts: tuple[Points, ...]


class Coordinates:
    """The content of a <coordinates> element, fed in pieces."""

    def __init__(self) -> None:
        self._read: list[Points] = []
        self._pieces: list[str] = []
        self._characters = 0

    def feed(self, text: str) -> None:
        self._pieces.append(text)
        self._characters += len(text)
        if self._characters >= _PIECE_CHARACTERS:
            self._read_whole_positions()

    def _read_whole_positions(self) -> None:
        text = "".join(self._pieces)
        cut = max((gap.end() for gap in _BETWEEN_POSITIONS.finditer(text, len(text) - _LOOKED_BACK)), default=0)
        self._take(text[:cut])
        self._pieces, self._characters = [text[cut:]], len(text) - cut

    def _take(self, text: str) -> None:
        self._read.append(_positions(text))

    def points(self) -> Points:
        """(n, 2) or (n, 3) in the order of the text. Raises Unreadable."""
        self._take("".join(self._pieces))
        return joined([points for points in self._read if len(points)])


def joined(pieces: Sequence[Points]) -> Points:
    """One array of them all, 3D if one of them is: a height that is missing is 0."""
    if len(pieces) == 1:
        return pieces[0]
    width = max((points.shape[1] for points in pieces), default=2)
    return np.concatenate([np.zeros((0, width)), *(_widened(points, width) for points in pieces)])


def _widened(points: Points, width: int) -> Points:
    missing = width - points.shape[1]
    return np.pad(points, ((0, 0), (0, missing))) if missing else points


def _positions(text: str) -> Points:
    """Positions stand apart, their numbers are separated by commas. Blanks around commas are common all the same."""
    if any(spaced in text for spaced in _SPACED_COMMAS):
        text = _AROUND_COMMA.sub(",", text)
    positions = text.split()
    widths = {position.count(",") + 1 for position in positions}
    if widths <= {2} or widths == {3}:
        return _numbers(",".join(positions)).reshape(-1, max(widths, default=2))
    return joined([_odd_position(position) for position in positions])


def track_point(text: str) -> Points:
    """(1, 2) or (1, 3): the one position in which blanks separate the numbers."""
    numbers = _numbers(",".join(text.split()))
    if len(numbers) not in (2, 3):
        raise Unreadable
    return numbers.reshape(1, -1)


def _odd_position(position: str) -> Points:
    """One of another length than the first, with a comma too many, or several that only commas separate."""
    numbers = _numbers(position.strip(","))
    width = len(numbers) if len(numbers) == 2 else 3
    if len(numbers) % width:
        raise Unreadable
    return numbers.reshape(-1, width)


def _numbers(text: str) -> Points:
    """Of a list with commas. The JSON parser is the fastest; it does not know `+1`, `.5` and `1.`."""
    try:
        return np.array(_FLOATS.decode(f"[{text}]"), np.float64)
    except msgspec.DecodeError:
        numbers: Points = parse_numbers(pa.array(text.split(","), pa.string()), ".")
        if not np.isfinite(numbers).all():
            raise Unreadable from None
        return numbers


def to_wkb(shapes: Sequence[Shape]) -> bytes:
    """Little-endian ISO WKB of one shape, or of several as Multi*, or as a collection where their types differ."""
    width = max((points.shape[1] for shape in shapes for points in shape.parts), default=2)
    members = [b"".join(_written(shape, width)) for shape in shapes]
    if len(members) == 1:
        return members[0]
    codes = {shape.code for shape in shapes}
    code = _MULTI[codes.pop()] if len(codes) == 1 else COLLECTION
    return b"".join([_header(code, width), _count(members), *members])


def _written(shape: Shape, width: int) -> Iterator[bytes]:
    parts = [_widened(points, width) for points in shape.parts]
    yield _header(shape.code, width)
    if shape.code == POINT:
        # WKB has no empty point: by convention its coordinates are NaN.
        yield (parts[0][:1] if len(parts[0]) else np.full(width, np.nan)).tobytes()
        return
    if shape.code == POLYGON:
        yield _count(parts)
    for points in parts:
        yield _count(points)
        yield points.tobytes()


def _header(code: int, width: int) -> bytes:
    return b"\x01" + (code + _ISO_Z * (width == 3)).to_bytes(4, "little")


def _count(items: Sequence[object] | Points) -> bytes:
    return len(items).to_bytes(4, "little")
