"""Text in an encoding that the request names. GDAL knows fewer of them than Python, and other names, and says nothing
about one it does not know; so it reads bytes as characters, and Python makes text of them."""

import codecs
from dataclasses import replace

import pyarrow as pa

from services.vector.source import SourceBatch

# Every byte is the character of its number.
BYTES_AS_CHARACTERS = "ISO-8859-1"


def recoded_schema(schema: pa.Schema, encoding: str) -> pa.Schema:
    return pa.schema([field.with_name(_recoded(field.name, encoding)) for field in schema])


def recoded_batch(batch: SourceBatch, encoding: str) -> SourceBatch:
    """What is not written in the encoding becomes U+FFFD."""
    columns = [_recoded_column(column, encoding) for column in batch.attributes.columns]
    schema = recoded_schema(batch.attributes.schema, encoding)
    return replace(batch, attributes=pa.record_batch(columns, schema=schema))


def _recoded_column(column: pa.Array, encoding: str) -> pa.Array:
    if not pa.types.is_string(column.type):
        return column
    return pa.array([None if text is None else _recoded(text, encoding) for text in column.to_pylist()], pa.string())


def _recoded(text: str, encoding: str) -> str:
    return codecs.decode(text.encode("latin-1"), encoding, "replace")
