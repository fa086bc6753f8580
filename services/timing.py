"""Where the time goes, and how much memory it took."""

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """Seconds by step, from any number of threads. A step inside another of its thread counts for itself only."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._lock = threading.Lock()
        self._thread = threading.local()

    @contextmanager
    def measured(self, step: str) -> Iterator[None]:
        started, outer = time.perf_counter(), getattr(self._thread, "inner", 0.0)
        self._thread.inner = 0.0
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            with self._lock:
                self._totals[step] = self._totals.get(step, 0.0) + elapsed - self._thread.inner
            self._thread.inner = outer + elapsed

    def timed(self, step: str, function: Callable[P, T]) -> Callable[P, T]:
        """The function, each call of which is measured."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.measured(step):
                return function(*args, **kwargs)

        return call

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
