"""Rows of a source, read the way a job reads them, and what they tell."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from core.errors import InvalidInput
from services.timing import Deadline, OutOfTime
from services.vector.cells import CastTally, is_text, readable
from services.vector.columns import ColumnPlan, aligned
from services.vector.geometry import GeometryOptions, prepare_geometries
from services.vector.source import ReadOptions, SourceBatch, VectorSource
from services.vector.survey import Survey, counted

# What validity, rejection and extent are judged by.
CHECKED_ROWS = 20_000
CHECKED_BYTES = 16 << 20
# GEOS takes seconds for one that is larger, and may take minutes to repair it.
LARGEST_CHECKED = 800_000
EXAMPLES, EXAMPLE_LENGTH = 3, 60
LIKELY = 0.5
_PLACE = re.compile(r"\[.*$")
# A layer may have no row at all.
_NO_WKB, _NO_TEXT = pa.array([], pa.binary()), pa.array([], pa.string())


@dataclass(frozen=True)
class Checked:
    """What became of the geometries that were looked at. rows: how many. invalid: as they are in the file; reasons by
    GEOS. rejected: by reason, as a job would. bbox: of those a job would keep, in EPSG:4326. skipped: too large."""

    rows: int = 0
    skipped: int = 0
    invalid: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    bbox: list[float] | None = None


@dataclass
class Sample:
    """is_whole: every row of the source was read. bytes: in Arrow's memory, as chunks are measured."""

    opened: InitVar[VectorSource]
    survey: Survey = field(init=False)
    is_whole: bool = False
    batches: int = 0
    bytes: int = 0
    first: pa.RecordBatch | None = None
    _kept: list[SourceBatch] = field(default_factory=list)
    _kept_rows: int = 0
    _kept_bytes: int = 0

    def __post_init__(self, opened: VectorSource) -> None:
        self.survey = Survey(opened)

    @property
    def source(self) -> VectorSource:
        """As far as it is known: some formats name their columns as late as in the last row."""
        return self.survey.source

    @property
    def rows(self) -> int:
        return self.survey.geometry.rows

    @property
    def is_checked_whole(self) -> bool:
        return self.is_whole and self._kept_rows == self.rows

    def read(self, most_rows: int | None, deadline: Deadline) -> None:
        """Raises OutOfTime, and InvalidInput as the job would; what was read until then stays."""
        try:
            self.read_batches(most_rows, deadline)
        except OutOfTime:
            with suppress(InvalidInput):
                self.survey.source = self.source.read_to_end()
            raise

    def read_batches(self, most_rows: int | None, deadline: Deadline) -> None:
        for batch in self.survey.batches():
            self.batches += 1
            self.bytes += batch.attributes.nbytes + batch.geometry.nbytes
            self.first = readable_texts(batch.attributes) if self.first is None else self.first
            if self._kept_rows < CHECKED_ROWS and self._kept_bytes < CHECKED_BYTES:
                self._kept.append(batch)
                self._kept_rows += len(batch.geometry)
                self._kept_bytes += batch.geometry.nbytes
            if most_rows and self.rows >= most_rows:
                return
            deadline.check()
        self.is_whole = True

    def align(self, plan: ColumnPlan) -> None:
        """Give the first rows the columns that became known later."""
        if self.first is not None:
            names = [column.source for column in plan.columns]
            self.first = pa.record_batch(aligned(self.first, plan), names=names)

    def check(self, target: str, options: GeometryOptions) -> Checked:
        """target: the type of the table's column. All at once: a batch or two."""
        geometry = pa.concat_arrays([_NO_WKB, *(batch.geometry.cast(pa.binary()) for batch in self._kept)])
        reasons = pa.concat_arrays([_NO_TEXT, *map(reasons_of, self._kept)])
        small = pc.fill_null(pc.less_equal(pc.binary_length(geometry), LARGEST_CHECKED), True)
        geometry, reasons = geometry.filter(small), reasons.filter(small)
        prepared = prepare_geometries(geometry, reasons, source_crs=self.source.crs_text, target=target, params=options)
        wrong = why_invalid(geometry)
        return Checked(
            rows=self._kept_rows,
            skipped=self._kept_rows - len(geometry),
            invalid=wrong.total(),
            reasons=dict(wrong),
            rejected=counted(prepared.reasons),
            bbox=bounds(prepared.ewkb),
        )

    def examples(self) -> list[list[str]]:
        """A few different values of each column."""
        if self.first is None:
            return [[] for _ in self.source.schema]
        return [examples_of(values) for values in self.first.columns]

    def first_columns(self) -> dict[str, pa.Array]:
        if self.first is None:
            return {}
        return dict(zip(self.first.schema.names, self.first.columns, strict=True))

    def looks_swapped(self, options: ReadOptions) -> bool:
        """Whether most coordinates are degrees only when x and y change places."""
        if not self._kept:
            return False
        columns = self.first_columns()
        named = [columns[name] for name in (options.lon_name, options.lat_name) if name in columns]
        if len(named) == 2 and all(pa.types.is_floating(values.type) for values in named):
            # What is out of range has no geometry any more.
            x, y = (values.to_numpy(zero_copy_only=False) for values in named)
        else:
            shapes = shapely.from_wkb(self._kept[0].geometry.to_numpy(zero_copy_only=False), on_invalid="ignore")
            x, y = shapely.get_coordinates(shapes).T
        with np.errstate(invalid="ignore"):
            swapped = (np.abs(x) <= 90) & (np.abs(y) > 90) & (np.abs(y) <= 180)
        return len(swapped) > 0 and float(swapped.mean()) > LIKELY


def reasons_of(batch: SourceBatch) -> pa.StringArray:
    return batch.reasons if batch.reasons is not None else pa.nulls(len(batch.geometry), pa.string())


def why_invalid(geometry: pa.BinaryArray) -> Counter[str]:
    """How many geometries are invalid, by GEOS's reason. What cannot be read at all is not among them."""
    with np.errstate(invalid="ignore"):
        shapes = shapely.from_wkb(geometry.to_numpy(zero_copy_only=False), on_invalid="ignore")
    shapes = shapes[~shapely.is_missing(shapes)]
    broken = shapes[~shapely.is_valid(shapes)]
    return Counter(_PLACE.sub("", reason).strip() for reason in shapely.is_valid_reason(broken).tolist())


def bounds(ewkb: pa.BinaryArray) -> list[float] | None:
    """West, south, east, north; None without geometries."""
    if not len(ewkb):
        return None
    found: list[float] = shapely.total_bounds(shapely.from_wkb(ewkb.to_numpy(zero_copy_only=False))).tolist()
    return found


def readable_texts(attributes: pa.RecordBatch) -> pa.RecordBatch:
    """As they would be loaded, where the bytes of a text are not what the file says they are."""
    columns = [
        readable(values.cast(pa.string()), CastTally()) if is_text(values.type) else values
        for values in attributes.columns
    ]
    return pa.record_batch(columns, names=attributes.schema.names)


def examples_of(values: pa.Array) -> list[str]:
    present = values.slice(0, 1000).drop_null()
    different = list(dict.fromkeys(map(as_text, present.to_pylist())))
    return [text if len(text) <= EXAMPLE_LENGTH else f"{text[:EXAMPLE_LENGTH]}…" for text in different[:EXAMPLES]]


def as_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, bool | list | dict) else str(value)
