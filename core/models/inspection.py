"""What a look before submitting tells. docs/inspection.md explains each field; None: not known."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.models.enums import Submission
from core.models.results import Renamed


class Looked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class RefusalAhead(Looked):
    """by: the submission would be refused, or the job would fail with it."""

    code: str
    message: str
    parameter: str | None = None
    remedy: str | None = None
    by: Literal["submission", "job"]


class Inspected(Looked):
    """submission: what `submit` would answer, when nothing speaks against it."""

    job_type: str
    would_be_accepted: bool
    submission: Submission | None
    refusals: list[RefusalAhead]
    seconds: float


class Warned(Looked):
    code: str
    message: str


class LayerFound(Looked):
    name: str
    features: int | None
    geometry_type: str | None
    crs: str | None
    bounds: tuple[float, float, float, float] | None


class EncodingFound(Looked):
    name: str
    confidence: float
    found_in: str
    suspected: str | None


class SourceFound(Looked):
    blob_name: str
    bytes: int
    driver: str | None
    layer: str | None
    layers: list[LayerFound]
    crs: str | None
    crs_found_in: str | None
    encoding: EncodingFound | None
    delimiter: str | None
    decimal: str | None


class ColumnFound(Looked):
    source: str
    name: str
    pg_type: str
    examples: list[str]


class TableFound(Looked):
    geometry_type: str | None
    srid: int
    columns: list[ColumnFound] | None
    renamed: list[Renamed]


class GeometryFound(Looked):
    types: dict[str, int]
    without: int
    with_z: int
    rows: int | None
    invalid: int | None
    reasons: dict[str, int] | None
    rejected: dict[str, int] | None


class SampleFound(Looked):
    rows: int
    is_whole: bool


class Candidate(Looked):
    column: str
    why: str


class CandidatesFound(Looked):
    lat: list[Candidate]
    lon: list[Candidate]
    wkt: list[Candidate]
    wkb: list[Candidate]
    proposed: dict[str, Any]


class ExtentFound(Looked):
    """bbox: west, south, east, north in EPSG:4326."""

    bbox: tuple[float, float, float, float]
    found_in: str


class Estimated(Looked):
    rows: int | None
    rows_found_in: str | None
    chunks: int | None
    seconds: float | None


class VectorFacts(Looked):
    """What a look at a vector file found."""

    complete: bool
    warnings: list[Warned]
    source: SourceFound
    table: TableFound
    geometry: GeometryFound
    sample: SampleFound
    candidates: CandidatesFound
    assumed: dict[str, Any]
    extent: ExtentFound | None
    estimate: Estimated


class VectorInspected(Inspected, VectorFacts):
    """The answer when there was something to look at."""
