"""A file comes into the bronze zone in pieces: straight into the storage account where that can be reached, else
through the app."""

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx

from vector_etl.errors import Unusable, api_error
from vector_etl.models import Uploaded, UploadPlace
from vector_etl.transport import Transport

Progress = Callable[[int], None]
# Each piece is in memory while it is sent.
PIECE, AT_ONCE = 4 << 20, 4


class Closed(Exception):
    """The storage account does not take the file from here."""


class Pieces:
    """A file of a known size; it may not change meanwhile."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.count = -(-size // PIECE)

    def __getitem__(self, number: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(number * PIECE)
            return file.read(self.length(number))

    def length(self, number: int) -> int:
        return min(PIECE, self.size - number * PIECE)

    def each(self, put: Callable[[int, bytes], None], progress: Progress) -> None:
        """Put every piece, some at once, the first alone: what does not work at all is learnt from it."""
        sent = 0
        for number in self.sent(put):
            sent += self.length(number)
            progress(sent)

    def sent(self, put: Callable[[int, bytes], None]) -> Iterator[int]:
        put(0, self[0])
        yield 0
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            waiting = {pool.submit(lambda n: put(n, self[n]), number): number for number in range(1, self.count)}
            for done in as_completed(waiting):
                done.result()
                yield waiting[done]
        finally:
            pool.shutdown(cancel_futures=True)


def put_into_storage(storage: Transport, place: UploadPlace, pieces: Pieces, progress: Progress) -> Uploaded:
    """By the storage account's own blocks. Raises Closed when it cannot be reached, or takes nothing."""
    if place.put is None:
        raise Closed("the app signs no URL")
    url = place.put.url
    try:
        pieces.each(lambda number, content: put_storage_block(storage, url, number, content), progress)
        listed = "".join(f"<Latest>{block_id(number)}</Latest>" for number in range(pieces.count))
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'
        accepted(storage.send("PUT", f"{url}&comp=blocklist", content=document.encode()))
    except httpx.TransportError as error:
        raise Closed(f"the storage account does not answer: {error}") from error
    return Uploaded(container_name=place.container_name, blob_name=place.blob_name, size=pieces.size)


def put_storage_block(storage: Transport, url: str, number: int, content: bytes) -> None:
    accepted(storage.send("PUT", f"{url}&comp=block&blockid={block_id(number)}", content=content))


def accepted(answer: httpx.Response) -> None:
    if answer.is_error:
        raise Closed(f"the storage account answered {answer.status_code}")


def block_id(number: int) -> str:
    """Base64 of six digits: one length, and nothing in it to escape."""
    return base64.b64encode(f"{number:06}".encode()).decode()


def put_through_app(app: Transport, place: UploadPlace, pieces: Pieces, progress: Progress) -> Uploaded:
    def put(number: int, content: bytes) -> None:
        url = place.blocks.url.replace("{number}", str(number))
        refuse_error(app.send(place.blocks.method, url, content=content))

    pieces.each(put, progress)
    answer = app.send(place.finish.method, place.finish.url, json={"blocks": pieces.count, "size": pieces.size})
    refuse_error(answer)
    return Uploaded.model_validate(answer.json())


def refuse_error(answer: httpx.Response) -> None:
    if answer.is_error:
        raise api_error(answer)


def size_of(path: Path) -> int:
    """Raises Unusable for what is no file with content."""
    if not path.is_file():
        raise Unusable(f"there is no file {str(path)!r}")
    if not (size := path.stat().st_size):
        raise Unusable(f"the file {str(path)!r} is empty (0 bytes)")
    return size
