"""As much of the source as an inspection needs, as a local file: the beginning of a text, all of anything else."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.models.vector import ProcessVectorParams
from infrastructure.blob import BlobRepository
from services.timing import Deadline
from services.vector.inspection.beginning import HEAD_BYTES, TAIL_BYTES, is_text
from services.vector.source_file import plain_stem, refuse_without_room

# Blob storage gives several connections more than one. Between two steps the time is looked at.
CONNECTIONS = 4
STEP_BYTES = 8 << 20


@dataclass(frozen=True)
class SourceBlob:
    """The source in blob storage. facts: what the checks found of it."""

    params: ProcessVectorParams
    facts: Mapping[str, Any]
    bronze: BlobRepository

    def fetch(self, folder: Path, deadline: Deadline) -> tuple[Path, bool]:
        """The source with its sidecars, under the name that a job would give it, and whether the time was enough.

        Of a large text only the beginning and the end are there: the file has its full size, with a hole in between.
        Raises InvalidInput("no_room", "source_changed").
        """
        params, size = self.params, self.facts["bytes"]
        refuse_without_room(size, folder)
        path = folder / f"{plain_stem(params.blob_name)}.{params.file_extension}"
        if is_text(params.file_extension) and size > HEAD_BYTES + TAIL_BYTES:
            self.fetch_range(path, 0, HEAD_BYTES)
            self.fetch_range(path, size - TAIL_BYTES, TAIL_BYTES)
            return path, True
        for name, etag in self.facts["sidecars"].items():
            beside = path.with_suffix(PurePosixPath(name).suffix.lower())
            self.bronze.download(name, beside, container=params.container_name, etag=etag)
        return path, self.fetch_all(path, deadline)

    def fetch_all(self, path: Path, deadline: Deadline) -> bool:
        """False when the time was not enough for more than the beginning."""

        def step(offset: int) -> bool:
            in_time = offset == 0 or deadline.left > 0
            if in_time:
                self.fetch_range(path, offset, STEP_BYTES)
            return in_time

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return all(pool.map(step, range(0, self.facts["bytes"], STEP_BYTES)))

    def fetch_range(self, path: Path, offset: int, length: int) -> None:
        name, container, etag = self.params.blob_name, self.params.container_name, self.facts["etag"]
        self.bronze.download_range(name, path, offset, length, container=container, etag=etag)
