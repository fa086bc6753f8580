"""Files with bytes flipped, cut and moved, each as a job of its own (see tests.faults.file_jobs).

python -m tests.faults.fuzz --runs 10000 --seed 1
python -m tests.faults.fuzz --only gpkg --runs 500
python -m tests.faults.fuzz --replay 1:4711 --keep FILE
"""

import argparse
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from local.stack.server import Server
from tests.conftest import hold_free_instance
from tests.faults.boundaries import Laboratory, silenced
from tests.faults.file_jobs import IN_PART, LOADED, Verdict, base_database, cloned_world, loaded
from tests.faults.fuzz_files import Mutant, mutant, seeds

# Cases that share a world.
TOGETHER = 25

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


@dataclass(frozen=True)
class Outcome:
    case: Case
    format: str
    changes: Sequence[str]
    verdict: Verdict

    def told(self) -> str:
        number = f"{self.case.seed}:{self.case.number}"
        lines = [f"{number} {self.format}: {self.verdict.ends} after {', '.join(self.changes)}", *self.verdict.problems]
        return "\n".join(lines).replace("\n", "\n    ")


class Shooter:
    """Runs cases, some at a time in one world. Picklable."""

    def __init__(self, laboratory: Laboratory) -> None:
        self.laboratory = laboratory

    def run(self, cases: Sequence[Case]) -> list[Outcome]:
        with cloned_world(self.laboratory) as world:
            outcomes = []
            for case in cases:
                name, made = case.made()
                verdict = loaded(world, made.name, made.content, made.params)
                outcomes.append(Outcome(case, name, made.changes, verdict))
            return outcomes


@contextmanager
def shooting_range(
    server: Server, blob_storage: str, workers: int = 2
) -> Iterator[Callable[[Sequence[Case]], Iterator[Outcome]]]:
    """Runs cases in processes of their own; the outcomes come in the order of the cases."""
    with (
        base_database(server, blob_storage) as laboratory,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quiet) as pool,
    ):
        pool.submit(laboratory.prepare).result()

        def run(cases: Sequence[Case]) -> Iterator[Outcome]:
            parts = [cases[first : first + TOGETHER] for first in range(0, len(cases), TOGETHER)]
            for outcomes in pool.map(Shooter(laboratory).run, parts):
                yield from outcomes

        yield run


def quiet() -> None:
    """GDAL warns of what it mends."""
    silenced()
    warnings.simplefilter("ignore", RuntimeWarning)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[*seeds()])
    parser.add_argument("--replay", metavar="SEED:NUMBER", help="one case again; with --only as it was then")
    parser.add_argument("--keep", type=Path, help="where the file of the replayed case goes")
    arguments = parser.parse_args()
    cases = [Case(arguments.seed, number, arguments.only) for number in range(1, arguments.runs + 1)]
    if arguments.replay:
        seed, number = map(int, arguments.replay.split(":"))
        cases = [Case(seed, number, arguments.only)]
        if arguments.keep:
            arguments.keep.write_bytes(cases[0].made()[1].content)
    quiet()
    outcomes, started = [], time.perf_counter()
    with ExitStack() as held:
        stack = hold_free_instance(held)
        stack.start("postgres", "azurite")
        run = held.enter_context(shooting_range(stack.server, stack.azurite.connection_string))
        for outcome in run(cases):
            outcomes.append(outcome)
            if outcome.verdict.problems or arguments.replay:
                console.print(outcome.told(), markup=False)
    show(outcomes, time.perf_counter() - started)
    return 1 if any(outcome.verdict.problems for outcome in outcomes) else 0


def show(outcomes: Sequence[Outcome], seconds: float) -> None:
    table = Table("format", "runs", "loaded", "in part", "refused", "crashed", "s, worst", "findings")
    for name in [*seeds(), None]:
        verdicts = [outcome.verdict for outcome in outcomes if name in (None, outcome.format)]
        table.add_row(name or "all", *map(str, figures(verdicts)))
    console.print(table)
    codes = Counter(outcome.verdict.ends for outcome in outcomes)
    console.print(", ".join(f"{code} {count}" for code, count in codes.most_common()))
    console.print(f"{len(outcomes)} files in {seconds:.0f} s")


def figures(verdicts: Sequence[Verdict]) -> list[Any]:
    ends = Counter(verdict.ends for verdict in verdicts)
    whole, part, crashed = (ends.pop(end, 0) for end in (LOADED, IN_PART, "parser_crashed"))
    worst = max((verdict.seconds for verdict in verdicts), default=0)
    findings = sum(bool(verdict.problems) for verdict in verdicts)
    return [len(verdicts), whole, part, sum(ends.values()), crashed, f"{worst:.1f}", findings]


if __name__ == "__main__":
    sys.exit(main())
