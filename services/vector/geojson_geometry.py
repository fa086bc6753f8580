"""GeoJSON geometries to WKB, a batch at a time: their coordinates are read as one text, with no object per position."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from services.vector.json_coordinates import PIECE_BYTES, Irregular, coordinates, nested_arrays, require
from services.vector.wkb import COLLECTION, POINT
from services.vector.wkb_assembly import COUNT_BYTES, KINDS, Kind, assembled

NO_TEXT = msgspec.Raw(b"")

_COLLECTION_TYPE = "GeometryCollection"
_DEEPEST_COLLECTION = 16
GEOMETRY_TYPES = frozenset({*KINDS, _COLLECTION_TYPE})


class Geometry(msgspec.Struct, gc=False):
    """A geometry whose coordinates, or members, are still text."""

    type: str = ""
    coordinates: msgspec.Raw = NO_TEXT
    geometries: msgspec.Raw = NO_TEXT


_GEOMETRIES = msgspec.json.Decoder(list[Geometry])


def to_wkb(geometries: Sequence[Geometry | None]) -> tuple[pa.BinaryArray, pa.StringArray | None]:
    """(n,) geometries -> (n,) little-endian ISO WKB, and (n,) why one cannot be read; None when all can.

    3D where a position of the geometry has a third number; later ones have no meaning (RFC 7946, 3.1.1).
    Reasons: `unreadable_geometry`, `unsupported_geometry_type`.
    """
    types = [None if geometry is None else geometry.type for geometry in geometries]
    encoded = {
        type_: _of_type(type_, [each for each in geometries if each is not None and each.type == type_])
        for type_ in dict.fromkeys(types)
        if type_ is not None
    }
    is_uniform = len(encoded) == 1 and None not in types
    wkb = encoded.popitem()[1] if is_uniform else _scattered(types, encoded)
    return wkb, _reasons(geometries, wkb)


def _scattered(types: Sequence[str | None], encoded: Mapping[str, pa.BinaryArray]) -> pa.BinaryArray:
    """The geometries of each type in order -> those of all types in the rows' order, null where there is none."""
    joined = pa.concat_arrays([pa.nulls(0, pa.binary()), *encoded.values()])
    row_types = np.array(types, object)
    places, first = np.full(len(types), -1), 0
    for type_, members in encoded.items():
        places[row_types == type_] = np.arange(first, first + len(members))
        first += len(members)
    return joined.take(pa.array(places, mask=places < 0))


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
    if kind := KINDS.get(type_):
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
    return _header(COLLECTION) + len(parts).to_bytes(COUNT_BYTES, "little") + b"".join(filter(None, parts))


def _member(geometry: Geometry, depth: int) -> bytes | None:
    if geometry.type == _COLLECTION_TYPE:
        return _collection(geometry.geometries, depth + 1)
    value: bytes | None = _of_type(geometry.type, [geometry])[0].as_py()
    return value


def _header(code: int) -> bytes:
    return b"\x01" + code.to_bytes(4, "little")


def _encoded(kind: Kind, texts: list[msgspec.Raw]) -> pa.BinaryArray:
    """All at once where they are regular; else in halves, down to those that are not."""
    if len(texts) == 1 or sum(map(len, texts)) <= 2 * PIECE_BYTES:
        try:
            return _regular(kind, memoryview(texts[0] if len(texts) == 1 else b",".join(texts)), len(texts))
        except Irregular:
            if len(texts) == 1:
                return pa.array([_empty(kind) if _is_empty(texts[0]) else None], pa.binary())
    middle = len(texts) // 2
    return pa.concat_arrays([_encoded(kind, texts[:middle]), _encoded(kind, texts[middle:])])


def _is_empty(text: msgspec.Raw) -> bool:
    return bytes(text).translate(None, b" \t\r\n") == b"[]"


def _empty(kind: Kind) -> bytes:
    """WKB has no empty point: by convention its coordinates are NaN."""
    return _header(kind.code) + (np.full(2, np.nan).tobytes() if kind.code == POINT else bytes(COUNT_BYTES))


def _regular(kind: Kind, text: memoryview, count: int) -> pa.BinaryArray:
    """`count` arrays of coordinates with commas between them."""
    arrays = nested_arrays(text, kind.levels, count)
    widths, numbers = coordinates(text, arrays)
    wkb = assembled(kind, arrays.levels, widths, numbers)
    require(numbers.is_exhausted())
    return wkb
