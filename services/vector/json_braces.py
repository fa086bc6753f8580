"""Find the braces of a JSON text that comes in blocks of any size, with numpy and without parsing it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

_QUOTE, _BACKSLASH, _OPENING, _CLOSING = b'"\\{}'


@dataclass(frozen=True)
class Braces:
    """The braces outside of strings of a block, which begins at offset `start` of the text and ends before `end`.

    at: (n,) offsets. depth: (n + 1,) open braces at the block's start, then behind each brace. quotes: their offsets.
    """

    start: int
    end: int
    at: Positions
    depth: Positions
    quotes: Positions
    starts_in_string: bool

    def closings(self, depth: int) -> Positions:
        """Offsets behind the closing braces that lead back to `depth`."""
        ends: Positions = self.at[(self.depth[1:] == depth) & (self.depth[:-1] > depth)] + 1
        return ends

    def stretches(self, depth: int) -> tuple[Positions, Positions]:
        """Begins and ends of the stretches of the block inside of exactly `depth` braces."""
        chosen = self.depth == depth
        return self._begins[chosen], self._ends[chosen]

    @cached_property
    def _begins(self) -> Positions:
        return np.concatenate([[self.start], self.at + 1])

    @cached_property
    def _ends(self) -> Positions:
        return np.concatenate([self.at, [self.end]])

    def is_inside(self, offset: int, depth: int) -> bool:
        """Whether an offset of the block is outside of strings and inside of exactly `depth` braces."""
        if not self.start <= offset < self.end:
            return False
        in_string = (int(np.searchsorted(self.quotes, offset)) + self.starts_in_string) % 2 == 1
        return not in_string and int(self.depth[np.searchsorted(self.at, offset)]) == depth


class BraceScanner:
    """offset: where the next block begins."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._depth = 0
        self._in_string = False
        self._escapes_next = False

    def scan(self, block: bytes) -> Braces:
        codes = np.frombuffer(block, np.uint8)
        is_token = (codes == _QUOTE) | (codes == _OPENING) | (codes == _CLOSING)
        is_token[self._escaped(block, codes)] = False
        at = np.flatnonzero(is_token)
        tokens = codes[at]
        is_quote = tokens == _QUOTE
        # Only whether their number is odd matters, so it may wrap around.
        in_string = ((np.cumsum(is_quote, dtype=np.uint8) + np.uint8(self._in_string)) & 1).view(bool)
        is_brace = ~is_quote & ~in_string
        steps = np.where(tokens[is_brace] == _OPENING, 1, -1)
        braces = Braces(
            start=self.offset,
            end=self.offset + len(block),
            at=at[is_brace] + self.offset,
            depth=np.cumsum(np.concatenate([[self._depth], steps])),
            quotes=at[is_quote] + self.offset,
            starts_in_string=self._in_string,
        )
        self.offset = braces.end
        self._depth = int(braces.depth[-1])
        self._in_string = bool(in_string[-1]) if len(at) else self._in_string
        return braces

    def _escaped(self, block: bytes, codes: NDArray[np.uint8]) -> Positions:
        """Positions behind every other backslash of a run of them. The run may have begun in the block before."""
        carried = int(self._escapes_next)
        if not carried and _BACKSLASH not in block:
            return np.zeros(0, np.int64)
        at = np.flatnonzero(codes[carried:] == _BACKSLASH) + carried
        run_start = np.maximum.accumulate(np.where(np.diff(at, prepend=-2) != 1, at, 0))
        escaped = at[(at - run_start) % 2 == 0] + 1
        self._escapes_next = len(block) in escaped[-1:]
        return np.concatenate([np.zeros(carried, np.int64), escaped[escaped < len(block)]])
