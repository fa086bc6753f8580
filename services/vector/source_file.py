"""The source as a local file, for as long as it is needed."""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from core.errors import InvalidInput
from core.models.vector import ProcessVectorParams
from core.workflow import TaskContext
from infrastructure.resources import Resources

TEMPORARY = "vector-etl-"
ROOM = 1.5
SIDECARS = (".dbf", ".shx", ".prj", ".cpg")


def download(ctx: TaskContext, params: ProcessVectorParams, folder: Path) -> Path:
    """The source as a local file, with its sidecars when it is a bare shapefile. Raises InvalidInput when it is too
    large or not the one that was submitted."""
    resources: Resources = ctx.resources
    container = params.container_name
    facts = resources.bronze.facts(params.blob_name, container)
    refuse_too_large(facts.size, resources.settings.max_source_mb)
    refuse_without_room(facts.size, folder)
    path = folder / f"{plain_stem(params.blob_name)}.{params.file_extension}"
    resources.bronze.download(params.blob_name, path, container=container, etag=ctx.source["etag"])
    for name, etag in ctx.source["sidecars"].items():
        beside = path.with_suffix(PurePosixPath(name).suffix.lower())
        resources.bronze.download(name, beside, container=container, etag=etag)
    return path


def plain_stem(blob_name: str) -> str:
    """The blob's name without folder and extension, as GDAL and the file system take it: it names the layer."""
    return re.sub(r"[^\w.-]+", "_", PurePosixPath(blob_name).stem)[:80].strip(".") or "source"


def find_sidecars(params: ProcessVectorParams, resources: Resources) -> dict[str, str]:
    """The blobs that make a bare .shp complete, by name, with their ETags. Empty for any other format.

    Raises InvalidInput when the attributes are not there.
    """
    if params.file_extension != "shp":
        return {}
    stem = str(PurePosixPath(params.blob_name).with_suffix(""))
    there = {name.lower(): name for name in resources.bronze.names(stem, params.container_name)}
    names = [there[f"{stem}{suffix}".lower()] for suffix in SIDECARS if f"{stem}{suffix}".lower() in there]
    if not any(name.lower().endswith(".dbf") for name in names):
        raise InvalidInput(
            "sidecar_missing",
            f"there is no {stem}.dbf beside {params.blob_name!r}: a shapefile keeps its attributes there.",
            parameter="blob_name",
            remedy="Upload .dbf, .shx, .prj and .cpg beside it, or all of them in one zip.",
        )
    return {name: resources.bronze.facts(name, params.container_name).etag for name in names}


def refuse_too_large(size: int, limit_mb: int, parameter: str = "blob_name") -> None:
    if size > limit_mb << 20:
        raise InvalidInput(
            "source_too_large",
            f"the file has {size / (1 << 20):.1f} MB, more than the limit of {limit_mb} MB.",
            parameter=parameter,
            remedy="Split it, or raise MAX_SOURCE_MB.",
            details={"bytes": size, "limit_mb": limit_mb},
        )


def refuse_without_room(size: int, folder: Path) -> None:
    """The source, what an archive holds, and a chunk at a time have to fit."""
    free = shutil.disk_usage(folder).free
    if free < ROOM * size:
        raise InvalidInput(
            "no_room",
            f"the file has {size >> 20} MB, and this machine has {free >> 20} MB of temporary space left.",
            parameter="blob_name",
            remedy="Split the file, or run the app on a plan with more temporary storage.",
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Removed on every way out; what a killed process leaves is found by its name, which has the process's id."""
    folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned_folders(older_than_seconds: float) -> list[str]:
    """Remove temporary folders on this machine whose process is gone, or that are older than any function may run."""
    oldest = time.time() - older_than_seconds
    found = [path for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*") if is_abandoned(path, oldest)]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in found]


def is_abandoned(folder: Path, oldest: float) -> bool:
    pid = folder.name.removeprefix(TEMPORARY).split("-")[0]
    try:
        return not is_running(int(pid)) or folder.stat().st_mtime < oldest
    except (ValueError, FileNotFoundError):
        return False


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
