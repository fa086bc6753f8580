"""Work in forked processes: in order, several at once, and no error or death unnoticed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest

from core.errors import AppError, InvalidInput
from services.side_by_side import PIPE_BYTES, side_by_side


def test_results_come_in_the_order_of_the_items_whichever_is_done_first() -> None:
    def slow_when_even(number: int) -> int:
        time.sleep(0.02 * (number % 2 == 0))
        return number * number

    assert list(side_by_side(slow_when_even, range(20), 3)) == [number * number for number in range(20)]


def test_several_processes_work_at_once_and_none_is_this_one() -> None:
    def pid(_item: int) -> int:
        time.sleep(0.05)
        return os.getpid()

    pids = set(side_by_side(pid, range(8), 2))
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_items_and_results_larger_than_a_pipe_hold_up_nobody() -> None:
    large = [bytes([n]) * (3 * PIPE_BYTES) for n in range(6)]
    assert list(side_by_side(bytes, large, 2)) == large


def test_no_more_items_are_taken_than_there_are_processes() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with closing(side_by_side(abs, items(), 2)) as results:
        assert next(results) == 0
        assert len(taken) == 3


def test_a_refusal_is_raised_as_it_was_made() -> None:
    def refuse(item: int) -> int:
        if item == 3:
            raise InvalidInput(
                "no_good", "it is no good.", parameter="blob_name", remedy="Mend it.", details={"row": 3}
            )
        return item

    results = side_by_side(refuse, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InvalidInput) as caught:
        next(results)
    error = caught.value
    assert (error.code, error.problem, error.parameter, error.remedy, error.details) == (
        *("no_good", "it is no good.", "blob_name", "Mend it."),
        {"row": 3},
    )


def test_a_defect_ends_the_work() -> None:
    with pytest.raises(AppError, match="ended with 1"):
        list(side_by_side(lambda item: 1 // item, range(3), 2))


def test_a_process_that_dies_of_a_signal_takes_this_one_with_it() -> None:
    def die(_item: int) -> None:
        # Not SIGSEGV: pytest would print a page about it.
        os.kill(os.getpid(), signal.SIGUSR1)

    process = get_context("fork").Process(target=lambda: list(side_by_side(die, range(3), 2)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGUSR1


def test_the_processes_end_with_whoever_asked_for_them(tmp_path: Path) -> None:
    def tell_and_hang(item: int) -> None:
        (tmp_path / str(item)).write_text(str(os.getpid()))
        time.sleep(60)

    process = get_context("fork").Process(target=lambda: list(side_by_side(tell_and_hang, range(2), 2)))
    process.start()
    pids = [int(told(tmp_path / str(item))) for item in range(2)]
    process.kill()
    process.join()
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def told(path: Path) -> str:
    deadline = time.monotonic() + 10
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text()


def is_running(pid: int) -> bool:
    """A zombie that nobody has waited for yet has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
