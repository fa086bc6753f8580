"""One worker process as the listener sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from . import wire

READ_BUFFER = 1 << 20
INDEXING_LIMIT = 120.0
REPOSITORY = Path(__file__).resolve().parents[2]


class WorkerNotReady(Exception):
    """The process ended, or gave up, before it could serve."""


class WorkerDied(Exception):
    """The process ended while an invocation ran on it."""


class WorkerProcess:
    """A started worker. `in_flight` holds a future per invocation, by its id."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self.process = process
        self.connection = connection
        self.functions: list[wire.FunctionInfo] = []
        self.in_flight: dict[str, asyncio.Future[wire.HttpReply | wire.Failed | None]] = {}
        self.alive = False
        self.ended_by_us = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @classmethod
    async def start(cls, app: Path) -> WorkerProcess:
        """Start a worker and wait until it has indexed the app. Raises WorkerNotReady."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "local.host.worker", str(theirs.fileno()), str(app)),
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=sys.stdout.fileno(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        worker = cls(process, ours)
        try:
            await worker.get_ready()
        except BaseException:
            worker.kill()
            raise
        return worker

    async def get_ready(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(sock=self.connection, limit=READ_BUFFER)
        try:
            message = await asyncio.wait_for(wire.receive(self.reader), INDEXING_LIMIT)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise WorkerNotReady(f"worker {self.pid} ended with code {await self.process.wait()}") from None
        except TimeoutError:
            raise WorkerNotReady(f"worker {self.pid} did not index the app within {INDEXING_LIMIT:.0f} s") from None
        if isinstance(message, wire.NotReady):
            raise WorkerNotReady(message.reason)
        self.functions = message.functions
        self.alive = True

    async def run(self, function: str, payload: wire.Payload) -> wire.HttpReply | wire.Failed | None:
        """Run a function here. Raises WorkerDied."""
        invocation_id = str(uuid.uuid4())
        outcome: asyncio.Future[wire.HttpReply | wire.Failed | None] = asyncio.get_running_loop().create_future()
        self.in_flight[invocation_id] = outcome
        try:
            wire.send(self.writer, wire.Invoke(invocation_id, function, payload))
            return await outcome
        finally:
            self.in_flight.pop(invocation_id, None)

    async def watch(self) -> int:
        """Hand outcomes to those who wait for them until the process ends; returns its exit code."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.deliver(await wire.receive(self.reader))
        self.alive = False
        for outcome in self.in_flight.values():
            if not outcome.done():
                outcome.set_exception(WorkerDied(f"worker {self.pid} died"))
        self.kill()
        self.writer.close()
        return await self.process.wait()

    def deliver(self, message: wire.Succeeded | wire.Failed) -> None:
        outcome = self.in_flight.get(message.invocation_id)
        if outcome and not outcome.done():
            outcome.set_result(message.reply if isinstance(message, wire.Succeeded) else message)

    def stop(self) -> None:
        """Ask it to leave when idle."""
        self.ended_by_us = True
        if self.alive:
            wire.send(self.writer, wire.Stop())

    def kill(self) -> None:
        """End it now, with whatever it started: it leads a process group of its own."""
        self.alive = False
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
