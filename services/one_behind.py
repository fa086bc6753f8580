"""Let something slow be done in another thread, at most one step behind its caller or ahead of it."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_END: Any = object()


class OneBehind(Generic[P]):
    """Calls a function in a thread of its own, one call after the other."""

    def __init__(self, function: Callable[P, None]) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """The last call has ended. Raises what it raised, unless the caller has an error already."""
        with self._pool:
            if kind is None:
                self._await_last()

    def call(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin the next call once the last one has ended. Raises what that one raised."""
        self._await_last()
        self._last = self._pool.submit(self._function, *args, **kwargs)

    def _await_last(self) -> None:
        last, self._last = self._last, None
        if last:
            last.result()


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Each item is made in a thread of its own while the one before is in use. To be closed before what `items` needs
    is: the thread may be at work on it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, items, _END)
            yield item
