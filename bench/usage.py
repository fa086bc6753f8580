"""What the processes of a stack take: processor time by role, and the peak of resident memory."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

import psutil

from local.stack import Stack

# Looking takes processor time, too: 7 ms.
SAMPLE_SECONDS = 0.5
# What of the app's processes has this in its command line, has that role.
APP_ROLES = {"infrastructure.sandbox": "readers", "worker": "workers"}


@dataclass
class Usage:
    """By role. cpu: seconds of all its processes together. peak_mb: of the largest one at its largest."""

    cpu: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)

    @property
    def app_peak_mb(self) -> float:
        return max((self.peak_mb.get(role, 0.0) for role in APP_ROLES.values()), default=0.0)


@contextmanager
def watched(stack: Stack) -> Iterator[Usage]:
    """The usage while the context is open, complete when it is left."""
    usage, done = Usage(), Event()

    def sample() -> None:
        ended = False
        while not ended:
            ended = done.wait(SAMPLE_SECONDS)
            for role, process in processes(stack):
                with suppress(psutil.NoSuchProcess):
                    rss = process.memory_info().rss / 1e6
                    usage.peak_mb[role] = round(max(usage.peak_mb.get(role, 0.0), rss), 1)

    before = cpu_seconds(stack)
    thread = Thread(target=sample)
    thread.start()
    try:
        yield usage
    finally:
        done.set()
        thread.join()
        after = cpu_seconds(stack)
        usage.cpu |= {role: round(after[role] - before.get(role, 0.0), 2) for role in after}


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """By role, of what runs and of its children that have ended."""
    seconds: dict[str, float] = defaultdict(float)
    for role, process in processes(stack):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds[role] += times.user + times.system + times.children_user + times.children_system
    return seconds


def processes(stack: Stack) -> Iterator[tuple[str, psutil.Process]]:
    for part in stack.parts:
        if part.running is None:
            continue
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(part.running.pid)
            for process in [top, *top.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    yield (role_in_app(process) if part is stack.app else part.name), process


def role_in_app(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((role for mark, role in APP_ROLES.items() if mark in command), "host")
