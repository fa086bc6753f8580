"""Small helpers for tests of the readers: write a file, read it whole."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely

from core.errors import InvalidInput
from services.vector.columns import ColumnPlan, cast_batch, plan_columns
from services.vector.converters import open_source
from services.vector.source import ReadOptions, SourceBatch, VectorSource
from services.vector.type_census import TypeCensus


class Read:
    """A source that was read to its end."""

    def __init__(self, source: VectorSource, batches: list[SourceBatch]) -> None:
        self.source = source.read_to_end()
        self.batches = batches
        self.table = self._table()
        self.wkb = [value for batch in batches for value in batch.geometry.to_pylist()]
        self.reasons = [
            reason
            for batch in batches
            for reason in (batch.reasons.to_pylist() if batch.reasons is not None else [None] * len(batch.geometry))
        ]

    def _table(self) -> pa.Table:
        """The attributes as they come; or as they are loaded, where the types of a batch are not yet the source's."""
        attributes = [batch.attributes for batch in self.batches]
        if self.source.at_end is None:
            return pa.Table.from_batches(attributes, self.source.schema)
        plan = self.plan
        table = pa.Table.from_batches([cast_batch(batch, plan) for batch in attributes], plan.arrow_schema)
        return table.rename_columns(self.source.schema.names)

    @property
    def geometries(self) -> list[Any]:
        return [None if wkb is None else shapely.from_wkb(wkb) for wkb in self.wkb]

    @property
    def plan(self) -> ColumnPlan:
        census = TypeCensus()
        for batch in self.batches:
            for name in self.source.untyped:
                census.observe(name, batch.attributes.column(name))
        return plan_columns(self.source.schema, census)


def read(path: Path, **options: Any) -> Read:
    with open_source(path, path.suffix, ReadOptions(**options)) as source:
        return Read(source, list(source.batches()))


def refusal(path: Path, **options: Any) -> InvalidInput:
    """The error with which the file is refused, on opening or while reading."""
    with pytest.raises(InvalidInput) as caught:
        read(path, **options)
    return caught.value


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def write_geojson(path: Path, *features: dict[str, Any], **members: Any) -> Path:
    return write_text(path, json.dumps({"type": "FeatureCollection", "features": features, **members}))


def feature(geometry: dict[str, Any] | None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def point(*coordinates: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": list(coordinates)}
