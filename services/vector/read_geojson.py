"""Read GeoJSON as a stream: a FeatureCollection, one feature or geometry, or a sequence of them (RFC 7946 and 8142)."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.errors import InvalidInput
from services.side_by_side import processors, side_by_side
from services.vector.arriving import size_at_last
from services.vector.geojson_features import Feature, parse_features
from services.vector.geojson_geometry import to_wkb
from services.vector.json_columns import JsonColumns, JsonRows, Row
from services.vector.json_slices import BLOCK_BYTES, GeoJsonSlices, Slice, malformed
from services.vector.ogr_layer import file_crs
from services.vector.read_ogr import choose_crs
from services.vector.source import ReadOptions, SourceBatch, VectorSource, requested_crs

_WGS84 = CRS.from_epsg(4326)
_ID = "id"
# Other processes take a few milliseconds to begin, and what they say has to be copied.
_LARGE = 16 << 20
# The version of the EPSG's database may stand between the colons, and PROJ does not know them all.
_EPSG_URN = re.compile(r"urn:(?:x-)?ogc:def:crs:EPSG:[^:]*:(\d+)", re.IGNORECASE)


@contextmanager
def open_geojson(path: Path, options: ReadOptions, block_bytes: int = BLOCK_BYTES) -> Iterator[VectorSource]:
    """One layer in lon/lat, unless an old-style `crs` member, which may come last, says otherwise.

    Raises InvalidInput while reading: `unreadable_file`, `feature_too_large`, `nested_too_deeply`, `too_many_columns`,
    `unknown_crs`.
    """
    reading = _Reading(path, options, block_bytes)
    crs, origin = choose_crs(options, None, by_format=_WGS84, what="The GeoJSON file")
    yield VectorSource(
        layer=path.stem,
        driver="GeoJSON",
        crs=crs,
        crs_found_in=origin,
        schema=pa.schema([]),
        feature_count=None,
        batches=reading.batches,
        at_end=reading.completed,
    )


@dataclass(frozen=True)
class _Numbered:
    """A slice and the number of its first feature in the file, from 1."""

    part: Slice
    first: int


@dataclass(frozen=True)
class _Parsed:
    """id_is_property: some feature has a property `id`, which is not the feature's own."""

    rows: JsonRows
    wkb: pa.BinaryArray
    reasons: pa.StringArray | None
    id_is_property: bool


def _parsed(numbered: _Numbered) -> _Parsed:
    """What costs, and needs nothing but the slice."""
    features = parse_features(numbered.part, numbered.first)
    wkb, reasons = to_wkb([feature.geometry for feature in features])
    rows: list[Row] = [feature.properties or {} for feature in features]
    id_is_property = _add_ids(rows, features)
    return _Parsed(JsonRows.of(rows), wkb, reasons, id_is_property)


def _add_ids(rows: list[Row], features: list[Feature]) -> bool:
    """The feature's own id is among the properties where it is no property; whether it is one somewhere."""
    id_is_property = False
    for row, feature in zip(rows, features, strict=True):
        if _ID in row:
            id_is_property = True
        elif feature.id is not None:
            row[_ID] = feature.id
    return id_is_property


class _Reading:
    def __init__(self, path: Path, options: ReadOptions, block_bytes: int) -> None:
        self._options = options
        self._slices = GeoJsonSlices(path, block_bytes)
        self._columns = JsonColumns()
        self._processes = processors() if size_at_last(path) >= _LARGE else 1
        self._id_is_property = False

    def batches(self) -> Iterator[SourceBatch]:
        if self._processes == 1:
            yield from map(self._joined, map(_parsed, self._numbered()))
            return
        with closing(side_by_side(_parsed, self._numbered(), self._processes)) as parts:
            yield from map(self._joined, parts)

    def _numbered(self) -> Iterator[_Numbered]:
        first = 1
        for part in self._slices:
            items = part.items
            yield _Numbered(part, first)
            # Not kept while the next one is read: it may be one feature of 100 MB.
            del part
            first += items

    def _joined(self, part: _Parsed) -> SourceBatch:
        self._id_is_property |= part.id_is_property
        return SourceBatch(self._columns.joined(part.rows), part.wkb, part.reasons)

    def completed(self, source: VectorSource) -> VectorSource:
        if self._slices.members:
            declared = _declared_crs(self._slices.members, self._options)
            crs, origin = choose_crs(self._options, declared, by_format=_WGS84, what="The GeoJSON file")
            source = replace(source, crs=crs, crs_found_in=origin)
        return replace(source, schema=self._schema())

    def _schema(self) -> pa.Schema:
        """A feature's own id comes first. Where all are integers they are mere numbers, and no column."""
        schema = self._columns.schema()
        position = schema.get_field_index(_ID)
        if self._id_is_property or position < 0:
            return schema
        others = schema.remove(position)
        return others if self._columns.kinds(_ID) <= {int} else others.insert(0, schema.field(position))


def _declared_crs(members: bytearray, options: ReadOptions) -> CRS | None:
    """The CRS that the collection names, if it is another one than lon/lat and the request names none."""
    try:
        collection = json.loads(members.decode(), strict=False)
    except (ValueError, RecursionError) as error:
        raise malformed("what stands beside its features is not JSON") from error
    if collection.get("type") != "FeatureCollection":
        raise malformed("its features are not those of a FeatureCollection")
    if requested_crs(options) is not None or collection.get("crs") is None:
        return None
    crs = _known_crs(collection["crs"])
    return None if crs is None or crs.equals(_WGS84, ignore_axis_order=True) else crs


def _known_crs(member: Any) -> CRS | None:
    """Of a `crs` member as in the GeoJSON of 2008, section 3, and the form that preceded it."""
    match member:
        case {"type": "name", "properties": {"name": str(name)}}:
            text = _EPSG_URN.sub(r"EPSG:\1", name)
        case {"type": str(authority), "properties": {"code": int(code)}}:
            text = f"{authority}:{code}"
        case _:
            raise _unknown_crs("in a way that is not understood")
    try:
        return file_crs(text)
    except CRSError as error:
        raise _unknown_crs(f"as '{text[:80]}', which is not known") from error


def _unknown_crs(how: str) -> InvalidInput:
    return InvalidInput(
        "unknown_crs",
        f"The GeoJSON names its coordinate reference system {how}.",
        parameter="source_crs",
        remedy="Give it as source_crs, for example EPSG:25832.",
    )
