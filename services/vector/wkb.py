"""Well-known binary in Arrow buffers, read and written with numpy: no object per geometry.

Layout (OGC 06-103r4, and PostGIS for the flags): byte order, type as uint32, then the geometry's own bytes.
ISO marks Z, M and ZM by adding 1000, 2000 and 3000 to the type; EWKB by the three highest bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]
Codes = NDArray[np.uint32]
Mask = NDArray[np.bool_]

POINT, LINESTRING, POLYGON, MULTIPOINT, MULTILINESTRING, MULTIPOLYGON, COLLECTION = range(1, 8)
TYPE_NAMES = {
    POINT: "Point",
    LINESTRING: "LineString",
    POLYGON: "Polygon",
    MULTIPOINT: "MultiPoint",
    MULTILINESTRING: "MultiLineString",
    MULTIPOLYGON: "MultiPolygon",
    COLLECTION: "GeometryCollection",
}

HEADER_BYTES = 5
_LITTLE_ENDIAN = 1
_Z_FLAG, _M_FLAG, _SRID_FLAG = 0x80000000, 0x40000000, 0x20000000
PLAIN_POINT_BYTES = 21
_POINT_RECORD = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


@dataclass(frozen=True)
class Headers:
    """One entry a row. base: type 1..17 without its dimension, 0 where there is no readable header (null rows too).

    is_plain: little endian, 2D, no SRID: the form the encoder takes as it is.
    """

    base: Codes
    has_z: Mask
    has_m: Mask
    is_plain: Mask


def read_headers(geometry: pa.BinaryArray) -> Headers:
    """The type of every row, from its first five bytes. geometry: (n,) WKB of any dialect, nulls allowed."""
    raw, offsets = buffers(geometry)
    readable = np.diff(offsets) >= HEADER_BYTES
    if geometry.null_count:
        readable &= geometry.is_valid().to_numpy(zero_copy_only=False)
    starts = offsets[:-1][readable]
    order, code = raw[starts], read_uint32(raw, starts + 1)
    code = np.where(order == _LITTLE_ENDIAN, code, code.byteswap())
    iso_dimension, base = np.divmod(code & 0x0FFFFFFF, 1000)
    has_z = ((code & _Z_FLAG) != 0) | (iso_dimension == 1) | (iso_dimension == 3)
    has_m = ((code & _M_FLAG) != 0) | (iso_dimension == 2) | (iso_dimension == 3)
    base[(order > _LITTLE_ENDIAN) | (iso_dimension > 3)] = 0
    is_plain = (order == _LITTLE_ENDIAN) & (code == base)
    return Headers(*(_scattered(values, readable) for values in (base.astype(np.uint32), has_z, has_m, is_plain)))


def read_srids(geometry: pa.BinaryArray) -> NDArray[np.int64]:
    """(n,) the SRID that EWKB carries in each row, 0 where there is none."""
    raw, offsets = buffers(geometry)
    has_room = np.diff(offsets) >= HEADER_BYTES + 4
    starts = offsets[:-1][has_room]
    is_little = raw[starts] == _LITTLE_ENDIAN
    code, srid = read_uint32(raw, starts + 1), read_uint32(raw, starts + HEADER_BYTES)
    code, srid = (np.where(is_little, values, values.byteswap()) for values in (code, srid))
    srids: NDArray[np.int64] = _scattered(np.where(code & _SRID_FLAG, srid, 0).astype(np.int64), has_room)
    return srids


def _scattered(values: NDArray[Any], where: Mask) -> NDArray[Any]:
    full = np.zeros(len(where), values.dtype)
    full[where] = values
    return full


def buffers(geometry: pa.BinaryArray) -> tuple[Bytes, Positions]:
    """The array's bytes and (n + 1,) offsets into them, from 0. Views where Arrow's layout allows it."""
    if isinstance(geometry, pa.ExtensionArray):
        geometry = geometry.storage
    if not pa.types.is_binary(geometry.type):
        geometry = geometry.cast(pa.binary())
    _, offset_buffer, data_buffer = geometry.buffers()
    if len(geometry) == 0 or data_buffer is None:
        return np.zeros(0, np.uint8), np.zeros(len(geometry) + 1, np.int64)
    offsets = np.frombuffer(offset_buffer, np.int32)[geometry.offset : geometry.offset + len(geometry) + 1]
    raw = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return raw, offsets.astype(np.int64) - offsets[0]


def from_buffers(raw: Bytes, offsets: Positions) -> pa.BinaryArray:
    """The inverse of `buffers`, without copying the bytes. Raises pa.ArrowCapacityError beyond 2 GiB."""
    if offsets[-1] > np.iinfo(np.int32).max:
        raise pa.ArrowCapacityError("a batch of geometries is larger than 2 GiB")
    arrow_offsets = pa.py_buffer(offsets.astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, arrow_offsets, pa.py_buffer(raw)])


def read_uint32(raw: Bytes, positions: Positions) -> Codes:
    """Little-endian uint32 at each byte position; positions need no alignment."""
    if len(positions) == 0:
        return np.zeros(0, np.uint32)
    values: Codes = raw[positions[:, None] + np.arange(4)].view("<u4").ravel()
    return values


def points_to_wkb(x: NDArray[np.float64], y: NDArray[np.float64], usable: Mask) -> pa.BinaryArray:
    """(n,) 2D points; null where not usable."""
    records = np.empty(int(usable.sum()), _POINT_RECORD)
    records["order"], records["type"] = _LITTLE_ENDIAN, POINT
    records["x"], records["y"] = x[usable], y[usable]
    offsets = np.concatenate([[0], np.cumsum(usable)]).astype(np.int32) * _POINT_RECORD.itemsize
    bitmap = pa.py_buffer(np.packbits(usable, bitorder="little"))
    data = [bitmap, pa.py_buffer(offsets), pa.py_buffer(records.view(np.uint8))]
    return pa.Array.from_buffers(pa.binary(), len(usable), data)


def point_coordinates(points: pa.BinaryArray) -> NDArray[np.float64]:
    """(n, 2) coordinates of plain points without nulls."""
    records = buffers(points)[0].view(_POINT_RECORD)
    return np.column_stack([records["x"], records["y"]])
