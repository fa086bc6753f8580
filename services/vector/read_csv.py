"""Read CSV as a stream. Every attribute stays the text it is in the file; TypeCensus decides the types later.

pyarrow's streaming reader: 5 times as fast as GDAL's CSV driver, and it invents no types from the first rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from pyproj import CRS

from core.errors import InvalidInput
from services.vector.csv_format import CsvFormat, read_csv_format
from services.vector.csv_geometry import GeometryColumns, LatLon, WellKnownText
from services.vector.source import CrsOrigin, ReadOptions, SourceBatch, VectorSource, crs_missing, requested_crs

# Each doubling costs 40 MB at the peak and gains nothing measurable.
_SMALLEST_BLOCK = 1 << 20
# pyarrow takes the block size as a signed 32-bit integer.
_LARGEST_BLOCK = (1 << 31) - 1
_WGS84 = CRS.from_epsg(4326)


@contextmanager
def open_csv(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """CSV with a header row and either two coordinate columns or one WKT column.

    Raises InvalidInput: `column_not_found`, `geometry_columns_missing`, `malformed_csv`, `crs_missing`.
    """
    layout = read_csv_format(path, options.converter_params)
    crs = requested_crs(options)
    columns = _geometry_columns(options, layout, crs or _WGS84)
    if isinstance(columns, WellKnownText) and crs is None:
        _refuse_unlikely_lon_lat(path, layout, columns)
    origin: CrsOrigin = "parameter" if crs else "format"
    schema = columns.attribute_schema(layout.header)
    yield VectorSource(
        layer=path.stem,
        driver="CSV",
        crs=crs or _WGS84,
        crs_found_in=origin,
        schema=schema,
        feature_count=None,
        batches=lambda: _batches(path, layout, columns),
        untyped=frozenset(field.name for field in schema if pa.types.is_string(field.type)),
    )


def _geometry_columns(options: ReadOptions, layout: CsvFormat, crs: CRS) -> GeometryColumns:
    if options.wkt_column:
        _require_column("wkt_column", options.wkt_column, layout)
        return WellKnownText(options.wkt_column, epsg=crs.to_epsg())
    if not (options.lat_name and options.lon_name):
        raise InvalidInput(
            "geometry_columns_missing",
            "A CSV needs either lat_name and lon_name or wkt_column.",
            remedy=f"Its columns are: {', '.join(layout.header)}.",
        )
    _require_column("lat_name", options.lat_name, layout)
    _require_column("lon_name", options.lon_name, layout)
    return LatLon(options.lat_name, options.lon_name, decimal=layout.decimal, is_lon_lat=crs == _WGS84)


def _require_column(parameter: str, name: str, layout: CsvFormat) -> None:
    if name not in layout.header:
        available = ", ".join(layout.header)
        raise InvalidInput(
            "column_not_found", f"column '{name}' not found; available: {available}", parameter=parameter
        )


def _refuse_unlikely_lon_lat(path: Path, layout: CsvFormat, columns: WellKnownText) -> None:
    """WKT without a CRS is taken for lon/lat only when the coordinates of the first block plainly are."""
    first = next(_batches(path, layout, columns), None)
    if first is not None and not columns.is_plainly_lon_lat(first.geometry):
        raise crs_missing("The WKT column")


def _batches(path: Path, layout: CsvFormat, columns: GeometryColumns) -> Iterator[SourceBatch]:
    for rows in text_batches(path, layout):
        yield columns.split(rows)


def text_batches(path: Path, layout: CsvFormat) -> Iterator[pa.RecordBatch]:
    """Record batches of strings, one block of the file each. Only an unquoted empty value is null."""
    ragged = _RaggedRow()
    try:
        with _open_reader(path, layout, ragged) as reader:
            for batch in reader:
                named = batch.rename_columns(list(layout.header))
                if not layout.quotes_balance:
                    _refuse_swallowed_rows(named)
                yield named
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        if _has_no_rows(path):
            return
        raise _malformed(error, ragged, layout) from error


def _open_reader(path: Path, layout: CsvFormat, ragged: "_RaggedRow") -> pacsv.CSVStreamingReader:
    # Positions as names: pyarrow would mix up columns that share a name.
    positions = [str(position) for position in range(len(layout.header))]
    return pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(
            # One thread numbers the rows, so that a ragged row can be named.
            use_threads=False,
            block_size=min(max(_SMALLEST_BLOCK, 2 * layout.longest_line), _LARGEST_BLOCK),
            column_names=positions,
            skip_rows=layout.blank_lines,
            skip_rows_after_names=1,
            encoding="utf8" if layout.encoding == "utf-8" else layout.encoding,
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=ragged.note
        ),
        convert_options=pacsv.ConvertOptions(
            column_types={name: pa.string() for name in positions},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


@dataclass
class _RaggedRow:
    """The first row whose number of columns is not the header's."""

    row: int | None = None
    expected: int = 0
    actual: int = 0

    def note(self, invalid: pacsv.InvalidRow) -> str:
        self.row, self.expected, self.actual = invalid.number, invalid.expected_columns, invalid.actual_columns
        return "error"


def _malformed(error: Exception, ragged: _RaggedRow, layout: CsvFormat) -> InvalidInput:
    """Say what is wrong without quoting the row: pyarrow's own message contains its data."""
    if ragged.row is not None:
        return InvalidInput(
            "malformed_csv",
            f"Row {ragged.row} has {ragged.actual} columns instead of {ragged.expected} (the header is row 1).",
            details={"row": ragged.row, "expected_columns": ragged.expected, "actual_columns": ragged.actual},
        )
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return InvalidInput(
            "malformed_csv",
            f"The file is not written in {layout.encoding} throughout.",
            parameter="converter_params.encoding",
        )
    return InvalidInput("malformed_csv", "A record does not end: a quote is opened and never closed.")


def _refuse_swallowed_rows(batch: pa.RecordBatch) -> None:
    """With an odd number of quotes in the file, a value of several lines is a quote that was never closed."""
    if any(pc.any(pc.match_substring(column, "\n")).as_py() for column in batch.columns):
        raise InvalidInput(
            "malformed_csv",
            "A quote is opened and never closed, which would swallow the rows behind it.",
            remedy="Double a quote that is part of a value.",
        )


def _has_no_rows(path: Path) -> bool:
    """An empty file, or a header that no line follows."""
    with path.open("rb") as file:
        lines = (line for line in file if line.strip())
        return next(lines, None) is None or next(lines, None) is None
