"""How much work a job will be, guessed from a sample."""

from dataclasses import dataclass
from math import ceil

from services.vector.chunks import CHUNK_BYTES, CHUNK_ROWS

# Seconds of a job on two cores beside the database and the storage (docs/inspection.md): what every job costs, per row,
# and per byte of the source and of its rows in Arrow's memory.
PER_JOB = 1.0
PER_ROW = 4e-6
PER_SOURCE_BYTE = 4e-9
PER_ARROW_BYTE = 3e-8


@dataclass(frozen=True)
class SampleSize:
    """bytes: of the rows in Arrow's memory."""

    rows: int
    batches: int
    bytes: int


def chunk_count(rows: int | None, sample: SampleSize, chunk_size: int | None) -> int | None:
    """As ChunkWriter splits: a chunk ends with the batch that reaches its bytes, or at its number of rows."""
    if not rows or not sample.rows:
        return None
    most_bytes = CHUNK_BYTES * (4 if chunk_size else 1)
    batches = ceil(most_bytes / (sample.bytes / sample.batches))
    return ceil(rows / min(chunk_size or CHUNK_ROWS, ceil(batches * sample.rows / sample.batches)))


def load_seconds(rows: int | None, sample: SampleSize, source_bytes: int) -> float | None:
    """From submission to the published table, while nothing else is at work."""
    if not rows or not sample.rows:
        return None
    arrow_bytes = rows * sample.bytes / sample.rows
    return round(PER_JOB + PER_ROW * rows + PER_SOURCE_BYTE * source_bytes + PER_ARROW_BYTE * arrow_bytes, 1)
