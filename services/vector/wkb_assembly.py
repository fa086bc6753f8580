"""WKB out of nested arrays: many geometries of one type at once, with numpy and no object per geometry.

Layout (OGC 06-103r4): a geometry is a header, a number of parts and the parts, which are geometries or rings; a ring is
a number of points and the points.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from services.vector.json_coordinates import Counts, Levels, Numbers
from services.vector.wkb import (
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

COUNT_BYTES = 4

_LITTLE_ENDIAN = 1
_ISO_Z = 1000
_WINDOW_ARRAYS = 1 << 16


@dataclass(frozen=True)
class Kind:
    """How a type is nested. levels: of arrays; those of the innermost are positions, all others have a count in WKB.
    headed: number of outer levels whose arrays also have a header. part: the type in that of the second level."""

    code: int
    levels: int
    headed: int = 1
    part: int = 0

    @property
    def prefixes(self) -> list[int]:
        """By level, how many bytes stand before the content of an array."""
        return [
            HEADER_BYTES * (level <= self.headed) + COUNT_BYTES * (level < self.levels)
            for level in range(1, self.levels + 1)
        ]


KINDS = {
    "Point": Kind(POINT, levels=1),
    "LineString": Kind(LINESTRING, levels=2),
    "MultiPoint": Kind(MULTIPOINT, levels=2, headed=2, part=POINT),
    "Polygon": Kind(POLYGON, levels=3),
    "MultiLineString": Kind(MULTILINESTRING, levels=3, headed=2, part=LINESTRING),
    "MultiPolygon": Kind(MULTIPOLYGON, levels=4, headed=2, part=POLYGON),
}


def assembled(kind: Kind, levels: Levels, widths: Counts, numbers: Numbers) -> pa.BinaryArray:
    """Little-endian ISO WKB of each array of level 1.

    levels: (a,) of all arrays in the order in which they open. widths: (p,) numbers of each position, 2 or 3.
    Raises Irregular when there are more or fewer numbers.
    """
    is_position = levels == kind.levels
    sizes = np.array(kind.prefixes, np.int32)[levels - 1]
    sizes[is_position] += 8 * widths
    # Below 2^31: a position takes at least 6 bytes of text, of which there are less than 2^28, and at most 29 of WKB.
    ends = np.cumsum(sizes, dtype=np.int32)
    raw = np.empty(int(ends[-1]), np.uint8)
    _write_coordinates(raw, kind, levels, ends, sizes, numbers)
    for level, prefix in enumerate(filter(None, kind.prefixes), start=1):
        arrays = np.flatnonzero(levels == level)
        begins = ends[arrays] - sizes[arrays]
        if level <= kind.headed:
            code = kind.code if level == 1 else kind.part
            positions = _counted(is_position, arrays)
            is_3d = widths[np.cumsum(positions) - positions] == 3
            raw[begins] = _LITTLE_ENDIAN
            _write_uint32(raw, begins + 1, code + _ISO_Z * is_3d)
        if level < kind.levels:
            _write_uint32(raw, begins + prefix - COUNT_BYTES, _counted(levels == level + 1, arrays))
    starts = np.flatnonzero(levels == 1)
    return from_buffers(raw, np.append(ends[starts] - sizes[starts], ends[-1]))


def _write_coordinates(raw: Bytes, kind: Kind, levels: Levels, ends: Counts, sizes: Counts, numbers: Numbers) -> None:
    """Fill what the prefixes leave over. In windows: the numbers of a large geometry are never there all at once."""
    for first in range(0, len(levels), _WINDOW_ARRAYS):
        window = slice(first, first + _WINDOW_ARRAYS)
        begins = ends[window] - sizes[window]
        part = raw[begins[0] : ends[window][-1]]
        is_coordinate = np.ones(len(part), bool)
        for level, prefix in enumerate(kind.prefixes, start=1):
            at = begins[levels[window] == level] - begins[0]
            is_coordinate[at[:, None] + np.arange(prefix)] = False
        portion = numbers.take(int(np.count_nonzero(is_coordinate)) // 8)
        part[is_coordinate] = portion.view(np.uint8)


def _counted(chosen: NDArray[np.bool_], arrays: Positions) -> Positions:
    """How many of the chosen arrays each of these has inside of it: they are all of one level."""
    return np.add.reduceat(chosen, arrays, dtype=np.int64)


def _write_uint32(raw: Bytes, at: Positions, values: Positions) -> None:
    raw[at[:, None] + np.arange(4)] = values.astype("<u4").view(np.uint8).reshape(-1, 4)
