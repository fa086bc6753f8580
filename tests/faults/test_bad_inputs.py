"""Each bad file fails with its code, through the whole app, and neither the table nor anything else is touched."""

from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.faults.bad_inputs import bad_inputs
from tests.faults.boundaries_world import World
from tests.faults.file_jobs import base_database, cloned_world, loaded

BAD = bad_inputs()


@pytest.fixture(scope="module")
def world(stack: Stack, blob_storage: str) -> Iterator[World]:
    """With a table that each of them would replace."""
    with base_database(stack.server, blob_storage) as laboratory:
        laboratory.prepare()
        with cloned_world(laboratory) as opened:
            yield opened


def test_there_are_many() -> None:
    assert len(BAD) >= 80


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_refused_with_its_code(world: World, name: str) -> None:
    bad = BAD[name]
    verdict = loaded(world, bad.name, bad.content, bad.params)
    assert (verdict.ends, verdict.problems) == (bad.code, [])
