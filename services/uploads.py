"""Files that users put into the bronze zone through the app, each into a folder of its own."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import uuid4

from core.errors import InvalidInput
from core.models.upload import Uploaded, UploadEnd, UploadPlace
from core.sql import janitor
from infrastructure.resources import Resources
from services.vector.source_file import refuse_too_large

FOLDER = "uploads/"
# A worker holds the body of a request in memory, several times over.
MOST_BODY = 8 << 20
# What one sweep takes on.
MOST_REMOVED = 1000


class Uploads:
    """A place is unguessable, and whatever was completed there is never written again by the app."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.settings = resources.settings
        self.bronze = resources.bronze

    def new_place(self, file_name: str, size: int | None = None) -> UploadPlace:
        """Raises InvalidInput("source_too_large")."""
        if size:
            refuse_too_large(size, self.settings.max_source_mb, "size")
        return UploadPlace(upload_id=uuid4().hex, file_name=file_name)

    def signed_url(self, place: UploadPlace) -> tuple[str | None, datetime]:
        """A URL that lets its holder write this one blob, and nothing else, until the moment beside it; None where the
        app has no right to sign."""
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=self.settings.upload_minutes)
        return self.bronze.writing_url(blob_name(place), until), until

    def store(self, place: UploadPlace, content: bytes) -> Uploaded:
        self.bronze.create(blob_name(place), content)
        return self.uploaded(place, len(content))

    def store_block(self, place: UploadPlace, number: int, content: bytes) -> None:
        """The same number again replaces the block."""
        self.bronze.stage_block(blob_name(place), number, content)

    def finish(self, place: UploadPlace, end: UploadEnd) -> Uploaded:
        """Make one file of the blocks; twice is the same. Raises InvalidInput("upload_incomplete", "source_too_large"),
        Conflict("upload_exists") when another file was completed at this place."""
        refuse_too_large(end.size, self.settings.max_source_mb, "size")
        sizes = self.bronze.staged_blocks(blob_name(place))
        if sizes or not self.bronze.has(blob_name(place), end.size):
            refuse_incomplete(sizes, end)
            self.bronze.commit_blocks(blob_name(place), end.blocks)
        return self.uploaded(place, end.size)

    def uploaded(self, place: UploadPlace, size: int) -> Uploaded:
        return Uploaded(container_name=self.settings.bronze_container, blob_name=blob_name(place), size=size)

    def forget_unsubmitted(self) -> list[str]:
        """Remove uploads that no job has named for `keep_uploads_hours`, and tell their names."""
        return self.remove_unsubmitted(datetime.now(UTC) - timedelta(hours=self.settings.keep_uploads_hours))

    def remove_unsubmitted(self, before: datetime) -> list[str]:
        pages = self.bronze.older_than(FOLDER, before)
        lonely = (name for page in pages for name in self.never_submitted(page))
        removed = list(islice(lonely, MOST_REMOVED))
        for name in removed:
            self.bronze.delete(name)
        return removed

    def never_submitted(self, names: list[str]) -> list[str]:
        with self.resources.database.transaction() as tx:
            return [row["name"] for row in tx.all(janitor.never_submitted, names=names)]


def blob_name(place: UploadPlace) -> str:
    return f"{FOLDER}{place.upload_id}/{place.file_name}"


def refuse_incomplete(sizes: dict[int, int], end: UploadEnd) -> None:
    missing = [number for number in range(end.blocks) if number not in sizes]
    arrived = sum(sizes.get(number, 0) for number in range(end.blocks))
    if missing:
        raise InvalidInput(
            "upload_incomplete",
            f"{len(missing)} of {end.blocks} blocks have not arrived, the first is {missing[0]}.",
            parameter="blocks",
            remedy="Put them, then finish again.",
        )
    if arrived != end.size:
        raise InvalidInput(
            "upload_incomplete",
            f"the blocks have {arrived} bytes together, not {end.size}.",
            parameter="size",
            remedy="Put the blocks anew that are cut short, then finish again.",
        )
