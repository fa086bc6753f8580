"""The handlers of process_vector's stages: prepare, upload, publish."""

import logging
from itertools import chain, islice
from pathlib import Path

from core.models.results import (
    ColumnInfo,
    ColumnNote,
    Memory,
    PrepareParams,
    ProcessVectorStage1Data,
    ProcessVectorStage1Result,
    Renamed,
    Uploaded,
    UploadParams,
)
from core.models.vector import ProcessVectorParams
from core.workflow import TaskContext
from infrastructure.resources import Resources
from services.timing import Stopwatch, peak_memory_mb
from services.vector.chunk_loader import ChunkLoader
from services.vector.chunks import ChunkWriter
from services.vector.columns import plan_columns
from services.vector.converters import open_source
from services.vector.geometry import GeometryOptions
from services.vector.leftovers import chunk_prefix
from services.vector.postgis_handler import SRID, TableShape, VectorToPostGISHandler
from services.vector.source import ReadOptions
from services.vector.source_file import download, sha256, temporary_folder
from services.vector.survey import Survey, refuse_empty, refuse_unknown_columns

log = logging.getLogger(__name__)


def process_vector_prepare(task: PrepareParams, ctx: TaskContext) -> ProcessVectorStage1Result:  # noqa: ARG001
    """Read the source once, split it into chunks in the silver zone, and make the staging table for them.

    Thin on purpose: it reads, names, types and counts; what costs is done chunk by chunk in parallel.
    """
    params: ProcessVectorParams = ctx.params
    watch = Stopwatch()
    with temporary_folder() as folder:
        with watch.measured("download"):
            path = download(ctx, params, folder)
        with open_source(path, params.file_extension, read_options(params)) as source:
            after_load = peak_memory_mb()
            survey = Survey(source)
            chunk_paths = write_chunks(ctx, params, folder, survey, watch)
            data = describe(ctx, params, survey, chunk_paths)
        with watch.measured("checksum"):
            checksum = sha256(path)
        memory = Memory(after_load=after_load, after_write=peak_memory_mb())
        log.info(
            "source prepared",
            extra={"rows": data.total_features, "chunks": data.num_chunks, "memory_mb": memory.model_dump()},
        )
        return ProcessVectorStage1Result(
            result=data,
            source_bytes=path.stat().st_size,
            source_sha256=checksum,
            memory_mb=memory,
            seconds=watch.seconds,
        )


def write_chunks(
    ctx: TaskContext, params: ProcessVectorParams, folder: Path, survey: Survey, watch: Stopwatch
) -> list[str]:
    """Returns the chunks' names in the silver zone, in the rows' order."""
    resources: Resources = ctx.resources
    prefix = f"{chunk_prefix(ctx.job_id, ctx.run)}{ctx.attempt}/"
    names: list[str] = []

    def deliver(number: int, path: Path) -> None:
        ctx.progress()
        name = f"{prefix}{number:06d}.arrow"
        with watch.measured("chunk_write"):
            resources.silver.write(name, path)
        path.unlink()
        names.append(name)

    with watch.measured("read"), ChunkWriter(folder, deliver, params.chunk_size) as writer:
        for batch in survey.batches():
            writer.write(batch)
    return names


def describe(
    ctx: TaskContext, params: ProcessVectorParams, survey: Survey, chunk_paths: list[str]
) -> ProcessVectorStage1Data:
    """Decide the table's shape and create its staging table. Raises InvalidInput when there is nothing to load."""
    refuse_empty(survey)
    source = survey.source
    plan = plan_columns(source.schema, survey.types)
    columns = [ColumnInfo(source=column.source, name=column.name, pg_type=column.type) for column in plan.columns]
    refuse_unknown_columns(params, columns)
    notes = survey.types.notes()
    geometry_type = survey.geometry.column_type(params.geometry_type)
    resources: Resources = ctx.resources
    with resources.database.transaction() as tx:
        ctx.hold(tx)
        shape = TableShape(columns, geometry_type)
        VectorToPostGISHandler(resources.database).create_staging(tx, ctx.job_id, ctx.run, shape)
    return ProcessVectorStage1Data(
        chunk_paths=chunk_paths,
        total_features=survey.geometry.rows,
        num_chunks=len(chunk_paths),
        table_name=params.table_name,
        schema_name=params.schema_name,
        columns=columns,
        renamed=[Renamed(source=n.source, name=n.name, reason=str(n.reason)) for n in plan.renames],
        notes=[
            ColumnNote(name=column.name, note=note) for column in plan.columns if (note := notes.get(column.source))
        ],
        geometry_type=geometry_type,
        srid=SRID,
        source_crs=source.crs_text,
        crs_found_in=source.crs_found_in,
        layer=source.layer,
        driver=source.driver,
        plan=plan.to_dict(),
    )


def process_vector_upload(task: UploadParams, ctx: TaskContext) -> Uploaded:
    """Replace this chunk's rows, so that running twice changes nothing."""
    params: ProcessVectorParams = ctx.params
    prepared: ProcessVectorStage1Data = ctx.results("prepare_chunks")[0].result
    resources: Resources = ctx.resources
    watch = Stopwatch()
    with watch.measured("chunk_read"):
        content = resources.silver.read(task.chunk_path)
    after_load = peak_memory_mb()
    loader = ChunkLoader(task.batch, prepared, geometry_options(params), watch)
    rows = loader.rows(content)
    # Repairs may take longer than a transaction may idle; once it copies, it does not idle.
    first = list(islice(rows, 1))
    with watch.measured("load"), resources.database.transaction() as tx:
        deleted, inserted = VectorToPostGISHandler(resources.database).replace_batch(
            tx, ctx.job_id, ctx.run, task.batch, chain(first, rows), loader.rejects(ctx.job_id, ctx.run)
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


def read_options(params: ProcessVectorParams) -> ReadOptions:
    return ReadOptions(
        layer_name=params.layer_name,
        lat_name=params.lat_name,
        lon_name=params.lon_name,
        wkt_column=params.wkt_column,
        source_crs=params.source_crs,
        converter_params=params.converter_params.model_dump(exclude_none=True),
    )


def geometry_options(params: ProcessVectorParams) -> GeometryOptions:
    simplify, quantize = params.geometry_params.simplify, params.geometry_params.quantize
    return GeometryOptions(
        simplify_tolerance=simplify.tolerance if simplify else None,
        preserve_topology=simplify.preserve_topology if simplify else True,
        snap_to_grid=quantize.snap_to_grid if quantize else None,
    )
