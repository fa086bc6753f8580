"""Some hundred files that chance has changed, each through the whole app. `python -m tests.faults.fuzz` runs 10,000."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.faults.fuzz import Case, Outcome, shooting_range
from tests.faults.fuzz_files import seeds

SEED, EACH = 20261124, 4


@pytest.fixture(scope="module")
def outcomes(stack: Stack, blob_storage: str) -> Iterator[list[Outcome]]:
    """Case 0 is the file as it was."""
    with shooting_range(stack.server, blob_storage) as run:
        yield list(run([Case(SEED, number, name) for name in seeds() for number in range(EACH + 1)]))


def test_no_file_does_harm(outcomes: list[Outcome]) -> None:
    assert [outcome.told() for outcome in outcomes if outcome.verdict.problems] == []


def test_the_files_are_good_before_they_are_changed(outcomes: list[Outcome]) -> None:
    assert {outcome.verdict.ends for outcome in outcomes if outcome.case.number == 0} == {"loaded"}


def test_what_is_changed_is_loaded_or_refused(outcomes: list[Outcome]) -> None:
    ends = {outcome.verdict.ends for outcome in outcomes if outcome.case.number}
    assert ends > {"loaded", "unreadable_file", "malformed_csv"}
