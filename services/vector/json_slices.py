"""Cut a GeoJSON of any size into slices of whole features.

A feature ends where the braces outside of strings are balanced again: no guess about what stands between features,
every byte is looked at once, and no more than a slice is in memory.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from services.vector.arriving import open_arriving
from services.vector.json_braces import Braces, BraceScanner, Positions

Codes = NDArray[np.uint8]

BLOCK_BYTES = 1 << 20
# A feature is in memory whole. What is larger is most likely a quote or a brace that was never closed.
LARGEST_FEATURE = 256 << 20

_BOM = b"\xef\xbb\xbf"
# RFC 8142 puts a record separator before each text of a sequence.
_RECORD_SEPARATOR = b"\x1e"
_BLANK = b" \t\r\n" + _RECORD_SEPARATOR
_SPACE, _COMMA, _CLOSING_BRACKET = b" ,]"
_FEATURES = re.compile(rb'"features"\s*:\s*\[')
_CONTENT = re.compile(rb"[^ \t\r\n\x1e]")
# The key and its bracket may come in different blocks.
_LONGEST_KEY = 1 << 10


@dataclass(frozen=True)
class Slice:
    """text: a JSON array of whole items. offset: of its first byte in the file. items: how many objects it holds."""

    text: bytearray
    offset: int
    items: int


class _Place(Enum):
    """How far the file was read: to its first features, into them, behind them, or along a sequence of JSON texts."""

    HEAD = auto()
    FEATURES = auto()
    TAIL = auto()
    END = auto()
    TEXTS = auto()


class GeoJsonSlices:
    """The features of a collection in slices; or a single feature or geometry, or a sequence of them.

    To be iterated once. members: the collection's own text, its array of features empty, once all slices were read;
    empty where the file is no collection.
    Raises InvalidInput: `unreadable_file` where the text is cut off or goes on behind its end, `feature_too_large`.
    """

    def __init__(self, path: Path, block_bytes: int = BLOCK_BYTES, largest: int = LARGEST_FEATURE) -> None:
        self.members = bytearray()
        self._path = path
        self._block_bytes = block_bytes
        self._largest = largest
        self._place = _Place.HEAD
        self._items = 0
        self._pending = _Pending(0)

    def __iter__(self) -> Iterator[Slice]:
        with open_arriving(self._path) as file:
            start = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
            file.seek(start)
            self._pending = _Pending(start)
            scanner = BraceScanner(start)
            while block := file.read(self._block_bytes):
                self._pending.append(block)
                ready = self._advance(scanner.scan(block))
                self._refuse_too_large()
                while ready:
                    # Popped, so that a large slice does not outlive its use.
                    yield ready.pop()
        self._refuse_unfinished()

    def _advance(self, braces: Braces) -> list[Slice]:
        """Go on to the end of the block, which may hold head, features and tail at once. At most one slice."""
        part = None
        if self._place is _Place.HEAD:
            self._leave_head(braces)
        if self._place is _Place.FEATURES:
            part = self._features(braces)
        if self._place is _Place.TEXTS:
            part = self._texts(braces.closings(0))
        if self._place is _Place.TAIL:
            self._leave_tail(braces)
        if self._place is _Place.END and not self._pending.is_blank():
            raise malformed(f"it goes on behind its end, at byte {self._pending.first_content()}")
        return [part] if part else []

    def _leave_head(self, braces: Braces) -> None:
        """The first object either has an array of features, or ends without one."""
        ends = braces.closings(0)
        first_end = int(ends[0]) if len(ends) else braces.end
        found = self._pending.find(_FEATURES, braces.start - _LONGEST_KEY, first_end)
        array = next((offset for offset in found if braces.is_inside(offset, depth=1)), None)
        if array is not None:
            self.members = self._pending.drop(array + 1)
            self._place = _Place.FEATURES
        elif len(ends):
            self._place = _Place.TEXTS

    def _features(self, braces: Braces) -> Slice | None:
        array_end = self._array_end(braces)
        ends = braces.closings(1)
        ends = ends[(ends > self._pending.start) & (ends <= (braces.end if array_end is None else array_end))]
        if array_end is not None:
            self._place = _Place.TAIL
            return self._listed(array_end, len(ends))
        return self._listed(int(ends[-1]), len(ends)) if len(ends) else None

    def _array_end(self, braces: Braces) -> int | None:
        """Offset of the first closing bracket that no feature holds."""
        begins, ends = braces.stretches(1)
        begins = np.maximum(begins, self._pending.start)
        lengths = np.maximum(ends - begins, 0)
        between = np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        found = between[self._pending.codes(between) == _CLOSING_BRACKET]
        return int(found[0]) if len(found) else None

    def _listed(self, end: int, items: int) -> Slice | None:
        """The features up to `end`, without the comma that separates them from those before."""
        comma = self._pending.first_content()
        if self._items and items:
            if self._pending.code(comma) != _COMMA:
                raise malformed(f"a comma is missing at byte {comma}")
            self._pending.put(np.array([comma]), _SPACE)
        is_empty = not items and comma >= end
        part = self._taken(end, items)
        return None if is_empty else part

    def _texts(self, ends: Positions) -> Slice | None:
        """The texts of a sequence up to the last end, with commas between them."""
        if not len(ends):
            return None
        separators = ends[:-1]
        to_check = np.concatenate([[self._pending.start], separators]) if self._items else separators
        if not np.isin(self._pending.codes(to_check), list(_BLANK)).all():
            raise malformed(f"its JSON texts are not separated by line breaks, behind byte {self._pending.start}")
        self._pending.put(separators, _COMMA)
        part = self._taken(int(ends[-1]), len(ends))
        if _RECORD_SEPARATOR in part.text:
            part.text[:] = part.text.replace(_RECORD_SEPARATOR, b" ")
        return part

    def _taken(self, end: int, items: int) -> Slice:
        offset = self._pending.start - 1
        self._items += items
        return Slice(self._pending.take(end), offset, items)

    def _leave_tail(self, braces: Braces) -> None:
        ends = braces.closings(0)
        ends = ends[ends > self._pending.start]
        self.members += self._pending.drop(int(ends[0]) if len(ends) else braces.end)
        if len(ends):
            self._place = _Place.END

    def _refuse_too_large(self) -> None:
        if max(len(self._pending), len(self.members)) <= self._largest:
            return
        raise InvalidInput(
            "feature_too_large",
            f"Feature {self._items + 1}, which begins at byte {self._pending.first_object()}, does not end within"
            f" {self._largest >> 20} MB.",
            remedy="Check whether a quote or a brace is missing there, or divide the feature.",
        )

    def _refuse_unfinished(self) -> None:
        if self._place is _Place.END or (self._place is _Place.TEXTS and self._pending.is_blank()):
            return
        if self._place is _Place.HEAD and self._pending.is_blank():
            raise malformed("it is empty")
        if self._place is _Place.TAIL or self._pending.is_blank():
            raise malformed(f"it ends behind feature {self._items}, before its collection is closed")
        begin = self._pending.first_object()
        raise malformed(
            f"it ends at byte {self._pending.end}, inside feature {self._items + 1}, which begins at byte {begin}"
        )


class _Pending:
    """What was read and not yet handed out, behind the bracket that opens the next slice. start, end: file offsets."""

    def __init__(self, start: int) -> None:
        self.start = start
        self._bytes = bytearray(b"[")

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def end(self) -> int:
        return self.start + len(self._bytes) - 1

    def append(self, block: bytes) -> None:
        self._bytes += block

    def find(self, pattern: re.Pattern[bytes], begin: int, end: int) -> list[int]:
        """Offsets of the last byte of each match."""
        matches = pattern.finditer(self._bytes, max(self._index(begin), 1), self._index(end))
        return [self.start + match.end() - 2 for match in matches]

    def codes(self, offsets: Positions) -> Codes:
        return np.frombuffer(self._bytes, np.uint8)[self._index(0) + offsets]

    def code(self, offset: int) -> int | None:
        return self._bytes[self._index(offset)] if offset < self.end else None

    def put(self, offsets: Positions, code: int) -> None:
        np.frombuffer(self._bytes, np.uint8)[self._index(0) + offsets] = code

    def take(self, end: int) -> bytearray:
        """The bytes before the offset `end`, as a JSON array. Without copying them: they may be one large feature."""
        rest = self._bytes[self._index(end) :]
        taken = self._bytes
        del taken[self._index(end) :]
        taken += b"]"
        self._bytes, self.start = bytearray(b"[") + rest, end
        return taken

    def drop(self, end: int) -> bytearray:
        return self.take(end)[1:-1]

    def is_blank(self) -> bool:
        return self.first_content() == self.end

    def first_content(self) -> int:
        """Offset of the first byte that is not blank; the end where there is none."""
        found = _CONTENT.search(self._bytes, 1)
        return self.start + found.start() - 1 if found else self.end

    def first_object(self) -> int:
        return self.start + self._bytes.find(b"{") - 1

    def _index(self, offset: int) -> int:
        return offset - self.start + 1


def malformed(why: str) -> InvalidInput:
    return InvalidInput("unreadable_file", f"The file cannot be read as GeoJSON: {why}.")
