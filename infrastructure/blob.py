"""Blob storage by zone: bronze holds what users put there, silver what the app works on."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.blob import (
    BlobBlock,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ExponentialRetry,
    generate_blob_sas,
)

from core.config import Settings
from core.errors import Conflict, CredentialsExpired, InvalidInput, NotFound, Rejected, Transient
from infrastructure.identity import credential

Zone = Literal["bronze", "silver"]
# Two pieces of 8 MB at a time come twice as fast as one of 4; more and larger ones hardly faster, and are memory.
DOWNLOAD_CHUNK, DOWNLOADS = 8 << 20, 2
# The clocks of this machine and of the storage account need not agree.
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class BlobFacts:
    """`etag` names the bytes: new bytes have a new one."""

    size: int
    etag: str


class BlobRepository:
    """The blobs of one zone."""

    def __init__(self, service: BlobServiceClient, container: str) -> None:
        self._service = service
        self._container = container

    @classmethod
    def for_zone(cls, settings: Settings, zone: Zone) -> Self:
        return cls(open_service(settings), settings.bronze_container if zone == "bronze" else settings.silver_container)

    def facts(self, name: str, container: str | None = None, *, etag: str | None = None) -> BlobFacts:
        """Raises NotFound when there is no such blob or container, InvalidInput "source_changed" when it is not the one
        with `etag`."""
        with translate_errors(name):
            found = self._in(container).get_blob_client(name).get_blob_properties()
        facts = BlobFacts(found.size, found.etag.strip('"'))
        # Not asked as a condition: that a blob is gone would come as a condition not met.
        if etag and facts.etag != etag:
            raise source_changed(name)
        return facts

    def download(self, name: str, path: Path, *, container: str | None = None, etag: str | None = None) -> None:
        """Stream the blob into a file. Raises InvalidInput "source_changed" when it is not the one with `etag`."""
        size = self.facts(name, container, etag=etag).size
        with path.open("wb") as file:
            for piece in self.pieces(name, size, container=container, etag=etag):
                file.write(piece)

    def pieces(
        self, name: str, size: int, *, container: str | None = None, etag: str | None = None
    ) -> Generator[bytes, None, None]:
        """The blob's `size` bytes in order, the next pieces on their way while one is in use. Raises as `download`."""

        def piece(offset: int) -> bytes:
            length = min(DOWNLOAD_CHUNK, size - offset)
            stream = self._in(container).download_blob(name, offset=offset, length=length, **only(etag))
            return bytes(stream.readall())

        coming: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(DOWNLOADS) as pool, translate_errors(name):
            for offset in range(0, size, DOWNLOAD_CHUNK):
                coming.append(pool.submit(piece, offset))
                if len(coming) > DOWNLOADS:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def download_range(
        self, name: str, path: Path, offset: int, length: int, *, container: str | None = None, etag: str | None = None
    ) -> None:
        """Put a range of the blob, cut at the blob's end, into the file at the same offset; the file is made when it is
        not there. Raises InvalidInput "source_changed" as `download` does."""
        path.touch()
        with translate_errors(name), path.open("r+b") as file:
            file.seek(offset)
            self._in(container).download_blob(name, offset=offset, length=length, **only(etag)).readinto(file)

    def read(self, name: str) -> bytes:
        with translate_errors(name):
            return self._in(None).download_blob(name).readall()

    def write(self, name: str, path: Path) -> None:
        """Upload a file, in place of whatever was there."""
        with translate_errors(name), path.open("rb") as file:
            self._in(None).upload_blob(name, file, length=path.stat().st_size, overwrite=True)

    def create(self, name: str, content: bytes) -> None:
        """Raises Conflict("upload_exists") when the blob is there."""
        with translate_errors(name), never_overwriting(name):
            self._in(None).upload_blob(name, content, overwrite=False)

    def stage_block(self, name: str, number: int, content: bytes) -> None:
        """Put a block of a blob that `commit_blocks` makes. The same number again replaces it."""
        with translate_errors(name):
            self._in(None).get_blob_client(name).stage_block(block_id(number), content)

    def staged_blocks(self, name: str) -> dict[int, int]:
        """The size in bytes of each block that waits to be committed, by its number."""
        try:
            with translate_errors(name):
                _, waiting = self._in(None).get_blob_client(name).get_block_list("uncommitted")
        except NotFound:
            return {}
        return {int(block.id): block.size for block in waiting}

    def commit_blocks(self, name: str, count: int) -> None:
        """Make a blob of the first `count` blocks. Raises Conflict("upload_exists") when the blob is there."""
        blocks = [BlobBlock(block_id(number)) for number in range(count)]
        with translate_errors(name), never_overwriting(name):
            self._in(None).get_blob_client(name).commit_block_list(blocks, match_condition=MatchConditions.IfMissing)

    def has(self, name: str, size: int) -> bool:
        """Whether there is a blob of this size."""
        try:
            return self.facts(name).size == size
        except NotFound:
            return False

    def writing_url(self, name: str, until: datetime) -> str | None:
        """A URL whose holder may write this one blob until then: signed with a key of the managed identity, or with the
        account's; None when the app holds neither, or the URL of the account does not tell its name."""
        blob = self._in(None).get_blob_client(name)
        with translate_errors(name):
            signing = self._signing_key(until)
        if not signing or not blob.account_name:
            return None
        signature = generate_blob_sas(
            blob.account_name,
            blob.container_name,
            blob.blob_name,
            permission=BlobSasPermissions(create=True, write=True),
            expiry=until,
            protocol="https" if blob.scheme == "https" else None,
            **signing,
        )
        return f"{blob.url}?{signature}"

    def _signing_key(self, until: datetime) -> dict[str, Any]:
        account_key = getattr(self._service.credential, "account_key", None)
        if account_key:
            return {"account_key": account_key}
        if hasattr(self._service.credential, "get_token"):
            since = datetime.now(UTC) - CLOCK_SKEW
            return {"user_delegation_key": self._service.get_user_delegation_key(since, until)}
        return {}

    def older_than(self, prefix: str, before: datetime) -> Iterator[list[str]]:
        """The names of the blobs that nobody wrote since then, in pages."""
        with translate_errors(prefix):
            for page in self._in(None).list_blobs(name_starts_with=prefix).by_page():
                yield [blob.name for blob in page if blob.last_modified < before]

    def delete(self, name: str) -> None:
        """Twice changes nothing."""
        with translate_errors(name):
            delete_if_there(self._in(None), name)

    def names(self, prefix: str, container: str | None = None) -> list[str]:
        with translate_errors(prefix):
            return list(self._in(container).list_blob_names(name_starts_with=prefix))

    def delete_under(self, prefix: str) -> int:
        """Delete every blob whose name starts with the prefix. Twice changes nothing."""
        names = self.names(prefix)
        with translate_errors(prefix):
            for name in names:
                delete_if_there(self._in(None), name)
        return len(names)

    def check(self) -> None:
        """Raises when the zone's container cannot be reached."""
        with translate_errors(self._container):
            self._in(None).get_container_properties()

    def _in(self, container: str | None) -> ContainerClient:
        return self._service.get_container_client(container or self._container)


def only(etag: str | None) -> dict[str, Any]:
    """Options of a download that refuses other bytes than those with the ETag."""
    return {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified} if etag else {}


def block_id(number: int) -> str:
    """The ids of a blob's blocks must be of one length."""
    return f"{number:06}"


@contextmanager
def never_overwriting(name: str) -> Iterator[None]:
    try:
        yield
    except (ResourceExistsError, ResourceModifiedError) as error:
        raise Conflict(f"there is a blob {name!r} already, and it is not overwritten", code="upload_exists") from error


def delete_if_there(container: ContainerClient, name: str) -> None:
    try:
        container.delete_blob(name)
    except ResourceNotFoundError:
        return


def open_service(settings: Settings) -> BlobServiceClient:
    # The SDK's own pauses (15 s, 18 s, ...) would outlast a client's patience: a task is tried again anyway.
    retry = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2, random_jitter_range=1)
    options: dict[str, Any] = {
        "retry_policy": retry,
        "connection_timeout": 10,
        "read_timeout": 60,
        "max_chunk_get_size": DOWNLOAD_CHUNK,
    }
    if settings.use_managed_identity:
        return BlobServiceClient(str(settings.blob_account_url), credential(settings.azure_client_id), **options)
    return BlobServiceClient.from_connection_string(str(settings.blob_connection_string), **options)


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ResourceNotFoundError as error:
        raise NotFound(f"there is no blob {name!r}", code="blob_not_found") from error
    except ResourceModifiedError as error:
        raise source_changed(name) from error
    except ClientAuthenticationError as error:
        raise CredentialsExpired("the storage account refused the credentials") from error
    except (ServiceRequestError, ServiceResponseError, IncompleteReadError) as error:
        raise Transient("the storage account does not answer", code="storage_unavailable") from error
    except HttpResponseError as error:
        raise refused(error) from error


def source_changed(name: str) -> InvalidInput:
    return InvalidInput(
        "source_changed",
        f"the blob {name!r} was replaced after the job was submitted.",
        parameter="blob_name",
        remedy="Submit it again to load the new content.",
    )


def refused(error: HttpResponseError) -> Exception:
    status = error.status_code or 0
    if status in (408, 429) or status >= 500:
        return Transient(f"the storage account answered {status}", code="storage_unavailable")
    return Rejected(f"the storage account refused with {status} ({error.reason})", code="storage_refused")
