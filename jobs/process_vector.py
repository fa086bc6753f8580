"""A vector file from blob storage into a PostGIS table with a STAC item."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.models.results import (
    PrepareParams,
    ProcessVectorResult,
    ProcessVectorStage1Result,
    Published,
    SourceReference,
    StacParams,
    TableReference,
    Uploaded,
    UploadParams,
)
from core.models.vector import ProcessVectorParams
from core.workflow import Inspection, InTransaction, JobType, Look, RunView, Stage, TaskContext
from infrastructure.resources import Resources
from services.vector.checks import blob_exists, csv_geometry_params, table_key, table_not_exists, table_stands
from services.vector.leftovers import leftovers, release
from services.vector.receipt import add_up

# A worker imports what files and catalogs need (0.3 s) with the first one it is given, and not with the app.


def prepare(task: PrepareParams, ctx: TaskContext) -> ProcessVectorStage1Result:
    from services.vector.process_vector_tasks import process_vector_prepare

    return process_vector_prepare(task, ctx)


def upload(task: UploadParams, ctx: TaskContext) -> Uploaded:
    from services.vector.process_vector_tasks import process_vector_upload

    return process_vector_upload(task, ctx)


def publish(task: StacParams, ctx: TaskContext) -> InTransaction[Published]:
    from services.vector.publishing import create_vector_stac

    return create_vector_stac(task, ctx)


def look(params: ProcessVectorParams, source: Mapping[str, Any], resources: Resources) -> Look:
    from services.vector.inspection.look import look_at_source

    return look_at_source(params, source, resources)


def one_prepare(_run: RunView) -> Sequence[PrepareParams]:
    return [PrepareParams()]


def one_upload_per_chunk(run: RunView) -> Sequence[UploadParams]:
    prepared: ProcessVectorStage1Result = run.results("prepare_chunks")[0]
    return [UploadParams(batch=batch, chunk_path=path) for batch, path in enumerate(prepared.result.chunk_paths)]


def one_stac_item(_run: RunView) -> Sequence[StacParams]:
    return [StacParams()]


def summarize(run: RunView) -> ProcessVectorResult:
    """What the client is told: the table, the receipt, where the rows came from and where the time went."""
    params: ProcessVectorParams = run.params
    prepared: ProcessVectorStage1Result = run.results("prepare_chunks")[0]
    uploads = run.results("upload_chunks")
    published: Published = run.results("create_stac")[0]
    data = prepared.result
    return ProcessVectorResult(
        table=TableReference(
            schema_name=data.schema_name,
            name=data.table_name,
            bbox=published.bbox,
            indexes=published.indexes,
            **data.model_dump(include={"geometry_type", "srid", "columns", "renamed", "notes"}),
        ),
        rows=add_up(prepared, uploads),
        chunks=data.num_chunks,
        source=SourceReference(
            blob_name=params.blob_name,
            bytes=prepared.source_bytes,
            sha256=prepared.source_sha256,
            crs=data.source_crs,
            **data.model_dump(include={"layer", "driver", "crs_found_in"}),
        ),
        **published.model_dump(include={"stac", "degraded", "degraded_reason", "replaced"}),
        seconds=sum_by_step([prepared.seconds, *(upload.seconds for upload in uploads), published.seconds]),
    )


def sum_by_step(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Seconds of work by step over all tasks; tasks that ran side by side add up."""
    steps = dict.fromkeys(step for part in parts for step in part)
    return {step: round(sum(part.get(step, 0.0) for part in parts), 4) for step in steps}


# Neither where the table goes nor which columns are its geometry need to be known to look at a file.
STAND_INS = {"table_name": "_", "schema": "_", "lat_name": None, "lon_name": None, "wkt_column": None}

PROCESS_VECTOR = JobType(
    "process_vector",
    params=ProcessVectorParams,
    source=blob_exists,
    checks=(table_not_exists, csv_geometry_params),
    stages=(
        Stage("prepare_chunks", task_type="process_vector_prepare", run=prepare, plan=one_prepare),
        Stage(
            "upload_chunks",
            task_type="process_vector_upload",
            run=upload,
            plan=one_upload_per_chunk,
            unit="chunks",
        ),
        Stage("create_stac", task_type="create_vector_stac", run=publish, plan=one_stac_item),
    ),
    finalize=summarize,
    exclusive_key=table_key,
    stands=table_stands,
    release=release,
    leftovers=leftovers,
    inspection=Inspection(look, stand_ins=STAND_INS),
    keeps_rejects=True,
    title="A vector file from blob storage into a PostGIS table with a STAC item",
)
