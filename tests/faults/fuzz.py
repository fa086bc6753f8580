"""Files with bytes flipped, cut and moved, each as a job of its own through the whole app in one process.

    python -m tests.faults.fuzz --runs 10000 --seed 1
    python -m tests.faults.fuzz --only gpkg --runs 500
    python -m tests.faults.fuzz --replay 1:4711 --keep FILE

Each replaces the same table. It is loaded with every row accounted for, or fails with a code that docs/errors.md has
and leaves the table as it was. Nothing else is left: no staging table, chunk or temporary file. The parser may crash,
which costs one job with a clear code; a defect of ours is a finding, and so is a file that takes too long.
"""

import argparse
import random
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

from azure.storage.blob import ContainerClient
from rich.console import Console
from rich.table import Table

from core.config import Settings
from core.errors import AppError
from core.models.job import Job
from infrastructure.blob import open_service
from local.stack import database as databases
from local.stack.server import Server
from tests.conftest import CLONES, ROOT, hold_free_instance
from tests.docs.test_errors import documented
from tests.faults.boundaries import Laboratory, own_folder, silenced
from tests.faults.boundaries_world import World, ensure_silver, opened
from tests.faults.fuzz_files import Mutant, mutant, seeds

TOGETHER = 25
# Of a file of some kB; the longest that is read takes about one.
PATIENCE_SECONDS = 20.0
# What a user could do nothing about.
OURS = {"internal_error", "parser_timeout", "parser_lost", "timeout", "worker_lost", "task_failed", "dead_lettered"}
TABLE = "SELECT to_regclass('geo.t')::oid, pg_relation_filenode(to_regclass('geo.t'))"

console = Console(highlight=False, soft_wrap=True, width=160)


@dataclass(frozen=True)
class Case:
    """The mutation with this number, of the file with this name among `seeds()`. Number 0 is the file as it was."""

    seed: int
    number: int
    only: str | None = None

    def made(self) -> tuple[str, Mutant]:
        rng = random.Random(f"{self.seed}:{self.number}:{self.only or ''}")
        name = self.only or rng.choice(list(seeds()))
        seed = seeds()[name]
        return name, mutant(seed, rng) if self.number else Mutant(seed.name, seed.content, (), seed.params)


@dataclass
class Outcome:
    """ends: `loaded`, `loaded in part`, or the code it failed with."""

    case: Case
    format: str
    changes: Sequence[str]
    ends: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.case.seed}:{self.case.number}"


class Range:
    """Runs cases, some at a time in one world with a database of its own. Picklable."""

    def __init__(self, laboratory: Laboratory) -> None:
        self.laboratory = laboratory

    def run(self, cases: Sequence[Case]) -> list[Outcome]:
        name = CLONES + uuid4().hex[:12]
        laboratory = self.laboratory
        databases.create(laboratory.server, name, template=laboratory.base)
        settings = laboratory.settings(name)
        ensure_silver(settings)
        try:
            with opened(laboratory.server.url(name), settings, own_folder()) as world:
                bronze = bronze_container(settings)
                return [played(world, bronze, case) for case in cases]
        finally:
            databases.drop(laboratory.server, name)


def bronze_container(settings: Settings) -> ContainerClient:
    return open_service(settings).get_container_client(settings.bronze_container)


def played(world: World, bronze: ContainerClient, case: Case) -> Outcome:
    format_, made = case.made()
    outcome, started = Outcome(case, format_, made.changes), time.perf_counter()
    try:
        blob = f"fuzz/{uuid4().hex}/{made.name}"
        bronze.upload_blob(blob, made.content)
        play(world, blob, made, outcome)
        bronze.delete_blob(blob)
    except Exception:  # noqa: BLE001  a case that cannot be judged is a finding
        outcome.problems.append(traceback.format_exc(limit=-6))
    outcome.seconds = time.perf_counter() - started
    if outcome.seconds > PATIENCE_SECONDS:
        outcome.problems.append(f"it took {outcome.seconds:.0f} s")
    return outcome


def play(world: World, blob: str, made: Mutant, outcome: Outcome) -> None:
    before = world.rows(TABLE)
    try:
        job = world.submit(blob, overwrite=True, **made.params)
    except AppError as error:
        outcome.ends = error.code
    else:
        outcome.ends = ended(world, job, outcome.problems)
    if outcome.ends in OURS or outcome.ends not in documented() | {"loaded", "loaded in part"}:
        outcome.problems.append(f"it ended with {outcome.ends}")
    if not outcome.ends.startswith("loaded") and world.rows(TABLE) != before:
        outcome.problems.append("it failed, and the table is another")
    outcome.problems += leftovers(world)


def ended(world: World, job: Job, problems: list[str]) -> str:
    world.drain()
    if not world.has_ended():
        world.settle(lambda: True)
    ((status, result, error),) = world.rows("SELECT status, result, error FROM app.jobs WHERE job_id = %s", job)
    if status == "failed":
        if error["code"] in OURS:
            problems.append(str(error))
        return str(error["code"])
    if status != "completed":
        problems.append(f"the job is {status}")
        return str(status)
    rows = result["rows"]
    rejected = sum(rows["rejected"].values())
    ((count,),) = world.rows("SELECT count(*) FROM geo.t")
    if not (rows["read"] == rows["loaded"] + rejected and rows["loaded"] == count > 0):
        problems.append(f"{rows}, and the table has {count}")
    return "loaded in part" if rejected else "loaded"


def leftovers(world: World) -> Iterator[str]:
    for (name,) in world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'"):
        yield f"the staging table {name} is left"
    if chunks := world.chunks():
        yield f"{len(chunks)} chunks are left"
    if files := list(world.disk.folder.iterdir()):
        yield f"{len(files)} temporary files are left"


@contextmanager
def shooting_range(
    server: Server, blob_storage: str, workers: int = 2
) -> Iterator[Callable[[Sequence[Case]], Iterator[Outcome]]]:
    """Runs cases in processes of their own, on clones of a database with a published table."""
    laboratory = Laboratory(server, blob_storage, CLONES + "base" + uuid4().hex[:8])
    databases.create(server, laboratory.base, template=databases.template(server, ROOT))
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
            pool.submit(laboratory.prepare).result()

            def run(cases: Sequence[Case]) -> Iterator[Outcome]:
                parts = [cases[first : first + TOGETHER] for first in range(0, len(cases), TOGETHER)]
                for outcomes in pool.map(Range(laboratory).run, parts):
                    yield from outcomes

            yield run
    finally:
        databases.drop(server, laboratory.base)


def quiet() -> None:
    """GDAL warns of what it mends."""
    silenced()
    warnings.simplefilter("ignore", RuntimeWarning)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[*seeds()])
    parser.add_argument("--replay", metavar="SEED:NUMBER", help="one case again, in full; with --only as it was then")
    parser.add_argument("--keep", type=Path, help="where the file of the replayed case goes")
    arguments = parser.parse_args()
    cases = [Case(arguments.seed, number, arguments.only) for number in range(1, arguments.runs + 1)]
    if arguments.replay:
        seed, number = map(int, arguments.replay.split(":"))
        cases = [Case(seed, number, arguments.only)]
        if arguments.keep:
            arguments.keep.write_bytes(cases[0].made()[1].content)
    quiet()
    started = time.perf_counter()
    with ExitStack() as held:
        stack = hold_free_instance(held)
        stack.start("postgres", "azurite")
        run = held.enter_context(shooting_range(stack.server, stack.azurite.connection_string))
        outcomes = []
        for outcome in run(cases):
            outcomes.append(outcome)
            if outcome.problems or arguments.replay:
                tell(outcome)
    show(outcomes, time.perf_counter() - started)
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def tell(outcome: Outcome) -> None:
    console.print(f"{outcome.name} {outcome.format}: {outcome.ends} after {', '.join(outcome.changes)}", markup=False)
    for problem in outcome.problems:
        console.print("    " + problem.replace("\n", "\n    "), markup=False)


def show(outcomes: Sequence[Outcome], seconds: float) -> None:
    table = Table("format", "runs", "loaded", "in part", "refused", "crashed", "s, worst", "findings")
    for name in [*seeds(), None]:
        table.add_row(*map(str, figures(name or "all", [o for o in outcomes if name in (None, o.format)])))
    console.print(table)
    codes = Counter(outcome.ends for outcome in outcomes)
    console.print(", ".join(f"{code} {count}" for code, count in codes.most_common()))
    console.print(f"{len(outcomes)} files in {seconds:.0f} s")


def figures(name: str, outcomes: Sequence[Outcome]) -> list[Any]:
    ends = Counter(outcome.ends for outcome in outcomes)
    loaded, part, crashed = (ends.pop(end, 0) for end in ("loaded", "loaded in part", "parser_crashed"))
    worst = max((outcome.seconds for outcome in outcomes), default=0)
    findings = sum(bool(outcome.problems) for outcome in outcomes)
    return [name, len(outcomes), loaded, part, sum(ends.values()), crashed, f"{worst:.1f}", findings]


if __name__ == "__main__":
    sys.exit(main())
