"""Read GeoPackage, FlatGeobuf and file geodatabases through GDAL, as a stream of Arrow record batches."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pyproj import CRS

from core.errors import InvalidInput
from services.vector.geodatabase_tables import refuse_cut_tables
from services.vector.layer_choice import is_named, layer_ambiguous, layer_not_found
from services.vector.ogr_layer import (
    LayerInfo,
    OgrLayer,
    layer_infos,
    open_layer,
    read_layer,
    unreadable,
)
from services.vector.source import CrsOrigin, ReadOptions, SourceBatch, VectorSource, crs_missing, requested_crs

BatchReader = Callable[[], Iterator[SourceBatch]]


@contextmanager
def open_geopackage(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """The layer that was asked for, or the only one that has features with geometry.

    Raises InvalidInput: `layer_not_found`, `layer_ambiguous`, `no_spatial_layer`, `crs_missing`, `unreadable_file`.
    """
    info = chosen_layer(layer_infos(path), options.layer_name)
    with _opened(path, info, "GPKG", options, lambda: _stored_rows(path, info.name)) as source:
        yield source


@contextmanager
def open_geodatabase(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """path: the folder `*.gdb`. Chosen and refused as from a GeoPackage."""
    refuse_cut_tables(path)
    info = chosen_layer(layer_infos(path), options.layer_name)
    with _opened(path, info, "OpenFileGDB", options) as source:
        yield source


@contextmanager
def open_flatgeobuf(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """A file of one layer, which goes by the name it has inside, or by the file's.

    Raises InvalidInput: `layer_not_found`, `no_spatial_layer`, `crs_missing`, `unreadable_file`.
    """
    infos = layer_infos(path)
    if not infos:
        raise unreadable(path, "its header is damaged")
    info = chosen_layer(infos, None)
    wanted = options.layer_name
    if wanted is not None and not is_named(wanted, info.name, path.stem, path.name):
        raise layer_not_found(wanted, {info.name: info.features})
    with _opened(path, info, "FlatGeobuf", options) as source:
        yield source


@contextmanager
def _opened(
    path: Path, info: LayerInfo, driver: str, options: ReadOptions, recount: Callable[[], int | None] | None = None
) -> Iterator[VectorSource]:
    with open_layer(path, info.name) as layer:
        crs, origin = choose_crs(options, layer.crs, by_format=None, what=f"The layer '{info.name}'")
        yield source_of(
            info.name,
            driver,
            layer,
            crs,
            origin,
            info.features,
            lambda: complete(read_layer(layer), path, info, recount),
        )


def source_of(
    name: str, driver: str, layer: OgrLayer, crs: CRS, origin: CrsOrigin, features: int | None, batches: BatchReader
) -> VectorSource:
    return VectorSource(name, driver, crs, origin, layer.schema, features, batches, layer.untyped)


def chosen_layer(layers: list[LayerInfo], wanted: str | None) -> LayerInfo:
    if wanted is not None:
        return named_layer(layers, wanted)
    spatial = [layer for layer in layers if layer.is_spatial]
    if not spatial:
        raise InvalidInput("no_spatial_layer", "The file has no layer with geometry.")
    usable = [layer for layer in spatial if layer.features] or spatial[:1]
    if len(usable) > 1:
        raise layer_ambiguous("The file has several layers", _counts(usable))
    return usable[0]


def named_layer(layers: list[LayerInfo], wanted: str) -> LayerInfo:
    """Raises InvalidInput(`layer_not_found`), listing what there is."""
    for layer in layers:
        if layer.name == wanted:
            return layer
    raise layer_not_found(wanted, _counts(layers))


def _counts(layers: list[LayerInfo]) -> dict[str, int | None]:
    return {layer.name: layer.features for layer in layers}


def complete(
    batches: Iterator[SourceBatch], path: Path, info: LayerInfo, recount: Callable[[], int | None] | None = None
) -> Iterator[SourceBatch]:
    """Pass the batches on, and make sure that none is missing: GDAL skips what is damaged without a word.

    recount: counts the features another way, where the number that GDAL announces may be outdated.
    """
    rows = 0
    for batch in batches:
        rows += len(batch.geometry)
        yield batch
    if rows != info.features and (recount is None or rows != recount()):
        raise unreadable(path, f"it holds {info.features} features, of which only {rows} could be read")


def _stored_rows(path: Path, table: str) -> int | None:
    """Counted in the table itself: the number GDAL announces may be outdated in a file that other programs changed."""
    quoted = table.replace('"', '""')
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            return int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608
    except sqlite3.DatabaseError:
        return None


def choose_crs(options: ReadOptions, in_file: CRS | None, *, by_format: CRS | None, what: str) -> tuple[CRS, CrsOrigin]:
    """The request's CRS, else the file's, else what the format prescribes. Raises InvalidInput(`crs_missing`)."""
    if (requested := requested_crs(options)) is not None:
        return requested, "parameter"
    if in_file is not None:
        return in_file, "file"
    if by_format is not None:
        return by_format, "format"
    raise crs_missing(what)
