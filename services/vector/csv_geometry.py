"""Geometry from the columns of a CSV: latitude and longitude, or well-known text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from services.vector.source import SourceBatch
from services.vector.wkb import points_to_wkb

# Characters of a text that is no geometry.
_MOST_QUOTED = 100
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SRID_PREFIX = r"^\s*SRID\s*=\s*(?P<srid>\d+)\s*;"
# GEOS parses these, but shapely has no objects for them and raises for the whole array.
_CURVED = r"(?i)\b(CIRCULARSTRING|COMPOUNDCURVE|CURVEPOLYGON|MULTICURVE|MULTISURFACE)\b"


class GeometryColumns(Protocol):
    def attribute_schema(self, header: Sequence[str]) -> pa.Schema:
        """What `split` leaves as attributes: strings, but for parsed coordinates."""

    def split(self, rows: pa.RecordBatch) -> SourceBatch:
        """(n rows of strings) -> attributes, geometry and reasons, in the same order."""


@dataclass(frozen=True)
class LatLon:
    """Two coordinate columns, x = lon_name and y = lat_name. They stay as attributes of type double.

    is_lon_lat: the CRS is EPSG:4326, so that a value beyond 90 or 180 degrees cannot be meant.
    """

    lat_name: str
    lon_name: str
    decimal: str
    is_lon_lat: bool

    def attribute_schema(self, header: Sequence[str]) -> pa.Schema:
        coordinates = (self.lat_name, self.lon_name)
        return pa.schema([(name, pa.float64() if name in coordinates else pa.string()) for name in header])

    def split(self, rows: pa.RecordBatch) -> SourceBatch:
        lat_text, lon_text = _trimmed(rows[self.lat_name]), _trimmed(rows[self.lon_name])
        lat, lon = parse_numbers(lat_text, self.decimal), parse_numbers(lon_text, self.decimal)
        reasons = self._reasons(_is_blank(lat_text) | _is_blank(lon_text), lat, lon)
        return SourceBatch(
            attributes=self._attributes(rows, lat, lon),
            geometry=points_to_wkb(lon, lat, np.isfinite(lat) & np.isfinite(lon)),
            reasons=pa.array(reasons, pa.string()) if reasons.any() else None,
            details=_quoted(reasons == "unreadable_coordinates", rows[self.lat_name], rows[self.lon_name]),
        )

    def _reasons(
        self, blank: NDArray[np.bool_], lat: NDArray[np.float64], lon: NDArray[np.float64]
    ) -> NDArray[np.object_]:
        reasons = np.full(len(lat), None, object)
        if self.is_lon_lat:
            reasons[(np.abs(lat) > 90) | (np.abs(lon) > 180)] = "coordinates_out_of_range"
            reasons[(np.abs(lat) > 90) & (np.abs(lat) <= 180) & (np.abs(lon) <= 90)] = "axes_swapped"
        reasons[~(np.isfinite(lat) & np.isfinite(lon))] = "unreadable_coordinates"
        reasons[blank] = "null_geometry"
        return reasons

    def _attributes(self, rows: pa.RecordBatch, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> pa.RecordBatch:
        parsed = {self.lat_name: lat, self.lon_name: lon}
        arrays = [
            pa.array(parsed[name], from_pandas=True) if name in parsed else rows[name] for name in rows.schema.names
        ]
        return pa.record_batch(arrays, schema=self.attribute_schema(rows.schema.names))


@dataclass(frozen=True)
class WellKnownText:
    """One column of WKT, or of EWKT whose SRID is the source's. It does not stay as an attribute."""

    column: str
    epsg: int | None

    def attribute_schema(self, header: Sequence[str]) -> pa.Schema:
        return pa.schema([(name, pa.string()) for name in header if name != self.column])

    def split(self, rows: pa.RecordBatch) -> SourceBatch:
        text = rows[self.column]
        blank = _is_blank(_trimmed(text))
        geometries = shapely.from_wkt(self._readable(text), on_invalid="ignore")
        missing = shapely.is_missing(geometries)
        reasons = np.full(len(text), None, object)
        reasons[missing] = "unreadable_geometry"
        reasons[blank] = "null_geometry"
        wkb = shapely.to_wkb(geometries, output_dimension=4, byte_order=1, flavor="iso")
        return SourceBatch(
            attributes=rows.drop_columns([self.column]),
            geometry=pa.array(wkb, pa.binary()),
            reasons=pa.array(reasons, pa.string()) if missing.any() else None,
            details=_quoted(reasons == "unreadable_geometry", text),
        )

    def _readable(self, text: pa.StringArray) -> NDArray[np.object_]:
        """The text as objects, without the SRID; None where the SRID differs or the geometry is curved."""
        srid = pc.struct_field(pc.extract_regex(text, _SRID_PREFIX), "srid")
        differs = pc.fill_null(pc.not_equal(srid, str(self.epsg)), False)
        refused = pc.or_(differs, pc.fill_null(pc.match_substring_regex(text, _CURVED), False))
        plain = pc.replace_substring_regex(text, _SRID_PREFIX, "")
        objects: NDArray[np.object_] = pc.if_else(refused, None, plain).to_numpy(zero_copy_only=False)
        return objects

    def is_plainly_lon_lat(self, geometry: pa.BinaryArray) -> bool:
        bounds = shapely.total_bounds(shapely.from_wkb(geometry.to_numpy(zero_copy_only=False)))
        inside = np.abs(bounds) <= np.array([180.0, 90.0, 180.0, 90.0])
        return bool((inside | np.isnan(bounds)).all())


def parse_numbers(text: pa.StringArray, decimal: str) -> NDArray[np.float64]:
    """(n,) float64, NaN where the text is no plain decimal number: `nan`, `inf` and `12°` are none."""
    if decimal == ",":
        text = pc.replace_substring(text, ",", ".")
    try:
        values = text.cast(pa.float64())
    except pa.ArrowInvalid:
        is_number = pc.match_substring_regex(text, _NUMBER)
        values = pc.if_else(is_number, text, None).cast(pa.float64())
    return np.array(values.to_numpy(zero_copy_only=False), np.float64)


def _quoted(which: NDArray[np.bool_], *texts: pa.StringArray) -> pa.StringArray | None:
    """(n,) what stands in the columns of the rows that are chosen, shortened; None when there are none."""
    if not which.any():
        return None
    shown = [pc.if_else(pc.less(pc.utf8_length(text), _MOST_QUOTED), text, _shortened(text)) for text in texts]
    return pc.if_else(pa.array(which), pc.binary_join_element_wise(*shown, ", "), None)


def _shortened(text: pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise(pc.utf8_slice_codeunits(text, 0, _MOST_QUOTED), "...", "")


def _trimmed(text: pa.StringArray) -> pa.StringArray:
    return pc.utf8_trim_whitespace(text)


def _is_blank(trimmed: pa.StringArray) -> NDArray[np.bool_]:
    blank: NDArray[np.bool_] = pc.fill_null(pc.equal(trimmed, ""), True).to_numpy(zero_copy_only=False)
    return blank
