"""A look at the source of a process_vector job: fetched, inspected, told as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, Refusal
from core.models.results import ColumnInfo
from core.models.vector import ProcessVectorParams
from core.workflow import Look
from infrastructure.resources import Resources
from services.timing import Deadline
from services.vector.inspection.estimate import SampleSize, chunk_count, load_seconds
from services.vector.inspection.fetch import SourceBlob
from services.vector.inspection.file import inspect_file, inspect_signature
from services.vector.inspection.findings import Findings
from services.vector.postgis_handler import SRID
from services.vector.process_vector_tasks import geometry_options, read_options
from services.vector.source_file import temporary_folder
from services.vector.survey import unknown_columns

# The rest of the time is for looking at what came.
FETCH_SHARE = 0.8
# Of a text whose beginning holds no whole record; more would take too long to read.
MOST_TEXT = 64 << 20
LON_LAT = ("EPSG:4326", "OGC:CRS84")
Found = dict[str, Any]


def look_at_source(params: ProcessVectorParams, source: Mapping[str, Any], resources: Resources) -> Look:
    """What a job would find in the source, and fail with. source: the facts that the checks found.

    Takes about `inspection_seconds` at most; what is not known by then is left out, and `complete` is false.
    """
    deadline = Deadline(resources.settings.inspection_seconds)
    with temporary_folder() as folder:
        try:
            found = inspected(SourceBlob(params, source, resources.bronze), folder, deadline)
        except InvalidInput as error:
            # It cannot be fetched, neither for a look nor for a job.
            found = asdict(Findings(complete=False, refusals=[Refusal.of(error)]))
    return Look(facts(params, source, found), refusals(params, found))


def inspected(blob: SourceBlob, folder: Path, deadline: Deadline) -> Found:
    params, fetching = blob.params, Deadline(deadline.left * FETCH_SHARE)
    path, has_all = blob.fetch(folder, fetching)
    if not has_all:
        return inspect_signature(path, params.file_extension)
    look = partial(inspect_file, path, params.file_extension, read_options(params), geometry_options(params))
    found = look(seconds=deadline.left)
    if found["needs_all"] and blob.facts["bytes"] <= MOST_TEXT and blob.fetch_all(path, fetching):
        found = look(seconds=deadline.left, beginnings=False)
    return found


def refusals(params: ProcessVectorParams, found: Found) -> list[Refusal]:
    """What the job would fail with."""
    told = [Refusal(**refusal) for refusal in found["refusals"]]
    if params.file_extension == "csv":
        # Told at submission, in other words.
        told = [refusal for refusal in told if refusal.code != "geometry_columns_missing"]
    if found["columns"] is None:
        return told
    columns = [ColumnInfo.model_validate(column) for column in found["columns"]]
    return told + [Refusal.of(error) for error in unknown_columns(params, columns)]


def facts(params: ProcessVectorParams, source: Mapping[str, Any], found: Found) -> Found:
    """As the client is told them; the table as a job's result describes it."""
    checked = found["checked"] or {}
    return {
        "complete": found["complete"],
        "warnings": found["warnings"],
        "source": {
            "blob_name": params.blob_name,
            "bytes": source["bytes"],
            **{name: found[name] for name in ("driver", "layer", "layers", "crs", "crs_found_in")},
            **{name: found[name] for name in ("encoding", "delimiter", "decimal")},
        },
        "table": {
            "geometry_type": found["geometry_type"],
            "srid": SRID,
            "columns": found["columns"],
            "renamed": found["renamed"],
        },
        "geometry": {
            "types": found["geometry_types"],
            "without": found["without_geometry"],
            "with_z": found["with_z"],
            **{name: checked.get(name) for name in ("rows", "invalid", "reasons", "rejected")},
        },
        "sample": {"rows": found["sample_rows"], "is_whole": found["sample_is_whole"]},
        "candidates": found["candidates"],
        "assumed": found["assumed"],
        "extent": {"bbox": found["bbox"], "found_in": found["bbox_found_in"]} if found["bbox"] else None,
        "estimate": estimate(params, source["bytes"], found),
    }


def estimate(params: ProcessVectorParams, size: int, found: Found) -> Found:
    rows, sample = found["rows"], SampleSize(found["sample_rows"], found["sample_batches"], found["sample_bytes"])
    return {
        "rows": rows,
        "rows_found_in": found["rows_found_in"],
        "chunks": chunk_count(rows, sample, params.chunk_size),
        "seconds": load_seconds(rows, sample, size, params.file_extension, is_projected=found["crs"] not in LON_LAT),
    }
