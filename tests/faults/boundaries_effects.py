"""Every effect of the app on the world passes here: it gets a name, is counted, and can be made to fail."""

import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
APP = tuple(str(ROOT / part) + "/" for part in ("core", "jobs", "services", "infrastructure", "triggers"))
# What is on the way from the reason to the effect everywhere, and says nothing about either.
PLUMBING = re.compile(
    r"<|^(CoreMachine\.(work_on|attempt(\.run)?|patiently|computed|claim(\.attempt)?|move_on)|guarded|PostgresTransaction\..*"
    r"|Stopwatch\.timed\.call|JanitorService\.changed|PostgresDatabase\.transaction"
    r"|BlobRepository\.(facts|download|download_range|read|write|names)"
    r"|ServiceBus\..*|Link\.open|send|dead_letters|vector_tasks|geospatial_jobs)$"
)


class Vanished(BaseException):
    """The worker is gone. Nobody may catch it, and nothing else of that worker happens."""


class Way(StrEnum):
    """How an effect fails: it did not happen; it happened and the worker died; it happened and an error was raised."""

    BEFORE = "before"
    AFTER_CRASH = "after, crash"
    REPORTED_FAILED = "done, reported as failed"


@dataclass(frozen=True)
class Fault:
    """The nth time (from 1) that the boundary is reached. `boundary`: its name, or the end of it."""

    boundary: str
    way: Way
    occurrence: int = 1


@dataclass
class Effects:
    """`planned`: what goes wrong in this scenario anyway. `injected`: the one fault under test. Effects are only noted
    and failed while `watching`."""

    planned: list[Fault] = field(default_factory=list)
    injected: Fault | None = None
    watching: bool = False
    dead: bool = False
    hit: bool = False
    reached: Counter[str] = field(default_factory=Counter)
    _of_planned: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def effect(self, kind: str, error: Callable[[], Exception]) -> Iterator[None]:
        """Around the effect itself."""
        way = self.reach(kind)
        if way is Way.BEFORE:
            raise error()
        yield
        self.after(way, error)

    def after(self, way: Way | None, error: Callable[[], Exception]) -> None:
        if way is Way.AFTER_CRASH:
            self.dead = True
            raise Vanished
        if way is Way.REPORTED_FAILED:
            raise error()

    def reach(self, kind: str) -> Way | None:
        """How the effect that is about to happen fails; None when it does not."""
        if self.dead:
            raise Vanished
        if not self.watching:
            return None
        name = f"{place()}: {kind}"
        with self._lock:
            return self._way(name)

    def _way(self, name: str) -> Way | None:
        self.reached[name] += 1
        fault = self.injected
        if fault and fault.boundary == name and fault.occurrence == self.reached[name]:
            self.hit = True
            return fault.way
        return self.planned_way(name)

    def planned_way(self, name: str) -> Way | None:
        for suffix in {fault.boundary for fault in self.planned}:
            if name.endswith(suffix):
                self._of_planned[suffix] += 1
        for fault in self.planned:
            if name.endswith(fault.boundary) and fault.occurrence == self._of_planned[fault.boundary]:
                return fault.way
        return None


def place() -> str:
    """Who calls, from the entry into the app to the function with the effect: `a > b > Class.method`."""
    return named(app_frames(sys._getframe(2)))


def app_frames(frame: FrameType | None) -> Sequence[str]:
    """Qualified names of the app's functions on the stack, innermost first."""
    found: list[str] = []
    while frame:
        name = frame.f_code.co_qualname.replace(".<locals>", "")
        if frame.f_code.co_filename.startswith(APP) and not PLUMBING.search(name):
            found.append(name)
        frame = frame.f_back
    return found


def named(frames: Sequence[str]) -> str:
    callers = [name.rsplit(".", 1)[-1] for name in frames[1:]]
    chain = list(dict.fromkeys([*reversed(callers), *frames[:1]]))
    return " > ".join(chain) or "host"
