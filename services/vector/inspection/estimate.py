"""How much work a job will be, guessed from a sample."""

from dataclasses import dataclass
from math import ceil

from services.vector.chunks import CHUNK_BYTES, CHUNK_ROWS

# Seconds of a job with two workers, as docs/inspection.md measures them: what every job costs; to fetch and read a byte
# of the source; to load and index a row; for a byte of the rows in Arrow's memory, and more to reproject it.
PER_JOB = 0.3
PER_SOURCE_BYTE = {"csv": 2e-8, "geojson": 4e-8, "json": 4e-8, "kml": 2.5e-7, "kmz": 2.5e-7}
PER_BYTE_OF_OTHERS = 1.2e-8
PER_ROW = 3.5e-6
PER_ARROW_BYTE = 1e-8
TO_REPROJECT = 1.2e-8


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


def load_seconds(
    rows: int | None, sample: SampleSize, source_bytes: int, extension: str, *, is_projected: bool
) -> float | None:
    """From submission to the published table, while nothing else is at work; right within a factor of two."""
    if not rows or not sample.rows:
        return None
    per_arrow_byte = PER_ARROW_BYTE + (TO_REPROJECT if is_projected else 0)
    reading = PER_SOURCE_BYTE.get(extension, PER_BYTE_OF_OTHERS) * source_bytes
    loading = PER_ROW * rows + per_arrow_byte * rows * sample.bytes / sample.rows
    return round(PER_JOB + reading + loading, 1)
