"""GeoJSON geometries to WKB, a batch at a time: their coordinates are read as one text, with no object per position."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.vector.wkb import (
    COLLECTION,
    HEADER_BYTES,
    LINESTRING,
    MULTILINESTRING,
    MULTIPOINT,
    MULTIPOLYGON,
    POINT,
    POLYGON,
    Bytes,
    Positions,
    from_buffers,
)

Counts = NDArray[np.int32]

NO_TEXT = msgspec.Raw(b"")

_COLLECTION_TYPE = "GeometryCollection"
_DEEPEST_COLLECTION = 16
_PIECE_BYTES = 1 << 20
_WINDOW_ARRAYS = 1 << 16
_OPENING, _CLOSING, _COMMA = b"[],"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))
_NOT_NUMBERS = b"[] \t\r\n"
_LITTLE_ENDIAN = 1
_ISO_Z = 1000
_COUNT_BYTES = 4


class Geometry(msgspec.Struct, gc=False):
    """A geometry whose coordinates, or members, are still text."""

    type: str = ""
    coordinates: msgspec.Raw = NO_TEXT
    geometries: msgspec.Raw = NO_TEXT


@dataclass(frozen=True)
class _Kind:
    """How a type is nested. levels: of arrays; those of the innermost are positions, all others have a count in WKB.
    headed: number of outer levels whose arrays also have a header. part: the type in that of the second level."""

    code: int
    levels: int
    headed: int = 1
    part: int = 0


_KINDS = {
    "Point": _Kind(POINT, levels=1),
    "LineString": _Kind(LINESTRING, levels=2),
    "MultiPoint": _Kind(MULTIPOINT, levels=2, headed=2, part=POINT),
    "Polygon": _Kind(POLYGON, levels=3),
    "MultiLineString": _Kind(MULTILINESTRING, levels=3, headed=2, part=LINESTRING),
    "MultiPolygon": _Kind(MULTIPOLYGON, levels=4, headed=2, part=POLYGON),
}
GEOMETRY_TYPES = frozenset({*_KINDS, _COLLECTION_TYPE})
_FLOATS = msgspec.json.Decoder(list[float])
_GEOMETRIES = msgspec.json.Decoder(list[Geometry])


class _Irregular(Exception):
    """The coordinates are not nested as their type demands, or a position is not two or more numbers."""


def to_wkb(geometries: Sequence[Geometry | None]) -> tuple[pa.BinaryArray, pa.StringArray | None]:
    """(n,) geometries -> (n,) little-endian ISO WKB, and (n,) why one cannot be read; None when all can.

    3D where a position of the geometry has a third number; later ones have no meaning (RFC 7946, 3.1.1).
    Reasons: `unreadable_geometry`, `unsupported_geometry_type`.
    """
    rows: dict[str, list[int]] = {}
    of_type: dict[str, list[Geometry]] = {}
    for row, geometry in enumerate(geometries):
        if geometry is not None:
            rows.setdefault(geometry.type, []).append(row)
            of_type.setdefault(geometry.type, []).append(geometry)
    encoded = {type_: _of_type(type_, members) for type_, members in of_type.items()}
    is_uniform = len(rows) == 1 and None not in geometries
    wkb = encoded.popitem()[1] if is_uniform else _scattered(rows, encoded, len(geometries))
    return wkb, _reasons(geometries, wkb)


def _scattered(rows: dict[str, list[int]], encoded: dict[str, pa.BinaryArray], count: int) -> pa.BinaryArray:
    values: list[bytes | None] = [None] * count
    for type_, of_type in rows.items():
        for row, value in zip(of_type, encoded[type_].to_pylist(), strict=True):
            values[row] = value
    return pa.array(values, pa.binary())


def _reasons(geometries: Sequence[Geometry | None], wkb: pa.BinaryArray) -> pa.StringArray | None:
    if wkb.null_count == geometries.count(None):
        return None
    return pa.array([_reason(*pair) for pair in zip(geometries, wkb.is_valid().to_pylist(), strict=True)], pa.string())


def _reason(geometry: Geometry | None, is_valid: bool) -> str | None:
    if geometry is None or is_valid:
        return None
    is_known = geometry.type in GEOMETRY_TYPES or not geometry.type
    return "unreadable_geometry" if is_known else "unsupported_geometry_type"


def _of_type(type_: str, geometries: Sequence[Geometry]) -> pa.BinaryArray:
    if kind := _KINDS.get(type_):
        return _encoded(kind, [geometry.coordinates for geometry in geometries])
    if type_ == _COLLECTION_TYPE:
        return pa.array([_collection(geometry.geometries) for geometry in geometries], pa.binary())
    return pa.nulls(len(geometries), pa.binary())


def _collection(members: msgspec.Raw, depth: int = 1) -> bytes | None:
    """Its members one by one; None when one of them cannot be read."""
    try:
        geometries = _GEOMETRIES.decode(members)
    except (msgspec.DecodeError, RecursionError):
        return None
    if depth == _DEEPEST_COLLECTION:
        return None
    parts = [_member(geometry, depth) for geometry in geometries]
    if not all(parts):
        return None
    return _header(COLLECTION) + len(parts).to_bytes(_COUNT_BYTES, "little") + b"".join(filter(None, parts))


def _member(geometry: Geometry, depth: int) -> bytes | None:
    if geometry.type == _COLLECTION_TYPE:
        return _collection(geometry.geometries, depth + 1)
    value: bytes | None = _of_type(geometry.type, [geometry])[0].as_py()
    return value


def _header(code: int) -> bytes:
    return b"\x01" + code.to_bytes(4, "little")


def _encoded(kind: _Kind, texts: list[msgspec.Raw]) -> pa.BinaryArray:
    """All at once where they are regular; else in halves, down to those that are not."""
    if len(texts) == 1 or sum(map(len, texts)) <= 2 * _PIECE_BYTES:
        try:
            return _regular(kind, memoryview(texts[0] if len(texts) == 1 else b",".join(texts)), len(texts))
        except _Irregular:
            if len(texts) == 1:
                return pa.array([_empty(kind) if _is_empty(texts[0]) else None], pa.binary())
    middle = len(texts) // 2
    return pa.concat_arrays([_encoded(kind, texts[:middle]), _encoded(kind, texts[middle:])])


def _is_empty(text: msgspec.Raw) -> bool:
    return bytes(text).translate(None, b" \t\r\n") == b"[]"


def _empty(kind: _Kind) -> bytes:
    """WKB has no empty point: by convention its coordinates are NaN."""
    return _header(kind.code) + (np.full(2, np.nan).tobytes() if kind.code == POINT else bytes(_COUNT_BYTES))


def _regular(kind: _Kind, text: memoryview, count: int) -> pa.BinaryArray:
    """`count` coordinate arrays with commas between them."""
    arrays = _nested_arrays(text, kind.levels, count)
    widths, coordinates = _coordinates(text, arrays)
    return _assembled(kind, arrays.levels, widths, coordinates)


@dataclass(frozen=True)
class _Arrays:
    """levels: (a,) of each array in the order in which they open, 1 for a whole geometry's. numbers: (p,) how many of
    them each array of the innermost level has: a position."""

    levels: NDArray[np.int16]
    numbers: Counts

    @property
    def geometry_of_positions(self) -> Positions:
        is_position = self.levels == self.levels.max()
        geometry: Positions = np.cumsum(self.levels == 1)[is_position] - 1
        return geometry


def _nested_arrays(text: memoryview, levels: int, count: int) -> _Arrays:
    """Only brackets and commas tell the nesting: the text is known to be JSON."""
    tokens = np.frombuffer(b"".join(piece.translate(None, _NOT_STRUCTURE) for piece in _pieces(text)), np.uint8)
    opens, closes = tokens == _OPENING, tokens == _CLOSING
    depth = np.cumsum(opens.astype(np.int8) - closes, dtype=np.int16)
    # Above the positions there is nothing but arrays: each bracket and each comma is followed by a bracket.
    leads_to_array = ~closes & (depth < levels)
    _require(len(tokens) > 0 and bool(opens[0] and closes[-1]) and int(depth.max()) <= levels)
    _require(bool(opens[1:][leads_to_array[:-1]].all()))
    begins, ends = np.flatnonzero(opens & (depth == levels)), np.flatnonzero(closes & (depth == levels - 1))
    found = _Arrays(depth[opens], (ends - begins).astype(np.int32))
    _require(int((found.levels == 1).sum()) == count and int(found.numbers.min()) >= 2)
    return found


def _coordinates(text: memoryview, arrays: _Arrays) -> tuple[Counts, NDArray[np.float64]]:
    """(p,) numbers of each position that count, 2 or 3, the same in all of a geometry; and these numbers in order."""
    numbers = _numbers(text, int(arrays.numbers.sum()))
    if int(arrays.numbers.max()) == 2 or (arrays.numbers == 3).all():
        return arrays.numbers, numbers
    geometry = arrays.geometry_of_positions
    with_z = np.bincount(geometry, weights=arrays.numbers > 2) > 0
    widths = np.where(with_z[geometry], 3, 2).astype(np.int32)
    begins, targets = np.cumsum(arrays.numbers) - arrays.numbers, np.cumsum(widths) - widths
    # A height that is missing is 0, as GDAL has it.
    coordinates = np.zeros(int(widths.sum()))
    for axis in range(3):
        has = (arrays.numbers > axis) & (widths > axis)
        coordinates[targets[has] + axis] = numbers[begins[has] + axis]
    return widths, coordinates


def _numbers(text: memoryview, expected: int) -> NDArray[np.float64]:
    numbers = np.empty(expected)
    filled = 0
    for piece in _pieces(text):
        flat = piece.translate(None, _NOT_NUMBERS).removesuffix(b",")
        try:
            values = _FLOATS.decode(b"[" + flat + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _Irregular from error
        _require(filled + len(values) <= expected)
        numbers[filled : filled + len(values)] = values
        filled += len(values)
    _require(filled == expected)
    return numbers


def _pieces(text: memoryview) -> Iterator[bytes]:
    """The text, cut behind commas."""
    begin = 0
    while len(text) - begin > _PIECE_BYTES:
        piece = bytes(text[begin : begin + _PIECE_BYTES])
        end = piece.rfind(b",") + 1
        _require(end > 0)
        yield piece[:end]
        begin += end
    yield bytes(text[begin:])


def _assembled(
    kind: _Kind, levels: NDArray[np.int16], widths: Counts, coordinates: NDArray[np.float64]
) -> pa.BinaryArray:
    """Every array has its place in the bytes; what headers and counts leave over are the coordinates, in order."""
    prefixes = [HEADER_BYTES * (n <= kind.headed) + _COUNT_BYTES * (n < kind.levels) for n in range(1, kind.levels + 1)]
    is_position = levels == kind.levels
    sizes = np.array(prefixes, np.int32)[levels - 1]
    sizes[is_position] += 8 * widths
    ends = np.cumsum(sizes, dtype=np.int64)
    begins = ends - sizes
    raw = np.empty(int(ends[-1]), np.uint8)
    _write_coordinates(raw, coordinates, levels, begins, prefixes)
    first_position = np.cumsum(is_position, dtype=np.int32) - is_position
    for level, prefix in enumerate(prefixes, start=1):
        arrays = np.flatnonzero(levels == level)
        if level <= kind.headed:
            code = kind.code if level == 1 else kind.part
            raw[begins[arrays]] = _LITTLE_ENDIAN
            _write_uint32(raw, begins[arrays] + 1, code + _ISO_Z * (widths[first_position[arrays]] == 3))
        if level < kind.levels:
            _write_uint32(raw, begins[arrays] + prefix - _COUNT_BYTES, _children(levels, arrays))
    return from_buffers(raw, np.append(begins[levels == 1], ends[-1]))


def _write_coordinates(
    raw: Bytes, coordinates: NDArray[np.float64], levels: NDArray[np.int16], begins: Positions, prefixes: list[int]
) -> None:
    """Fill what the prefixes leave over. In windows: a mask of all of a large geometry would be as large as itself."""
    source, done = coordinates.view(np.uint8), 0
    for first in range(0, len(levels), _WINDOW_ARRAYS):
        begin = begins[first]
        end = begins[first + _WINDOW_ARRAYS] if first + _WINDOW_ARRAYS < len(begins) else len(raw)
        is_coordinate = np.ones(end - begin, bool)
        for level, prefix in enumerate(prefixes, start=1):
            at = begins[first : first + _WINDOW_ARRAYS][levels[first : first + _WINDOW_ARRAYS] == level] - begin
            is_coordinate[at[:, None] + np.arange(prefix)] = False
        count = int(np.count_nonzero(is_coordinate))
        raw[begin:end][is_coordinate] = source[done : done + count]
        done += count


def _children(levels: NDArray[np.int16], arrays: Positions) -> Positions:
    """How many arrays each of these, which are all of one level, has directly below it."""
    below = np.cumsum(levels == levels[arrays[0]] + 1, dtype=np.int32)
    return np.diff(np.append(below[arrays], below[-1]))


def _write_uint32(raw: Bytes, at: Positions, values: Positions) -> None:
    raw[at[:, None] + np.arange(4)] = values.astype("<u4").view(np.uint8).reshape(-1, 4)


def _require(holds: bool) -> None:
    if not holds:
        raise _Irregular
