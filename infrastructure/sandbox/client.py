"""The worker's end: starts the fork server, calls functions in children of it, tells how they ended."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import AppError, InvalidInput, Transient
from infrastructure.sandbox.protocol import Channel, HungUp, Message

ROOT = Path(__file__).parents[2]
# What the dynamic linker needs where Python is not in its usual place.
INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Threads of its own would not survive the fork, and pools that keep memory are of no use to who reads one file.
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
}
# Beyond its limit, for the server to notice that a child has ended.
GRACE_SECONDS = 30.0
OUT_OF_TIME = (signal.SIGALRM, signal.SIGXCPU)


class Crashed(Exception):
    """The child died of a signal: a defect of a library met a file that shows it."""

    def __init__(self, signal_number: int) -> None:
        self.signal = signal.Signals(signal_number).name
        super().__init__(self.signal)


class TimedOut(Exception):
    """The child took longer than it may."""


class OutOfMemory(Exception):
    """The child wanted more memory than it may have."""


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    control: socket.socket

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """Its end of the control socket is all that keeps it alive."""
        self.control.close()
        self.process.wait()


class Sandbox:
    """Calls `module:function`s in processes of their own; several threads may. memory_mb: what each child may take
    beyond the libraries it begins with."""

    def __init__(self, functions: Sequence[str], memory_mb: int) -> None:
        self._functions = functions
        self._memory_mb = memory_mb
        self._server: Server | None = None
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Start the server now, so that the first call need not wait for its imports."""
        with self._lock:
            self._running()

    def call(self, function: str, arguments: Message, *, seconds: float, hear: Callable[[Message], None]) -> Message:
        """What the function returns. `hear` gets what it tells meanwhile; the function waits for it to end.

        Raises InvalidInput as the function does, Crashed, TimedOut, OutOfMemory; MemoryError when the machine has none
        left; Transient when the server was lost; AppError for a defect of the function.
        """
        end = self._open_channel()
        with closing(Channel(end, seconds + GRACE_SECONDS)) as channel:
            request = {"function": function, "arguments": arguments, "memory_mb": self._memory_mb, "seconds": seconds}
            try:
                channel.send(request)
                return self._listen(channel, hear)
            except HungUp:
                raise Transient("the process that reads files was lost", code="parser_lost") from None
            except TimeoutError:
                self.close()
                raise TimedOut from None

    def _listen(self, channel: Channel, hear: Callable[[Message], None]) -> Message:
        last: Message = {}
        while True:
            match message := channel.receive():
                case {"ended": int(status)}:
                    return result(last, status)
                case {"told": dict(told)}:
                    hear(told)
                case _:
                    last = message
            # It may be dead by now; then its end comes next.
            with suppress(HungUp):
                channel.send({"heard": True})

    def _open_channel(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._running().control, [b"+"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise Transient("the process that reads files was lost", code="parser_lost") from None
        return ours

    def _running(self) -> Server:
        if self._server is None or not self._server.is_alive:
            if self._server:
                self._server.close()
            self._server = self._started()
        return self._server

    def _started(self) -> Server:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "infrastructure.sandbox.server", str(theirs.fileno()), *self._functions],
                env=environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)
        return Server(process, ours)

    def close(self) -> None:
        atexit.unregister(self.close)
        with self._lock:
            if self._server:
                self._server.close()
                self._server = None


def environment() -> dict[str, str]:
    """Of the worker's own environment nothing that is a secret, or tells where anything is."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return ENVIRONMENT | inherited | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def result(last: Message, status: int) -> Message:
    match last:
        case {"returned": dict(returned)} if status == 0:
            return returned
        case {"refused": {"code": str(code), "problem": str(problem)} as refused}:
            about = {name: refused[name] for name in ("parameter", "remedy", "details")}
            raise InvalidInput(code, problem, **about)
        case {"out_of_memory": True}:
            raise OutOfMemory
        case {"failed": str(traceback)}:
            raise AppError("the reader of the file failed; the log has the details") from RuntimeError(traceback)
    if -status in OUT_OF_TIME:
        raise TimedOut
    if status == -signal.SIGKILL:
        # Nobody but the kernel, when the machine runs out of memory.
        raise MemoryError
    if status < 0:
        raise Crashed(-status)
    raise AppError("the reader of the file ended without a word")
