"""What every reader gives: a source with a schema and a CRS, read once as batches of rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.errors import InvalidInput

BATCH_ROWS = 8192


class Misjudged(Exception):
    """The source is not what its beginning looks like: to be read again without guessing."""


CrsOrigin = Literal["file", "parameter", "format"]


@dataclass(frozen=True)
class ReadOptions:
    """What the request says about the source. Fields that a format has no use for are ignored.

    guess: a reader may take the source for what its beginning looks like, and raise Misjudged when it is not.
    """

    layer_name: str | None = None
    lat_name: str | None = None
    lon_name: str | None = None
    wkt_column: str | None = None
    wkb_column: str | None = None
    source_crs: str | None = None
    converter_params: Mapping[str, Any] = field(default_factory=dict)
    guess: bool = False

    @property
    def geometry_columns(self) -> dict[str, str]:
        """The columns that hold the geometry, by the parameter that names them."""
        named = {name: getattr(self, name) for name in ("lat_name", "lon_name", "wkt_column", "wkb_column")}
        return {parameter: column for parameter, column in named.items() if column}

    @property
    def well_known_column(self) -> str | None:
        return self.wkt_column or self.wkb_column


@dataclass(frozen=True)
class SourceBatch:
    """n rows of the source, in its order.

    attributes: (n rows) source names and types. geometry: (n,) WKB as read, 2D or 3D, null where there is none.
    reasons: (n,) code why a row is already known to be unusable, null for the others; None when all are usable.
    details: (n,) what stands in the source in place of a geometry, where it shows what is wrong; None for none.
    """

    attributes: pa.RecordBatch
    geometry: pa.BinaryArray
    reasons: pa.StringArray | None = None
    details: pa.StringArray | None = None


@dataclass(frozen=True)
class VectorSource:
    """An open source. `batches` may be read once, and only while the context of `open_source` is open.

    untyped: attributes that come as text although the file may mean something else by it: their type shows in their
    values only, and only in all of them.
    folders: how many rows come from which, where several layers are read as one.
    at_end: for formats that name their columns, types or CRS as late as in their last row: gives the source as it is
    known once `batches` is exhausted. Until then `schema` is empty, and each batch has the columns known so far.
    """

    layer: str
    driver: str
    crs: CRS
    crs_found_in: CrsOrigin
    schema: pa.Schema
    feature_count: int | None
    batches: Callable[[], Iterator[SourceBatch]]
    untyped: frozenset[str] = frozenset()
    folders: Mapping[str, int] = field(default_factory=dict)
    at_end: Callable[["VectorSource"], "VectorSource"] | None = None

    def read_to_end(self) -> "VectorSource":
        """The source with what only its last row tells. To be asked when `batches` is exhausted."""
        return self if self.at_end is None else self.at_end(self)

    @property
    def crs_text(self) -> str:
        """The CRS as text that pyproj reads back: `EPSG:25832` where an authority knows it, else WKT."""
        return crs_text(self.crs)


def crs_text(crs: CRS) -> str:
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else crs.to_wkt()


def requested_crs(options: ReadOptions) -> CRS | None:
    """The CRS of the request. Raises InvalidInput(`invalid_crs`) for one that PROJ does not know."""
    if not options.source_crs:
        return None
    try:
        return CRS.from_user_input(options.source_crs)
    except CRSError as error:
        raise InvalidInput(
            "invalid_crs",
            f"'{options.source_crs}' is not a coordinate reference system.",
            parameter="source_crs",
            remedy="Give an authority code such as EPSG:25832.",
        ) from error


def crs_missing(what: str) -> InvalidInput:
    return InvalidInput(
        "crs_missing",
        f"{what} does not say in which coordinate reference system its coordinates are.",
        parameter="source_crs",
        remedy="Give it as source_crs, for example EPSG:25832.",
    )
