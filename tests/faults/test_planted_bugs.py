from collections.abc import Iterator

import pytest

from core.machine import CoreMachine
from core.sql import tasks
from local.stack import Stack
from tests.conftest import cloned
from tests.faults.planted import BUGS, Bug, hunt, in_code, in_query
from tests.faults.scheduler import House, quiet

FEW = range(8)


@pytest.fixture(scope="module")
def house(stack: Stack) -> Iterator[House]:
    with cloned(stack) as database, quiet():
        house = House(database.url)
        yield house
        house.close()


def test_there_are_twenty_one_bugs_with_names_of_their_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) == 21


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found_and_its_seed_is_clean_without_it(house: House, bug: Bug) -> None:
    found = hunt(house, bug, dict.fromkeys([bug.seed, *FEW]))
    assert found, (
        f"seed {bug.seed} does not find it any more; another one, to be written beside the bug, is told by:"
        f' python -m tests.faults.planted --only "{bug.name}"'
    )
    assert found.control == []


@pytest.mark.parametrize(
    "plant",
    [
        in_query(tasks, "complete_task", ("words that no query says", "")),
        in_code(CoreMachine, "release", ("words that no function says", "")),
    ],
    ids=["query", "code"],
)
def test_a_bug_that_does_not_fit_the_source_is_refused(house: House, plant: object) -> None:
    bug = Bug("it does not fit", plant)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="says 0 times"):
        hunt(house, bug, [0])
