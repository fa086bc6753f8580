"""What the two ends of a channel say: one JSON object a line."""

import json
import resource
import socket
from typing import Any

Message = dict[str, Any]


class HungUp(Exception):
    """The other end is gone."""


class Channel:
    """One end. `timeout`: seconds that a message may take to come."""

    def __init__(self, end: socket.socket, timeout: float | None = None) -> None:
        end.settimeout(timeout)
        self._end = end
        self._lines = end.makefile("rb")

    def send(self, message: Message) -> None:
        """Raises HungUp."""
        try:
            self._end.sendall(encoded(message))
        except OSError as error:
            raise HungUp from error

    def receive(self) -> Message:
        """Raises HungUp, also for what is no message. Raises TimeoutError."""
        try:
            message = json.loads(self._lines.readline() or b"null")
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise HungUp from error
        if not isinstance(message, dict):
            raise HungUp
        return message

    def close(self) -> None:
        self._lines.close()
        self._end.close()


def encoded(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


def peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
