"""GeometryCollections: those whose parts are all of one kind become the Multi geometry of that kind."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from services.vector.shapes import Geometries, each_or_none, parsed, rewritten, wkb_codes
from services.vector.wkb import (
    COLLECTION,
    LINESTRING,
    MULTILINESTRING,
    MULTIPOINT,
    MULTIPOLYGON,
    POINT,
    POLYGON,
    Codes,
    Headers,
    Mask,
    read_headers,
)

_MULTI = (MULTIPOINT, MULTILINESTRING, MULTIPOLYGON)
_MAKERS: dict[int, Callable[..., Geometries]] = {
    POINT: shapely.multipoints,
    LINESTRING: shapely.multilinestrings,
    POLYGON: shapely.multipolygons,
}


@dataclass(frozen=True)
class Opened:
    """n rows of WKB and their headers. extracted: (n,) which were collections and are Multi geometries in plain WKB.
    empty: (n,) which are collections of nothing."""

    wkb: pa.BinaryArray
    headers: Headers
    extracted: Mask
    empty: Mask


def opened(geometry: pa.BinaryArray) -> Opened:
    """geometry: (n,) WKB of any dialect, nulls allowed. A collection with curves gets a type beyond COLLECTION."""
    headers = read_headers(geometry)
    is_collection = headers.base == COLLECTION
    none = np.zeros(len(geometry), bool)
    if not is_collection.any():
        return Opened(geometry, headers, none, none)
    collections = parsed(geometry.filter(pa.array(is_collection)))
    multi = as_multi(collections)
    base, is_plain, extracted, empty = headers.base.copy(), headers.is_plain.copy(), none.copy(), none.copy()
    base[is_collection] = collection_codes(collections, multi)
    empty[is_collection] = shapely.is_empty(collections)
    extracted[is_collection] = np.isin(base[is_collection], _MULTI)
    is_plain[extracted] = True
    wkb = rewritten(geometry, extracted, multi[extracted[is_collection]])
    return Opened(wkb, replace(headers, base=base, is_plain=is_plain), extracted, empty)


def opened_types(geometry: pa.BinaryArray, headers: Headers) -> Codes:
    """(n,) types of the rows once their collections are opened."""
    is_collection = headers.base == COLLECTION
    if not is_collection.any():
        return headers.base
    collections = parsed(geometry.filter(pa.array(is_collection)))
    base = headers.base.copy()
    base[is_collection] = collection_codes(collections, as_multi(collections))
    return base


def as_multi(collections: Geometries) -> Geometries:
    """GeometryCollections (n,) whose parts are all of one kind, however nested, as the Multi geometry of that kind. The
    others as they are; None where there are curves in it, of which shapely has no objects."""
    return each_or_none(_as_multi, collections)


def _as_multi(collections: Geometries) -> Geometries:
    parts, owner = _single_parts(collections)
    kinds = wkb_codes(parts)
    multi = collections.copy()
    for kind, make in _MAKERS.items():
        has = np.bincount(owner[kinds == kind], minlength=len(collections)) > 0
        alone = has & (np.bincount(owner[kinds != kind], minlength=len(collections)) == 0)
        chosen = alone[owner]
        if alone.any():
            multi[alone] = make(parts[chosen], indices=np.cumsum(alone)[owner[chosen]] - 1)
    return multi


def without_curves(geometries: Geometries) -> Geometries:
    """The geometries (n,), with None in place of collections that have curves."""
    collections = np.flatnonzero(shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION)
    straight = geometries.copy()
    straight[collections[shapely.is_missing(as_multi(geometries[collections]))]] = None
    return straight


def collection_codes(collections: Geometries, multi: Geometries) -> NDArray[np.int64]:
    """(n,) WKB types after `as_multi`: COLLECTION where it is mixed or empty, a greater one where it has curves, 0
    where it is None."""
    codes = np.where(shapely.is_missing(collections), 0, COLLECTION + 1)
    there = ~shapely.is_missing(multi)
    codes[there] = wkb_codes(multi[there])
    return codes


def _single_parts(collections: Geometries) -> tuple[Geometries, NDArray[np.int64]]:
    """Points, lines and polygons that are not empty, and which collection each is of, in the collections' order."""
    parts, owner = collections, np.arange(len(collections))
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts, index = shapely.get_parts(parts, return_index=True)
        owner = owner[index]
    there = ~shapely.is_empty(parts)
    return parts[there], owner[there]
