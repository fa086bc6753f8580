"""Do one thing to many items in forked processes, with the results in the order of the items."""

import fcntl
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any, Generic, Self, TypeVar

from core.errors import AppError, InvalidInput
from infrastructure.sandbox.child import end_with_parent

T = TypeVar("T")
R = TypeVar("R")
# More processes than this would not be fed by one that cuts the file.
MOST_PROCESSES = 4
PIPE_BYTES = 1 << 20
_CONTEXT = get_context("fork")


def processors() -> int:
    """How many processes can work at once here."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MOST_PROCESSES
    )


def side_by_side(function: Callable[[T], R], items: Iterable[T], processes: int) -> Generator[R, None, None]:
    """`function` of each item, in as many processes, each of which works on one item at a time.

    Items and results are sent to them and back. The processes end with the generator, and with this process. Raises
    InvalidInput and MemoryError as the function does. A process that dies of a signal takes this one with it: whoever
    watches over this one judges crashes.
    """
    with ExitStack() as stack:
        busy: deque[_Process[T, R]] = deque()
        for item in items:
            if len(busy) < processes:
                busy.append(stack.enter_context(_Process.started(function)))
                busy[-1].send(item)
                continue
            # It answers before it is given the next one: both ends would wait for each other else.
            process = busy.popleft()
            result = process.result()
            process.send(item)
            busy.append(process)
            yield result
        while busy:
            yield busy.popleft().result()


@dataclass
class _Process(Generic[T, R]):
    process: ForkProcess
    items: Connection
    results: Connection

    @classmethod
    def started(cls, function: Callable[[T], R]) -> Self:
        (items, to_it), (from_it, results) = _pipe(), _pipe()
        process = _CONTEXT.Process(target=_work, args=(function, items, results, (to_it, from_it)), daemon=True)
        process.start()
        items.close()
        results.close()
        return cls(process, to_it, from_it)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.items.close()
        self.results.close()
        self.process.kill()
        self.process.join()

    def send(self, item: T) -> None:
        try:
            self.items.send(item)
        except OSError:
            raise self._died() from None

    def result(self) -> R:
        """Of the item that was sent last."""
        try:
            outcome: R | Exception = self.results.recv()
        except (EOFError, OSError):
            raise self._died() from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _died(self) -> AppError:
        self.process.join()
        status = self.process.exitcode or 0
        if status < 0:
            os.kill(os.getpid(), -status)
        return AppError(f"a process that reads ended with {status}; the log has the details")


def _pipe() -> tuple[Connection, Connection]:
    """Its ends for reading and writing, with room for what is usual: 64 KB would make both ends wait for each other."""
    ends = _CONTEXT.Pipe(duplex=False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(PermissionError):
            fcntl.fcntl(ends[1].fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends


def _work(function: Callable[[Any], Any], items: Connection, results: Connection, others: Sequence[Connection]) -> None:
    """Answer each item until the other end hangs up."""
    for end in others:
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    with items, results:
        while True:
            try:
                item = items.recv()
            except EOFError:
                return
            try:
                outcome = function(item)
            except (InvalidInput, MemoryError) as error:
                outcome = error
            del item
            results.send(outcome)
            del outcome
