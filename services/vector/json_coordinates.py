"""Arrays of coordinates as JSON writes them: their nesting and their numbers, without an object for each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.int8]
Counts = NDArray[np.int32]
Reals = NDArray[np.float64]

# A text is never looked at in whole: it may be all of a large feature.
PIECE_BYTES = 1 << 20

_OPENING, _CLOSING = b"[]"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))
_NOT_NUMBERS = b"[] \t\r\n"
_FLOATS = msgspec.json.Decoder(list[float])


class Irregular(Exception):
    """The arrays are not nested as they should be, or a position is not two or more numbers."""


@dataclass(frozen=True)
class NestedArrays:
    """levels: (a,) of each array in the order in which they open, 1 for the outermost. numbers: (p,) how many of them
    each array of the innermost level has, which is a position."""

    levels: Levels
    numbers: Counts


class Numbers:
    """Numbers in order, to be taken in portions of any size."""

    def __init__(self, pieces: Iterator[Reals]) -> None:
        self._pieces = pieces
        self._left = np.empty(0)

    def take(self, count: int) -> Reals:
        """Raises Irregular when there are not so many."""
        parts, there = [self._left], len(self._left)
        while there < count:
            piece = next(self._pieces, None)
            if piece is None:
                raise Irregular
            parts.append(piece)
            there += len(piece)
        joined = np.concatenate(parts)
        self._left = joined[count:]
        return joined[:count]

    def is_exhausted(self) -> bool:
        return len(self._left) == 0 and next(self._pieces, None) is None


def nested_arrays(text: memoryview, levels: int, count: int) -> NestedArrays:
    """Of `count` arrays with commas between them. Raises Irregular unless each is nested so many levels deep.

    Only brackets and commas are looked at: the text is known to be JSON.
    """
    opened, begins, ends = [], [], []
    depth = tokens_before = 0
    leads_to_array = True
    for piece in pieces(text):
        tokens = np.frombuffer(piece.translate(None, _NOT_STRUCTURE), np.uint8)
        opens, closes = tokens == _OPENING, tokens == _CLOSING
        depths = np.cumsum(opens.astype(np.int8) - closes, dtype=np.int16) + np.int16(depth)
        # Above the positions there is nothing but arrays: each bracket and each comma leads to another one.
        leading = np.concatenate([[leads_to_array], ~closes & (depths < levels)])
        require(bool(opens[leading[:-1]].all()) and int(depths.max(initial=0)) <= levels)
        opened.append(depths[opens].astype(np.int8))
        begins.append(np.flatnonzero(opens & (depths == levels)).astype(np.int32) + tokens_before)
        ends.append(np.flatnonzero(closes & (depths == levels - 1)).astype(np.int32) + tokens_before)
        tokens_before += len(tokens)
        depth, leads_to_array = int(depths[-1]) if len(depths) else depth, bool(leading[-1])
    require(depth == 0 and not leads_to_array)
    # An array of n numbers is a bracket, n - 1 commas and a bracket.
    numbers = np.concatenate(ends) - np.concatenate(begins)
    found = NestedArrays(np.concatenate(opened), numbers)
    require(int((found.levels == 1).sum()) == count and int(numbers.min()) >= 2)
    return found


def read_numbers(text: memoryview) -> Iterator[Reals]:
    for piece in pieces(text):
        flat = piece.translate(None, _NOT_NUMBERS).removesuffix(b",")
        try:
            yield np.array(_FLOATS.decode(b"[" + flat + b"]"), np.float64)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Irregular from error


def coordinates(text: memoryview, arrays: NestedArrays) -> tuple[Counts, Numbers]:
    """(p,) numbers of each position that count, 2 or 3, the same in all arrays of level 1; and these numbers."""
    numbers = Numbers(read_numbers(text))
    least, most = int(arrays.numbers.min()), int(arrays.numbers.max())
    if least == most <= 3:
        return np.broadcast_to(np.int32(most), arrays.numbers.shape), numbers
    array_of_position = np.cumsum(arrays.levels == 1)[arrays.levels == arrays.levels.max()] - 1
    with_height = np.bincount(array_of_position, weights=arrays.numbers > 2) > 0
    widths = np.where(with_height[array_of_position], 3, 2).astype(np.int32)
    return widths, Numbers(iter([_fitted(numbers.take(int(arrays.numbers.sum())), arrays.numbers, widths)]))


def _fitted(numbers: Reals, counts: Counts, widths: Counts) -> Reals:
    """Of each position as many numbers as its width says. A height that is missing is 0, as GDAL has it."""
    begins, targets = np.cumsum(counts) - counts, np.cumsum(widths) - widths
    fitted = np.zeros(int(widths.sum()))
    for axis in range(3):
        has = (counts > axis) & (widths > axis)
        fitted[targets[has] + axis] = numbers[begins[has] + axis]
    return fitted


def pieces(text: memoryview) -> Iterator[bytes]:
    """The text, cut behind commas."""
    begin = 0
    while len(text) - begin > PIECE_BYTES:
        piece = bytes(text[begin : begin + PIECE_BYTES])
        end = piece.rfind(b",") + 1
        require(end > 0)
        yield piece[:end]
        begin += end
    yield bytes(text[begin:])


def require(holds: bool) -> None:
    if not holds:
        raise Irregular
