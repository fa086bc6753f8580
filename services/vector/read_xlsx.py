"""Read a sheet of an Excel workbook as the table it holds."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import InvalidInput
from services.vector.csv_format import unique_header
from services.vector.geometry_columns import locate
from services.vector.layer_choice import layer_ambiguous, layer_not_found, no_features
from services.vector.source import BATCH_ROWS, ReadOptions, VectorSource
from services.vector.workbook import Sheet, Workbook, opened_workbook


@contextmanager
def open_xlsx(path: Path, options: ReadOptions) -> Iterator[VectorSource]:
    """The sheet that was asked for, or the only one whose header has the geometry columns.

    Raises InvalidInput: `layer_not_found`, `layer_ambiguous`, `no_features`, `column_not_found`, `malformed_sheet`,
    `geometry_columns_missing`, `crs_missing`, `formula_without_value`, `unreadable_file`.
    """
    with opened_workbook(path) as book:
        sheet = _chosen_sheet(book, options, path)
        text_schema = pa.schema([(name, pa.string()) for name in _header(sheet)])

        def rows() -> Iterator[pa.RecordBatch]:
            return _batches(book, sheet, text_schema, options)

        located = locate(options, text_schema, rows)
        schema = located.columns.attribute_schema(text_schema)
        yield VectorSource(
            layer=sheet.name,
            driver="XLSX",
            crs=located.crs,
            crs_found_in=located.crs_found_in,
            schema=schema,
            feature_count=None,
            batches=lambda: map(located.columns.split, rows()),
            untyped=frozenset(field.name for field in schema if pa.types.is_string(field.type)),
        )


def _chosen_sheet(book: Workbook, options: ReadOptions, path: Path) -> Sheet:
    wanted = list(options.geometry_columns.values())
    sheets = book.sheets(wanted)
    if not sheets:
        raise no_features(path)
    if options.layer_name is not None:
        return _named_sheet(sheets, options.layer_name)
    usable = [sheet for sheet in sheets if set(wanted) <= set(_header(sheet))]
    if len(usable) > 1:
        raise layer_ambiguous("Several sheets have these columns", _counts(usable))
    if usable or len(sheets) == 1:
        return (usable or sheets)[0]
    available = "; ".join(f"{sheet.name}: {', '.join(_header(sheet))}" for sheet in sheets)
    raise InvalidInput(
        "column_not_found",
        f"no sheet has the columns {', '.join(wanted)}; available: {available}",
        parameter=next(iter(options.geometry_columns)),
    )


def _named_sheet(sheets: Sequence[Sheet], wanted: str) -> Sheet:
    for sheet in sheets:
        if sheet.name == wanted:
            return sheet
    raise layer_not_found(wanted, _counts(sheets))


def _counts(sheets: Sequence[Sheet]) -> dict[str, int | None]:
    return {sheet.name: sheet.rows for sheet in sheets}


def _header(sheet: Sheet) -> tuple[str, ...]:
    """Up to the last name: cells may be formatted far beyond it."""
    width = max(position for position, name in enumerate(sheet.header, start=1) if name)
    return unique_header([name or "" for name in sheet.header[:width]])


def _batches(book: Workbook, sheet: Sheet, schema: pa.Schema, options: ReadOptions) -> Iterator[pa.RecordBatch]:
    rows = _fitted_rows(book, sheet, len(schema))
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        columns = [pa.array(column, pa.string()) for column in zip(*batch, strict=True)]
        yield _with_points(pa.record_batch(columns, schema=schema), options)


def _fitted_rows(book: Workbook, sheet: Sheet, width: int) -> Iterator[Sequence[str | None]]:
    """Each as wide as the header. A value beyond it has no column to go to."""
    for number, row in book.rows(sheet):
        if any(text is not None for text in row[width:]):
            raise InvalidInput(
                "malformed_sheet",
                f"Row {number} of the sheet '{sheet.name}' has a value beyond the {width} columns of the header.",
                remedy="Give the column a name, or remove the value.",
                details={"row": number, "expected_columns": width},
            )
        yield [*row[:width], *[None] * (width - len(row))]


def _with_points(rows: pa.RecordBatch, options: ReadOptions) -> pa.RecordBatch:
    """Coordinates that are text may have a decimal comma; numbers of the sheet come with a point in any case."""
    if options.converter_params.get("decimal") != ",":
        return rows
    for name in {options.lat_name, options.lon_name} & set(rows.schema.names):
        position = rows.schema.get_field_index(name)
        rows = rows.set_column(position, name, pc.replace_substring(rows.column(position), ",", "."))
    return rows
