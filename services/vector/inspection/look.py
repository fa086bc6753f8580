"""A look at the source of a process_vector job: fetched, inspected, told as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, Refusal
from core.models.inspection import VectorFacts
from core.models.results import ColumnInfo
from core.models.vector import ProcessVectorParams
from core.workflow import Look
from infrastructure.resources import Resources
from infrastructure.sandbox import Sandbox
from infrastructure.sandbox.protocol import Message
from services.timing import Deadline
from services.vector.checks import TABLES
from services.vector.inspection.estimate import SampleSize, chunk_count, load_seconds
from services.vector.inspection.fetch import SourceBlob
from services.vector.parsed import INSPECT, INSPECT_SIGNATURE, InspectRequest
from services.vector.postgis_handler import SRID
from services.vector.process_vector_tasks import told_in_words
from services.vector.reject_limit import beyond_limit, is_beyond
from services.vector.source_file import temporary_folder
from services.vector.survey import unknown_columns

# The rest of the time is for looking at what came.
FETCH_SHARE = 0.8
# For what is under way when an inspection's time is up.
OVERTIME_SECONDS = 5.0
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
            found = inspected(SourceBlob(params, source, resources.bronze), folder, deadline, resources)
        except InvalidInput as error:
            # It cannot be fetched, neither for a look nor for a job: nothing is known of it.
            nothing = folder / "nothing"
            nothing.touch()
            found = first_bytes(resources.sandbox, nothing, params) | {"refusals": [asdict(Refusal.of(error))]}
    return Look(facts(params, source, found), refusals(params, found))


def inspected(blob: SourceBlob, folder: Path, deadline: Deadline, resources: Resources) -> Found:
    params, fetching = blob.params, Deadline(deadline.left * FETCH_SHARE)
    path, has_all = blob.fetch(folder, fetching)
    if not has_all:
        return first_bytes(resources.sandbox, path, params)
    look = partial(sandboxed, resources.sandbox, path, params)
    found = look(seconds=deadline.left)
    if found["needs_all"] and blob.facts["bytes"] <= MOST_TEXT and blob.fetch_all(path, fetching):
        found = look(seconds=deadline.left, beginnings=False)
    return found


def sandboxed(
    sandbox: Sandbox, path: Path, params: ProcessVectorParams, *, seconds: float, beginnings: bool = True
) -> Found:
    """What `inspect_file` finds out; of a file that breaks its reader, what its first bytes tell."""
    try:
        with told_in_words(params, seconds):
            request = request_of(path, params, seconds) | {"beginnings": beginnings}
            return sandbox.call(INSPECT, request, seconds=seconds + OVERTIME_SECONDS, hear=nothing_is_told)
    except InvalidInput as error:
        found = first_bytes(sandbox, path, params)
        told = [] if error.code == "parser_timeout" else [asdict(Refusal.of(error))]
        return found | {"refusals": [*found["refusals"], *told]}


def first_bytes(sandbox: Sandbox, path: Path, params: ProcessVectorParams) -> Found:
    request = request_of(path, params, OVERTIME_SECONDS)
    return sandbox.call(INSPECT_SIGNATURE, request, seconds=OVERTIME_SECONDS, hear=nothing_is_told)


def request_of(path: Path, params: ProcessVectorParams, seconds: float) -> Message:
    return InspectRequest(path=path, params=params, seconds=seconds).model_dump(mode="json")


def nothing_is_told(_message: Message) -> None:
    return


def refusals(params: ProcessVectorParams, found: Found) -> list[Refusal]:
    """What the job would fail with."""
    told = [Refusal(**refusal) for refusal in found["refusals"]]
    if params.file_extension in TABLES:
        # Told at submission, in other words.
        told = [refusal for refusal in told if refusal.code != "geometry_columns_missing"]
    told += too_many_rejects(params, found)
    if found["columns"] is None:
        return told
    columns = [ColumnInfo.model_validate(column) for column in found["columns"]]
    return told + [Refusal.of(error) for error in unknown_columns(params, columns)]


def too_many_rejects(params: ProcessVectorParams, found: Found) -> Iterator[Refusal]:
    """Only when every row was looked at: a sample may be the worst part of a file."""
    checked, rows = found["checked"], found["rows"]
    if not checked or not found["sample_is_whole"] or not checked["rows"] == rows > sum(checked["rejected"].values()):
        return
    if is_beyond(rows, checked["rejected"], params.max_reject_percent):
        told = beyond_limit(rows, checked["rejected"], params.max_reject_percent)
        yield Refusal("too_many_rejects", told, "max_reject_percent")


def facts(params: ProcessVectorParams, source: Mapping[str, Any], found: Found) -> VectorFacts:
    """As the client is told them; the table as a job's result describes it."""
    checked = found["checked"] or {}
    told = {
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
    return VectorFacts.model_validate(told)


def estimate(params: ProcessVectorParams, size: int, found: Found) -> Found:
    rows, sample = found["rows"], SampleSize(found["sample_rows"], found["sample_batches"], found["sample_bytes"])
    return {
        "rows": rows,
        "rows_found_in": found["rows_found_in"],
        "chunks": chunk_count(rows, sample, params.chunk_size),
        "seconds": load_seconds(rows, sample, size, params.file_extension, is_projected=found["crs"] not in LON_LAT),
    }
