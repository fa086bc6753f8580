"""A CSV before anybody has said which of its columns are the geometry."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyproj import CRS

from services.vector.csv_format import CsvFormat
from services.vector.geometry_columns import parse_numbers
from services.vector.read_csv import text_batches
from services.vector.source import SourceBatch, VectorSource

_SAMPLE_ROWS = 2000
_MOST = 0.9


def text_columns(path: Path, layout: CsvFormat) -> dict[str, pa.StringArray]:
    """The first rows as they are written. Raises InvalidInput("malformed_csv")."""
    first = next(text_batches(path, layout), None)
    if first is None:
        return {name: pa.array([], pa.string()) for name in layout.header}
    return {name: first.column(name).slice(0, _SAMPLE_ROWS) for name in layout.header}


def without_geometry(path: Path, layout: CsvFormat) -> VectorSource:
    """Its columns as they would be read, with a null for each geometry."""
    schema = pa.schema([(name, pa.string()) for name in layout.header])

    def batches() -> Iterator[SourceBatch]:
        for rows in text_batches(path, layout):
            yield SourceBatch(rows, pa.nulls(len(rows), pa.binary()))

    return VectorSource(
        path.stem, "CSV", CRS.from_epsg(4326), "format", schema, None, batches, untyped=frozenset(layout.header)
    )


def suspected_decimal(columns: dict[str, pa.StringArray], decimal: str) -> str | None:
    """The other decimal sign, where some columns are numbers only by that one and none only by this one."""
    other = "," if decimal == "." else "."
    ours, theirs = (
        {name for name, values in columns.items() if are_numbers(values, sign)} for sign in (decimal, other)
    )
    fractions = {name for name in theirs - ours if any(other in text for text in columns[name].drop_null().to_pylist())}
    return other if fractions and not ours - theirs else None


def are_numbers(values: pa.StringArray, decimal: str) -> bool:
    present = values.drop_null()
    return len(present) > 0 and float(np.isfinite(parse_numbers(present, decimal)).mean()) >= _MOST
