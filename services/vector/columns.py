"""From the columns of a source to the columns of a table: names, Postgres types, and the Arrow types COPY takes."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from services.vector.cells import CastTally, to_column
from services.vector.column_names import Naming, name_columns
from services.vector.type_census import TypeCensus

# What the binary COPY encoder must be given for a column of each type: widths on the wire are fixed.
_ARROW_TYPES = {
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "text": pa.string(),
    "jsonb": pa.string(),
    "bytea": pa.binary(),
}
_NUMERIC = re.compile(r"numeric\((\d+), ?(\d+)\)")
# numeric travels as Arrow's decimal128, which holds 38 digits; wider ones stay text.
_DECIMAL128_DIGITS = 38
POSTGRES_TYPE_KEY = b"postgres_type"


@dataclass(frozen=True)
class Column:
    """source: name in the file. name: name in the table. type: Postgres type, as written in CREATE TABLE."""

    source: str
    name: str
    type: str

    @property
    def arrow_field(self) -> pa.Field:
        """The type to encode from. The Postgres type rides along as metadata: jsonb is text with another encoding."""
        return pa.field(self.name, arrow_type(self.type), metadata={POSTGRES_TYPE_KEY: self.type.encode()})


@dataclass(frozen=True)
class ColumnPlan:
    """The table's attribute columns, in the order of the source's."""

    columns: tuple[Column, ...]
    renames: tuple[Naming, ...] = ()

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([column.arrow_field for column in self.columns])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives an equal plan."""
        return {
            "columns": [vars(column) for column in self.columns],
            "renames": [vars(naming) for naming in self.renames],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ColumnPlan":
        columns = tuple(Column(**column) for column in data["columns"])
        return cls(columns, tuple(Naming(**naming) for naming in data["renames"]))


def plan_columns(schema: pa.Schema, census: TypeCensus | None = None) -> ColumnPlan:
    """Name and type the attributes of a source.

    schema: attributes as the source names and types them. census: decides the type of the columns it observed.
    """
    namings = name_columns(schema.names)
    columns = tuple(
        Column(naming.source, naming.name, _planned_type(field, census))
        for naming, field in zip(namings, schema, strict=True)
    )
    return ColumnPlan(columns, tuple(naming for naming in namings if naming.reason))


def cast_batch(batch: pa.RecordBatch, plan: ColumnPlan, tally: CastTally | None = None) -> pa.RecordBatch:
    """(n rows) of source attributes -> (n rows) with the plan's names and Arrow types, ready to encode.

    NaN and NaT become null. NUL characters, which Postgres text cannot hold, are stripped and counted in `tally`.
    A column that first appears after the batch is null. Raises pa.ArrowInvalid for a value that the planned type cannot
    hold.
    """
    tally = tally if tally is not None else CastTally()
    arrays = [
        to_column(array, column.type, arrow_type(column.type), tally)
        for array, column in zip(aligned(batch, plan), plan.columns, strict=True)
    ]
    return pa.record_batch(arrays, schema=plan.arrow_schema)


def aligned(batch: pa.RecordBatch, plan: ColumnPlan) -> list[pa.Array]:
    """By position where the batch has the plan's columns; by name where some became known later, or not to count."""
    sources = [column.source for column in plan.columns]
    there = batch.schema.names
    if there == sources:
        return list(batch.columns)
    return [batch.column(source) if source in there else pa.nulls(len(batch)) for source in sources]


def arrow_type(postgres_type: str) -> pa.DataType:
    """The Arrow type that is encoded into a column of this Postgres type."""
    if numeric := _NUMERIC.fullmatch(postgres_type):
        return pa.decimal128(int(numeric[1]), int(numeric[2]))
    return _ARROW_TYPES[postgres_type]


def _planned_type(field: pa.Field, census: TypeCensus | None) -> str:
    if census is not None and census.observed(field.name):
        return census.postgres_type(field.name)
    return postgres_type_of(field.type)


def postgres_type_of(source: pa.DataType) -> str:
    """The Postgres type for an Arrow type as readers give them. What has no counterpart becomes text."""
    if isinstance(source, pa.BaseExtensionType):
        return "jsonb" if source.extension_name == "arrow.json" else postgres_type_of(source.storage_type)
    if pa.types.is_dictionary(source):
        return postgres_type_of(source.value_type)
    if pa.types.is_decimal(source):
        return _numeric_type(source)
    return next((name for matches, name in _POSTGRES_TYPES if matches(source)), "text")


def _numeric_type(source: pa.DataType) -> str:
    fits = 0 <= source.scale <= source.precision <= _DECIMAL128_DIGITS
    return f"numeric({source.precision}, {source.scale})" if fits else "text"


def _is_zoned(source: pa.DataType) -> bool:
    return pa.types.is_timestamp(source) and source.tz is not None


_POSTGRES_TYPES = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_uint64, f"numeric({len(str(2**64))}, 0)"),
    (pa.types.is_integer, "bigint"),
    (pa.types.is_floating, "double precision"),
    (pa.types.is_date, "date"),
    (pa.types.is_time, "time"),
    (_is_zoned, "timestamptz"),
    (pa.types.is_timestamp, "timestamp"),
    (pa.types.is_nested, "jsonb"),
    (pa.types.is_binary, "bytea"),
    (pa.types.is_large_binary, "bytea"),
    (pa.types.is_fixed_size_binary, "bytea"),
)
