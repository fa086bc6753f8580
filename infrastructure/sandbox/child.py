"""The forked child: gives up what it does not need, calls one function, tells what came of it."""

import ctypes
import gc
import math
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from infrastructure.sandbox.protocol import Channel, HungUp, Message

# What it may tell the worker before it returns. The worker's answer lets it go on: it is never more than one ahead.
Tell = Callable[[Message], None]
Function = Callable[[Message, Tell], Message]

MOST_FILES = 256
# The limit of processor time is a backstop: a reader may use more than one thread.
THREADS = 2
# Objects made between two looks for garbage cycles: the values of a file are many and make none.
GARBAGE_THRESHOLD = 100_000
PR_SET_PDEATHSIG = 1


def run(end: socket.socket, functions: Mapping[str, Function]) -> None:
    """Serve the one call that the channel brings."""
    channel = Channel(end)
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        request = channel.receive()
        confine(request["memory_mb"], request["seconds"])
        channel.send(outcome(functions[request["function"]], request["arguments"], told_by(channel)))
        # The server tells of its end without waiting, so there has to be room for that behind a long answer.
        channel.receive()
    except HungUp:
        return


def end_with_parent() -> None:
    """Where the kernel can: no process outlives the one that forked it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def outcome(function: Function, arguments: Message, tell: Tell) -> Message:
    """An exception becomes data, too. Nothing but InvalidInput is quoted to a user."""
    try:
        return {"returned": function(arguments, tell)}
    except HungUp:
        raise
    except InvalidInput as error:
        names = ("code", "problem", "parameter", "remedy", "details")
        return {"refused": {name: getattr(error, name) for name in names}}
    except MemoryError:
        return {"out_of_memory": True}
    except Exception:  # noqa: BLE001  the worker judges
        return {"failed": traceback.format_exc()}


def told_by(channel: Channel) -> Tell:
    def tell(message: Message) -> None:
        channel.send({"told": message})
        channel.receive()

    return tell


def confine(memory_mb: int, seconds: float) -> None:
    """memory_mb: beyond what the process has already. seconds: from now on; then the kernel ends it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(THREADS * seconds), math.ceil(THREADS * seconds) + 1))
    if (data := data_bytes()) is not None:
        most = data + (memory_mb << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def data_bytes() -> int | None:
    """Writable private memory, which RLIMIT_DATA limits on Linux (proc(5), statm); None elsewhere."""
    try:
        pages: Any = Path("/proc/self/statm").read_text().split()[5]
    except FileNotFoundError:
        return None
    return int(pages) * resource.getpagesize()
