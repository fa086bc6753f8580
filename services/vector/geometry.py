"""Make the geometries of a batch fit for their column: valid, 2D, lon/lat, one type, encoded as EWKB."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from services.vector.ewkb import Encoded, Projection, UnexpectedLayout, encode_ewkb
from services.vector.shapes import Geometries, has_non_finite, made_valid, plain_wkb, projected, snapped, wkb_codes
from services.vector.wkb import (
    LINESTRING,
    MULTILINESTRING,
    MULTIPOINT,
    MULTIPOLYGON,
    PLAIN_POINT_BYTES,
    POINT,
    POLYGON,
    Headers,
    Mask,
    point_coordinates,
    read_headers,
)

# Compares element by element in an array of objects.
_NOTHING: Any = None
_WGS84 = CRS.from_epsg(4326)
_MEMBERS = {
    "Point": (POINT,),
    "MultiPoint": (POINT, MULTIPOINT),
    "MultiLineString": (LINESTRING, MULTILINESTRING),
    "MultiPolygon": (POLYGON, MULTIPOLYGON),
}
_FIRST_CURVED_TYPE = 8
# make_valid(method="structure") takes minutes from here on, and may never end (measured on real coastlines).
_LARGEST_REPAIR_VERTICES = 250_000


@dataclass(frozen=True)
class GeometryOptions:
    """Changes the request asks for, made in EPSG:4326.

    simplify_tolerance: degrees (Douglas-Peucker). snap_to_grid: size of the grid in degrees.
    """

    simplify_tolerance: float | None = None
    preserve_topology: bool = True
    snap_to_grid: float | None = None

    @property
    def changes_shapes(self) -> bool:
        return bool(self.simplify_tolerance or self.snap_to_grid)


@dataclass(frozen=True)
class PreparedGeometries:
    """What became of n rows, k of which are kept.

    ewkb: (k,) little-endian 2D EWKB with SRID 4326 of the column's type, in the order of the rows.
    kept: (n,) whether the row is in `ewkb`. reasons: (n,) why it is not, null for the kept ones.
    repaired, promoted, flattened: how many of the kept were invalid, single-part, 3D or measured.
    """

    ewkb: pa.BinaryArray
    kept: pa.BooleanArray
    reasons: pa.StringArray
    repaired: int
    promoted: int
    flattened: int


def prepare_geometries(
    geometry: pa.BinaryArray,
    reasons: pa.StringArray | None,
    *,
    source_crs: str,
    target: str,
    params: GeometryOptions | None = None,
) -> PreparedGeometries:
    """Validate, repair, flatten, reproject, promote and encode one batch, without a loop over its rows.

    geometry: (n,) WKB in source_crs, 2D, 3D or measured, nulls allowed. reasons: (n,) non-null where the row is
    already rejected. source_crs: anything pyproj reads. target: Point, MultiPoint, MultiLineString, MultiPolygon.
    Reasons of rejection: null_geometry, unreadable_geometry, unsupported_geometry_type, wrong_geometry_type,
    empty_geometry, non_finite_coordinates, repair_failed, too_complex_to_repair, collapsed_geometry,
    reprojection_failed, coordinates_out_of_range.
    """
    batch = _Batch(geometry, reasons, _MEMBERS[target])
    project = _projection(source_crs)
    options = params or GeometryOptions()
    if target == "Point" and batch.is_plain() and not options.changes_shapes:
        batch.reject_unusable_points()
    else:
        batch.parse()
        batch.repair()
        if options.changes_shapes:
            batch.reshape(project, options)
            project = None
        batch.write_changed()
    encoded = batch.encode(target, project)
    return batch.prepared(encoded, target)


@lru_cache(maxsize=16)
def _projection(source_crs: str) -> Projection | None:
    """x, y -> lon, lat. pyproj gives inf for a point it cannot transform."""
    crs = CRS.from_user_input(source_crs)
    if crs.equals(_WGS84, ignore_axis_order=True):
        return None
    transform: Projection = Transformer.from_crs(crs, _WGS84, always_xy=True).transform
    return transform


class _Batch:
    """The rows still in the race (`rows`, numbers in the batch), their WKB and, once parsed, their geometries."""

    def __init__(self, geometry: pa.BinaryArray, reasons: pa.StringArray | None, members: tuple[int, ...]) -> None:
        self.members = members
        self.headers = read_headers(geometry)
        self.reasons = _initial_reasons(geometry, reasons, self.headers, members)
        self.rows = np.flatnonzero(np.equal(self.reasons, _NOTHING))
        self.wkb = geometry if len(self.rows) == len(geometry) else geometry.take(pa.array(self.rows))
        self.geometries: Geometries = np.empty(0, object)
        self.changed = np.zeros(len(self.rows), bool)
        self.repaired = np.zeros(len(self.rows), bool)

    def is_plain(self) -> bool:
        return bool(self.headers.is_plain[self.rows].all())

    def reject_unusable_points(self) -> None:
        """Points need no GEOS: there is nothing to repair, and an empty one is NaN in both coordinates."""
        lengths = pc.binary_length(self.wkb).to_numpy(zero_copy_only=False)
        self.reject(lengths != PLAIN_POINT_BYTES, "unreadable_geometry")
        coordinates = point_coordinates(self.wkb)
        x, y = coordinates[:, 0], coordinates[:, 1]
        is_empty = np.isnan(x) & np.isnan(y)
        is_finite = np.isfinite(x) & np.isfinite(y)
        self.reject(is_empty, "empty_geometry")
        self.reject(~is_finite[~is_empty], "non_finite_coordinates")

    def parse(self) -> None:
        # NaN coordinates are rejected below; numpy need not warn of them.
        with np.errstate(invalid="ignore"):
            self.geometries = shapely.from_wkb(self.wkb.to_numpy(zero_copy_only=False), on_invalid="ignore")
        self.changed = ~self.headers.is_plain[self.rows]
        self.reject(shapely.is_missing(self.geometries), "unreadable_geometry")
        self.reject(shapely.is_empty(self.geometries), "empty_geometry")
        self.geometries[self.changed] = shapely.force_2d(self.geometries[self.changed])

    def repair(self) -> None:
        """make_valid where needed. GEOS calls geometries with NaN or inf invalid too, so they are found on the way."""
        invalid = ~shapely.is_valid(self.geometries)
        if not invalid.any():
            return
        non_finite = np.zeros(len(invalid), bool)
        non_finite[invalid] = has_non_finite(self.geometries[invalid])
        self.reject(non_finite, "non_finite_coordinates")
        invalid = invalid[~non_finite]
        too_complex = invalid & (shapely.get_num_coordinates(self.geometries) > _LARGEST_REPAIR_VERTICES)
        self.reject(too_complex, "too_complex_to_repair")
        invalid = invalid[~too_complex]
        self.geometries[invalid] = made_valid(self.geometries[invalid])
        self.changed |= invalid
        self.repaired |= invalid
        self._reject_ruined()

    def reshape(self, project: Projection | None, options: GeometryOptions) -> None:
        """Reproject, then simplify and snap, then repair what that broke."""
        if project is not None:
            self.geometries = projected(self.geometries, project)
            self.reject(has_non_finite(self.geometries), "reprojection_failed")
        self.changed[:] = True
        if tolerance := options.simplify_tolerance:
            keep = options.preserve_topology
            self.geometries = shapely.simplify(self.geometries, tolerance, preserve_topology=keep)
            self._mend()
        if options.snap_to_grid:
            self.geometries = snapped(self.geometries, options.snap_to_grid)
            self._mend()

    def _mend(self) -> None:
        self._reject_ruined()
        invalid = ~shapely.is_valid(self.geometries)
        self.geometries[invalid] = made_valid(self.geometries[invalid])
        self._reject_ruined()

    def _reject_ruined(self) -> None:
        """A shape that no longer has its dimension is not the user's any more."""
        self.reject(shapely.is_missing(self.geometries), "repair_failed")
        self.reject(shapely.is_empty(self.geometries), "collapsed_geometry")
        codes = wkb_codes(self.geometries)
        self.reject(~np.isin(codes, self.members), "repair_failed")

    def write_changed(self) -> None:
        """Replace the WKB of the rows whose shape or dialect changed, leaving the bytes of the others alone."""
        if not self.changed.any():
            return
        written = plain_wkb(self.geometries[self.changed])
        index = np.arange(len(self.rows))
        index[self.changed] = len(self.rows) + np.arange(len(written))
        self.wkb = pa.concat_arrays([self.wkb, written]).take(pa.array(index))

    def encode(self, target: str, project: Projection | None) -> pa.BinaryArray:
        encoded = self._encode(target, project)
        self.reject(~encoded.is_finite, "reprojection_failed" if project else "non_finite_coordinates")
        on_earth = encoded.is_on_earth[encoded.is_finite]
        self.reject(~on_earth, "coordinates_out_of_range")
        usable = encoded.is_finite & encoded.is_on_earth
        return encoded.ewkb if usable.all() else encoded.ewkb.filter(pa.array(usable))

    def _encode(self, target: str, project: Projection | None) -> Encoded:
        try:
            return encode_ewkb(self.wkb, target, project)
        except UnexpectedLayout:
            # Parts of another dialect than their whole, or bytes behind the end: GEOS reads them all the same.
            parsed = shapely.from_wkb(self.wkb.to_numpy(zero_copy_only=False))
            return encode_ewkb(plain_wkb(parsed), target, project)

    def reject(self, which: Mask, reason: str) -> None:
        """Take the rows out of the race. which: one entry a row still in it."""
        if not which.any():
            return
        self.reasons[self.rows[which]] = reason
        stays = ~which
        self.rows, self.changed, self.repaired = self.rows[stays], self.changed[stays], self.repaired[stays]
        self.wkb = self.wkb.filter(pa.array(stays))
        if len(self.geometries):
            self.geometries = self.geometries[stays]

    def prepared(self, ewkb: pa.BinaryArray, target: str) -> PreparedGeometries:
        kept = np.equal(self.reasons, _NOTHING)
        is_single = np.isin(self.headers.base[kept], (POINT, LINESTRING, POLYGON))
        return PreparedGeometries(
            ewkb=ewkb,
            kept=pa.array(kept),
            reasons=pa.array(self.reasons, pa.string()),
            repaired=int(self.repaired.sum()),
            promoted=int(is_single.sum()) if target != "Point" else 0,
            flattened=int((self.headers.has_z | self.headers.has_m)[kept].sum()),
        )


def _initial_reasons(
    geometry: pa.BinaryArray, reasons: pa.StringArray | None, headers: Headers, members: tuple[int, ...]
) -> NDArray[np.object_]:
    """(n,) reasons that need no parsing: what the reader said, then what the header says."""
    found = np.full(len(geometry), None, object)
    found[~np.isin(headers.base, members)] = "wrong_geometry_type"
    found[headers.base >= _FIRST_CURVED_TYPE] = "unsupported_geometry_type"
    found[headers.base == 0] = "unreadable_geometry"
    if geometry.null_count:
        found[geometry.is_null().to_numpy(zero_copy_only=False)] = "null_geometry"
    if reasons is not None and reasons.null_count < len(reasons):
        given = reasons.to_numpy(zero_copy_only=False)
        found = np.where(np.equal(given, _NOTHING), found, given)
    return found
