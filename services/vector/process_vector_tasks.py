"""The handlers of process_vector's stages: prepare, upload, publish."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from core.errors import InvalidInput
from core.models.results import (
    Memory,
    PrepareParams,
    ProcessVectorStage1Data,
    ProcessVectorStage1Result,
    Uploaded,
    UploadParams,
)
from core.models.vector import ProcessVectorParams
from core.workflow import TaskContext
from infrastructure.resources import Resources
from infrastructure.sandbox import Crashed, OutOfMemory, TimedOut
from infrastructure.sandbox.protocol import Message
from services.behind import Behind
from services.timing import Stopwatch, peak_memory_mb
from services.vector.batches import replace_batch
from services.vector.chunk_loader import ChunkLoader
from services.vector.geometry import GeometryOptions
from services.vector.leftovers import chunk_prefix
from services.vector.parsed import PARSE, ChunkDone, Parsed, ParseRequest, chunk_path
from services.vector.postgis_handler import SRID, TableShape, VectorToPostGISHandler
from services.vector.source_file import downloaded, temporary_folder

log = logging.getLogger(__name__)

# Chunks that are on their way to the silver zone: a second one fills the pauses of the first.
PUT_AT_ONCE = 2
# Of the time that a function may run.
READING_SHARE = 0.9


def process_vector_prepare(task: PrepareParams, ctx: TaskContext) -> ProcessVectorStage1Result:  # noqa: ARG001
    """Read the source once, split it into chunks in the silver zone, and make the staging table for them.

    Thin on purpose: it reads, names, types and counts; what costs is done chunk by chunk in parallel.
    """
    params: ProcessVectorParams = ctx.params
    began, watch = time.monotonic(), Stopwatch()
    with temporary_folder() as folder, downloaded(ctx, params, folder, watch) as source:
        parsed, chunk_paths = parsed_source(ctx, source.path, folder, seconds_left(ctx, began), watch)
        checksum = source.sha256
    data = stage_1_data(params, parsed, chunk_paths)
    create_staging(ctx, data)
    log.info(
        "source prepared",
        extra={"rows": data.total_features, "chunks": data.num_chunks, "memory_mb": parsed.memory_mb.model_dump()},
    )
    return ProcessVectorStage1Result(
        result=data,
        source_bytes=source.bytes,
        source_sha256=checksum,
        memory_mb=parsed.memory_mb,
        seconds={**watch.seconds, **parsed.seconds},
    )


def parsed_source(
    ctx: TaskContext, path: Path, folder: Path, seconds: float, watch: Stopwatch
) -> tuple[Parsed, list[str]]:
    """What the sandbox makes of the file, and the chunks' names in the silver zone, in the rows' order.

    Raises InvalidInput for what the user can mend.
    """
    resources: Resources = ctx.resources
    params: ProcessVectorParams = ctx.params
    prefix = f"{chunk_prefix(ctx.job_id, ctx.run)}{ctx.attempt}/"
    names: list[str] = []

    def put_away(chunk: Path, name: str) -> None:
        resources.silver.write(name, chunk)
        chunk.unlink()

    request = ParseRequest(path=path, folder=folder, params=params).model_dump(mode="json")
    with Behind(watch.timed("chunk_write", put_away), PUT_AT_ONCE) as putting_away, told_in_words(params, seconds):

        def deliver(told: Message) -> None:
            """The reader goes on while its chunk is put away, and waits when earlier ones still are."""
            ctx.progress()
            chunk = chunk_path(folder, ChunkDone.model_validate(told).number)
            names.append(f"{prefix}{chunk.name}")
            putting_away.call(chunk, names[-1])

        returned = resources.sandbox.call(PARSE, request, seconds=seconds, hear=deliver)
    parsed = Parsed.model_validate(returned)
    return parsed, names[len(names) - parsed.chunks :]


def seconds_left(ctx: TaskContext, began: float) -> float:
    """For the reading: the function ends by itself, and says why, before its host would kill it."""
    resources: Resources = ctx.resources
    allowed = READING_SHARE * resources.settings.function_timeout_seconds
    return max(1.0, allowed - (time.monotonic() - began))


@contextmanager
def told_in_words(params: ProcessVectorParams, seconds: float) -> Iterator[None]:
    """What happened to the sandbox, as it concerns the user."""
    remedy = "Check the file by opening it in a GIS, and export it again."
    try:
        yield
    except Crashed as error:
        what = f"the reader of .{params.file_extension} files crashed on {params.blob_name!r} ({error.signal})."
        raise InvalidInput("parser_crashed", what, parameter="blob_name", remedy=remedy) from error
    except TimedOut as error:
        what = f"{params.blob_name!r} was not read within {seconds:.0f} s."
        remedy = "Split the file, or raise functionTimeout."
        raise InvalidInput("parser_timeout", what, parameter="blob_name", remedy=remedy) from error
    except OutOfMemory as error:
        what = f"reading {params.blob_name!r} takes more memory than PARSER_MEMORY_MB allows."
        remedy = "Split the file, or raise PARSER_MEMORY_MB."
        raise InvalidInput("parser_out_of_memory", what, parameter="blob_name", remedy=remedy) from error


def stage_1_data(params: ProcessVectorParams, parsed: Parsed, chunk_paths: list[str]) -> ProcessVectorStage1Data:
    return ProcessVectorStage1Data(
        chunk_paths=chunk_paths,
        total_features=parsed.rows,
        num_chunks=parsed.chunks,
        table_name=params.table_name,
        schema_name=params.schema_name,
        srid=SRID,
        **parsed.model_dump(exclude={"rows", "chunks", "memory_mb", "seconds"}),
    )


def create_staging(ctx: TaskContext, data: ProcessVectorStage1Data) -> None:
    resources: Resources = ctx.resources
    with resources.database.transaction() as tx:
        ctx.hold(tx)
        shape = TableShape(data.columns, data.geometry_type)
        VectorToPostGISHandler(resources.database).create_staging(tx, ctx.job_id, ctx.run, shape)


def process_vector_upload(task: UploadParams, ctx: TaskContext) -> Uploaded:
    """Replace this chunk's rows, so that running twice changes nothing."""
    params: ProcessVectorParams = ctx.params
    prepared: ProcessVectorStage1Data = ctx.result("prepare_chunks").result
    resources: Resources = ctx.resources
    watch = Stopwatch()
    with watch.measured("chunk_read"):
        content = resources.silver.read(task.chunk_path)
    after_load = peak_memory_mb()
    loader = ChunkLoader(task.batch, prepared, geometry_options(params), watch)
    rest = loader.rows(content)
    # Repairs may take longer than a transaction may idle; once it copies, it does not idle.
    rows = chain(list(islice(rest, 1)), rest)
    with watch.measured("commit"), resources.database.transaction() as tx:
        deleted, inserted = replace_batch(
            tx, ctx.job_id, ctx.run, task.batch, rows, loader.rejects(ctx.job_id, ctx.run), watch
        )
        ctx.hold(tx)
    uploaded = loader.receipt(deleted, inserted, Memory(after_load=after_load, after_write=peak_memory_mb()))
    log.info(
        "chunk uploaded",
        extra={
            "batch_id": f"{ctx.job_id}:{ctx.run}:{task.batch}",
            "deleted": deleted,
            "inserted": inserted,
            "rejected": uploaded.rejected,
            "seconds": uploaded.seconds,
            "rows_per_second": uploaded.rows_per_second,
            "memory_mb": uploaded.memory_mb.model_dump(),
        },
    )
    return uploaded


def geometry_options(params: ProcessVectorParams) -> GeometryOptions:
    simplify, quantize = params.geometry_params.simplify, params.geometry_params.quantize
    return GeometryOptions(
        simplify_tolerance=simplify.tolerance if simplify else None,
        preserve_topology=simplify.preserve_topology if simplify else True,
        snap_to_grid=quantize.snap_to_grid if quantize else None,
    )
