"""Read GeoParquet, or Parquet with a geometry column that the request names, batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import InvalidInput
from services.vector.geometry_columns import locate
from services.vector.geoparquet import GeometryColumn, geometry_column
from services.vector.ogr_layer import horizontal_crs
from services.vector.read_ogr import choose_crs
from services.vector.source import BATCH_ROWS, ReadOptions, SourceBatch, VectorSource

# A batch of large geometries has fewer rows.
_BATCH_BYTES = 16 << 20
# Pages are read through a buffer of this size, instead of whole column chunks at once.
_BUFFER = 1 << 20
_UUID = "arrow.uuid"


@contextmanager
def open_parquet(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """The primary geometry column, or the columns that the request names. Bounds in a column of their own are left out.

    Raises InvalidInput: `geometry_columns_missing`, `column_not_found`, `wrong_column_type`, `crs_missing`,
    `unreadable_file`.
    """
    with _translated():
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER)
    with file:
        yield _source(path, file, options)


def _source(path: Path, file: pq.ParquetFile, options: ReadOptions) -> VectorSource:
    stored = file.schema_arrow
    _refuse_repeated_names(stored)
    geometry = None if options.lat_name else geometry_column(stored, options.well_known_column)
    if geometry is None:
        return _source_of_table(path, file, options)
    in_file = None if geometry.crs is None else horizontal_crs(geometry.crs)
    crs, origin = choose_crs(options, in_file, by_format=None, what=f"The geometry column '{geometry.name}'")
    attributes = [name for name in stored.names if name != geometry.name and name not in geometry.derived]
    return VectorSource(
        layer=path.stem,
        driver="Parquet",
        crs=crs,
        crs_found_in=origin,
        schema=_readable_schema(stored, attributes),
        feature_count=file.metadata.num_rows,
        batches=lambda: _batches(file, geometry, attributes),
    )


def _source_of_table(path: Path, file: pq.ParquetFile, options: ReadOptions) -> VectorSource:
    names = file.schema_arrow.names
    schema = _readable_schema(file.schema_arrow, names)
    located = locate(options, schema, lambda: _rows(file, names))
    return VectorSource(
        layer=path.stem,
        driver="Parquet",
        crs=located.crs,
        crs_found_in=located.crs_found_in,
        schema=located.columns.attribute_schema(schema),
        feature_count=file.metadata.num_rows,
        batches=lambda: map(located.columns.split, _rows(file, names)),
    )


def _batches(file: pq.ParquetFile, geometry: GeometryColumn, attributes: list[str]) -> Iterator[SourceBatch]:
    for rows in _rows(file, [*attributes, geometry.name]):
        yield SourceBatch(rows.select(attributes), geometry.to_wkb(rows[geometry.name]))


def _rows(file: pq.ParquetFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    schema = _readable_schema(file.schema_arrow, names)
    with _translated():
        batches = file.iter_batches(_batch_rows(file), columns=names, use_threads=False)
        for batch in batches:
            columns = [_readable(batch[name]) for name in names]
            yield pa.record_batch(columns, schema=schema)


def _batch_rows(file: pq.ParquetFile) -> int:
    """By the row group with the longest rows."""
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    row_bytes = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
    return int(min(BATCH_ROWS, max(1, _BATCH_BYTES // max(row_bytes, 1))))


def _readable_schema(stored: pa.Schema, names: list[str]) -> pa.Schema:
    return pa.schema(
        [(name, pa.string() if _is_uuid(stored.field(name).type) else stored.field(name).type) for name in names]
    )


def _readable(column: pa.Array) -> pa.Array:
    """UUIDs are text to everybody but Arrow."""
    if not _is_uuid(column.type):
        return column
    return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == _UUID


def _refuse_repeated_names(schema: pa.Schema) -> None:
    """Parquet selects columns by name."""
    repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeated:
        raise InvalidInput("unreadable_file", f"The file has several columns named {', '.join(repeated)}.")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "unreadable_file", "The file cannot be read as Parquet: it is damaged or incomplete."
        ) from error
