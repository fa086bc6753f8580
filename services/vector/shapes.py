"""What shapely does to arrays of geometries here: test, mend, write. Nothing loops but where GEOS gives up."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from services.vector.ewkb import SRID, Encoded, Projection, is_on_earth
from services.vector.wkb import (
    COLLECTION,
    LINESTRING,
    MULTILINESTRING,
    MULTIPOINT,
    MULTIPOLYGON,
    POINT,
    POLYGON,
    Mask,
)

Geometries = NDArray[np.object_]

# WKB types by shapely's ids, which count a ring as type 2.
_TYPE_BY_ID = np.array([POINT, LINESTRING, LINESTRING, POLYGON, MULTIPOINT, MULTILINESTRING, MULTIPOLYGON, COLLECTION])


def parsed(wkb: pa.BinaryArray) -> Geometries:
    """None where there is none, or none that GEOS reads."""
    # NaN coordinates are dealt with later; numpy need not warn of them.
    with np.errstate(invalid="ignore"):
        geometries: Geometries = shapely.from_wkb(wkb.to_numpy(zero_copy_only=False), on_invalid="ignore")
    return geometries


def has_non_finite(geometries: Geometries) -> Mask:
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    x, y = coordinates.T
    return ~_holds_for_all(np.isfinite(x) & np.isfinite(y), owner, len(geometries))


def made_valid(geometries: Geometries) -> Geometries:
    """None where GEOS fails. The method keeps polygons polygons: the default one returns collections, and is slower."""
    return each_or_none(lambda shapes: shapely.make_valid(shapes, method="structure", keep_collapsed=False), geometries)


def snapped(geometries: Geometries, grid_size: float) -> Geometries:
    """Coordinates rounded to the grid, shapes valid; empty where they collapse, None where GEOS fails."""
    return each_or_none(lambda shapes: shapely.set_precision(shapes, grid_size, mode="valid_output"), geometries)


def projected(geometries: Geometries, project: Projection) -> Geometries:
    # shapely's stubs know only functions of one array.
    transformation: Any = project
    return shapely.transform(geometries, transformation, interleaved=False)


def each_or_none(operation: Callable[[Geometries], Geometries], geometries: Geometries) -> Geometries:
    """The operation on all at once; where it cannot be done on one, on each alone, with None for those that fail."""
    try:
        return operation(geometries)
    except (shapely.GEOSException, NotImplementedError):
        return np.array([_one_or_none(operation, geometry) for geometry in geometries], object)


def _one_or_none(operation: Callable[[Geometries], Geometries], geometry: object) -> object:
    try:
        return operation(np.array([geometry], object))[0]
    except (shapely.GEOSException, NotImplementedError):
        return None


def encoded_as_they_are(geometries: Geometries, project: Projection | None) -> Encoded:
    """Like encode_ewkb, for a column that takes every type: nothing is promoted."""
    if project is not None:
        geometries = projected(geometries, project)
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    x, y = coordinates.T
    wkb = shapely.to_wkb(shapely.set_srid(geometries, SRID), output_dimension=2, byte_order=1, include_srid=True)
    return Encoded(
        pa.array(wkb, pa.binary()),
        is_finite=_holds_for_all(np.isfinite(x) & np.isfinite(y), owner, len(geometries)),
        is_on_earth=_holds_for_all(is_on_earth(x, y), owner, len(geometries)),
    )


def fits_with_axes_swapped(geometries: Geometries, project: Projection | None) -> Mask:
    """(n,) whether no coordinate is on earth, and all would be if x were y and y were x. What merely reaches over a
    pole has others that are."""
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    x, y = coordinates.T
    as_it_is, swapped = (project(x, y), project(y, x)) if project is not None else ((x, y), (y, x))
    fits = ~is_on_earth(*as_it_is) & is_on_earth(*swapped)
    return _holds_for_all(fits, owner, len(geometries))


def _holds_for_all(holds: Mask, owner: NDArray[np.int64], count: int) -> Mask:
    """(points,) -> (count,): whether it holds for every point of the row."""
    rows = np.ones(count, bool)
    rows[owner[~holds]] = False
    return rows


def wkb_codes(geometries: Geometries) -> NDArray[np.int64]:
    """(n,) WKB types without their dimension. geometries: without None."""
    codes: NDArray[np.int64] = _TYPE_BY_ID[shapely.get_type_id(geometries)]
    return codes


def plain_wkb(geometries: Geometries) -> pa.BinaryArray:
    """2D little-endian ISO WKB without SRID."""
    wkb = shapely.to_wkb(geometries, output_dimension=2, byte_order=1, include_srid=False, flavor="iso")
    return pa.array(wkb, pa.binary())


def rewritten(wkb: pa.BinaryArray, which: Mask, geometries: Geometries) -> pa.BinaryArray:
    """The WKB with the geometries in place of the rows that are chosen."""
    return pc.replace_with_mask(wkb, pa.array(which), plain_wkb(geometries))
