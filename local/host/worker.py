"""A worker process: imports the app, tells the listener what it found, runs what the listener sends.

Started by the listener as `python -m local.host.worker FD APP`, with a connected socket in FD.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextvars
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import wire
from .context import InvocationContext
from .conversion import decode, encode
from .indexing import IndexedFunction, index_app

READ_BUFFER = 1 << 20
PR_SET_PDEATHSIG = 1
MACHINERY = (str(Path(__file__).parent), concurrent.futures.thread.__file__)

current_invocation: contextvars.ContextVar[str] = contextvars.ContextVar("invocation", default="-")
thread_local = threading.local()


class Worker:
    def __init__(self, app: Path, functions: dict[str, IndexedFunction], writer: asyncio.StreamWriter) -> None:
        threads = os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT")
        self.app = app
        self.functions = functions
        self.writer = writer
        self.pool = ThreadPoolExecutor(int(threads) if threads else None, thread_name_prefix="function")
        self.running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Run what comes until told to stop. A listener that went away ends the process at once."""
        wire.send(self.writer, wire.Ready([function.info for function in self.functions.values()]))
        while isinstance(message := await self.next_message(reader), wire.Invoke):
            task = asyncio.create_task(self.run(message))
            self.running.add(task)
            task.add_done_callback(self.running.discard)
        if self.running:
            await asyncio.wait(self.running)

    async def next_message(self, reader: asyncio.StreamReader) -> wire.ToWorker:
        try:
            message: wire.ToWorker = await wire.receive(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            os._exit(1)
        return message

    async def run(self, message: wire.Invoke) -> None:
        outcome: wire.FromWorker
        try:
            outcome = wire.Succeeded(message.invocation_id, await self.invoke(message))
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is its result, SystemExit too
            outcome = wire.Failed(message.invocation_id, f"{type(error).__name__}: {error}", traceback_of(error))
        wire.send(self.writer, outcome)
        await self.writer.drain()

    async def invoke(self, message: wire.Invoke) -> wire.HttpReply | None:
        function = self.functions[message.function]
        arguments = {function.info.trigger["name"]: decode(function.info.trigger_type, message.payload)}
        if function.wants_context:
            arguments["context"] = InvocationContext(
                message.invocation_id, message.function, str(self.app), thread_local
            )
        current_invocation.set(message.invocation_id)
        if function.is_async:
            result = await function.call(**arguments)
        else:
            result = await self.in_thread(function, arguments, message.invocation_id)
        return encode(function, result)

    async def in_thread(self, function: IndexedFunction, arguments: dict[str, Any], invocation_id: str) -> Any:
        context = contextvars.copy_context()

        def call() -> Any:
            thread_local.invocation_id = invocation_id
            return context.run(function.call, **arguments)

        return await asyncio.get_running_loop().run_in_executor(self.pool, call)


def traceback_of(error: BaseException) -> str:
    """The error's traceback from the app's code on; all of it when it never got that far."""
    step = error.__traceback__
    while step and step.tb_frame.f_code.co_filename.startswith(MACHINERY):
        step = step.tb_next
    return "".join(traceback.format_exception(type(error), error, step or error.__traceback__))


def die_with_listener() -> None:
    """Have the kernel kill this process when its parent ends; elsewhere than on Linux the closed socket does."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class InvocationField(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.invocation = current_invocation.get()[:8]
        return True


def set_up_logging() -> None:
    """Root at INFO, as the real worker has it; whole lines, because workers share one output."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(InvocationField())
    handler.setFormatter(
        logging.Formatter("%(asctime)s [%(process)d %(invocation)s] %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("azure").setLevel(logging.WARNING)


async def main(descriptor: int, app: Path) -> None:
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    reader, writer = await asyncio.open_connection(sock=connection, limit=READ_BUFFER)
    try:
        functions = index_app(app)
    except Exception as error:  # noqa: BLE001 - the app's import can raise anything; the listener reports it
        traceback.print_exc()
        wire.send(writer, wire.NotReady(f"{type(error).__name__}: {error}"))
        await writer.drain()
        return
    await Worker(app, functions, writer).serve(reader)


if __name__ == "__main__":
    die_with_listener()
    set_up_logging()
    app_folder = Path(sys.argv[2])
    sys.path[0] = str(app_folder)
    os.chdir(app_folder)
    asyncio.run(main(int(sys.argv[1]), app_folder))
