"""From a chunk to the rows of the table, with a count of what becomes of each."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from core.models.results import Memory, ProcessVectorStage1Data, Uploaded
from services.timing import Stopwatch
from services.vector.chunks import Chunk, read_chunk
from services.vector.columns import ColumnPlan, cast_batch
from services.vector.geometry import GeometryOptions, PreparedGeometries, prepare_geometries
from services.vector.survey import counted


class ChunkLoader:
    """Turns a chunk into the rows of the table, and counts what becomes of each."""

    def __init__(
        self, batch: int, prepared: ProcessVectorStage1Data, options: GeometryOptions, watch: Stopwatch
    ) -> None:
        self._batch = batch
        self._prepared = prepared
        self._options = options
        self._watch = watch
        self._plan = ColumnPlan.from_dict(prepared.plan)
        self._read = self._repaired = self._promoted = self._flattened = 0
        self._rejected: Counter[str] = Counter()

    def rows(self, content: bytes) -> Iterator[pa.RecordBatch]:
        for chunk in read_chunk(content):
            with self._watch.measured("geometry"):
                geometries = prepare_geometries(
                    chunk.geometry,
                    chunk.reasons,
                    source_crs=self._prepared.source_crs,
                    target=self._prepared.geometry_type,
                    params=self._options,
                )
            self._count(geometries)
            if len(geometries.ewkb):
                with self._watch.measured("cast"):
                    ready = self._assembled(chunk, geometries)
                yield ready

    def _count(self, geometries: PreparedGeometries) -> None:
        self._read += len(geometries.kept)
        self._repaired += geometries.repaired
        self._promoted += geometries.promoted
        self._flattened += geometries.flattened
        self._rejected.update(counted(geometries.reasons))

    def _assembled(self, chunk: Chunk, geometries: PreparedGeometries) -> pa.RecordBatch:
        attributes = cast_batch(chunk.attributes.filter(geometries.kept), self._plan)
        ids = chunk.rows.filter(geometries.kept)
        batches = pa.array(np.full(len(ids), self._batch, np.int32))
        fields = [pa.field("id", pa.int64()), pa.field("etl_batch_id", pa.int32()), *attributes.schema]
        schema = pa.schema([*fields, pa.field("geom", pa.binary())])
        return pa.RecordBatch.from_arrays([ids, batches, *attributes.columns, geometries.ewkb], schema=schema)

    def receipt(self, deleted: int, inserted: int, memory: Memory) -> Uploaded:
        seconds = self._watch.seconds
        return Uploaded(
            batch=self._batch,
            rows_read=self._read,
            rows_loaded=inserted,
            rows_deleted=deleted,
            rejected=dict(self._rejected),
            repaired=self._repaired,
            promoted=self._promoted,
            flattened=self._flattened,
            memory_mb=memory,
            seconds=seconds,
            rows_per_second=round(self._read / max(sum(seconds.values()), 1e-3)),
        )
