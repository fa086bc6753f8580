"""What is wrong with rows that were rejected, and where."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from services.vector.ewkb import Projection, is_on_earth
from services.vector.geometry_collections import without_curves
from services.vector.repair import CHECKED_APART
from services.vector.shapes import Geometries, parsed, projected
from services.vector.wkb import COLLECTION, TYPE_NAMES, Mask, read_headers

# What a client gets of a rejected shape at most: 64,000 vertices.
MOST_SHOWN_BYTES = 1 << 20

_OF_VERTICES = ("non_finite_coordinates", "reprojection_failed", "coordinates_out_of_range", "axes_swapped")
_OF_SHAPE = ("repair_failed", "collapsed_geometry", "too_complex_to_repair")
_OF_TYPE = ("wrong_geometry_type", "unsupported_geometry_type")
# OGC 06-103r4, table 4.
_OTHER_TYPES = {
    8: "CircularString",
    9: "CompoundCurve",
    10: "CurvePolygon",
    11: "MultiCurve",
    12: "MultiSurface",
    15: "PolyhedralSurface",
    16: "TIN",
    17: "Triangle",
}
# As GEOS ends its reasons: Self-intersection[1.5 2].
_PLACE = re.compile(r"\[(\S+) (\S+)\]$")
Place = tuple[float, float]


@dataclass(frozen=True)
class Defect:
    """detail: in words, with coordinates of the source. place: longitude and latitude in degrees. shape: WKB in
    EPSG:4326, when it is all on earth and not too large."""

    detail: str | None = None
    place: Place | None = None
    shape: bytes | None = None


def find_defects(
    geometry: pa.BinaryArray, reasons: pa.StringArray, details: pa.StringArray, project: Projection | None
) -> list[Defect]:
    """(k,) rejected rows: their WKB in the source's CRS, the reason of each, and what is known of it already.

    project: source to lon/lat; None when it is that already.
    """
    return _Rows(geometry, project).defects(reasons.to_pylist(), details.to_pylist())


class _Rows:
    """Rejected rows with their coordinates, in the source's CRS and in degrees."""

    def __init__(self, geometry: pa.BinaryArray, project: Projection | None) -> None:
        self.project = project
        self.types = read_headers(geometry).base
        readable = np.isin(self.types, list(TYPE_NAMES))
        self.geometries: Geometries = np.full(len(geometry), None, object)
        self.geometries[readable] = without_curves(parsed(geometry.filter(pa.array(readable))))
        self.xy, self.owner = shapely.get_coordinates(self.geometries, return_index=True)
        self.degrees = self.xy if project is None else np.column_stack(project(*self.xy.T))
        self.on_earth: Mask = is_on_earth(*self.degrees.T)
        self.starts = np.searchsorted(self.owner, np.arange(len(geometry) + 1))
        self.shapes = self._shapes()

    def defects(self, reasons: list[str], details: list[str | None]) -> list[Defect]:
        return [
            self._defect(row, reason, detail) for row, (reason, detail) in enumerate(zip(reasons, details, strict=True))
        ]

    def _defect(self, row: int, reason: str, known: str | None) -> Defect:
        if reason in _OF_TYPE:
            return Defect(self._type_of(row), shape=self.shapes[row])
        if self.geometries[row] is None:
            return Defect(known)
        if reason == "mixed_collection":
            return Defect(self._types_in(row), shape=self.shapes[row])
        if reason in _OF_VERTICES:
            return self._bad_vertex(row, swapped=reason == "axes_swapped")
        if reason in _OF_SHAPE:
            detail = known or self._invalidity(row)
            return Defect(detail, self._place_in(detail), self.shapes[row])
        return Defect(shape=self.shapes[row])

    def _bad_vertex(self, row: int, *, swapped: bool) -> Defect:
        """The first vertex that is not on earth. Its place is that of the one beside it which is; with its axes
        swapped, it has one itself."""
        there = slice(self.starts[row], self.starts[row + 1])
        bad = np.flatnonzero(~self.on_earth[there])
        if not bad.size:
            return Defect(shape=self.shapes[row])
        number = int(bad[0])
        x, y = self.xy[there][number].tolist()
        detail = f"vertex {number + 1} is ({x:.15g} {y:.15g})"
        if swapped:
            return Defect(detail, self._degrees_of(y, x))
        good = np.flatnonzero(self.on_earth[there])
        if not good.size:
            return Defect(detail)
        beside = good[max(int(np.searchsorted(good, number)) - 1, 0)]
        lon, lat = self.degrees[there][beside].tolist()
        return Defect(detail, (lon, lat))

    def _invalidity(self, row: int) -> str | None:
        """GEOS's reason, unless asking may take long, or the source is valid and was broken by reshaping it."""
        geometry = self.geometries[row]
        if shapely.get_num_coordinates(geometry) > CHECKED_APART:
            return f"{shapely.get_num_coordinates(geometry)} vertices"
        reason: str = shapely.is_valid_reason(geometry)
        return None if reason == "Valid Geometry" else reason

    def _place_in(self, detail: str | None) -> Place | None:
        found = _PLACE.search(detail or "")
        return self._degrees_of(float(found[1]), float(found[2])) if found else None

    def _degrees_of(self, x: float, y: float) -> Place | None:
        lon, lat = (x, y) if self.project is None else self.project(np.array([x]), np.array([y]))
        lon, lat = float(np.squeeze(lon)), float(np.squeeze(lat))
        return (lon, lat) if is_on_earth(np.array(lon), np.array(lat)) else None

    def _type_of(self, row: int) -> str:
        code = int(self.types[row])
        if code == COLLECTION and self.geometries[row] is None:
            return "GeometryCollection with curves"
        return TYPE_NAMES.get(code) or _OTHER_TYPES.get(code) or f"type {code}"

    def _types_in(self, row: int) -> str:
        types = sorted({part.geom_type for part in shapely.get_parts(self.geometries[row])})
        return f"of {', '.join(types)}"

    def _shapes(self) -> list[bytes | None]:
        """(k,) WKB in degrees, None where it is not all on earth, empty, or too large."""
        shapes: NDArray[np.object_] = np.full(len(self.geometries), None, object)
        shown = ~shapely.is_missing(self.geometries) & ~shapely.is_empty(self.geometries)
        shown[self.owner[~self.on_earth]] = False
        flat = shapely.force_2d(self.geometries[shown])
        wkb = shapely.to_wkb(flat if self.project is None else projected(flat, self.project))
        shapes[shown] = [each if len(each) <= MOST_SHOWN_BYTES else None for each in wkb]
        listed: list[bytes | None] = shapes.tolist()
        return listed
