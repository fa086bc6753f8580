"""The boundaries between two effects: all are known, all are watched, and faults at the dangerous ones do no harm.

`python -m tests.faults.boundaries` does the same at all of them.
"""

import ast
from collections.abc import Iterator

import pytest

from local.stack import Stack
from tests.faults.boundaries import (
    RECORDINGS,
    Outcome,
    RunAll,
    Trial,
    difference,
    judged,
    listed,
    side_by_side,
    told,
)
from tests.faults.boundaries_effects import Fault, Way
from tests.faults.boundaries_source import effects_in, imports_in, unlisted_places, unwatched_doors

JOB, TASK = "process_job_message > enter_stage", "process_task_message"
SWAP = f"{TASK} > complete_task > publish > _make_room > VectorToPostGISHandler"
# Each with the number of times it is reached until then, in the first scenario.
DANGEROUS = {
    "the tasks of a stage are written": (f"{JOB} > StateManager.start_stage: commit", 2),
    "half of a stage's messages are sent": (f"{JOB} > CoreMachine.dispatch: send full batch", 1),
    "a task is claimed": (f"{TASK} > StateManager.claim: commit", 2),
    "a chunk is written": ("parsed_source.put_away: blob write", 2),
    "a batch is loaded": (f"{TASK} > handle > upload > process_vector_upload: commit", 1),
    "the last task of a stage is completed": (f"{TASK} > StateManager.complete_task: commit", 4),
    "a job is sent to its next stage": (f"{TASK} > record > CoreMachine.send_job: bus send", 2),
    "the old table is dropped": (f"{SWAP}.drop: drop table", 1),
    "the new table is published": (f"{TASK} > StateManager.complete_task: commit", 5),
}
FAULTS = {(name, way): Fault(boundary, way, n) for name, (boundary, n) in DANGEROUS.items() for way in Way}


@pytest.fixture(scope="module")
def run_all(stack: Stack, blob_storage: str) -> Iterator[RunAll]:
    with side_by_side(stack.server, blob_storage) as run:
        yield run


@pytest.fixture(scope="module")
def recorded(run_all: RunAll) -> list[Outcome]:
    """Every scenario without a fault of ours."""
    return list(run_all(RECORDINGS))


@pytest.fixture(scope="module")
def injected(run_all: RunAll, recorded: list[Outcome]) -> dict[Fault, Outcome]:
    """The first scenario, which overwrites a table, with each of the faults."""
    calm = {outcome.trial.scenario: outcome for outcome in recorded}
    trials = [Trial(RECORDINGS[0].scenario, fault) for fault in FAULTS.values()]
    return dict(zip(FAULTS.values(), (judged(outcome, calm) for outcome in run_all(trials)), strict=True))


def test_the_scenarios_end_as_they_should(recorded: list[Outcome]) -> None:
    assert [(told(outcome), outcome.problems) for outcome in recorded if outcome.problems] == []


def test_every_boundary_is_on_the_list_and_everything_on_the_list_is_reached(recorded: list[Outcome]) -> None:
    assert difference(recorded) == []


def test_a_boundary_that_is_not_on_the_list_is_told_with_the_remedy(recorded: list[Outcome]) -> None:
    new = Outcome(RECORDINGS[0])
    new.reached["submit > forgotten: commit"] += 1
    told = difference([*recorded, new])
    assert len(told) == 1
    assert "submit > forgotten: commit" in told[0]
    assert "--record" in told[0]


def test_every_place_in_the_source_with_an_effect_is_on_the_list() -> None:
    assert unlisted_places(listed()) == []


def test_no_effect_goes_around_what_is_watched() -> None:
    assert unwatched_doors() == []


def test_a_new_effect_in_the_source_is_noticed() -> None:
    source = """
from azure.storage.blob import BlobClient
class Cleaner:
    def sweep(self, resources):
        zone = resources.silver
        zone.delete_under("")
    def forget(self, state):
        with state.database.transaction() as tx:
            tx.run("DELETE FROM app.jobs")
"""
    tree = ast.parse(source)
    assert list(effects_in(tree)) == ["Cleaner.sweep", "Cleaner.forget"]
    assert list(imports_in(tree)) == ["azure.storage.blob.BlobClient"]


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("name", DANGEROUS)
def test_a_fault_does_no_harm_when(name: str, way: Way, injected: dict[Fault, Outcome]) -> None:
    outcome = injected[FAULTS[name, way]]
    assert (told(outcome), outcome.problems) == (told(outcome), [])
