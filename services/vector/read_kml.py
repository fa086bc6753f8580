"""Read KML. Its folders are layers to GDAL, and one table to us: read one after the other, in order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyproj import CRS

from services.vector.ogr_layer import LayerInfo, layer_infos, open_layer, read_layer
from services.vector.read_ogr import choose_crs, named_layer
from services.vector.source import ReadOptions, SourceBatch, VectorSource

_WGS84 = CRS.from_epsg(4326)
_FOLDER = "folder"


@contextmanager
def open_kml(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """All folders of the file, or the one that layer_name names. KML is lon/lat by definition (OGC 12-007r2).

    Several folders share one schema, in which a column `folder` says where a row comes from.
    """
    layers = layer_infos(path)
    if options.layer_name is not None:
        layers = [named_layer(layers, options.layer_name)]
    else:
        layers = [layer for layer in layers if layer.features] or layers[:1]
    described = [_described(path, layer) for layer in layers]
    schemas = [schema for schema, _ in described]
    schema = schemas[0] if len(layers) == 1 else shared_schema(schemas)
    crs, origin = choose_crs(options, None, by_format=_WGS84, what="The KML file")
    yield VectorSource(
        layer=layers[0].name if len(layers) == 1 else path.stem,
        driver="LIBKML",
        crs=crs,
        crs_found_in=origin,
        schema=schema,
        feature_count=sum(layer.features for layer in layers),
        batches=lambda: _batches(path, layers, schema),
        untyped=frozenset[str]().union(*(untyped for _, untyped in described)),
    )


def _described(path: Path, info: LayerInfo) -> tuple[pa.Schema, frozenset[str]]:
    with open_layer(path, info.name) as layer:
        return layer.schema, layer.untyped


def _batches(path: Path, layers: list[LayerInfo], schema: pa.Schema) -> Iterator[SourceBatch]:
    for info in layers:
        with open_layer(path, info.name) as layer:
            for batch in read_layer(layer):
                yield batch if len(layers) == 1 else _with_folder(batch, info.name, schema)


def shared_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """Every field of every folder, in the order of first appearance; text where folders disagree on the type."""
    types: dict[str, pa.DataType] = {_FOLDER: pa.string()}
    for field in (field for schema in schemas for field in schema):
        known = types.setdefault(field.name, field.type)
        types[field.name] = field.type if known == field.type else pa.string()
    return pa.schema(types.items())


def _with_folder(batch: SourceBatch, folder: str, schema: pa.Schema) -> SourceBatch:
    rows = len(batch.geometry)
    arrays = [_column(batch.attributes, field, rows) for field in schema]
    arrays[0] = pa.array([folder] * rows, pa.string())
    return SourceBatch(pa.record_batch(arrays, schema=schema), batch.geometry, batch.reasons)


def _column(attributes: pa.RecordBatch, field: pa.Field, rows: int) -> pa.Array:
    position = attributes.schema.get_field_index(field.name)
    return attributes.column(position).cast(field.type) if position >= 0 else pa.nulls(rows, field.type)
