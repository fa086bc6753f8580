"""What a look at a file found out, as plain data."""

import math
from dataclasses import dataclass, field
from typing import Any

from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from core.errors import InvalidInput, Refusal
from services.vector.columns import ColumnPlan
from services.vector.inspection.candidates import Candidates
from services.vector.inspection.encoding import Encoding
from services.vector.inspection.layers import Bounds, Layer
from services.vector.inspection.sample import Checked
from services.vector.inspection.warnings import Warned
from services.vector.survey import listed

WGS84 = "EPSG:4326"


@dataclass
class Findings:
    """Everything that was found out, JSON-able with `asdict`. None: not known.

    complete: nothing was left out for want of time. needs_all: the beginning of the file holds no whole record.
    rows: of the whole source; rows_found_in: `counted`, `file` or `estimated`. sample_bytes: in Arrow's memory.
    """

    complete: bool = True
    needs_all: bool = False
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    driver: str | None = None
    layers: list[Layer] = field(default_factory=list)
    layer: str | None = None
    crs: str | None = None
    crs_found_in: str | None = None
    encoding: Encoding | None = None
    delimiter: str | None = None
    decimal: str | None = None
    columns: list[dict[str, Any]] | None = None
    renamed: list[dict[str, Any]] = field(default_factory=list)
    geometry_type: str | None = None
    geometry_types: dict[str, int] = field(default_factory=dict)
    without_geometry: int = 0
    with_z: int = 0
    checked: Checked | None = None
    candidates: Candidates = field(default_factory=Candidates)
    assumed: dict[str, Any] = field(default_factory=dict)
    bbox: list[float] | None = None
    bbox_found_in: str | None = None
    rows: int | None = None
    rows_found_in: str | None = None
    sample_rows: int = 0
    sample_batches: int = 0
    sample_bytes: int = 0
    sample_is_whole: bool = False


def described_columns(plan: ColumnPlan, examples: list[list[str]]) -> list[dict[str, Any]]:
    """As a job's result names them, with a few values each."""
    return [
        {"source": column.source, "name": column.name, "pg_type": column.type, "examples": values}
        for column, values in zip(plan.columns, examples, strict=True)
    ]


def nothing_usable(checked: Checked) -> InvalidInput:
    """As publishing refuses it."""
    rejected = dict(checked.rejected)
    return InvalidInput(
        "no_usable_features",
        f"none of the {checked.rows} rows read could be loaded: {listed(rejected)}.",
        parameter="blob_name",
        details={"rejected": rejected},
    )


def in_degrees(bounds: Bounds, crs: CRS) -> list[float] | None:
    """West, south, east, north in EPSG:4326; None where PROJ cannot tell."""
    try:
        transform = Transformer.from_crs(crs, WGS84, always_xy=True)
        box = [float(value) for value in transform.transform_bounds(*bounds)]
    except ProjError:
        return None
    return box if all(map(math.isfinite, box)) else None
