"""Which geometry types a source holds, read from five bytes a row while it streams by; only collections are opened."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from core.errors import InvalidInput
from services.vector.geometry_collections import opened_types
from services.vector.wkb import COLLECTION, TYPE_NAMES, read_headers

_COLUMN_TYPES = {
    frozenset({"Point"}): "Point",
    frozenset({"MultiPoint"}): "MultiPoint",
    frozenset({"Point", "MultiPoint"}): "MultiPoint",
    frozenset({"LineString"}): "MultiLineString",
    frozenset({"MultiLineString"}): "MultiLineString",
    frozenset({"LineString", "MultiLineString"}): "MultiLineString",
    frozenset({"Polygon"}): "MultiPolygon",
    frozenset({"MultiPolygon"}): "MultiPolygon",
    frozenset({"Polygon", "MultiPolygon"}): "MultiPolygon",
}
_COLUMN_CANDIDATES = frozenset(name for code, name in TYPE_NAMES.items() if code != COLLECTION)
_COORDINATE_BYTES = 16


@dataclass
class GeometryCensus:
    """Counts over all batches observed so far. by_type: rows by type name, where a collection of one kind counts as the
    Multi geometry that it will be; types outside OGC's seven are `other`."""

    by_type: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    nulls: int = 0
    with_z: int = 0
    with_m: int = 0
    bytes: int = 0

    def observe(self, geometry: pa.BinaryArray) -> None:
        """Add one batch: (n,) WKB of any dialect, null where a row has none."""
        headers = read_headers(geometry)
        self.rows += len(geometry)
        self.nulls += geometry.null_count
        self.with_z += int(headers.has_z.sum())
        self.with_m += int(headers.has_m.sum())
        self.bytes += int(geometry.nbytes)
        present = geometry.is_valid().to_numpy(zero_copy_only=False)
        codes, counts = np.unique(opened_types(geometry, headers)[present], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.by_type[TYPE_NAMES.get(code, "other")] += count

    def merge(self, other: "GeometryCensus") -> None:
        self.by_type.update(other.by_type)
        self.rows += other.rows
        self.nulls += other.nulls
        self.with_z += other.with_z
        self.with_m += other.with_m
        self.bytes += other.bytes

    @property
    def vertices(self) -> int:
        """An estimate from above: every byte counted as part of a 2D coordinate."""
        return self.bytes // _COORDINATE_BYTES

    def column_type(self, wanted: Literal["auto", "any"] = "auto") -> str:
        """`Point`, `MultiPoint`, `MultiLineString` or `MultiPolygon`: the one type that holds every row; `Geometry`
        when any is wanted.

        Mixed collections and other types do not decide: their rows are rejected later, with a reason; all of them when
        there is nothing else. Raises InvalidInput(`mixed_geometry_types`) when no type holds all.
        """
        if wanted == "any":
            return "Geometry"
        present = frozenset(self.by_type) & _COLUMN_CANDIDATES
        if not present:
            return "Point"
        if present not in _COLUMN_TYPES:
            raise InvalidInput(
                "mixed_geometry_types",
                f"The layer mixes geometry types: {_listed(self.by_type)}.",
                parameter="geometry_type",
                remedy="Split the file into one layer for points, one for lines and one for polygons, or send"
                " geometry_type: any to load them into one column of type Geometry.",
                details=self._details(),
            )
        return _COLUMN_TYPES[present]

    def _details(self) -> dict[str, object]:
        return {"geometry_types": dict(self.by_type), "rows": self.rows, "without_geometry": self.nulls}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
