"""What the `geo` metadata of a Parquet file says of its geometry (GeoParquet 1.0 and 1.1), and geometry into WKB."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.errors import InvalidInput

_CRS84 = CRS.from_authority("OGC", "CRS84")
_KINDS = {
    "point": shapely.GeometryType.POINT,
    "linestring": shapely.GeometryType.LINESTRING,
    "polygon": shapely.GeometryType.POLYGON,
    "multipoint": shapely.GeometryType.MULTIPOINT,
    "multilinestring": shapely.GeometryType.MULTILINESTRING,
    "multipolygon": shapely.GeometryType.MULTIPOLYGON,
}


@dataclass(frozen=True)
class GeometryColumn:
    """encoding: `wkb`, or one of the native ones. crs: None where the file says that it is unknown. derived: columns
    that hold nothing but the bounds of the geometries."""

    name: str
    encoding: str
    crs: CRS | None
    derived: frozenset[str] = frozenset()

    def to_wkb(self, column: pa.Array) -> pa.BinaryArray:
        """(n,) of the column's type -> (n,) WKB, nulls where they are."""
        return column.cast(pa.binary()) if self.encoding == "wkb" else _native_to_wkb(column, _KINDS[self.encoding])


def geometry_column(schema: pa.Schema, wanted: str | None) -> GeometryColumn | None:
    """The geometry column that is wanted, else the primary one; None when the file has no such.

    schema: as pyarrow reads it, with its metadata. Raises InvalidInput(`unreadable_file`) for metadata that is wrong.
    """
    text = (schema.metadata or {}).get(b"geo")
    if text is None:
        return _marked_column(schema, wanted)
    try:
        geo = json.loads(text)
        name = wanted or geo["primary_column"]
        about = geo["columns"].get(name)
        if about is None and wanted:
            return None
        return _described(name, about, schema)
    except (ValueError, KeyError, TypeError, AttributeError, CRSError) as error:
        raise _wrong("is not what the specification says") from error


def _described(name: str, about: dict[str, Any], schema: pa.Schema) -> GeometryColumn:
    encoding = about["encoding"].lower()
    if encoding != "wkb" and encoding not in _KINDS:
        raise _wrong(f"names the encoding '{encoding}', which is not read")
    if name not in schema.names:
        raise _wrong(f"names the column '{name}', which is not there")
    crs = _crs(about["crs"]) if "crs" in about else _CRS84
    bbox = about.get("covering", {}).get("bbox", {})
    return GeometryColumn(name, encoding, crs, frozenset(path[0] for path in bbox.values()))


def _marked_column(schema: pa.Schema, wanted: str | None) -> GeometryColumn | None:
    """Without `geo` metadata, a column of WKB may be marked as GeoArrow does, which is how Parquet's own type comes."""
    for field in schema:
        metadata = field.metadata or {}
        if metadata.get(b"ARROW:extension:name") == b"geoarrow.wkb" and wanted in (None, field.name):
            about = json.loads(metadata.get(b"ARROW:extension:metadata") or b"{}")
            return GeometryColumn(field.name, "wkb", _crs(about.get("crs")))
    return None


def _crs(declared: Any) -> CRS | None:
    """PROJJSON, as the specification wants it, or a text that PROJ reads, as some write it."""
    return None if declared is None else CRS.from_user_input(declared)


def _native_to_wkb(column: pa.Array, kind: shapely.GeometryType) -> pa.BinaryArray:
    """Nested lists of structs x, y, z -> WKB."""
    missing = column.is_null().to_numpy(zero_copy_only=False)
    # A copy whose lists begin at 0, whatever slice of a larger array this was.
    values = column.take(pa.array(np.arange(len(column))))
    offsets = []
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        offsets.append(values.offsets.to_numpy())
        values = values.values
    axes = [values.field(axis).to_numpy(zero_copy_only=False) for axis in ("x", "y")]
    coordinates = np.column_stack(axes).astype(np.float64)
    if kind == shapely.GeometryType.POINT:
        coordinates[missing] = np.nan
    geometries = shapely.from_ragged_array(kind, coordinates, tuple(reversed(offsets)) or None)
    geometries[missing] = None
    return pa.array(shapely.to_wkb(geometries, byte_order=1), pa.binary())


def _wrong(why: str) -> InvalidInput:
    return InvalidInput("unreadable_file", f"The file cannot be read as GeoParquet: its metadata {why}.")
