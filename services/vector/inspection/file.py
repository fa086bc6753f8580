"""What a file is like, as plain data: one function from a path, what the request says of it, and limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from core.errors import InvalidInput, Refusal
from core.models.vector import GEOJSON
from services.timing import Deadline, OutOfTime
from services.vector.archives import ArchiveLimits, extracted_kml, extracted_source
from services.vector.columns import plan_columns
from services.vector.converters import open_extracted
from services.vector.csv_dialect import CSV_DELIMITERS, TSV_DELIMITERS
from services.vector.file_signature import refuse_wrong_content
from services.vector.geometry import GeometryOptions
from services.vector.inspection import warnings
from services.vector.inspection.beginning import HEAD_BYTES, TAIL_BYTES, beginning, is_large_text, is_text
from services.vector.inspection.candidates import candidates
from services.vector.inspection.csv_columns import suspected_decimal, text_columns, without_geometry
from services.vector.inspection.encoding import Encoding, csv_encoding, shapefile_encoding, xml_encoding
from services.vector.inspection.findings import WGS84, Findings, described_columns, in_degrees, nothing_usable
from services.vector.inspection.layers import Layer, layers_of
from services.vector.inspection.sample import Checked, Sample
from services.vector.inspection.warnings import Warned
from services.vector.read_csv import csv_layout
from services.vector.source import ReadOptions, VectorSource
from services.vector.survey import refuse_empty
from services.vector.usable_crs import refuse_unusable_crs

# Of files that say themselves how many rows they have.
SAMPLE_ROWS = 250_000
_ARCHIVES = ("zip", "kmz")
_DELIMITED = {"csv": CSV_DELIMITERS, "tsv": TSV_DELIMITERS}


def inspect_file(
    path: Path,
    extension: str,
    options: ReadOptions,
    geometry: GeometryOptions | None = None,
    *,
    seconds: float,
    geometry_type: Literal["auto", "any"] = "auto",
    beginnings: bool = True,
) -> dict[str, Any]:
    """Look at a local file for at most about `seconds`, without writing anything but files beside it.

    geometry_type: as the request has it. beginnings: of a large text only the beginning and the end are looked at,
    and need to be there (`is_large_text`).
    Never raises for what is wrong with the file: that is in `refusals`, with the codes that a job would fail with.
    Returns `Findings` as plain data.
    """
    look = _FileLook(options, geometry or GeometryOptions(), geometry_type, Deadline(seconds), beginnings=beginnings)
    try:
        look.at(path, extension.lower().lstrip("."))
    except InvalidInput as error:
        look.refuse(error)
    except OutOfTime:
        look.found.complete = False
    return asdict(look.found)


def inspect_signature(path: Path, extension: str) -> dict[str, Any]:
    """As `inspect_file`, for a file that is not all there: only whether its first bytes are what its name says."""
    found = Findings(complete=False)
    try:
        refuse_wrong_content(path, extension.lower().lstrip("."))
    except InvalidInput as error:
        found.refusals.append(Refusal.of(error))
    return asdict(found)


class _FileLook:
    def __init__(
        self,
        options: ReadOptions,
        geometry: GeometryOptions,
        geometry_type: Literal["auto", "any"],
        deadline: Deadline,
        *,
        beginnings: bool,
    ) -> None:
        self.options = options
        self.beginnings = beginnings
        self.geometry = geometry
        self.geometry_type = geometry_type
        self.deadline = deadline
        self.found = Findings()
        self.is_cut = False

    def refuse(self, error: InvalidInput) -> None:
        refusal = Refusal.of(error)
        if refusal not in self.found.refusals:
            self.found.refusals.append(refusal)

    def warn(self, warned: Iterator[Warned]) -> None:
        self.found.warnings += warned

    # The file

    def at(self, path: Path, extension: str) -> None:
        if path.is_dir():
            return self.at_records(path, path, extension)
        refuse_wrong_content(path, extension)
        if extension in _ARCHIVES:
            most = HEAD_BYTES + TAIL_BYTES if self.beginnings else None
            limits = ArchiveLimits(text_bytes=most, deadline=self.deadline)
            with self.extracted(path, extension, limits) as member:
                return self.at(member, member.suffix.lower().lstrip("."))
        if not (self.beginnings and is_large_text(path, extension)):
            return self.at_records(path, path, extension)
        records = beginning(path, extension)
        if records is None:
            self.found.complete, self.found.needs_all = False, True
            return None
        return self.at_records(path, records, extension)

    @contextmanager
    def extracted(self, path: Path, extension: str, limits: ArchiveLimits) -> Iterator[Path]:
        if extension == "kmz":
            with extracted_kml(path, limits) as member:
                yield member
            return
        with extracted_source(path, self.options.layer_name, limits) as found:
            self.options = replace(self.options, layer_name=found.layer_name)
            yield found.path

    def at_records(self, path: Path, records: Path, extension: str) -> None:
        """records: the file, or the whole records of its beginning."""
        self.is_cut = records != path
        self.describe_text(records, extension)
        if extension not in (*_DELIMITED, *GEOJSON):
            self.found.layers = self.described_layers(records)
        self.deadline.check()
        sample = self.sampled(records, extension)
        if sample is not None:
            self.count(sample, path.stat().st_size / records.stat().st_size)

    def described_layers(self, path: Path) -> list[Layer]:
        layers = layers_of(path)
        return [replace(layer, features=None, bounds=None) for layer in layers] if self.is_cut else layers

    def describe_text(self, path: Path, extension: str) -> None:
        if extension in _DELIMITED:
            self.describe_csv(path, extension)
        elif extension == "shp" and path.with_suffix(".dbf").exists():
            self.found.encoding = shapefile_encoding(path, self.options)
        elif extension == "kml":
            self.found.encoding = xml_encoding(path)
        elif extension in (*GEOJSON, "gpkg"):
            self.found.encoding = Encoding("utf-8", 1.0, "format")
        self.warn(warnings.of_encoding(self.found.encoding))

    def describe_csv(self, path: Path, extension: str) -> None:
        layout = csv_layout(path, self.options, _DELIMITED[extension])
        found = self.found
        found.delimiter, found.decimal = layout.delimiter, layout.decimal
        found.encoding = csv_encoding(path, self.options, layout.encoding, is_cut=self.is_cut)
        columns = text_columns(path, layout)
        found.candidates = candidates(columns, layout.decimal)
        if not self.options.converter_params.get("decimal"):
            self.warn(warnings.of_decimal(suspected_decimal(columns, layout.decimal)))

    # The rows

    def sampled(self, path: Path, extension: str) -> Sample | None:
        """Read rows as a job would. What stands in the way is noted and, where that can be, assumed."""
        options, mended = self.options, set[str]()
        while True:
            try:
                with open_extracted(path, options) as source:
                    return self.read(source, options, extension)
            except InvalidInput as error:
                self.refuse(error)
                changes = None if error.code in mended else self.assumption(error)
                mended.add(error.code)
            if changes is None:
                return self.columns_only(path, extension)
            self.found.assumed |= changes
            options = replace(options, **changes)

    def assumption(self, error: InvalidInput) -> dict[str, Any] | None:
        """What to go on with after a refusal that a parameter would mend."""
        layers: dict[str, int] = error.details.get("layers", {})
        match error.code:
            case "crs_missing":
                return {"source_crs": WGS84}
            case "invalid_crs":
                return {"source_crs": None}
            case "layer_ambiguous" | "layer_not_found" if layers:
                return {"layer_name": max(layers, key=lambda name: layers[name])}
            case "column_not_found" | "geometry_columns_missing" if self.found.candidates.proposed:
                nothing = {"lat_name": None, "lon_name": None, "wkt_column": None, "wkb_column": None}
                return nothing | self.found.candidates.proposed
        return None

    def columns_only(self, path: Path, extension: str) -> Sample | None:
        """The columns of a CSV whose geometry is nowhere to be found."""
        missing = {"column_not_found", "geometry_columns_missing"}
        if extension not in _DELIMITED or not missing & {refusal.code for refusal in self.found.refusals}:
            return None
        sample = Sample(without_geometry(path, csv_layout(path, self.options, _DELIMITED[extension])))
        self.read_rows(sample, extension)
        return sample

    def read(self, source: VectorSource, options: ReadOptions, extension: str) -> Sample:
        found, sample = self.found, Sample(source)
        self.read_rows(sample, extension)
        source = sample.source
        refuse_unusable_crs(source)
        found.driver, found.layer = source.driver, source.layer
        found.crs, found.crs_found_in = source.crs_text, source.crs_found_in
        self.look_at_geometry(sample, options)
        if not found.layers:
            whole = found.sample_is_whole
            counts = source.folders or {source.layer: sample.rows}
            found.layers = [
                Layer(name, rows if whole else None, found.geometry_type, found.crs) for name, rows in counts.items()
            ]
        return sample

    def read_rows(self, sample: Sample, extension: str) -> None:
        found = self.found
        try:
            # A text is cut already, where it is long.
            sample.read(None if is_text(extension) else SAMPLE_ROWS, self.deadline)
        except OutOfTime:
            found.complete = False
        except InvalidInput as error:
            self.refuse(error)
        found.sample_rows, found.sample_batches, found.sample_bytes = sample.rows, sample.batches, sample.bytes
        found.sample_is_whole = sample.is_whole and not self.is_cut
        plan = plan_columns(sample.source.schema, sample.survey.types)
        sample.align(plan)
        found.columns = described_columns(plan, sample.examples())
        found.renamed = [asdict(naming) for naming in plan.renames]
        self.warn(warnings.of_columns(plan, sample.first))
        if extension not in _DELIMITED:
            found.candidates = candidates(sample.first_columns(), ".")

    # The geometry

    def look_at_geometry(self, sample: Sample, options: ReadOptions) -> None:
        found, census = self.found, sample.survey.geometry
        found.geometry_types, found.with_z = dict(census.by_type), census.with_z
        found.without_geometry = census.nulls
        self.warn(warnings.of_names(options))
        if sample.source.crs.is_geographic:
            self.warn(warnings.of_axes(is_swapped=sample.looks_swapped(options)))
        try:
            if found.sample_is_whole:
                refuse_empty(sample.survey)
            found.geometry_type = census.column_type(self.geometry_type)
        except InvalidInput as error:
            # The rows that were not read may have what is missing so far.
            if found.sample_is_whole or error.code == "mixed_geometry_types":
                self.refuse(error)
            return
        self.check(sample)

    def check(self, sample: Sample) -> None:
        """Validity, and what a job would reject; the extent of what it would keep."""
        found = self.found
        if found.geometry_type is None or not self.deadline.left:
            found.complete = False
            return
        checked = sample.check(found.geometry_type, self.geometry)
        if found.assumed.get("source_crs"):
            checked = self.under_assumed_crs(checked)
        found.checked = checked
        self.warn(warnings.of_geometry(checked))
        if found.sample_is_whole and sample.is_checked_whole and sum(checked.rejected.values()) == checked.rows > 0:
            self.refuse(nothing_usable(checked))
        self.measure(sample, checked)

    def under_assumed_crs(self, checked: Checked) -> Checked:
        """Coordinates that fit are taken for degrees; of others nothing is known."""
        off_earth = checked.rejected.get("coordinates_out_of_range", 0)
        self.found.crs, self.found.crs_found_in = (None, None) if off_earth else (WGS84, "assumed")
        rejected = {reason: n for reason, n in checked.rejected.items() if reason != "coordinates_out_of_range"}
        return replace(checked, rejected=rejected, bbox=None) if off_earth else checked

    def measure(self, sample: Sample, checked: Checked) -> None:
        found = self.found
        declared = next((layer.bounds for layer in found.layers if layer.name == found.layer and layer.bounds), None)
        if sample.is_checked_whole and not self.is_cut:
            found.bbox, found.bbox_found_in = checked.bbox, "rows"
        elif found.crs and declared and (box := in_degrees(declared, sample.source.crs)):
            found.bbox, found.bbox_found_in = box, "file"
        else:
            found.bbox, found.bbox_found_in = checked.bbox, "sample"
        if found.bbox is None:
            found.bbox_found_in = None

    def count(self, sample: Sample, times: float) -> None:
        """times: how many times as large the file is as what was read of it."""
        found, announced = self.found, sample.source.feature_count
        if found.sample_is_whole:
            found.rows, found.rows_found_in = sample.rows, "counted"
        elif announced is not None and announced >= 0 and not self.is_cut:
            found.rows, found.rows_found_in = announced, "file"
        elif sample.is_whole:
            found.rows, found.rows_found_in = round(sample.rows * times), "estimated"
