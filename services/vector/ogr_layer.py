"""One layer of a file that GDAL reads: opened, described and streamed, with GDAL's errors in the app's words."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import services.vector.gdal_environment  # noqa: F401  isort: skip  (before pyogrio: GDAL reads its settings then)
import numpy as np
import pyarrow as pa
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS

from core.errors import InvalidInput
from services.vector.source import BATCH_ROWS, SourceBatch
from services.vector.wkb import COLLECTION, read_headers

_GDAL_ERRORS = (DataSourceError, DataLayerError, pa.ArrowException, OSError, UnicodeDecodeError)
_GEOMETRY_EXTENSIONS = (b"geoarrow.wkb", b"ogc.wkb")
# CircularString, CompoundCurve, CurvePolygon, MultiCurve, MultiSurface (OGC 06-103r4): GDAL can linearise them.
_CURVED_TYPES = range(COLLECTION + 1, 13)


@dataclass(frozen=True)
class LayerInfo:
    """What GDAL says about a layer without reading it. features: -1 where it does not know."""

    name: str
    is_spatial: bool
    features: int


@dataclass(frozen=True)
class OgrLayer:
    """An open layer. schema: its attributes. geometry_position: index of the geometry in the reader's batches. untyped:
    the moments, when they come as text."""

    path: Path
    name: str | None
    crs: CRS | None
    schema: pa.Schema
    reader: pa.RecordBatchReader
    geometry_position: int
    untyped: frozenset[str]


def layer_infos(path: Path, **open_options: str) -> list[LayerInfo]:
    """All layers of the file, in its order. Raises InvalidInput(`unreadable_file`).

    open_options: GDAL's, of the driver, for the first opening.
    """
    with _translated(path):
        if open_options:
            _opened_once(path, open_options)
        return [_layer_info(path, str(name), geometry_type) for name, geometry_type in pyogrio.list_layers(path)]


def _opened_once(path: Path, open_options: dict[str, str]) -> None:
    """For what opening the file so leaves behind. It may have no layer at all."""
    with suppress(DataLayerError):
        pyogrio.read_info(path, layer=0, **open_options)


def _layer_info(path: Path, name: str, geometry_type: str | None) -> LayerInfo:
    features = pyogrio.read_info(path, layer=name, force_feature_count=True)["features"]
    return LayerInfo(name, geometry_type is not None, features)


@contextmanager
def open_layer(path: Path, name: str | None = None, *, encoding: str | None = None) -> Iterator[OgrLayer]:
    """Open a layer for one reading; the first one without `name`. Raises InvalidInput(`unreadable_file`)."""
    options: dict[str, Any] = {"layer": name, "encoding": encoding, "batch_size": BATCH_ROWS, "use_pyarrow": True}
    with ExitStack() as stack:
        with _translated(path):
            meta, reader = stack.enter_context(pyogrio.open_arrow(path, **options))
            untyped = _moments(meta) if any(map(_is_zoneless, reader.schema)) else frozenset[str]()
            if untyped:
                # GDAL would cut off the zone of each value where not all of a column's have the same one.
                meta, reader = stack.enter_context(pyogrio.open_arrow(path, **options, datetime_as_string=True))
            position = _geometry_position(reader.schema, meta)
        schema = reader.schema.remove(position)
        yield OgrLayer(path, name, file_crs(meta["crs"]), schema, reader, position, untyped)


def _is_zoneless(field: pa.Field) -> bool:
    return pa.types.is_timestamp(field.type) and field.type.tz is None


def _moments(meta: dict[str, Any]) -> frozenset[str]:
    kinds = zip(meta["fields"], meta["ogr_types"], strict=True)
    return frozenset(str(name) for name, kind in kinds if kind == "OFTDateTime")


def read_layer(layer: OgrLayer) -> Iterator[SourceBatch]:
    """Every feature of the layer once, in order. Curves come linearised, by GDAL's default of 4 degrees a step."""
    first = 0
    while (batch := _next_batch(layer)) is not None:
        geometry = _storage(batch.column(layer.geometry_position))
        if np.isin(read_headers(geometry).base, _CURVED_TYPES).any():
            geometry = _linearised(layer, first, len(batch))
        attributes = batch.remove_column(layer.geometry_position)
        yield SourceBatch(attributes, geometry)
        first += len(batch)


def _next_batch(layer: OgrLayer) -> pa.RecordBatch | None:
    with _translated(layer.path):
        return next(layer.reader, None)


def _linearised(layer: OgrLayer, first: int, count: int) -> pa.BinaryArray:
    """The geometries of the rows [first, first + count) read again: only pyogrio's other reader linearises."""
    with _translated(layer.path):
        _, _, geometry, _ = pyogrio.raw.read(
            layer.path, layer=layer.name, columns=[], skip_features=first, max_features=count
        )
    if len(geometry) != count:
        raise unreadable(layer.path, "its features changed their order while it was read")
    return pa.array(geometry, pa.binary())


def _geometry_position(schema: pa.Schema, meta: dict[str, Any]) -> int:
    """GDAL marks the geometry; by its name alone it could be taken for an attribute."""
    for position, field in enumerate(schema):
        if (field.metadata or {}).get(b"ARROW:extension:name") in _GEOMETRY_EXTENSIONS:
            return position
    position = schema.get_field_index(meta["geometry_name"] or "wkb_geometry")
    if position < 0:
        raise InvalidInput("no_spatial_layer", "The layer has no geometry.")
    return int(position)


def _storage(geometry: pa.Array) -> pa.BinaryArray:
    return geometry.storage if isinstance(geometry, pa.ExtensionArray) else geometry


def file_crs(text: str | None) -> CRS | None:
    """The horizontal CRS that a file declares; None where it declares none, or an undefined or local one."""
    return horizontal_crs(CRS.from_user_input(text)) if text else None


def horizontal_crs(crs: CRS) -> CRS | None:
    """Without heights. None for an undefined or local one."""
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if crs.is_engineering or crs.name.startswith("Undefined"):
        return None
    return crs.to_2d()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except UnboundLocalError as error:
        # Of pyogrio, where GDAL can tell a reference system in no words.
        raise unreadable(path, "its coordinate reference system is damaged; mend it, or leave it out") from error
    except _GDAL_ERRORS as error:
        raise unreadable(path, _without_paths(str(error), path)) from error


def unreadable(path: Path, why: str) -> InvalidInput:
    return InvalidInput("unreadable_file", f"The file cannot be read as {path.suffix.lstrip('.')}: {why}.")


def _without_paths(message: str, path: Path) -> str:
    """GDAL's message without the folders of this machine and without pyogrio's advice to programmers."""
    message = message.split("; It might help")[0].split(" Set SHAPE_RESTORE_SHX")[0]
    message = message.replace(f"{path.parent}/", "")
    return re.sub(r"(?<!\w)/(?:[^\s/'\"]+/)+", "", message).rstrip(" .")
