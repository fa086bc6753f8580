"""The encoder from Arrow batches to Postgres' binary COPY format (pgpq), with jsonb told apart from text."""

from typing import TYPE_CHECKING

import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb

from services.vector.columns import POSTGRES_TYPE_KEY

if TYPE_CHECKING:
    from pgpq._pgpq import EncoderBuilder


def copy_encoder(schema: pa.Schema) -> ArrowToPostgresBinaryEncoder:
    """An encoder for one COPY of batches with this schema.

    Fields that a ColumnPlan made carry their Postgres type as metadata; any other is encoded by its Arrow type.
    binary fields are written as they are: EWKB goes straight into a geometry column.
    """
    builders = {field.name: _builder(field) for field in schema}
    return ArrowToPostgresBinaryEncoder.new_with_encoders(schema, builders)


def _builder(field: pa.Field) -> "EncoderBuilder":
    if (field.metadata or {}).get(POSTGRES_TYPE_KEY) == b"jsonb":
        return StringEncoderBuilder.new_with_output(field, Jsonb())
    return ArrowToPostgresBinaryEncoder.infer_encoder(field)
