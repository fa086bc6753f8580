"""The host: workers, HTTP, Service Bus and timers put together, from start to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from .bus_listener import BusFunction
from .http_listener import HttpListener, listen, make_server
from .pool import WorkerPool
from .settings import HostSettings, apply_local_settings, describe_host_to_app, load_host_settings
from .stopping import unless_stopping
from .timers import Timer
from .wire import FunctionInfo

SETTLE_LIMIT = 2.0
KEY_SETTING = "FUNCTIONS_HOST_KEY"

log = logging.getLogger("local.host")


class Host:
    def __init__(self, app: Path, settings: HostSettings, grace: float) -> None:
        workers = int(os.environ.get("FUNCTIONS_WORKER_PROCESS_COUNT", "1"))
        self.settings = settings
        self.grace = grace
        self.pool = WorkerPool(app, workers, settings.function_timeout)
        self.stopping = asyncio.Event()
        self.serving: set[asyncio.Task[None]] = set()

    async def run(self, port: int, ready_file: Path | None) -> None:
        """Serve until SIGTERM or SIGINT. Raises what makes a start pointless: a taken port, a broken app."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        listening = listen(port)
        if ready_file:
            ready_file.unlink(missing_ok=True)
        try:
            functions = await unless_stopping(self.stopping, self.pool.start())
            if functions:
                await self.serve(functions, listening, ready_file)
        finally:
            await self.pool.stop()
            if self.serving:
                await asyncio.wait(self.serving, timeout=SETTLE_LIMIT)

    async def serve(self, functions: list[FunctionInfo], listening: socket.socket, ready_file: Path | None) -> None:
        by_trigger = {
            kind: [function for function in functions if function.trigger_type == kind]
            for kind in ("httpTrigger", "serviceBusTrigger", "timerTrigger")
        }
        extensions = self.settings.extensions
        http = HttpListener(
            self.pool, by_trigger["httpTrigger"], extensions.http.route_prefix, os.environ.get(KEY_SETTING)
        )
        queues = [
            BusFunction(self.pool, function, extensions.service_bus) for function in by_trigger["serviceBusTrigger"]
        ]
        timers = [Timer(self.pool, function) for function in by_trigger["timerTrigger"]]
        server = make_server(http, self.grace)
        self.start(server.serve([listening]), "HTTP")
        for queue in queues:
            self.start(queue.run(self.stopping), queue.name)
        for timer in timers:
            self.start(timer.run(self.stopping), timer.name)
        while not server.started and not self.stopping.is_set():
            await asyncio.sleep(0.01)
        self.announce(http, queues, timers, listening.getsockname()[1], ready_file)
        await self.stopping.wait()
        log.info("stopping")
        server.should_exit = True
        await asyncio.wait(self.serving, timeout=self.grace)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(report_end)
        self.serving.add(task)

    def announce(
        self, http: HttpListener, queues: list[BusFunction], timers: list[Timer], port: int, ready_file: Path | None
    ) -> None:
        for endpoint in http.endpoints:
            methods = ",".join(sorted(endpoint.methods)) or "*"
            log.info("%s: %s http://localhost:%d/%s", endpoint.function, methods, port, endpoint.template)
        for queue in queues:
            log.info("%s: queue %s, %d at a time", queue.name, queue.path, queue.options.max_concurrent_calls)
        for timer in timers:
            log.info("%s: timer %s", timer.name, timer.schedule_text)
        if ready_file:
            write_whole(ready_file, f"{port}\n")
        log.info("serving on http://localhost:%d", port)


def report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("%s stopped working", task.get_name(), exc_info=error)


def write_whole(file: Path, text: str) -> None:
    """Write so that a reader sees all of it or nothing."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(file)


def run_app(app: Path, port: int, ready_file: Path | None, grace: float) -> None:
    """Serve the app of a folder until told to stop; what runs then has `grace` seconds to finish."""
    apply_local_settings(app)
    describe_host_to_app(app)
    settings = load_host_settings(app, os.environ)
    asyncio.run(Host(app, settings, grace).run(port, ready_file))
