"""The orchestration under a seeded scheduler: `python -m tests.faults.scheduler --seeds 10000`, and any seed again,
step by step, by `--seed N --trace`."""

import argparse
import logging
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psycopg

from tests.conftest import cloned, hold_free_instance
from tests.faults import invariants, scheduler_weather
from tests.faults.scheduler_actors import Cast
from tests.faults.scheduler_database import SteppedDatabase, prepare
from tests.faults.scheduler_play import Play, Report
from tests.faults.scheduler_work import TABLES

WRITTEN = (
    *(f"app.{name}" for name in ("jobs", "job_runs", "job_stages", "tasks", "batches", "janitor_runs", "dead_letters")),
    *("app.subscriptions", "app.notifications"),
    *("watch.jobs", "watch.tasks", "sim.staging", "sim.rows", "sim.effects"),
)


class House:
    """A database in which one play after the other is given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cast = Cast()
        with psycopg.connect(url, autocommit=True) as connection:
            invariants.install(connection)
            connection.execute(TABLES)
        prepare(url)
        self.database = SteppedDatabase(url, Play.__new__(Play))

    def play(self, seed: int, *, weather: str | None = None, tracing: bool = False) -> Report:
        self.database.reset(WRITTEN)
        play = Play(seed, self.cast, self.database, weather, tracing)
        self.database.theatre = play
        report = play.run()
        if self.cast.players:
            # Somebody is stuck for good: the next play needs a cast of its own.
            self.cast = Cast()
        return report

    def close(self) -> None:
        self.cast.close()
        self.database.close()


@dataclass
class Summary:
    seeds: int = 0
    steps: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    weathers: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[str]] = field(default_factory=dict)

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.steps += report.steps
        self.faults += report.faults
        self.weathers[report.weather] += 1
        self.runs += report.statuses
        if report.violations:
            self.failed[report.seed] = report.violations

    def merge(self, other: "Summary") -> None:
        self.seeds += other.seeds
        self.steps += other.steps
        self.seconds = max(self.seconds, other.seconds)
        self.faults += other.faults
        self.weathers += other.weathers
        self.runs += other.runs
        self.failed |= other.failed

    def lines(self) -> Iterator[str]:
        rate = self.seeds / max(self.seconds, 1e-9)
        yield f"{self.seeds} seeds, {self.steps} steps in {self.seconds:.0f} s: {rate:.1f} seeds/s"
        yield "seeds by weather: " + ", ".join(f"{name} {count}" for name, count in sorted(self.weathers.items()))
        yield "runs of jobs: " + ", ".join(f"{name} {count}" for name, count in sorted(self.runs.items()))
        for name, count in sorted(self.faults.items()):
            yield f"  {count:8} {name}"
        yield f"{len(self.failed)} seeds failed"
        for seed, told in sorted(self.failed.items())[:20]:
            yield f"  seed {seed}: " + "; ".join(told[:3])


@contextmanager
def quiet() -> Iterator[None]:
    """What the app logs of thousands of faults is of no use to anybody."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


def run_seeds(url: str, seeds: Iterable[int], weather: str | None = None) -> Summary:
    logging.disable(logging.CRITICAL)
    house, summary, began = House(url), Summary(), time.monotonic()
    for seed in seeds:
        summary.add(house.play(seed, weather=weather))
    summary.seconds = time.monotonic() - began
    house.close()
    return summary


def run_processes(urls: list[str], first: int, count: int, weather: str | None) -> Summary:
    parts = [range(first + n, first + count, len(urls)) for n in range(len(urls))]
    whole = Summary()
    with ProcessPoolExecutor(len(urls), mp_context=multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(run_seeds, urls, parts, [weather] * len(urls)):
            whole.merge(part)
    return whole


@contextmanager
def databases(count: int) -> Iterator[list[str]]:
    with ExitStack() as held:
        stack = hold_free_instance(held)
        stack.start("postgres")
        yield [held.enter_context(cloned(stack)).url for _ in range(count)]


def show(url: str, seed: int, weather: str | None, *, tracing: bool) -> bool:
    logging.disable(logging.CRITICAL)
    report = House(url).play(seed, weather=weather, tracing=tracing)
    say(*report.trace, f"seed {seed}: {report.weather}, {report.steps} steps", *map(str, report.faults.items()))
    say(*(f"VIOLATION {told}" for told in report.violations))
    return not report.violations


def say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--trace", action="store_true", help="print its steps")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--weather", choices=sorted(scheduler_weather.ALL))
    given = parser.parse_args()
    with databases(given.processes) as urls:
        if given.seed is not None:
            return 0 if show(urls[0], given.seed, given.weather, tracing=given.trace) else 1
        summary = run_processes(urls, given.first, given.seeds, given.weather)
    say(*summary.lines())
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
