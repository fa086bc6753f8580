"""What is looked at before a process_vector job is written down."""

from typing import Any

from core.errors import InvalidInput, NotFound
from core.models.unpublish import UnpublishVectorParams
from core.models.vector import ProcessVectorParams
from core.sql import publishing
from core.workflow import RunView
from infrastructure.resources import Resources
from services.vector.source_file import find_sidecars, refuse_too_large
from services.vector.target import Target, refuse_occupied

# Formats whose rows are not features until the request says which columns are the geometry.
TABLES = ("csv", "tsv", "xlsx")


def blob_exists(params: ProcessVectorParams, resources: Resources) -> dict[str, Any]:
    """The facts that identify the source. Raises InvalidInput when it is not there, not allowed or too large."""
    settings = resources.settings
    container = params.container_name or settings.bronze_container
    allowed("container_name", container, settings.source_containers)
    try:
        facts = resources.bronze.facts(params.blob_name, container)
    except NotFound as error:
        raise InvalidInput(
            "blob_not_found",
            f"there is no blob {params.blob_name!r} in the container {container!r}.",
            parameter="blob_name",
            remedy="Upload the file first, or correct the name.",
        ) from error
    if facts.size == 0:
        raise InvalidInput(
            "blob_empty",
            f"the blob {params.blob_name!r} is empty (0 bytes).",
            parameter="blob_name",
            remedy="Upload the file again.",
        )
    refuse_too_large(facts.size, settings.max_source_mb)
    sidecars = find_sidecars(params, resources)
    return {"container_name": container, "etag": facts.etag, "bytes": facts.size, "sidecars": sidecars}


def table_not_exists(params: ProcessVectorParams, resources: Resources) -> None:
    """Raises InvalidInput when the schema is not allowed, or the table is there and may not or cannot be replaced."""
    allowed("schema", params.schema_name, resources.settings.allowed_schemas)
    with resources.database.transaction() as tx:
        refuse_occupied(tx, Target(params.schema_name, params.table_name, params.overwrite))


def csv_geometry_params(params: ProcessVectorParams, _resources: Resources) -> None:
    """The request must say which columns of a CSV, TSV or sheet hold the geometry: the file does not."""
    named = params.lat_name or params.wkt_column or params.wkb_column
    if params.file_extension in TABLES and not named:
        raise InvalidInput(
            "csv_geometry_missing",
            f"a {params.file_extension.upper()} does not say which columns hold its geometry.",
            parameter="lat_name",
            remedy="Give lat_name and lon_name, or wkt_column, or wkb_column.",
        )


def allowed(parameter: str, value: str, names: tuple[str, ...]) -> None:
    if value not in names:
        raise InvalidInput(
            f"{parameter}_not_allowed",
            f"{value!r} is not allowed.",
            parameter=parameter,
            remedy=f"Use one of: {', '.join(names)}.",
        )


def table_key(params: ProcessVectorParams | UnpublishVectorParams) -> str:
    """Only one active job may write a table."""
    return f"table {params.schema_name}.{params.table_name}"


def table_stands(run: RunView, resources: Resources) -> bool:
    """Whether the table that the run published is still there, and still the one it published."""
    params: ProcessVectorParams = run.params
    with resources.database.transaction() as tx:
        row = tx.one(publishing.published_by, schema=params.schema_name, table=params.table_name)
    return row is not None and (row["job_id"], row["run"]) == (run.job_id, run.run)
