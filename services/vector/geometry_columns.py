"""Geometry from the columns of a table: latitude and longitude, or well-known text or binary."""

import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.errors import InvalidInput
from services.vector.cells import is_text
from services.vector.source import CrsOrigin, ReadOptions, SourceBatch, crs_missing, requested_crs
from services.vector.wkb import COLLECTION, Mask, from_buffers, points_to_wkb, read_headers, read_srids

# Characters of a text that is no geometry.
_MOST_QUOTED = 100
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SRID_PREFIX = r"^\s*SRID\s*=\s*(?P<srid>\d{1,9})\s*;"
# WKB in hexadecimal digits begins with its byte order; databases put \x or 0x before it.
_HEX = r"^(\\x|0x)?0[01][0-9A-Fa-f]{8,}$"
# GEOS parses these, but shapely has no objects for them and raises for the whole array.
_CURVED = r"(?i)\b(CIRCULARSTRING|COMPOUNDCURVE|CURVEPOLYGON|MULTICURVE|MULTISURFACE)\b"
_WGS84 = CRS.from_epsg(4326)

Rows = Callable[[], Iterator[pa.RecordBatch]]
Numbers = NDArray[np.float64]


class GeometryColumns(Protocol):
    def attribute_schema(self, schema: pa.Schema) -> pa.Schema:
        """What `split` leaves as attributes of rows with this schema."""

    def split(self, rows: pa.RecordBatch) -> SourceBatch:
        """(n rows) -> attributes, geometry and reasons, in the same order."""


@dataclass(frozen=True)
class Located:
    """How the rows of a table get their geometry, and in which CRS it is."""

    columns: GeometryColumns
    crs: CRS
    crs_found_in: CrsOrigin


def locate(options: ReadOptions, schema: pa.Schema, rows: Rows, *, decimal: str = ".") -> Located:
    """The columns that the request names, and their CRS: the request's, else that of the first SRID in the rows, else
    EPSG:4326 where the coordinates of the first batch plainly are degrees.

    Raises InvalidInput: `geometry_columns_missing`, `column_not_found`, `wrong_column_type`, `crs_missing`.
    """
    requested = requested_crs(options)
    if column := options.well_known_column:
        _require_columns(schema, options, _is_well_known)
        return _located_well_known(column, requested, next(rows(), None))
    if not (options.lat_name and options.lon_name):
        raise InvalidInput(
            "geometry_columns_missing",
            "The file does not say which of its columns hold the geometry.",
            parameter="lat_name",
            remedy=f"Give lat_name and lon_name, wkt_column or wkb_column. Its columns are: {', '.join(schema.names)}.",
        )
    _require_columns(schema, options, _is_number)
    crs = requested or _WGS84
    columns = LatLon(options.lat_name, options.lon_name, decimal, is_lon_lat=crs == _WGS84)
    return Located(columns, crs, "parameter" if requested else "format")


def _located_well_known(column: str, requested: CRS | None, first: pa.RecordBatch | None) -> Located:
    sample = None if first is None else _decoded(first[column])
    srid = None if sample is None else sample.first_srid
    crs, origin = _well_known_crs(requested, srid, sample)
    return Located(WellKnown(column, srid or crs.to_epsg()), crs, origin)


def _well_known_crs(requested: CRS | None, srid: int | None, sample: "_Decoded | None") -> tuple[CRS, CrsOrigin]:
    if requested is not None:
        return requested, "parameter"
    if srid is not None:
        return _crs_of_srid(srid), "file"
    if sample is not None and not sample.is_plainly_lon_lat:
        raise crs_missing("The geometry column")
    return _WGS84, "format"


def _crs_of_srid(srid: int) -> CRS:
    """PostGIS numbers the systems of EPSG as EPSG does, and those of Esri as Esri does."""
    for authority in ("EPSG", "ESRI"):
        try:
            return CRS.from_authority(authority, srid)
        except CRSError:
            continue
    raise crs_missing(f"The geometry column has the SRID {srid}, which is not known here, and")


def _require_columns(schema: pa.Schema, options: ReadOptions, fits: Callable[[pa.DataType], bool]) -> None:
    for parameter, name in options.geometry_columns.items():
        if name not in schema.names:
            available = ", ".join(schema.names)
            raise InvalidInput(
                "column_not_found", f"column '{name}' not found; available: {available}", parameter=parameter
            )
        if not fits(schema.field(name).type):
            raise InvalidInput(
                "wrong_column_type",
                f"column '{name}' is of type {schema.field(name).type}, which {parameter} cannot be.",
                parameter=parameter,
            )


def _is_number(kind: pa.DataType) -> bool:
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return is_text(kind) or any(is_kind(kind) for is_kind in numeric)


def _is_well_known(kind: pa.DataType) -> bool:
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return is_text(kind) or any(is_kind(kind) for is_kind in binary)


@dataclass(frozen=True)
class LatLon:
    """Two coordinate columns, x = lon_name and y = lat_name. They stay as attributes, of type double where the file
    has them as text.

    is_lon_lat: the CRS is EPSG:4326, so that a value beyond 90 or 180 degrees cannot be meant.
    """

    lat_name: str
    lon_name: str
    decimal: str
    is_lon_lat: bool

    def attribute_schema(self, schema: pa.Schema) -> pa.Schema:
        for name in (self.lat_name, self.lon_name):
            if is_text(schema.field(name).type):
                schema = schema.set(schema.get_field_index(name), pa.field(name, pa.float64()))
        return schema

    def split(self, rows: pa.RecordBatch) -> SourceBatch:
        lat, no_lat = _numbers(rows[self.lat_name], self.decimal)
        lon, no_lon = _numbers(rows[self.lon_name], self.decimal)
        reasons = self._reasons(no_lat | no_lon, lat, lon)
        return SourceBatch(
            attributes=self._attributes(rows, lat, lon),
            geometry=points_to_wkb(lon, lat, np.isfinite(lat) & np.isfinite(lon)),
            reasons=pa.array(reasons, pa.string()) if reasons.any() else None,
            details=_quoted(reasons == "unreadable_coordinates", rows[self.lat_name], rows[self.lon_name]),
        )

    def _reasons(self, blank: Mask, lat: Numbers, lon: Numbers) -> NDArray[np.object_]:
        reasons = np.full(len(lat), None, object)
        if self.is_lon_lat:
            reasons[(np.abs(lat) > 90) | (np.abs(lon) > 180)] = "coordinates_out_of_range"
            reasons[(np.abs(lat) > 90) & (np.abs(lat) <= 180) & (np.abs(lon) <= 90)] = "axes_swapped"
        reasons[~(np.isfinite(lat) & np.isfinite(lon))] = "unreadable_coordinates"
        reasons[blank] = "null_geometry"
        return reasons

    def _attributes(self, rows: pa.RecordBatch, lat: Numbers, lon: Numbers) -> pa.RecordBatch:
        schema = self.attribute_schema(rows.schema)
        parsed = {self.lat_name: lat, self.lon_name: lon}
        arrays = [
            rows.column(position)
            if field.type == rows.schema.field(position).type
            else pa.array(parsed[field.name], from_pandas=True)
            for position, field in enumerate(schema)
        ]
        return pa.record_batch(arrays, schema=schema)


@dataclass(frozen=True)
class WellKnown:
    """One column of WKT, EWKT, or WKB or EWKB, binary or in hexadecimal digits. It does not stay as an attribute.

    srid: the source's; a row with another one is rejected.
    """

    column: str
    srid: int | None

    def attribute_schema(self, schema: pa.Schema) -> pa.Schema:
        return schema.remove(schema.get_field_index(self.column))

    def split(self, rows: pa.RecordBatch) -> SourceBatch:
        decoded = _decoded(rows[self.column])
        reasons = np.full(len(rows), None, object)
        reasons[decoded.wkb.is_null().to_numpy(zero_copy_only=False)] = "unreadable_geometry"
        reasons[(decoded.srids != 0) & (decoded.srids != self.srid)] = "srid_mismatch"
        reasons[decoded.is_blank] = "null_geometry"
        return SourceBatch(
            attributes=rows.drop_columns([self.column]),
            geometry=decoded.wkb,
            reasons=pa.array(reasons, pa.string()) if reasons.any() else None,
            details=_quoted(reasons == "unreadable_geometry", rows[self.column]),
        )


@dataclass(frozen=True)
class _Decoded:
    """(n,) WKB, null where there is none to be read; (n,) SRIDs, 0 where there is none; (n,) whether it is blank."""

    wkb: pa.BinaryArray
    srids: NDArray[np.int64]
    is_blank: Mask

    @property
    def first_srid(self) -> int | None:
        return next((int(srid) for srid in self.srids[self.srids != 0]), None)

    @property
    def is_plainly_lon_lat(self) -> bool:
        readable = self.wkb.filter(pa.array(np.isin(read_headers(self.wkb).base, range(1, COLLECTION + 1))))
        if not len(readable):
            return True
        geometries = shapely.from_wkb(readable.to_numpy(zero_copy_only=False), on_invalid="ignore")
        bounds = shapely.total_bounds(geometries)
        inside = np.abs(bounds) <= np.array([180.0, 90.0, 180.0, 90.0])
        return bool((inside | np.isnan(bounds)).all())


def _quoted(which: Mask, *columns: pa.Array) -> pa.StringArray | None:
    """(n,) what stands in the columns of the rows that are chosen, shortened; None when nothing is to be shown."""
    if not which.any() or not all(is_text(column.type) for column in columns):
        return None
    texts = [column.cast(pa.string()) for column in columns]
    shown = [pc.if_else(pc.less(pc.utf8_length(text), _MOST_QUOTED), text, _shortened(text)) for text in texts]
    return pc.if_else(pa.array(which), pc.binary_join_element_wise(*shown, ", "), None)


def _shortened(text: pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise(pc.utf8_slice_codeunits(text, 0, _MOST_QUOTED), "...", "")


def _decoded(column: pa.Array) -> _Decoded:
    if not is_text(column.type):
        wkb = column.cast(pa.binary())
        return _Decoded(wkb, read_srids(wkb), wkb.is_null().to_numpy(zero_copy_only=False))
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    is_hex = pc.fill_null(pc.match_substring_regex(text, _HEX), False)
    wkb, srids = _from_wkt(pc.if_else(is_hex, None, text))
    if pc.any(is_hex).as_py():
        binary = _from_hex(pc.if_else(is_hex, text, None))
        wkb, srids = pc.coalesce(wkb, binary), srids + read_srids(binary)
    return _Decoded(wkb, srids, _is_blank(text))


def _from_wkt(text: pa.StringArray) -> tuple[pa.BinaryArray, NDArray[np.int64]]:
    srids = pc.struct_field(pc.extract_regex(text, _SRID_PREFIX), "srid").cast(pa.int64())
    curved = pc.fill_null(pc.match_substring_regex(text, _CURVED), False)
    plain = pc.if_else(curved, None, pc.replace_substring_regex(text, _SRID_PREFIX, ""))
    geometries = shapely.from_wkt(plain.to_numpy(zero_copy_only=False), on_invalid="ignore")
    wkb = shapely.to_wkb(geometries, output_dimension=4, byte_order=1, flavor="iso")
    return pa.array(wkb, pa.binary()), pc.fill_null(srids, 0).to_numpy(zero_copy_only=False)


def _from_hex(text: pa.StringArray) -> pa.BinaryArray:
    """(n,) binary; null where the text is null or ends in the middle of a byte."""
    digits = pc.replace_substring_regex(text, r"^(\\x|0x)", "")
    whole = pc.equal(pc.bit_wise_and(pc.binary_length(digits), 1), 0)
    digits = pc.if_else(whole, digits, None)
    lengths = pc.fill_null(pc.binary_length(digits), 0).to_numpy(zero_copy_only=False) // 2
    raw = binascii.unhexlify("".join(digits.drop_null().to_pylist()))
    packed = from_buffers(np.frombuffer(raw, np.uint8), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
    return pc.if_else(digits.is_valid(), packed, None)


def _numbers(column: pa.Array, decimal: str) -> tuple[Numbers, Mask]:
    """(n,) float64, NaN where there is no number, and (n,) whether there is nothing at all."""
    if is_text(column.type):
        trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
        return parse_numbers(trimmed, decimal), _is_blank(trimmed)
    values = np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    return values, np.isnan(values)


def parse_numbers(text: pa.StringArray, decimal: str) -> Numbers:
    """(n,) float64, NaN where the text is no plain decimal number: `nan`, `inf` and `12°` are none, nor is a number
    with a point where the decimal sign is a comma."""
    if decimal == ",":
        text = pc.if_else(pc.match_substring(text, "."), None, pc.replace_substring(text, ",", "."))
    try:
        values = text.cast(pa.float64())
    except pa.ArrowInvalid:
        is_number = pc.match_substring_regex(text, _NUMBER)
        values = pc.if_else(is_number, text, None).cast(pa.float64())
    return np.array(values.to_numpy(zero_copy_only=False), np.float64)


def _is_blank(trimmed: pa.StringArray) -> Mask:
    blank: Mask = pc.fill_null(pc.equal(trimmed, ""), True).to_numpy(zero_copy_only=False)
    return blank
