"""Make the geometries of a batch fit for their column: valid, 2D, lon/lat, one type, encoded as EWKB."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from services.timing import Stopwatch
from services.vector.ewkb import Encoded, Projection, UnexpectedLayout, encode_ewkb
from services.vector.geometry_collections import Opened, opened
from services.vector.repair import CHECKED_APART, REPAIRED_APART, Repairer
from services.vector.shapes import (
    Geometries,
    encoded_as_they_are,
    fits_with_axes_swapped,
    has_non_finite,
    made_valid,
    parsed,
    plain_wkb,
    projected,
    rewritten,
    snapped,
    wkb_codes,
)
from services.vector.simple_rings import proven_simple
from services.vector.wkb import (
    COLLECTION,
    LINESTRING,
    MULTILINESTRING,
    MULTIPOINT,
    MULTIPOLYGON,
    PLAIN_POINT_BYTES,
    POINT,
    POLYGON,
    Mask,
    point_coordinates,
)

# Compares element by element in an array of objects.
_NOTHING: Any = None
_WGS84 = CRS.from_epsg(4326)
ANY_TYPE = "Geometry"
_MEMBERS = {
    "Point": (POINT,),
    "MultiPoint": (POINT, MULTIPOINT),
    "MultiLineString": (LINESTRING, MULTILINESTRING),
    "MultiPolygon": (POLYGON, MULTIPOLYGON),
    ANY_TYPE: tuple(range(POINT, COLLECTION + 1)),
}
_FIRST_CURVED_TYPE = 8
# shapely.get_dimensions of what has an area.
_AREAL = 2


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
    details: (n,) what GEOS says of rows that were examined apart, where it got so far.
    repaired: how many of the kept were invalid. promoted: how many became Multi geometries. flattened: how many had a
    third dimension; with_z, with_m: which.
    """

    ewkb: pa.BinaryArray
    kept: pa.BooleanArray
    reasons: pa.StringArray
    details: pa.StringArray
    repaired: int
    promoted: int
    flattened: int
    with_z: int
    with_m: int


def prepare_geometries(
    geometry: pa.BinaryArray,
    reasons: pa.StringArray | None,
    *,
    source_crs: str,
    target: str,
    params: GeometryOptions | None = None,
    repairer: Repairer | None = None,
    watch: Stopwatch | None = None,
) -> PreparedGeometries:
    """Validate, repair, flatten, reproject, promote and encode one batch, without a loop over its rows.

    geometry: (n,) WKB in source_crs, 2D, 3D or measured, nulls allowed. reasons: (n,) non-null where the row is
    already rejected. source_crs: anything pyproj reads. target: Point, MultiPoint, MultiLineString, MultiPolygon, or
    Geometry, where every row keeps its type. A GeometryCollection whose parts are all of one kind becomes the Multi
    geometry of that kind. repairer: its time is for several batches; without one, for this one. watch: takes the steps
    `repair`, all that GEOS does, and `transform`.
    Reasons of rejection: null_geometry, unreadable_geometry, unsupported_geometry_type, wrong_geometry_type,
    mixed_collection, empty_geometry, non_finite_coordinates, repair_failed, too_complex_to_repair,
    collapsed_geometry, reprojection_failed, axes_swapped, coordinates_out_of_range.
    """
    options = params or GeometryOptions()
    project, watch = projection(source_crs), watch or Stopwatch()
    with ExitStack() as stack, watch.measured("repair"):
        batch = _Batch(geometry, reasons, target, repairer or stack.enter_context(Repairer()))
        if target == "Point" and batch.is_plain() and not options.changes_shapes:
            batch.reject_unusable_points()
        else:
            if target == "MultiPolygon" and not options.changes_shapes:
                batch.prove()
            batch.parse()
            batch.repair()
            if options.changes_shapes:
                batch.reshape(project, options)
                project = None
            batch.write_changed()
    with watch.measured("transform"):
        return batch.prepared(batch.encode(project))


@lru_cache(maxsize=16)
def projection(source_crs: str) -> Projection | None:
    """x, y -> lon, lat; None when they are that already. pyproj gives inf for a point it cannot transform."""
    crs = CRS.from_user_input(source_crs)
    if crs.equals(_WGS84, ignore_axis_order=True):
        return None
    transform: Projection = Transformer.from_crs(crs, _WGS84, always_xy=True).transform
    return transform


class _Batch:
    """The rows still in the race (`rows`, numbers in the batch), their WKB and, once parsed, their geometries: None for
    those that were proven to be valid and simple without GEOS."""

    def __init__(
        self, geometry: pa.BinaryArray, reasons: pa.StringArray | None, target: str, repairer: Repairer
    ) -> None:
        self.target = target
        self.members = _MEMBERS[target]
        self.repairer = repairer
        source = opened(geometry)
        self.headers, self.extracted = source.headers, source.extracted
        self.reasons = _initial_reasons(source, reasons, self.members)
        self.details = np.full(len(geometry), None, object)
        self.rows = np.flatnonzero(np.equal(self.reasons, _NOTHING))
        self.wkb = source.wkb if len(self.rows) == len(geometry) else source.wkb.take(pa.array(self.rows))
        self.geometries: Geometries = np.empty(0, object)
        self.proven = np.zeros(len(self.rows), bool)
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

    def prove(self) -> None:
        self.proven = proven_simple(self.wkb)

    def parse(self) -> None:
        if self.proven.any():
            self.geometries = np.full(len(self.rows), None, object)
            self.geometries[~self.proven] = parsed(self.wkb.filter(pa.array(~self.proven)))
        else:
            self.geometries = parsed(self.wkb)
        self.changed = ~self.headers.is_plain[self.rows]
        self.reject(self._missing(), "unreadable_geometry")
        self.reject(shapely.is_empty(self.geometries), "empty_geometry")
        self.geometries[self.changed] = shapely.force_2d(self.geometries[self.changed])

    def repair(self) -> None:
        """make_valid where needed. GEOS calls geometries with NaN or inf invalid too, so they are found on the way."""
        suspect = self._suspect()
        non_finite = np.zeros(len(suspect), bool)
        non_finite[suspect] = has_non_finite(self.geometries[suspect])
        self.reject(non_finite, "non_finite_coordinates")
        mended = self._mend(suspect[~non_finite], self.details)
        self.changed |= mended
        self.repaired |= mended
        self._reject_ruined()

    def _suspect(self) -> Mask:
        """The invalid, and polygons that are too large to be checked here."""
        is_large = shapely.get_num_coordinates(self.geometries) > CHECKED_APART
        suspect: Mask = is_large & (shapely.get_dimensions(self.geometries) == _AREAL)
        unknown = ~suspect & ~self.proven
        suspect[unknown] = ~shapely.is_valid(self.geometries[unknown])
        return suspect

    def _missing(self) -> Mask:
        missing: Mask = shapely.is_missing(self.geometries) & ~self.proven
        return missing

    def _mend(self, suspect: Mask, details: NDArray[np.object_] | None = None) -> Mask:
        """Make the suspect valid; reject those that take too long. Returns which of the rest were invalid.

        details: (n,) takes what GEOS says of those that are examined apart.
        """
        invalid, too_long = suspect.copy(), np.zeros(len(suspect), bool)
        apart = suspect & (shapely.get_num_coordinates(self.geometries) > REPAIRED_APART)
        here = suspect & ~apart
        self.geometries[here] = made_valid(self.geometries[here])
        for index in np.flatnonzero(apart):
            examined = self.repairer.examine(self._wkb_of(index))
            invalid[index], too_long[index] = examined.outcome != "valid", examined.outcome == "too_long"
            if invalid[index]:
                self.geometries[index] = examined.geometry
            if details is not None:
                details[self.rows[index]] = examined.reason
        self.reject(too_long, "too_complex_to_repair")
        return invalid[~too_long]

    def _wkb_of(self, index: np.intp) -> bytes | pa.Buffer:
        if self.changed[index]:
            return bytes(shapely.to_wkb(self.geometries[index]))
        return self.wkb[int(index)].as_buffer()

    def reshape(self, project: Projection | None, options: GeometryOptions) -> None:
        """Reproject, then simplify and snap, then repair what that broke."""
        if project is not None:
            self.geometries = projected(self.geometries, project)
            self.reject(has_non_finite(self.geometries), "reprojection_failed")
        self.changed[:] = True
        if tolerance := options.simplify_tolerance:
            keep = options.preserve_topology
            self.geometries = shapely.simplify(self.geometries, tolerance, preserve_topology=keep)
            self._mend_reshaped()
        if options.snap_to_grid:
            self.geometries = snapped(self.geometries, options.snap_to_grid)
            self._mend_reshaped()

    def _mend_reshaped(self) -> None:
        self._reject_ruined()
        self._mend(self._suspect())
        self._reject_ruined()

    def _reject_ruined(self) -> None:
        """A shape that no longer has its dimension is not the user's any more."""
        self.reject(self._missing(), "repair_failed")
        self.reject(shapely.is_empty(self.geometries), "collapsed_geometry")
        is_member = np.isin(wkb_codes(self.geometries), self.members)
        self.reject(~is_member & ~self.proven, "repair_failed")

    def write_changed(self) -> None:
        """Replace the WKB of the rows whose shape or dialect changed, leaving the bytes of the others alone; from then
        on only a column of every type needs the geometries."""
        if self.changed.any():
            self.wkb = rewritten(self.wkb, self.changed, self.geometries[self.changed])
        if self.target != ANY_TYPE:
            self.geometries = np.empty(0, object)

    def encode(self, project: Projection | None) -> pa.BinaryArray:
        """(k,) EWKB of the rows that are on earth; the others are rejected."""
        encoded = self._encode(project)
        unusable = ~(encoded.is_finite & encoded.is_on_earth)
        if not unusable.any():
            return encoded.ewkb
        off_earth = "reprojection_failed" if project else "non_finite_coordinates"
        reasons = np.where(encoded.is_finite[unusable], "coordinates_out_of_range", off_earth).astype(object)
        strays = parsed(self.wkb.filter(pa.array(unusable)))
        reasons[fits_with_axes_swapped(strays, project)] = "axes_swapped"
        self.reject(unusable, reasons)
        return encoded.ewkb.filter(pa.array(~unusable))

    def _encode(self, project: Projection | None) -> Encoded:
        if self.target == ANY_TYPE:
            return encoded_as_they_are(self.geometries, project)
        try:
            return encode_ewkb(self.wkb, self.target, project)
        except UnexpectedLayout:
            # Parts of another dialect than their whole, or bytes behind the end: GEOS reads them all the same.
            return encode_ewkb(plain_wkb(parsed(self.wkb)), self.target, project)

    def reject(self, which: Mask, reason: str | NDArray[np.object_]) -> None:
        """Take the rows out of the race. which: one entry a row still in it. reason: for all, or one for each."""
        if not which.any():
            return
        self.reasons[self.rows[which]] = reason
        stays = ~which
        self.rows, self.proven = self.rows[stays], self.proven[stays]
        self.changed, self.repaired = self.changed[stays], self.repaired[stays]
        self.wkb = self.wkb.filter(pa.array(stays))
        if len(self.geometries):
            self.geometries = self.geometries[stays]

    def prepared(self, ewkb: pa.BinaryArray) -> PreparedGeometries:
        kept = np.equal(self.reasons, _NOTHING)
        promoted = self.extracted
        if self.target.startswith("Multi"):
            promoted = promoted | np.isin(self.headers.base, (POINT, LINESTRING, POLYGON))
        has_z, has_m = self.headers.has_z[kept], self.headers.has_m[kept]
        return PreparedGeometries(
            ewkb=ewkb,
            kept=pa.array(kept),
            reasons=pa.array(self.reasons, pa.string()),
            details=pa.array(self.details, pa.string()),
            repaired=int(self.repaired.sum()),
            promoted=int(promoted[kept].sum()),
            flattened=int((has_z | has_m).sum()),
            with_z=int(has_z.sum()),
            with_m=int(has_m.sum()),
        )


def _initial_reasons(source: Opened, reasons: pa.StringArray | None, members: tuple[int, ...]) -> NDArray[np.object_]:
    """(n,) reasons that need no parsing: what the reader said, then what the header says."""
    base, geometry = source.headers.base, source.wkb
    found = np.full(len(base), None, object)
    found[~np.isin(base, members)] = "wrong_geometry_type"
    if COLLECTION not in members:
        found[base == COLLECTION] = "mixed_collection"
    found[source.empty] = "empty_geometry"
    found[base >= _FIRST_CURVED_TYPE] = "unsupported_geometry_type"
    found[base == 0] = "unreadable_geometry"
    if geometry.null_count:
        found[geometry.is_null().to_numpy(zero_copy_only=False)] = "null_geometry"
    if reasons is not None and reasons.null_count < len(reasons):
        given = reasons.to_numpy(zero_copy_only=False)
        found = np.where(np.equal(given, _NOTHING), found, given)
    return found
