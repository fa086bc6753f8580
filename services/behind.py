"""Let something slow be done in other threads, a step behind its caller or ahead of it."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_END: Any = object()


class Behind(Generic[P]):
    """Calls a function in threads of its own, `most` calls at a time: with one, they are made one after the other."""

    def __init__(self, function: Callable[P, None], most: int = 1) -> None:
        self._function = function
        self._most = most
        self._pool = ThreadPoolExecutor(max_workers=most)
        self._calls: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """All calls have ended. Raises what the first that failed raised, unless the caller has an error already."""
        with self._pool:
            while kind is None and self._calls:
                self._calls.popleft().result()

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin the next call as soon as there is a thread for it. Raises what an earlier one raised."""
        while len(self._calls) >= self._most:
            self._calls.popleft().result()
        self._calls.append(self._pool.submit(self._function, *args, **kwargs))


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Each item is made in a thread of its own while the one before is in use. To be closed before what `items` needs
    is: the thread may be at work on it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, items, _END)
            yield item
