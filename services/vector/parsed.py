"""What the worker asks of the sandbox, and what it is told: data, of the simplest types."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.models.results import ColumnInfo, ColumnNote, Memory, Renamed
from core.models.vector import ProcessVectorParams

PARSE = "services.vector.parser:parse"
INSPECT = "services.vector.parser:inspect"
INSPECT_SIGNATURE = "services.vector.parser:signature"
SANDBOXED = (PARSE, INSPECT, INSPECT_SIGNATURE)


class ParseRequest(BaseModel):
    """Read the source in `path`, and put its chunks into `folder`."""

    path: Path
    folder: Path
    params: ProcessVectorParams


class InspectRequest(BaseModel):
    """Look at the source in `path` for about `seconds`; `beginnings`: see inspect_file."""

    path: Path
    params: ProcessVectorParams
    seconds: float
    beginnings: bool = True


class ChunkDone(BaseModel):
    """A chunk is complete, in the file that `chunk_path` gives."""

    number: int


class Parsed(BaseModel):
    """A source that was read to its end. rows: all of them, usable or not. plan: of its columns, see ColumnPlan.
    chunks: its own are those told of last; any before are of a reading that was begun again."""

    rows: int
    chunks: int
    columns: list[ColumnInfo]
    renamed: list[Renamed]
    notes: list[ColumnNote]
    geometry_type: str
    source_crs: str
    crs_found_in: str
    layer: str
    driver: str
    plan: dict[str, Any]
    memory_mb: Memory
    seconds: dict[str, float]


def chunk_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.arrow"
