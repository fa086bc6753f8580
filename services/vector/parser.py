"""In the sandbox: read a source once, learn what it holds, split it into chunks.

Nothing but the sandbox imports this, so that a worker never loads what reads strangers' files.
"""

from dataclasses import replace
from itertools import count
from pathlib import Path

from core.models.results import ColumnInfo, ColumnNote, Memory, Renamed
from core.models.vector import ProcessVectorParams
from infrastructure.sandbox.child import Tell
from infrastructure.sandbox.protocol import Message
from services.behind import Behind
from services.timing import Stopwatch, peak_memory_mb
from services.vector.chunks import ChunkWriter
from services.vector.columns import plan_columns
from services.vector.converters import open_source
from services.vector.gdal_environment import assert_allowed_drivers
from services.vector.inspection.file import inspect_file, inspect_signature
from services.vector.parsed import ChunkDone, InspectRequest, Parsed, ParseRequest
from services.vector.process_vector_tasks import geometry_options
from services.vector.rehearsal import rehearse
from services.vector.source import Misjudged, ReadOptions, VectorSource
from services.vector.survey import Survey, refuse_empty, refuse_unknown_columns
from services.vector.usable_crs import refuse_unusable_crs

assert_allowed_drivers()
rehearse()


def parse(arguments: Message, tell: Tell) -> Message:
    """Parsed for a ParseRequest; tells ChunkDone for each chunk on the way. Raises InvalidInput for whatever the user
    can mend."""
    request = ParseRequest.model_validate(arguments)
    options, watch, told = read_options(request.params), Stopwatch(), count()

    def tell_and_count(message: Message) -> None:
        tell(message)
        next(told)

    with watch.measured("read"):
        try:
            parsed = read(request, replace(options, guess=True), tell_and_count, watch)
        except Misjudged:
            parsed = read(request, options, tell, watch, first=next(told))
    return parsed.model_copy(update={"seconds": watch.seconds}).model_dump(mode="json")


def read(request: ParseRequest, options: ReadOptions, tell: Tell, watch: Stopwatch, first: int = 0) -> Parsed:
    """first: number of its first chunk, behind those of an earlier reading. Raises Misjudged where it may guess."""
    params = request.params
    with open_source(request.path, params.file_extension, options) as source:
        after_load = peak_memory_mb()
        survey = Survey(source)
        chunks = write_chunks(survey, request.folder, params.chunk_size, tell, watch, first)
        parsed = describe(params, survey, chunks)
    memory = Memory(after_load=after_load, after_write=peak_memory_mb())
    return parsed.model_copy(update={"memory_mb": memory})


def inspect(arguments: Message, _tell: Tell) -> Message:
    """Findings for an InspectRequest."""
    request = InspectRequest.model_validate(arguments)
    return inspect_file(
        request.path,
        request.params.file_extension,
        read_options(request.params),
        geometry_options(request.params),
        seconds=request.seconds,
        geometry_type=request.params.geometry_type,
        beginnings=request.beginnings,
    )


def signature(arguments: Message, _tell: Tell) -> Message:
    """Findings for an InspectRequest, from the first bytes alone."""
    request = InspectRequest.model_validate(arguments)
    return inspect_signature(request.path, request.params.file_extension)


def write_chunks(survey: Survey, folder: Path, rows: int | None, tell: Tell, watch: Stopwatch, first: int = 0) -> int:
    def deliver(number: int, _path: Path) -> None:
        tell(ChunkDone(number=number).model_dump())

    # One batch is compressed and written, and at the end of a chunk handed to the worker, while the next one is read.
    with ChunkWriter(folder, deliver, rows, first) as writer, Behind(watch.timed("split", writer.write)) as writing:
        for batch in survey.batches():
            with watch.measured("waiting"):
                writing.call(batch)
    return writer.chunks


def describe(params: ProcessVectorParams, survey: Survey, chunks: int) -> Parsed:
    """The table's shape. Raises InvalidInput when there is nothing to load."""
    refuse_empty(survey)
    source: VectorSource = survey.source
    refuse_unusable_crs(source)
    plan = plan_columns(source.schema, survey.types)
    columns = [ColumnInfo(source=column.source, name=column.name, pg_type=column.type) for column in plan.columns]
    refuse_unknown_columns(params, columns)
    notes = survey.types.notes()
    return Parsed(
        rows=survey.geometry.rows,
        chunks=chunks,
        columns=columns,
        renamed=[Renamed(source=n.source, name=n.name, reason=str(n.reason)) for n in plan.renames],
        notes=[
            ColumnNote(name=column.name, note=note) for column in plan.columns if (note := notes.get(column.source))
        ],
        geometry_type=survey.geometry.column_type(params.geometry_type),
        source_crs=source.crs_text,
        crs_found_in=source.crs_found_in,
        layer=source.layer,
        driver=source.driver,
        plan=plan.to_dict(),
        memory_mb=Memory(after_load=0, after_write=0),
        seconds={},
    )


def read_options(params: ProcessVectorParams) -> ReadOptions:
    return ReadOptions(
        layer_name=params.layer_name,
        lat_name=params.lat_name,
        lon_name=params.lon_name,
        wkt_column=params.wkt_column,
        wkb_column=params.wkb_column,
        source_crs=params.source_crs,
        converter_params=params.text_params,
    )
