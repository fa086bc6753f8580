"""Where the time goes, and how much memory it took."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by step. A step inside another counts for itself only."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def measured(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            inner = self._inner.pop()
            self._inner[-1] += elapsed
            self._totals[step] = self._totals.get(step, 0.0) + elapsed - inner

    @property
    def seconds(self) -> dict[str, float]:
        return {step: round(total, 4) for step, total in self._totals.items()}


class OutOfTime(Exception):
    """What was to be done within a time is not done."""


class Deadline:
    """The end of a span of time that begins now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, not below 0."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        if not self.left:
            raise OutOfTime


def peak_memory_mb() -> float:
    """High-water of this process's resident memory, in MB. ru_maxrss is KB on Linux and bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
