"""The source as a local file, for as long as it is needed."""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event

from core.errors import InvalidInput
from core.models.vector import GEOJSON, ProcessVectorParams
from core.workflow import TaskContext
from infrastructure.resources import Resources
from services.timing import Stopwatch
from services.vector.arriving import announce, complete, give_up

TEMPORARY = "vector-etl-"
ROOM = 1.5
# Their readers begin at the beginning and wait for what has not come yet.
READ_WHILE_ARRIVING = frozenset({"csv", "tsv", "kml", *GEOJSON})
SIDECARS = (".dbf", ".shx", ".prj", ".cpg")


@dataclass(frozen=True)
class Download:
    """path: where the source is, or arrives. bytes: of it alone, without sidecars."""

    path: Path
    bytes: int
    _whole: Future[str]

    @property
    def sha256(self) -> str:
        """Once all is there. Raises what the download does."""
        return self._whole.result()


@contextmanager
def downloaded(ctx: TaskContext, params: ProcessVectorParams, folder: Path, watch: Stopwatch) -> Iterator[Download]:
    """The source as a local file, with its sidecars when it is a bare shapefile. Texts still arrive when they are given
    out (`open_arriving` reads them): what goes wrong then is raised at the end, in place of what the reader made of it.

    Raises InvalidInput when it is too large or not the one that was submitted.
    """
    resources: Resources = ctx.resources
    name, container, etag = params.blob_name, params.container_name, ctx.source["etag"]
    facts = resources.bronze.facts(name, container, etag=etag)
    refuse_too_large(facts.size, resources.settings.max_source_mb)
    refuse_without_room(facts.size, folder)
    path = folder / f"{plain_stem(name)}.{params.file_extension}"
    with watch.measured("download"):
        for beside, its_etag in ctx.source["sidecars"].items():
            suffix = PurePosixPath(beside).suffix.lower()
            resources.bronze.download(beside, path.with_suffix(suffix), container=container, etag=its_etag)
    announce(path, facts.size)
    wanted = Event()
    wanted.set()

    def fetch() -> str:
        with watch.measured("download"):
            return written(resources.bronze.pieces(name, facts.size, container=container, etag=etag), path, wanted)

    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(fetch)
        try:
            if params.file_extension not in READ_WHILE_ARRIVING:
                whole.result()
            yield Download(path, facts.size, whole)
        finally:
            wanted.clear()
            if whole.exception():
                whole.result()


def written(pieces: Generator[bytes, None, None], path: Path, wanted: Event) -> str:
    """Append the pieces for as long as they are wanted. Returns the SHA-256 of them."""
    digest = hashlib.sha256()
    try:
        with path.open("ab", buffering=0) as file, closing(pieces):
            for piece in pieces:
                if not wanted.is_set():
                    break
                file.write(piece)
                digest.update(piece)
    except BaseException:
        give_up(path)
        raise
    complete(path)
    return digest.hexdigest()


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
