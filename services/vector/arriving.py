"""A file that is read while it still arrives: the reader waits for bytes that have not come yet.

Beside the file stands a note with the size it will have, for as long as it is not complete. Writer and reader are
different processes, and the reader has nothing but the folder.
"""

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A file that grows tells nobody; a piece of it takes longer to come than this.
PAUSE_SECONDS = 0.005
LOST = "lost"


class SourceLost(Exception):
    """The rest will not come. Whoever was to bring it knows why."""


def note_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.arriving")


def announce(path: Path, size: int) -> None:
    """The file is empty, and will have so many bytes."""
    path.touch()
    note_beside(path).write_text(str(size))


def complete(path: Path) -> None:
    note_beside(path).unlink()


def give_up(path: Path) -> None:
    note_beside(path).write_text(LOST)


def size_at_last(path: Path) -> int:
    """Bytes, once all have come."""
    try:
        told = note_beside(path).read_text()
    except FileNotFoundError:
        return path.stat().st_size
    return int(told) if told != LOST else 0


def open_arriving(path: Path) -> BinaryIO:
    """For reading, whether all of it is there or not. Reading raises SourceLost when the rest will not come."""
    return cast(BinaryIO, io.BufferedReader(_Arriving(path), buffer_size=1 << 16))


class _Arriving(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._note = note_beside(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while True:
            # Looked at before reading: what is read behind a complete file's end is its end.
            note = self._read_note()
            if (count := self._file.readinto(buffer)) or note is None:
                return count or 0
            if note == LOST:
                raise SourceLost
            time.sleep(PAUSE_SECONDS)

    def _read_note(self) -> str | None:
        try:
            return self._note.read_text()
        except FileNotFoundError:
            return None

    def close(self) -> None:
        self._file.close()
        super().close()
