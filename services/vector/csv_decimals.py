"""Which columns of a CSV with decimal commas hold numbers. Judged over every value, in a reading of its own."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_COMMA_NUMBER = r"^-?(0|[1-9]\d*)?,\d+([eE][+-]?\d+)?$"
_INTEGER = r"^-?(0|[1-9]\d*)$"
# Groups of thousands, perhaps: with a comma for the decimals a point in a number says nothing certain.
_POINT_NUMBER = r"^[-+\d.eE]*\.[-+\d.eE]*$"


@dataclass(frozen=True)
class DecimalColumns:
    """commas: columns of numbers, to be read with a point in the place of the comma. texts: columns that must not be
    taken for numbers."""

    commas: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    def with_points(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        for name in self.commas:
            position = rows.schema.get_field_index(name)
            rows = rows.set_column(position, name, pc.replace_substring(rows.column(position), ",", "."))
        return rows


def decimal_columns(batches: Iterable[pa.RecordBatch]) -> DecimalColumns:
    """batches: all rows, as text."""
    has_comma: dict[str, bool] = {}
    is_number: dict[str, bool] = {}
    has_point: dict[str, bool] = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if is_number.get(name, True):
                commas = pc.match_substring_regex(column, _COMMA_NUMBER)
                has_comma[name] = has_comma.get(name, False) or _any(commas)
                is_number[name] = not _any(pc.invert(pc.or_(commas, pc.match_substring_regex(column, _INTEGER))))
            if not has_point.get(name, False):
                has_point[name] = _any(pc.match_substring_regex(column, _POINT_NUMBER))
    numbers = frozenset(name for name, holds in is_number.items() if holds and has_comma[name])
    return DecimalColumns(numbers, frozenset(name for name, holds in has_point.items() if holds))


def _any(holds: pa.BooleanArray) -> bool:
    return bool(pc.any(holds).as_py())
