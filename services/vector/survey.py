"""What is learned of a source while it is read, and what it must have for a table to come of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import InvalidInput
from core.models.results import ColumnInfo
from core.models.vector import ProcessVectorParams
from services.vector.geometry_census import GeometryCensus
from services.vector.source import SourceBatch, VectorSource
from services.vector.type_census import TypeCensus

TEMPORAL_TYPES = ("date", "timestamp", "timestamptz")


@dataclass
class Survey:
    """What is learned of a source while its batches stream by."""

    source: VectorSource
    geometry: GeometryCensus = field(default_factory=GeometryCensus)
    types: TypeCensus = field(default_factory=TypeCensus)

    def batches(self) -> Iterator[SourceBatch]:
        for batch in self.source.batches():
            self.observe(batch)
            yield batch
        self.source = self.source.read_to_end()

    def observe(self, batch: SourceBatch) -> None:
        self.geometry.observe(batch.geometry)
        for name in self.source.untyped:
            self.types.observe(name, batch.attributes.column(name))


def refuse_empty(survey: Survey) -> None:
    if survey.geometry.rows == 0:
        raise InvalidInput(
            "no_features",
            f"the source has no features: layer {survey.source.layer!r} was read to its end and is empty.",
            parameter="blob_name",
            remedy="Check that the file was exported completely.",
        )


def refuse_unknown_columns(params: ProcessVectorParams, columns: list[ColumnInfo]) -> None:
    """Columns that the request names must be there, under the name the table gives them."""
    for error in unknown_columns(params, columns):
        raise error


def unknown_columns(params: ProcessVectorParams, columns: list[ColumnInfo]) -> Iterator[InvalidInput]:
    """What is wrong with each of the columns that the request names."""
    types = {column.name: column.pg_type for column in columns}
    wanted = [("indexes.attributes", name) for name in params.indexes.attributes]
    wanted += [("indexes.temporal", name) for name in params.indexes.temporal]
    wanted += [("temporal_property", params.temporal_property)] if params.temporal_property else []
    for parameter, name in wanted:
        if name not in types:
            available = ", ".join(types)
            yield InvalidInput(
                "column_not_found", f"column {name!r} not found; available: {available}.", parameter=parameter
            )
        elif parameter != "indexes.attributes" and types[name] not in TEMPORAL_TYPES:
            yield InvalidInput(
                "not_temporal",
                f"column {name!r} is {types[name]}, not a date or timestamp.",
                parameter=parameter,
                remedy="Name a column with dates or ISO 8601 timestamps.",
            )


def counted(reasons: pa.StringArray) -> dict[str, int]:
    """How often each reason occurs; nulls are not reasons."""
    found: list[dict[str, Any]] = pc.value_counts(reasons.drop_null()).to_pylist()
    return {entry["values"]: entry["counts"] for entry in found}


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items(), key=lambda item: -item[1]))
