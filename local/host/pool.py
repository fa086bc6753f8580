"""The workers: who runs an invocation, for how long, and what happens when one dies."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from pathlib import Path

from . import wire
from .worker_process import WorkerDied, WorkerNotReady, WorkerProcess

HEALTHY_AFTER = 60.0
RESTARTS_BEFORE_ALARM = 5
FIRST_PAUSE = 0.5
ALARMED_PAUSE = 30.0
STOP_LIMIT = 2.0

log = logging.getLogger("local.host")


class InvocationFailed(Exception):
    """The function raised, ran too long, or its worker died; already logged."""


def pause_before_restart(failures: int) -> float:
    """Seconds to wait after so many failures in a row: at once, then doubling, then slowly for ever."""
    if failures <= 1:
        return 0.0
    if failures > RESTARTS_BEFORE_ALARM:
        return ALARMED_PAUSE
    return float(FIRST_PAUSE * 2 ** (failures - 2))


class WorkerPool:
    def __init__(self, app: Path, size: int, timeout: timedelta | None) -> None:
        self.app = app
        self.size = size
        self.timeout = timeout.total_seconds() if timeout else None
        self.workers: set[WorkerProcess] = set()
        self.keepers: list[asyncio.Task[None]] = []
        self.someone_alive = asyncio.Event()
        self.stopping = False

    async def start(self) -> list[wire.FunctionInfo]:
        """Start the workers; returns the app's functions. Raises WorkerNotReady when the app cannot be indexed."""
        # The first alone: a broken app is reported once, and the others find its bytecode compiled.
        first = await self.start_one()
        await asyncio.gather(*(self.start_one() for _ in range(self.size - 1)))
        return first.functions

    async def start_one(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self.app)
        self.admit(worker)
        self.keepers.append(asyncio.create_task(self.keep(worker)))
        return worker

    def admit(self, worker: WorkerProcess) -> None:
        self.workers.add(worker)
        self.someone_alive.set()
        log.info("worker %d is ready", worker.pid)

    async def keep(self, worker: WorkerProcess) -> None:
        """Put a new worker in this one's place whenever it ends."""
        failures = 0
        while True:
            lived_from = time.monotonic()
            code = await worker.watch()
            self.dismiss(worker)
            if self.stopping:
                return
            healthy = worker.ended_by_us or time.monotonic() - lived_from > HEALTHY_AFTER
            failures = 0 if healthy else failures + 1
            log.warning("worker %d ended with code %d, starting another", worker.pid, code)
            worker, failures = await self.replace(failures)

    def dismiss(self, worker: WorkerProcess) -> None:
        self.workers.discard(worker)
        if not self.workers:
            self.someone_alive.clear()

    async def replace(self, failures: int) -> tuple[WorkerProcess, int]:
        """A new worker, however long it takes; failures counts on from the given number."""
        while True:
            if failures > RESTARTS_BEFORE_ALARM:
                log.critical("WORKERS KEEP FAILING (%d in a row); next try in %.0f s", failures, ALARMED_PAUSE)
            await asyncio.sleep(pause_before_restart(failures))
            try:
                worker = await WorkerProcess.start(self.app)
            except (WorkerNotReady, OSError) as error:
                failures += 1
                log.error("no new worker: %s", error)
            else:
                self.admit(worker)
                return worker, failures

    async def invoke(self, function: str, payload: wire.Payload) -> wire.HttpReply | None:
        """Run a function on the least busy worker, waiting for one if need be. Raises InvocationFailed."""
        worker = await self.least_busy()
        started = time.perf_counter()
        try:
            # Not wait_for: it would start the run a moment later, and a second caller see this worker as idle.
            async with asyncio.timeout(self.timeout):
                outcome = await worker.run(function, payload)
        except TimeoutError:
            self.end_overdue(worker, function)
            raise InvocationFailed("timeout") from None
        except WorkerDied as error:
            log.error("%s failed: %s", function, error)
            raise InvocationFailed(str(error)) from None
        milliseconds = (time.perf_counter() - started) * 1000
        if isinstance(outcome, wire.Failed):
            log.error("%s failed after %.0f ms: %s\n%s", function, milliseconds, outcome.error, outcome.traceback)
            raise InvocationFailed(outcome.error)
        log.debug("%s succeeded in %.0f ms", function, milliseconds)
        return outcome

    async def least_busy(self) -> WorkerProcess:
        while not (candidates := [worker for worker in self.workers if worker.alive]):
            self.someone_alive.clear()
            await self.someone_alive.wait()
        return min(candidates, key=lambda worker: len(worker.in_flight))

    def end_overdue(self, worker: WorkerProcess, function: str) -> None:
        log.error("%s exceeded functionTimeout (%.1f s), killing worker %d", function, self.timeout, worker.pid)
        worker.ended_by_us = True
        worker.kill()

    async def stop(self) -> None:
        """End the workers: those at rest may leave by themselves, the others are killed."""
        self.stopping = True
        for worker in self.workers:
            worker.kill() if worker.in_flight else worker.stop()
        if self.keepers:
            await asyncio.wait(self.keepers, timeout=STOP_LIMIT)
        for keeper in self.keepers:
            keeper.cancel()
        for worker in self.workers:
            worker.kill()
