"""Starts processes that outlive us, and ends only those.

Each process we start carries a mark in its environment: the instance and its name there. The mark alone decides what
is ours to end. A record says where to find it and on which port, but is only believed when the mark agrees.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from local.stack.layout import Layout, write_private

MARK = "LOCAL_STACK_INSTANCE"
PART = "LOCAL_STACK_PART"
# The clock the start time is derived from is adjusted now and then; a pid does not come round that fast.
START_TIME_TOLERANCE = 2.0
POLL_SECONDS = 0.02
NAMING_SECONDS = 5.0
LOG_LIMIT_BYTES = 5_000_000


@dataclass(frozen=True)
class Recorded:
    """A process as it was started. `settings` is a digest of what it was started with."""

    name: str
    pid: int
    started: float
    port: int
    settings: str = ""


@dataclass(frozen=True)
class Account:
    """The user a process runs as, when not as ourselves."""

    name: str
    uid: int
    gid: int


class Processes:
    """The processes of one instance, by name."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.children: dict[int, subprocess.Popen[bytes]] = {}

    def launch(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        cwd: Path | None = None,
        settings: str = "",
    ) -> Recorded:
        """Start a process in a session of its own, its output in `logs/NAME.log`, and record it."""
        with self.log(name).open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {}), MARK: self.layout.mark, PART: name},
                cwd=cwd or self.layout.root,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self.children[child.pid] = child
        self.wait_until_named(child, name)
        recorded = Recorded(name, child.pid, started_at(child.pid) or 0.0, port, settings)
        write_private(self.record_path(name), json.dumps(asdict(recorded)))
        return recorded

    def wait_until_named(self, child: "subprocess.Popen[bytes]", name: str) -> None:
        """For a moment after exec a process has no environment to be known by, and would pass for one that ended."""
        deadline = time.monotonic() + NAMING_SECONDS
        while self.name_of(child.pid) != name and child.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 10)

    def recorded(self, name: str) -> Recorded | None:
        """The last process of that name, running or not."""
        try:
            return Recorded(**json.loads(self.record_path(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def running(self, name: str) -> Recorded | None:
        """The process of that name, when it lives and is the one we started."""
        recorded = self.recorded(name)
        return recorded if recorded and self.lives(recorded) and self.name_of(recorded.pid) == name else None

    def end(self, name: str, *, by: signal.Signals = signal.SIGTERM, patience: float = 10) -> None:
        """End a process and what it started: asked by a signal at first, by force after `patience` seconds."""
        recorded, family = self.running(name), self.family(name)
        for leader in [recorded] if recorded else family:
            self.signal(leader, by, patience)
        for member in family:
            self.signal(member, signal.SIGKILL, patience)

    def kill(self, name: str) -> None:
        """End a process and what it started at once, as a crash would."""
        self.end(name, by=signal.SIGKILL)

    def end_strays(self) -> None:
        """End all of this instance, whatever its name and whether recorded or not."""
        for stray in self.family():
            self.signal(stray, signal.SIGKILL, patience=5)

    def family(self, name: str | None = None) -> list[Recorded]:
        """What runs under a name, or under any of this instance, descendants included.

        Also found are those that outlived their parent, by the mark they inherited, and those that have a parent of
        ours but no mark: PostgreSQL's backends write over theirs.
        """
        members: dict[int, Recorded] = {}
        for process in psutil.process_iter():
            found = self.name_of(process.pid)
            if found is not None and name in (None, found):
                with suppress(psutil.Error):
                    members |= {one.pid: seen(one) for one in [process, *process.children(recursive=True)]}
        spared = ourselves()
        return [member for pid, member in members.items() if pid not in spared]

    def name_of(self, pid: int) -> str | None:
        """The name a process of this instance was started under; None for all processes that are not ours."""
        try:
            env = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return None
        return env.get(PART, "") if env.get(MARK) == self.layout.mark else None

    def signal(self, process: Recorded, by: signal.Signals, patience: float) -> None:
        """Signal a process, unless its number belongs to another by now, and wait for its end."""
        if not self.lives(process):
            return
        with suppress(ProcessLookupError):
            os.kill(process.pid, by)
        deadline = time.monotonic() + patience
        while self.lives(process) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def lives(self, process: Recorded) -> bool:
        """Whether the very process is still there, and not another one under its number."""
        self.reap(process.pid)
        started = started_at(process.pid)
        return started is not None and abs(started - process.started) < START_TIME_TOLERANCE

    def reap(self, pid: int) -> None:
        """Let a child of ours that ended go, so that its pid does not look alive."""
        child = self.children.get(pid)
        if child is not None and child.poll() is not None:
            del self.children[pid]

    def log(self, name: str) -> Path:
        """Where the output of a process goes; an old one that grew long makes room."""
        path = self.layout.folder("logs") / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def log_tail(self, name: str, lines: int = 20) -> str:
        path = self.layout.logs / f"{name}.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])

    def record_path(self, name: str) -> Path:
        return self.layout.folder("run") / f"{name}.json"


def ourselves() -> set[int]:
    """This process and all it descends from, which are never ours to end."""
    return {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}


def seen(process: psutil.Process) -> Recorded:
    """A process we met, not one we recorded. Raises psutil.Error when it is gone."""
    return Recorded(process.name(), process.pid, process.create_time(), port=0)


def started_at(pid: int) -> float | None:
    """When the process of that number began, in seconds since the epoch; None when there is none or it is dead."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
