"""Read CSV as a stream. Every attribute stays the text it is in the file; TypeCensus decides the types later.

pyarrow's streaming reader: 5 times as fast as GDAL's CSV driver, and it invents no types from the first rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from core.errors import InvalidInput
from services.behind import one_ahead
from services.vector.arriving import open_arriving
from services.vector.csv_decimals import DecimalColumns, decimal_columns
from services.vector.csv_dialect import CSV_DELIMITERS, TSV_DELIMITERS
from services.vector.csv_format import CsvFormat, read_csv_format
from services.vector.geometry_columns import locate
from services.vector.source import Misjudged, ReadOptions, VectorSource

# Each doubling costs 40 MB at the peak and gains nothing measurable.
_SMALLEST_BLOCK = 1 << 20
# pyarrow takes the block size as a signed 32-bit integer.
_LARGEST_BLOCK = (1 << 31) - 1


@contextmanager
def open_csv(path: Path, options: ReadOptions, delimiters: Sequence[str] = CSV_DELIMITERS) -> Iterator[VectorSource]:
    """CSV with a header row and either two coordinate columns or one column of WKT or WKB.

    delimiters: groups of those to look for. Where it may guess, rows are read while the file arrives.
    Raises InvalidInput: `column_not_found`, `geometry_columns_missing`, `malformed_csv`, `crs_missing`.
    """
    layout = csv_layout(path, options, delimiters)
    text_schema = pa.schema([(name, pa.string()) for name in layout.header])
    located = locate(options, text_schema, lambda: text_batches(path, layout), decimal=layout.decimal)
    decimals = _decimals(path, layout, options)
    schema = located.columns.attribute_schema(text_schema)
    yield VectorSource(
        layer=path.stem,
        driver="CSV",
        crs=located.crs,
        crs_found_in=located.crs_found_in,
        schema=schema,
        feature_count=None,
        batches=lambda: (located.columns.split(decimals.with_points(rows)) for rows in text_batches(path, layout)),
        untyped=frozenset(field.name for field in schema if pa.types.is_string(field.type)) - decimals.texts,
    )


def csv_layout(path: Path, options: ReadOptions, delimiters: Sequence[str]) -> CsvFormat:
    """Raises InvalidInput: `malformed_csv`, `invalid_parameter`."""
    coordinates = [name for name in (options.lat_name, options.lon_name) if name]
    return read_csv_format(path, options.converter_params, delimiters, coordinates, guess=options.guess)


def open_tsv(path: Path, options: ReadOptions) -> AbstractContextManager[VectorSource]:
    """The same with tabs, unless the header has none."""
    return open_csv(path, options, TSV_DELIMITERS)


def _decimals(path: Path, layout: CsvFormat, options: ReadOptions) -> DecimalColumns:
    if layout.decimal == ".":
        return DecimalColumns()
    geometry = list(options.geometry_columns.values())
    return decimal_columns(batch.drop_columns(geometry) for batch in text_batches(path, layout))


def text_batches(path: Path, layout: CsvFormat) -> Iterator[pa.RecordBatch]:
    """Record batches of strings, one block of the file each. Only an unquoted empty value is null.

    Raises Misjudged where the layout is a guess and something is wrong: looked at closely, it may be in order.
    """
    ragged = _RaggedRow()
    try:
        with (
            _Counting(path, layout.quote) as file,
            _open_reader(file, layout, ragged) as reader,
            closing(one_ahead(iter(reader))) as batches,
        ):
            for batch in batches:
                named = batch.rename_columns(list(layout.header))
                if not layout.quotes_balance:
                    _refuse_swallowed_rows(named)
                yield named
        if layout.is_guess and file.quotes % 2:
            raise Misjudged
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        if layout.is_guess:
            raise Misjudged from error
        if _has_no_rows(path):
            return
        raise _malformed(error, ragged, layout) from error


class _Counting:
    """A file that may still arrive, as pyarrow reads it. quotes: how many have been read."""

    def __init__(self, path: Path, quote: str) -> None:
        self._file = open_arriving(path)
        self._quote = ord(quote)
        self.quotes = 0
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.quotes += int(np.count_nonzero(np.frombuffer(block, np.uint8) == self._quote))
        return block

    def close(self) -> None:
        self.closed = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_reader(file: _Counting, layout: CsvFormat, ragged: "_RaggedRow") -> pacsv.CSVStreamingReader:
    # Positions as names: pyarrow would mix up columns that share a name.
    positions = [str(position) for position in range(len(layout.header))]
    return pacsv.open_csv(
        file,
        read_options=pacsv.ReadOptions(
            # One thread numbers the rows, so that a ragged row can be named.
            use_threads=False,
            block_size=min(max(_SMALLEST_BLOCK, 2 * layout.longest_line), _LARGEST_BLOCK),
            column_names=positions,
            skip_rows=layout.skipped_lines,
            skip_rows_after_names=1,
            encoding="utf8" if layout.encoding == "utf-8" else layout.encoding,
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char=layout.quote,
            newlines_in_values=True,
            invalid_row_handler=ragged.note,
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
