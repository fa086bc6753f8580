"""What would not be refused, and is worth a look all the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from services.vector.columns import ColumnPlan
from services.vector.geometry_columns import parse_numbers
from services.vector.inspection.candidates import rank_of
from services.vector.inspection.encoding import Encoding
from services.vector.inspection.sample import Checked
from services.vector.source import ReadOptions
from services.vector.survey import listed

MANY_INVALID = 0.1
MOSTLY_NUMBERS = 0.8


@dataclass(frozen=True)
class Warned:
    code: str
    message: str


def of_columns(plan: ColumnPlan, first: pa.RecordBatch | None) -> Iterator[Warned]:
    """first: some rows of the columns, in the plan's order."""
    if plan.renames:
        pairs = ", ".join(f"{naming.source!r} to {naming.name!r} ({naming.reason})" for naming in plan.renames)
        yield Warned("columns_renamed", f"columns would be renamed: {pairs}.")
    for column, values in zip(plan.columns, first.columns if first is not None else (), strict=first is not None):
        if column.type == "text" and pa.types.is_string(values.type):
            share = share_of_numbers(values)
            if MOSTLY_NUMBERS <= share < 1:
                yield Warned("mixed_types", f"column {column.source!r} would be text: {share:.0%} are numbers.")


def share_of_numbers(values: pa.StringArray) -> float:
    present = values.drop_null()
    return float(np.isfinite(parse_numbers(present, ".")).mean()) if len(present) else 0.0


def of_geometry(checked: Checked) -> Iterator[Warned]:
    if checked.invalid > MANY_INVALID * max(checked.rows, 1):
        told = f"{checked.invalid} of {checked.rows} geometries are invalid"
        yield Warned("many_invalid", f"{told}, and would be repaired or rejected: {listed(dict(checked.reasons))}.")
    if checked.rejected:
        lost = sum(checked.rejected.values())
        yield Warned(
            "rows_rejected", f"{lost} of {checked.rows} rows would be rejected: {listed(dict(checked.rejected))}."
        )
    if checked.skipped:
        yield Warned("large_geometries", f"{checked.skipped} geometries are too large to be checked beforehand.")


def of_axes(*, is_swapped: bool) -> Iterator[Warned]:
    if is_swapped:
        yield Warned("swapped_axes", "most coordinates are in range only when latitude and longitude change places.")


def of_names(options: ReadOptions) -> Iterator[Warned]:
    for given, name, meant in (("lat_name", options.lat_name, 0), ("lon_name", options.lon_name, 1)):
        if name and rank_of(name, meant) is None and rank_of(name, 1 - meant) is not None:
            yield Warned("swapped_axes", f"{given} is {name!r}, which sounds like the other coordinate.")


def of_encoding(encoding: Encoding | None) -> Iterator[Warned]:
    if encoding and encoding.suspected:
        yield Warned(
            "encoding_doubtful",
            f"the text would be read as {encoding.name}, but looks like {encoding.suspected}:"
            " give converter_params.encoding.",
        )


def of_decimal(suspected: str | None) -> Iterator[Warned]:
    if suspected:
        yield Warned(
            "decimal_doubtful",
            f"numbers are written with {suspected!r}: give converter_params.decimal for coordinates.",
        )
