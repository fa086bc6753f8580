"""unpublish_vector: what a client sends, and what it is told."""

from pydantic import ConfigDict, Field

from core.models.results import Result, StacReference
from core.models.vector import Strict, TableName


class UnpublishVectorParams(Strict):
    model_config = ConfigDict(json_schema_extra={"examples": [{"table_name": "parcels", "schema": "geo"}]})

    table_name: TableName
    schema_name: TableName = Field(default="geo", alias="schema")


class UnpublishParams(Result):
    """The table comes from the job's parameters."""


class PublishedBy(Result):
    """The run of process_vector that had published the table."""

    job_id: str
    run: int


class Unpublished(Result):
    """result_data of a completed unpublish_vector job. rows, geometry_type, bbox: as the table was published.

    dropped: false when the table was gone already, and only what the catalogs told of it was left. stac: the item that
    was removed.
    """

    schema_name: str = Field(alias="schema")
    name: str
    rows: int
    geometry_type: str
    bbox: list[float]
    dropped: bool
    published_by: PublishedBy
    stac: StacReference | None
    degraded: bool
    degraded_reason: str | None
