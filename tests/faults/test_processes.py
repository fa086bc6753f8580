"""A few faults in real processes, as `python -m tests.faults.processes` injects them by the hundred."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import cloned, hold_free_instance
from tests.faults.processes import run
from tests.faults.processes_ground import Ground, ground_of
from tests.faults.processes_verdict import Verdict

SEED = 20


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A stack beside that of the other tests, which no fault may reach."""
    with ExitStack() as held:
        stack = hold_free_instance(held)
        stack.start("postgres")
        stack.database = held.enter_context(cloned(stack)).name
        yield held.enter_context(ground_of(stack))
        stack.app.stop()


def struck(ground: Ground, fault: str) -> Verdict:
    return run(ground, 1, SEED, fault, scale=0.25, spread=0.3)


def test_a_worker_is_killed_in_the_middle_of_an_upload(ground: Ground) -> None:
    verdict = struck(ground, "kill_worker")
    assert verdict.violations == []
    assert verdict.retaken


@pytest.mark.parametrize("fault", ["bus_killed", "postgres_immediate", "second_janitor"])
def test_every_job_ends_and_no_row_is_lost_or_comes_twice(ground: Ground, fault: str) -> None:
    verdict = struck(ground, fault)
    assert verdict.violations == []
    assert verdict.jobs >= 6
