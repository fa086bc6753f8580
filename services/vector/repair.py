"""Checking and repairing geometries in bounded time, in a process that can be killed."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pyarrow as pa
import shapely

from services.vector.repair_child import ANSWER, FAILED, INVALID, REPAIRED, REQUEST, VALID

ROOT = Path(__file__).parents[2]
# What the child needs of the environment; the app's has its secrets.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG")

# GEOS checks valid polygons of so many vertices in 3 s at most (long thin teeth side by side), honest ones in 10 ms.
CHECKED_APART = 10_000
# And repairs invalid ones of so many in 12 ms at most (all edges cross each other); 500 take 7 s and 300 MB.
REPAIRED_APART = 64

Outcome = Literal["valid", "repaired", "failed", "too_long"]
_OUTCOMES: dict[bytes, Outcome] = {VALID: "valid", REPAIRED: "repaired", FAILED: "failed"}


class _Gone(Exception):
    """The child ended before it had answered: it is out of time or memory."""


@dataclass(frozen=True)
class Examined:
    """geometry: the repaired one. reason: GEOS's words for what is wrong, when it got so far."""

    outcome: Outcome
    geometry: shapely.Geometry | None = None
    reason: str | None = None


class Repairer:
    """Has so many seconds of processor time for each geometry, and so many on the clock for all it is given. The child
    process starts when it is first needed (0.2 s) and ends with the context."""

    def __init__(self, seconds_each: float = 120.0, seconds_in_all: float = 240.0) -> None:
        self._seconds_each = seconds_each
        self._seconds_left = seconds_in_all
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_child()

    def examine(self, wkb: bytes | pa.Buffer) -> Examined:
        """Check the geometry and repair it when it is invalid, keeping its dimension.

        wkb: it may be 100 MB, and is not copied. `too_long` also when it takes more memory than there is for it, or
        when no time is left.
        """
        seconds = min(self._seconds_each, self._seconds_left)
        if seconds <= 0:
            return Examined("too_long")
        started = time.monotonic()
        try:
            return self._asked(wkb, seconds)
        finally:
            self._seconds_left -= time.monotonic() - started

    def _asked(self, wkb: bytes | pa.Buffer, seconds: float) -> Examined:
        reason = None
        try:
            self._send(REQUEST.pack(seconds, len(wkb)), wkb)
            kind, payload = self._receive()
            if kind == INVALID:
                reason = payload.decode(errors="replace")
                kind, payload = self._receive()
        except (_Gone, BrokenPipeError):
            self._end_child()
            return Examined("too_long", reason=reason)
        return Examined(_OUTCOMES[kind], shapely.from_wkb(payload) if payload else None, reason)

    def _send(self, *parts: bytes | pa.Buffer) -> None:
        child = self._child = self._child or _started()
        assert child.stdin is not None
        for part in parts:
            child.stdin.write(part)
        child.stdin.flush()

    def _receive(self) -> tuple[bytes, bytes]:
        kind, size = ANSWER.unpack(self._read(ANSWER.size))
        return kind, self._read(size)

    def _read(self, size: int) -> bytes:
        assert self._child is not None
        assert self._child.stdout is not None
        content = self._child.stdout.read(size)
        if len(content) < size:
            raise _Gone
        return content

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()


def _started() -> "subprocess.Popen[bytes]":
    """Not forked from this process: its threads may hold locks."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    command = [sys.executable, "-P", "-m", "services.vector.repair_child"]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
