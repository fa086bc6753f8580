"""Rejected rows of a batch, as rows of app.rejects."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from services.vector.cells import json_values
from services.vector.columns import POSTGRES_TYPE_KEY, ColumnPlan, aligned
from services.vector.defects import find_defects
from services.vector.ewkb import Projection

_SCHEMA = pa.schema(
    [
        ("job_id", pa.string()),
        ("run", pa.int32()),
        ("batch", pa.int32()),
        ("row_number", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("lon", pa.float64()),
        ("lat", pa.float64()),
        ("geometry", pa.binary()),
        pa.field("attributes", pa.string(), metadata={POSTGRES_TYPE_KEY: b"jsonb"}),
    ]
)


@dataclass(frozen=True)
class Rejected:
    """k rows of a batch that are not loaded: their numbers, source attributes and source WKB, why, and what is known of
    it."""

    rows: pa.Int64Array
    attributes: pa.RecordBatch
    geometry: pa.BinaryArray
    reasons: pa.StringArray
    details: pa.StringArray

    def encoded(
        self, job_id: str, run: int, batch: int, plan: ColumnPlan, project: Projection | None
    ) -> pa.RecordBatch:
        """As rows of app.rejects, ready to copy."""
        count = len(self.rows)
        defects = find_defects(self.geometry, self.reasons, self.details, project)
        places = [defect.place or (None, None) for defect in defects]
        columns: list[Any] = [
            [job_id] * count,
            [run] * count,
            [batch] * count,
            self.rows,
            self.reasons,
            [defect.detail and defect.detail.replace("\0", "") for defect in defects],
            [lon for lon, _ in places],
            [lat for _, lat in places],
            [defect.shape for defect in defects],
            attribute_texts(self.attributes, plan),
        ]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
        return pa.record_batch(arrays, schema=_SCHEMA)


def attribute_texts(attributes: pa.RecordBatch, plan: ColumnPlan) -> list[str]:
    """A JSON object for each row: the values of the source under the names of the table."""
    names = [column.name for column in plan.columns]
    columns = [
        json_values(values, column.type) for values, column in zip(aligned(attributes, plan), plan.columns, strict=True)
    ]
    rows: Iterator[tuple[Any, ...]] = zip(*columns, strict=True) if columns else iter([()] * attributes.num_rows)
    return [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
