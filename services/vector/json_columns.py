"""Columns of JSON values that show only while the rows are read: their names, and what types their values have.

A batch holds each column as narrowly as all rows so far allow. What type a column has is known at the end.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Self

import msgspec
import pyarrow as pa

from core.errors import InvalidInput
from services.vector.cells import float_texts
from services.vector.columns import arrow_type
from services.vector.type_census import MOMENTS, TypeCensus

Row = dict[str, Any]

# Postgres takes 1600 columns; three are the app's own.
MOST_COLUMNS = 1597
# jsonb, and the code that cleans it, are recursive.
DEEPEST_VALUE = 100
# Of as many digits as a double gives back.
_LARGEST_EXACT_INTEGER = 10**15 - 1
_INT64_DIGITS, _DECIMAL128_DIGITS = 19, 38
_NUMBERS = {int, float}
_NESTED = {dict, list}
_JSON = pa.json_(pa.string())


@dataclass(frozen=True)
class JsonRows:
    """Rows on their own, each column of `batch` as narrow as they allow. columns: by name, what these hold."""

    batch: pa.RecordBatch
    columns: dict[str, "_Column"]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """A column for every name that occurs, the earliest first. Raises InvalidInput: `nested_too_deeply`."""
        names = list(dict.fromkeys(chain.from_iterable(rows)))
        values_of = _transposed(rows, names)
        columns = {name: _Column() for name in names}
        arrays = [column.array(values_of[name]) for name, column in columns.items()]
        return cls(_record_batch(names, arrays, len(rows)), columns)


class JsonColumns:
    """Fed with the rows of a source in their order."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._moments = TypeCensus(MOMENTS)

    def batch(self, rows: Sequence[Row]) -> pa.RecordBatch:
        """The next rows as `joined` gives them. Raises InvalidInput: `too_many_columns`, `nested_too_deeply`."""
        return self.joined(JsonRows.of(rows))

    def joined(self, rows: JsonRows) -> pa.RecordBatch:
        """(n rows), with a column for every name that has occurred so far, the earliest first.

        Raises InvalidInput: `too_many_columns`.
        """
        for name, column in rows.columns.items():
            self._columns.setdefault(name, _Column()).merge(column)
        _refuse_too_many(len(self._columns))
        arrays = [
            column.widened(rows.batch.column(name)) if name in rows.columns else column.nulls(rows.batch.num_rows)
            for name, column in self._columns.items()
        ]
        for name, values in zip(self._columns, arrays, strict=True):
            if pa.types.is_string(values.type):
                self._moments.observe(name, values)
        return _record_batch(list(self._columns), arrays, rows.batch.num_rows)

    def kinds(self, name: str) -> set[type]:
        """Python types of the values of a column; empty where it has none."""
        return self._columns[name].kinds if name in self._columns else set()

    def schema(self) -> pa.Schema:
        """Every column with the type that all its values have."""
        return pa.schema([(name, self._type(name, column)) for name, column in self._columns.items()])

    def _type(self, name: str, column: "_Column") -> pa.DataType:
        return arrow_type(self._moments.postgres_type(name)) if column.kinds == {str} else column.type()


def _refuse_too_many(columns: int) -> None:
    if columns > MOST_COLUMNS:
        raise InvalidInput(
            "too_many_columns",
            f"The features have more than {MOST_COLUMNS} different properties, which no table can hold.",
            remedy="Give all features the same properties, and put what varies into one of them, as an object.",
        )


def _transposed(rows: Sequence[Row], names: list[str]) -> dict[str, Sequence[Any]]:
    """By name the values of all rows, None where a row has none."""
    # Of one name itemgetter gives the value, of several a tuple.
    if len(names) < 2:
        return {name: [row.get(name) for row in rows] for name in names}
    try:
        return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    except KeyError:
        return {name: [row.get(name) for row in rows] for name in names}


def _record_batch(names: list[str], arrays: list[pa.Array], rows: int) -> pa.RecordBatch:
    """By way of a struct array: a record batch made without columns would forget how many rows it has."""
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.record_batch(arrays, names=names)


@dataclass
class _Column:
    """kinds: Python types of the values so far. largest: greatest magnitude of its integers."""

    kinds: set[type] = field(default_factory=set)
    largest: int = 0

    def array(self, values: Sequence[Any]) -> pa.Array:
        """(n,) in the narrowest type that holds all values so far; those of a mixture as JSON."""
        kinds = set(map(type, values))
        self.kinds |= kinds - {type(None)}
        if int in kinds:
            integers = values if kinds == {int} else [value for value in values if type(value) is int]
            self.largest = max(self.largest, abs(max(integers)), abs(min(integers)))
        stored = self._stored_type()
        if stored == _JSON:
            return pa.ExtensionArray.from_storage(_JSON, pa.array(map(_json_text, values), pa.string()))
        return pa.array(values, stored, from_pandas=True)

    def merge(self, other: "_Column") -> None:
        self.kinds |= other.kinds
        self.largest = max(self.largest, other.largest)

    def widened(self, values: pa.Array) -> pa.Array:
        """(n,) values, of kinds that this column has, in the narrowest type that holds all so far."""
        stored = self._stored_type()
        return values if values.type == stored else self.array(values.to_pylist())

    def nulls(self, count: int) -> pa.Array:
        return pa.nulls(count, self._stored_type())

    def _stored_type(self) -> pa.DataType:
        """JSON keeps the members of a mixture apart: how it ends is not known yet."""
        type_ = pa.string() if self.kinds == {str} else self.type()
        is_mixed = self.kinds != {str} and (pa.types.is_string(type_) or pa.types.is_decimal(type_))
        return _JSON if is_mixed else type_

    def type(self) -> pa.DataType:
        """What all values so far fit into: text where scalars are mixed, jsonb where any of them is nested."""
        if not self.kinds:
            return pa.null()
        if self.kinds & _NESTED:
            return _JSON
        if self.kinds == {bool}:
            return pa.bool_()
        if self.kinds == {int}:
            return _integer_type(self.largest)
        if self.kinds <= _NUMBERS and self.largest <= _LARGEST_EXACT_INTEGER:
            return pa.float64()
        return pa.string()


def _integer_type(largest: int) -> pa.DataType:
    if largest < 2**63:
        return pa.int64()
    digits = len(str(largest))
    return pa.decimal128(digits, 0) if digits <= _DECIMAL128_DIGITS else pa.string()


def _json_text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, float):
        # As those of a column that was not mixed yet, and becomes text.
        return str(float_texts(pa.array([value]))[0])
    _refuse_deep(value)
    return msgspec.json.encode(value).decode()


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST_VALUE):
        level = [item for outer in level if isinstance(outer, dict | list) for item in _items(outer)]
        if not level:
            return
    raise nested_too_deeply("A property")


def nested_too_deeply(what: str) -> InvalidInput:
    return InvalidInput("nested_too_deeply", f"{what} is nested too deeply: {DEEPEST_VALUE} levels are read.")


def _items(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer
