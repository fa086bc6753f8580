"""What the sandbox's tests have done in it: good, bad and dangerous."""

import ctypes
import os
import resource
import socket
import threading
from pathlib import Path

from core.errors import InvalidInput
from infrastructure.sandbox.child import Tell
from infrastructure.sandbox.protocol import Message


def echo(arguments: Message, _tell: Tell) -> Message:
    return arguments


def count(arguments: Message, tell: Tell) -> Message:
    for number in range(arguments["to"]):
        tell({"number": number})
    return {}


def surroundings(_arguments: Message, _tell: Tell) -> Message:
    """What a hostile file could get at."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "environment": dict(os.environ),
        "at_start": Path("/proc/self/environ").read_text(),
        "sockets": sum(path.is_socket() for path in Path("/proc/self/fd").iterdir()),
        "threads": threading.active_count(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }


def refuse(_arguments: Message, _tell: Tell) -> Message:
    raise InvalidInput("no_good", "it is no good.", parameter="blob_name", remedy="Mend it.", details={"row": 3})


def fail(_arguments: Message, _tell: Tell) -> Message:
    raise ValueError("a defect")


def crash(_arguments: Message, _tell: Tell) -> Message:
    ctypes.string_at(0)
    return {}


def abort(_arguments: Message, _tell: Tell) -> Message:
    os.abort()


def loop(_arguments: Message, tell: Tell) -> Message:
    """In C, where no Python signal handler would ever run."""
    tell({"pid": os.getpid()})
    ctypes.CDLL(None).pause()
    while True:
        pass


def burn(_arguments: Message, _tell: Tell) -> Message:
    while True:
        pass


def hog(arguments: Message, _tell: Tell) -> Message:
    return {"bytes": len(bytearray(arguments["mb"] << 20))}


def call_home(arguments: Message, _tell: Tell) -> Message:
    with socket.create_connection(("127.0.0.1", arguments["port"]), timeout=2):
        return {}


def say_nonsense(_arguments: Message, _tell: Tell) -> Message:
    """A child that was taken over says what it likes."""
    for descriptor in os.listdir("/proc/self/fd"):
        if int(descriptor) > 2:
            try:
                os.write(int(descriptor), b"\x00not json\n[1, 2]\n")
            except OSError:
                continue
    return {}
