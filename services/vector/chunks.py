"""Chunks: what the prepare stage hands to the upload stage, as Arrow IPC streams (zstd) in the silver zone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from core.errors import InvalidInput
from services.vector.parsed import chunk_path
from services.vector.source import SourceBatch

OWN_FIELDS = ("__row", "__geometry", "__reason", "__detail")

# One chunk of complex polygons should cost about as much as one of points.
CHUNK_BYTES = 16 << 20
CHUNK_ROWS = 100_000
# A worker holds several copies of one batch while it checks, transforms and encodes it.
BATCH_BYTES = 4 << 20


@dataclass(frozen=True)
class Chunk:
    """(n,) row numbers from 1, attributes under their source names, source WKB; why the reader rejects a row, and what
    it shows for it."""

    rows: pa.Int64Array
    attributes: pa.RecordBatch
    geometry: pa.BinaryArray
    reasons: pa.StringArray
    details: pa.StringArray


class ChunkWriter:
    """Splits a stream of batches into chunk files of at most `rows` rows and about CHUNK_BYTES, or four times that when
    the rows were asked for: a worker holds one in memory. Batches with other columns begin a new one. Gives each
    finished one to `deliver(number, path)`, which may move it away. They are numbered from `first`."""

    def __init__(self, folder: Path, deliver: Callable[[int, Path], None], rows: int | None, first: int = 0) -> None:
        self._folder = folder
        self._deliver = deliver
        self._most_rows = rows or CHUNK_ROWS
        self._most_bytes = CHUNK_BYTES * (4 if rows else 1)
        self._writer: ipc.RecordBatchStreamWriter | None = None
        self._schema: pa.Schema | None = None
        self._rows = self._bytes = 0
        self.total_rows = 0
        self.chunks = 0
        self._first = first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._finish_chunk()
        elif self._writer:
            self._writer.close()

    def write(self, batch: SourceBatch) -> None:
        table = self._numbered(batch)
        step = max(1, table.num_rows * BATCH_BYTES // table.nbytes) if table.num_rows else 0
        while table.num_rows:
            part = table.slice(0, min(step, self._most_rows - self._rows))
            table = table.slice(part.num_rows)
            self._append(part)

    def _numbered(self, batch: SourceBatch) -> pa.RecordBatch:
        n = batch.attributes.num_rows
        numbers = pa.array(np.arange(self.total_rows + 1, self.total_rows + n + 1, dtype=np.int64))
        nothing = pa.nulls(n, pa.string())
        reasons = batch.reasons if batch.reasons is not None else nothing
        details = batch.details if batch.details is not None else nothing
        self.total_rows += n
        return pa.RecordBatch.from_arrays(
            [numbers, batch.geometry, reasons, details, *batch.attributes.columns],
            names=[*OWN_FIELDS, *batch.attributes.schema.names],
        )

    def _append(self, part: pa.RecordBatch) -> None:
        if self._schema != part.schema:
            self._finish_chunk()
        if self._writer is None:
            options = ipc.IpcWriteOptions(compression="zstd")
            self._writer = ipc.new_stream(self._path, part.schema, options=options)
            self._schema = part.schema
        self._writer.write_batch(part)
        self._rows += part.num_rows
        self._bytes += part.nbytes
        if self._rows >= self._most_rows or self._bytes >= self._most_bytes:
            self._finish_chunk()

    def _finish_chunk(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        path, number = self._path, self._first + self.chunks
        self._writer, self._rows, self._bytes = None, 0, 0
        self.chunks += 1
        self._deliver(number, path)

    @property
    def _path(self) -> Path:
        return chunk_path(self._folder, self._first + self.chunks)


def read_chunk(content: bytes) -> Iterator[Chunk]:
    """The batches of a chunk in order. Raises InvalidInput("damaged_chunk") when it is not what was written."""
    try:
        with ipc.open_stream(content) as reader:
            # No reference to a batch is kept while it is worked on: the one that takes it lets go of it early.
            yield from map(as_chunk, reader)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidInput("damaged_chunk", f"a chunk in the silver zone cannot be read: {error}.") from error


def as_chunk(batch: pa.RecordBatch) -> Chunk:
    """Removing columns keeps the number of rows, also when no attribute is left."""
    rows, geometry, reasons, details = batch.columns[: len(OWN_FIELDS)]
    for _ in OWN_FIELDS:
        batch = batch.remove_column(0)
    return Chunk(rows, batch, geometry, reasons, details)
