"""Work in a thread behind the caller, or ahead of it: in order, one at a time, and no error lost."""

import threading
import time
from collections.abc import Iterator

import pytest

from services.behind import Behind, one_ahead


def test_calls_are_made_in_order_in_another_thread_and_have_ended_at_the_end() -> None:
    done: list[tuple[int, int]] = []

    def slow(number: int) -> None:
        time.sleep(0.01)
        done.append((number, threading.get_ident()))

    with Behind(slow) as behind:
        for number in range(5):
            behind.call(number)
    assert [number for number, _ in done] == [0, 1, 2, 3, 4]
    assert {thread for _, thread in done}.isdisjoint({threading.get_ident()})


def test_the_caller_goes_on_during_a_call_and_waits_for_it_before_the_next() -> None:
    may_end, begun = threading.Event(), threading.Event()

    def first_waits(number: int) -> None:
        begun.set()
        assert may_end.wait(10) or number

    with Behind(first_waits) as behind:
        behind.call(0)
        assert begun.wait(10)
        following = threading.Thread(target=behind.call, args=(1,))
        following.start()
        following.join(0.05)
        assert following.is_alive()
        may_end.set()
        following.join(10)
        assert not following.is_alive()


def test_as_many_calls_as_may_be_are_under_way_at_once() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(_number: int) -> None:
        both.wait()

    with Behind(meet, most=2) as behind:
        for number in range(4):
            behind.call(number)


def fail(*_: object) -> None:
    raise ValueError("failed")


def twice() -> None:
    with Behind(fail) as behind:
        behind.call()
        behind.call()
        pytest.fail("the second call was to raise the error of the first")


def once() -> None:
    with Behind(fail) as behind:
        behind.call()


def once_with_an_error_of_its_own() -> None:
    with Behind(fail) as behind:
        behind.call()
        raise KeyError


def test_an_error_is_raised_by_the_next_call_or_at_the_end() -> None:
    for use in (twice, once):
        with pytest.raises(ValueError, match="failed"):
            use()


def test_the_callers_own_error_comes_first() -> None:
    with pytest.raises(KeyError):
        once_with_an_error_of_its_own()


def test_items_come_in_order_each_made_while_the_one_before_is_in_use() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    taken = one_ahead(items())
    assert next(taken) == 0
    deadline = time.monotonic() + 10
    while made != [0, 1] and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == [0, 1]
    assert list(taken) == [1, 2]


def test_the_error_of_an_item_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise KeyError

    taken = one_ahead(items())
    assert next(taken) == 0
    with pytest.raises(KeyError):
        next(taken)
