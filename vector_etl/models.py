"""What the app is sent and what it answers. What a newer app tells besides is kept as extra attributes."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

JobStatus = Literal["queued", "processing", "completed", "failed", "cancelled"]
Json = dict[str, Any]


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True, serialize_by_alias=True)


class Request(BaseModel):
    """What is None is not sent: the app has the defaults."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, serialize_by_alias=True)

    def body(self) -> Json:
        return self.model_dump(mode="json", exclude_none=True)


class Simplify(Request):
    tolerance: float
    preserve_topology: bool | None = None


class Quantize(Request):
    snap_to_grid: float


class GeometryParams(Request):
    simplify: Simplify | None = None
    quantize: Quantize | None = None


class Indexes(Request):
    spatial: bool | None = None
    attributes: list[str] | None = None
    temporal: list[str] | None = None


class ConverterParams(Request):
    delimiter: str | None = None
    quote: str | None = None
    encoding: str | None = None
    decimal: str | None = None


class Notify(Request):
    url: str
    events: list[str] | None = None


class ProcessVector(Request):
    """The parameters of process_vector; README.md explains each. Others are sent as they are given."""

    blob_name: str
    table_name: str | None = None
    file_extension: str | None = None
    container_name: str | None = None
    schema_name: str | None = Field(default=None, alias="schema")
    layer_name: str | None = None
    chunk_size: int | None = None
    lat_name: str | None = None
    lon_name: str | None = None
    wkt_column: str | None = None
    wkb_column: str | None = None
    source_crs: str | None = None
    encoding: str | None = None
    geometry_type: str | None = None
    max_reject_percent: float | None = None
    converter_params: ConverterParams | None = None
    geometry_params: GeometryParams | None = None
    indexes: Indexes | None = None
    cluster: bool | None = None
    overwrite: bool | None = None
    title: str | None = None
    description: str | None = None
    attribution: str | None = None
    license: str | None = None
    keywords: list[str] | None = None
    temporal_property: str | None = None
    notify: Notify | None = None


class ParameterError(Answer):
    parameter: str | None = None
    code: str | None = None
    detail: str


class Problem(Answer):
    """RFC 9457. code: stable, explained in docs/errors.md."""

    status: int
    code: str
    detail: str
    errors: list[ParameterError] = []


class Target(Answer):
    method: str
    url: str
    headers: dict[str, str] = {}
    max_bytes: int | None = None


class UploadPlace(Answer):
    """Where a file may be put: straight into the storage account, or in blocks through the app."""

    upload_id: str
    container_name: str
    blob_name: str
    expires_at: datetime
    put: Target | None
    blocks: Target
    finish: Target


class Uploaded(Answer):
    container_name: str
    blob_name: str
    size: int


class Refusal(Answer):
    """What would be refused, by the submission or by the job."""

    code: str
    message: str
    parameter: str | None = None
    remedy: str | None = None
    by: str = "submission"


class Inspection(Answer):
    """What the app makes of a file; docs/inspection.md tells all of it."""

    would_be_accepted: bool
    submission: str | None
    refusals: list[Refusal]
    source: Json | None = None
    table: Json | None = None
    geometry: Json | None = None
    extent: Json | None = None
    estimate: Json | None = None
    candidates: Json | None = None
    warnings: list[Any] = []


class Submitted(Answer):
    """status: created, queued, processing, already_completed or resubmitted."""

    job_id: str
    job_type: str
    status: str
    message: str
    parameters: Json
    links: dict[str, str] = {}


class Stage(Answer):
    name: str
    total: int
    completed: int = 0
    failed: int = 0
    processing: int = 0
    queued: int = 0
    pending: int = 0


class Progress(Answer):
    percent: float
    summary: str
    rows_loaded: int = 0
    stages: dict[str, Stage] = {}


class JobError(Answer):
    code: str
    message: str
    task_id: str | None = None
    details: Json = {}


class Rows(Answer):
    """read = loaded + the sum of rejected, by reason."""

    read: int
    loaded: int
    rejected: dict[str, int] = {}
    repaired: int = 0
    promoted: int = 0
    flattened: int = 0


class Table(Answer):
    schema_name: str = Field(alias="schema")
    name: str
    geometry_type: str
    srid: int
    bbox: list[float]
    columns: list[Json] = []
    renamed: list[Json] = []
    notes: list[Json] = []


class Receipt(Answer):
    """What a completed process_vector job did."""

    table: Table
    rows: Rows
    chunks: int
    stac: Json | None = None
    degraded: bool = False
    degraded_reason: str | None = None
    replaced: Json | None = None
    seconds: dict[str, float] = {}


class Job(Answer):
    job_id: str
    job_type: str
    status: JobStatus
    stage: int
    stage_name: str | None
    total_stages: int
    run: int
    parameters: Json
    result_data: Json | None
    error: JobError | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    progress: Progress | None = None
    links: dict[str, str] = {}

    @property
    def has_ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")

    @property
    def receipt(self) -> Receipt | None:
        """Of a completed process_vector job."""
        loads = self.job_type == "process_vector" and self.result_data
        return Receipt.model_validate(self.result_data) if loads else None


class Reject(Answer):
    """A row that was not loaded."""

    row_number: int
    reason: str
    detail: str | None = None
    location: list[float] | None = None
    attributes: Json = {}
