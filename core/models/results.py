"""What the stages of process_vector hand to each other and, in the end, to the client."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Result(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class ColumnInfo(Result):
    """A column of the table: its name in the source, in the table, and its types."""

    source: str
    name: str
    pg_type: str


class Renamed(Result):
    source: str
    name: str
    reason: str


class ColumnNote(Result):
    """Why a column has its type, where that is not plain."""

    name: str
    note: str


class Memory(Result):
    """High-water of the process's resident memory, MB."""

    after_load: float
    after_write: float


class PrepareParams(Result):
    """The source comes from the job's parameters."""


class ProcessVectorStage1Data(Result):
    """What the fan-out needs. total_features counts every row of the source, usable or not."""

    chunk_paths: list[str] = Field(min_length=1)
    total_features: int = Field(gt=0)
    num_chunks: int = Field(gt=0)
    table_name: str = Field(min_length=1)
    schema_name: str = Field(alias="schema", min_length=1)
    columns: list[ColumnInfo]
    renamed: list[Renamed] = []
    notes: list[ColumnNote] = []
    geometry_type: Literal["Point", "MultiPoint", "MultiLineString", "MultiPolygon", "Geometry"]
    srid: int = Field(gt=0)
    source_crs: str
    crs_found_in: str
    layer: str
    driver: str
    plan: dict[str, Any]

    @model_validator(mode="after")
    def chunks_add_up(self) -> Self:
        if self.num_chunks != len(self.chunk_paths):
            raise ValueError(f"num_chunks is {self.num_chunks}, but there are {len(self.chunk_paths)} chunk_paths")
        return self


class ProcessVectorStage1Result(Result):
    result: ProcessVectorStage1Data
    source_bytes: int
    source_sha256: str
    memory_mb: Memory
    seconds: dict[str, float]


class UploadParams(Result):
    batch: int = Field(ge=0)
    chunk_path: str = Field(min_length=1)


class Changes(Result):
    """How many of the loaded rows were changed, and how. repaired: were invalid. promoted: became Multi geometries.
    flattened: had more than two dimensions; with_z, with_m: which. stripped_nuls, replaced_bytes: values that had NUL
    characters, or bytes that are no UTF-8."""

    repaired: int = 0
    promoted: int = 0
    flattened: int = 0
    with_z: int = 0
    with_m: int = 0
    stripped_nuls: int = 0
    replaced_bytes: int = 0


class Uploaded(Changes):
    """rows_read = rows_loaded + the sum of rejected, by reason."""

    batch: int
    rows_read: int
    rows_loaded: int
    rows_deleted: int
    rejected: dict[str, int]
    chunk_bytes: int
    memory_mb: Memory
    seconds: dict[str, float]
    rows_per_second: float

    @model_validator(mode="after")
    def rows_add_up(self) -> Self:
        if self.rows_read != self.rows_loaded + sum(self.rejected.values()):
            raise ValueError(
                f"batch {self.batch} read {self.rows_read} rows, but loaded {self.rows_loaded}"
                f" and rejected {sum(self.rejected.values())}"
            )
        return self


class StacParams(Result):
    """Everything comes from the results of the earlier stages."""


class StacReference(Result):
    collection: str
    item_id: str


class TypeChange(Result):
    """A column whose type is another one, as Postgres writes it."""

    name: str
    before: str
    after: str


class Replaced(Result):
    """What was there before an overwrite, and what is there now. rows_before, bbox_before: null when it was not
    published by the app."""

    rows_before: int | None
    rows_after: int
    bbox_before: list[float] | None
    bbox_after: list[float]
    columns_added: list[str]
    columns_removed: list[str]
    columns_changed: list[TypeChange]


class Published(Result):
    """The table is visible, and cataloged where pgSTAC is there."""

    rows: int
    bbox: list[float]
    replaced: Replaced | None
    stac: StacReference | None
    degraded: bool
    degraded_reason: str | None
    indexes: list[str]
    seconds: dict[str, float]


class Receipt(Changes):
    """Every row of the source accounted for: read = loaded + rejected."""

    read: int
    loaded: int
    rejected: dict[str, int]

    @property
    def rows_rejected(self) -> int:
        return sum(self.rejected.values())


class TableReference(Result):
    schema_name: str = Field(alias="schema")
    name: str
    geometry_type: str
    srid: int
    bbox: list[float]
    columns: list[ColumnInfo]
    renamed: list[Renamed]
    notes: list[ColumnNote]
    indexes: list[str]


class SourceReference(Result):
    blob_name: str
    bytes: int
    sha256: str
    layer: str
    driver: str
    crs: str
    crs_found_in: str


class ProcessVectorResult(Result):
    """result_data of a completed process_vector job."""

    table: TableReference
    rows: Receipt
    chunks: int
    source: SourceReference
    stac: StacReference | None
    degraded: bool
    degraded_reason: str | None
    replaced: Replaced | None
    seconds: dict[str, float]
