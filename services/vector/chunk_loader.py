"""From a chunk to the rows of the table, with a count of what becomes of each."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.models.results import Memory, ProcessVectorStage1Data, Uploaded
from services.timing import Stopwatch
from services.vector.cells import CastTally
from services.vector.chunks import Chunk, read_chunk
from services.vector.columns import ColumnPlan, cast_batch
from services.vector.geometry import GeometryOptions, PreparedGeometries, prepare_geometries, projection
from services.vector.rejected_rows import Rejected
from services.vector.repair import Repairer
from services.vector.survey import counted

COUNTED = ("repaired", "promoted", "flattened", "with_z", "with_m")


class ChunkLoader:
    """Turns a chunk into the rows of the table and those that are rejected, and counts what becomes of each."""

    def __init__(
        self, batch: int, prepared: ProcessVectorStage1Data, options: GeometryOptions, watch: Stopwatch
    ) -> None:
        self._batch = batch
        self._prepared = prepared
        self._options = options
        self._watch = watch
        self._plan = ColumnPlan.from_dict(prepared.plan)
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._rejects: list[Rejected] = []
        self._tally = CastTally()
        self._bytes = 0

    def rows(self, content: bytes) -> Iterator[pa.RecordBatch]:
        self._bytes = len(content)
        with Repairer() as repairer:
            for chunk in read_chunk(content):
                geometries = prepare_geometries(
                    chunk.geometry,
                    chunk.reasons,
                    source_crs=self._prepared.source_crs,
                    target=self._prepared.geometry_type,
                    params=self._options,
                    repairer=repairer,
                    watch=self._watch,
                )
                self._count(geometries)
                self._keep_rejects(chunk, geometries)
                with self._watch.measured("cast"):
                    ready = self._assembled(chunk, geometries)
                # A batch may be one feature of 100 MB: whoever encodes it next makes one more copy.
                del chunk, geometries
                if ready.num_rows:
                    yield ready

    def rejects(self, job_id: str, run: int) -> Iterator[pa.RecordBatch]:
        """As rows of app.rejects, once all of the chunk was read; each batch is let go of when it was taken."""
        project = projection(self._prepared.source_crs)
        while self._rejects:
            with self._watch.measured("rejects"):
                ready = self._rejects.pop(0).encoded(job_id, run, self._batch, self._plan, project)
            yield ready

    def _count(self, geometries: PreparedGeometries) -> None:
        self._counts["read"] += len(geometries.kept)
        for name in COUNTED:
            self._counts[name] += getattr(geometries, name)
        self._rejected.update(counted(geometries.reasons))

    def _keep_rejects(self, chunk: Chunk, geometries: PreparedGeometries) -> None:
        rejected = pc.invert(geometries.kept)
        if pc.any(rejected).as_py():
            details = pc.coalesce(chunk.details, geometries.details)
            parts = (chunk.rows, chunk.attributes, chunk.geometry, geometries.reasons, details)
            self._rejects.append(Rejected(*(part.filter(rejected) for part in parts)))

    def _assembled(self, chunk: Chunk, geometries: PreparedGeometries) -> pa.RecordBatch:
        attributes, ids = chunk.attributes, chunk.rows
        if len(geometries.ewkb) < len(ids):
            attributes, ids = attributes.filter(geometries.kept), ids.filter(geometries.kept)
        attributes = cast_batch(attributes, self._plan, self._tally)
        batches = pa.array(np.full(len(ids), self._batch, np.int32))
        fields = [pa.field("id", pa.int64()), pa.field("etl_batch_id", pa.int32()), *attributes.schema]
        schema = pa.schema([*fields, pa.field("geom", pa.binary())])
        return pa.RecordBatch.from_arrays([ids, batches, *attributes.columns, geometries.ewkb], schema=schema)

    def receipt(self, deleted: int, inserted: int, memory: Memory) -> Uploaded:
        seconds = self._watch.seconds
        return Uploaded(
            batch=self._batch,
            rows_read=self._counts["read"],
            rows_loaded=inserted,
            rows_deleted=deleted,
            rejected=dict(self._rejected),
            chunk_bytes=self._bytes,
            **{name: self._counts[name] for name in COUNTED},
            **vars(self._tally),
            memory_mb=memory,
            seconds=seconds,
            rows_per_second=round(self._counts["read"] / max(sum(seconds.values()), 1e-3)),
        )
