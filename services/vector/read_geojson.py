"""Read GeoJSON as a stream: a FeatureCollection, one feature or geometry, or a sequence of them (RFC 7946 and 8142)."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.errors import InvalidInput
from services.vector.geojson_features import Feature, parse_features
from services.vector.geojson_geometry import to_wkb
from services.vector.json_columns import JsonColumns, Row
from services.vector.json_slices import BLOCK_BYTES, GeoJsonSlices, Slice, malformed
from services.vector.ogr_layer import file_crs
from services.vector.read_ogr import choose_crs
from services.vector.source import ReadOptions, SourceBatch, VectorSource, requested_crs

_WGS84 = CRS.from_epsg(4326)
_ID = "id"
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


class _Reading:
    def __init__(self, path: Path, options: ReadOptions, block_bytes: int) -> None:
        self._options = options
        self._slices = GeoJsonSlices(path, block_bytes)
        self._columns = JsonColumns()
        self._features = 0
        self._id_is_property = False

    def batches(self) -> Iterator[SourceBatch]:
        return map(self._batch, self._slices)

    def _batch(self, part: Slice) -> SourceBatch:
        features = parse_features(part, self._features + 1)
        self._features += len(features)
        wkb, reasons = to_wkb([feature.geometry for feature in features])
        return SourceBatch(self._columns.batch(self._rows(features)), wkb, reasons)

    def _rows(self, features: list[Feature]) -> list[Row]:
        """The properties, with the feature's own id among them where it is no property."""
        rows: list[Row] = [feature.properties or {} for feature in features]
        for row, feature in zip(rows, features, strict=True):
            if _ID in row:
                self._id_is_property = True
            elif feature.id is not None:
                row[_ID] = feature.id
        return rows

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
