"""What shapely does to arrays of geometries here: test, mend, write. Nothing loops but where GEOS gives up."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from services.vector.ewkb import Projection
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


def has_non_finite(geometries: Geometries) -> Mask:
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    has = np.zeros(len(geometries), bool)
    has[owner[~np.isfinite(coordinates).all(axis=1)]] = True
    return has


def made_valid(geometries: Geometries) -> Geometries:
    """None where GEOS fails. The method keeps polygons polygons: the default one returns collections, and is slower."""
    return _each_or_none(
        lambda shapes: shapely.make_valid(shapes, method="structure", keep_collapsed=False), geometries
    )


def snapped(geometries: Geometries, grid_size: float) -> Geometries:
    """Coordinates rounded to the grid, shapes valid; empty where they collapse, None where GEOS fails."""
    return _each_or_none(lambda shapes: shapely.set_precision(shapes, grid_size, mode="valid_output"), geometries)


def projected(geometries: Geometries, project: Projection) -> Geometries:
    # shapely's stubs know only functions of one array.
    transformation: Any = project
    return shapely.transform(geometries, transformation, interleaved=False)


def _each_or_none(operation: Callable[[Geometries], Geometries], geometries: Geometries) -> Geometries:
    """The operation on all at once; where GEOS gives up on one, on each alone, with None for those that fail."""
    try:
        return operation(geometries)
    except shapely.GEOSException:
        return np.array([_one_or_none(operation, geometry) for geometry in geometries], object)


def _one_or_none(operation: Callable[[Geometries], Geometries], geometry: object) -> object:
    try:
        return operation(np.array([geometry], object))[0]
    except shapely.GEOSException:
        return None


def wkb_codes(geometries: Geometries) -> NDArray[np.int64]:
    """(n,) WKB types without their dimension. geometries: without None."""
    codes: NDArray[np.int64] = _TYPE_BY_ID[shapely.get_type_id(geometries)]
    return codes


def plain_wkb(geometries: Geometries) -> pa.BinaryArray:
    """2D little-endian ISO WKB without SRID."""
    wkb = shapely.to_wkb(geometries, output_dimension=2, byte_order=1, include_srid=False, flavor="iso")
    return pa.array(wkb, pa.binary())
