"""Faults in real processes on a real stack, while jobs come in over HTTP.

    python -m tests.faults.processes --runs 300 --seed 1

A run: jobs are submitted over some seconds, a fault that the seed chooses strikes in the middle, all jobs end, and what
must be true then is checked. The locks of the bus last 6 s instead of 60, and most timers are faster, too. In every
120th run the database is away for five minutes.
"""

import argparse
import json
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.processes_faults import FAULTS, SELDOM, Scene, ensure_up
from tests.faults.processes_ground import Ground, own_ground
from tests.faults.processes_load import Load, Order
from tests.faults.processes_verdict import Judge, Verdict, percentiles

# A task whose message was lost before it was marked is sent again after 2 min, and one that waits takes a while.
END_BOUND_SECONDS = 240.0
SLOW_ROWS = 1_600_000
WORKING_TASKS = 3
# So many runs keep their jobs, so that what comes late is seen.
JUDGED_TOGETHER = 10
LONG_OUTAGE_EVERY = 120

console = Console(highlight=False, soft_wrap=True, width=160)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.processes")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, help="number of the first run")
    parser.add_argument("--minutes", type=float, default=240, help="begin no run after that long")
    parser.add_argument("--record", type=Path, help="a file that keeps each run; what it holds is not run again")
    parser.add_argument("--only", choices=[*FAULTS, *SELDOM], help="this fault in every run")
    parser.add_argument("--instance", default="faults", help="of the stack; several may run side by side")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    verdicts = recorded(arguments.record)
    done = {verdict.number for verdict in verdicts}
    numbers = [n for n in range(arguments.first, arguments.first + arguments.runs) if n not in done]
    with own_ground(arguments.instance) as ground, suppress(KeyboardInterrupt):
        for verdict in runs(ground, numbers, arguments.seed, arguments.minutes, arguments.only):
            verdicts.append(verdict)
            tell(verdict)
            record(arguments.record, verdict)
    show(verdicts)
    return 1 if any(verdict.violations for verdict in verdicts) else 0


def recorded(path: Path | None) -> list[Verdict]:
    """The runs of earlier calls."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    return [Verdict(**json.loads(line)) for line in lines]


def record(path: Path | None, verdict: Verdict) -> None:
    if path:
        with path.open("a") as file:
            file.write(json.dumps(asdict(verdict)) + "\n")


def runs(ground: Ground, numbers: Sequence[int], seed: int, minutes: float, only: str | None) -> Iterator[Verdict]:
    until = time.monotonic() + minutes * 60
    for number, fault in zip(numbers, chosen(numbers, seed, only), strict=True):
        if time.monotonic() > until:
            console.print(f"no time for run {number} and those after it")
            return
        yield (verdict := run(ground, number, seed, fault))
        ground.forget(jobs=bool(verdict.violations) or number % JUDGED_TOGETHER == 0)


def chosen(numbers: Sequence[int], seed: int, only: str | None = None) -> Iterator[str]:
    """Every kind once in each round, in an order of its own; seldom what takes minutes."""
    names = list(FAULTS)
    for number in numbers:
        position = (number - 1) % len(names)
        order = random.Random(f"{seed}:{(number - 1) // len(names)}").sample(names, len(names))
        yield only or (next(iter(SELDOM)) if number % LONG_OUTAGE_EVERY == 0 else order[position])


def run(ground: Ground, number: int, seed: int, name: str, *, scale: float = 1.0, spread: float = 3.0) -> Verdict:
    chance = random.Random(f"{seed}:{number}")
    verdict = Verdict(number, name)
    try:
        load = Load(ground, chance, scale=scale, spread=spread)
        with_fault(ground, load, chance, verdict)
    except Exception:  # noqa: BLE001 - one run that cannot be judged must not end the campaign unseen
        verdict.violations.append(f"the run broke off: {traceback.format_exc(limit=6)}")
        ensure_up(ground)
    return verdict


def with_fault(ground: Ground, load: Load, chance: random.Random, verdict: Verdict) -> None:
    fault = FAULTS.get(verdict.fault) or SELDOM[verdict.fault]
    if verdict.fault == "function_timeout":
        load.add(too_slow(load), SLOW_ROWS)
    load.start()
    wait_for_work(ground, load)
    time.sleep(chance.uniform(0, 0.5))
    scene = Scene(ground, load, chance)
    fault(scene)
    over = time.time()
    load.wait_until_taken()
    judge = Judge(ground, load, verdict)
    judge.wait_for_the_end(END_BOUND_SECONDS)
    judge.measure(scene.struck, over)
    judge.judge()


def too_slow(load: Load) -> Order:
    order = load.vector()
    order.outcomes = frozenset({"failed", "completed"})
    return order


def wait_for_work(ground: Ground, load: Load) -> None:
    """Until several tasks are being worked on."""
    query = "SELECT 1 FROM app.tasks WHERE status = 'processing' AND job_id = ANY(%s)"
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline and len(ground.all(query, load.job_ids)) < WORKING_TASKS:
        time.sleep(0.02)


def tell(verdict: Verdict) -> None:
    worst = f"{max(verdict.retaken):.1f}" if verdict.retaken else "-"
    resumed = f"{verdict.resumed:.1f}" if verdict.resumed is not None else "-"
    drained = f"{verdict.drained:.1f}" if verdict.drained is not None else "-"
    console.print(
        f"{time.strftime('%H:%M:%S')} run {verdict.number:3} {verdict.fault:24} {verdict.jobs} jobs"
        f"  retaken {len(verdict.retaken)} in {worst} s  resumed {resumed}  drained {drained}"
        f"{f'  tolerated {verdict.tolerated}' if verdict.tolerated else ''}"
    )
    for violation in verdict.violations:
        console.print(f"    [red]VIOLATION[/] {violation}", markup=True)


def show(verdicts: Sequence[Verdict]) -> None:
    columns = ("fault", "runs", "jobs", "retaken", "p50 s", "p95 s", "worst s", "resumed p95", "drained p95", "drained")
    table = Table(*columns, "tolerated", "violations", box=None)
    for name in sorted({verdict.fault for verdict in verdicts}):
        table.add_row(name, *row([verdict for verdict in verdicts if verdict.fault == name]))
    table.add_row("all", *row(verdicts))
    console.print(table)


def row(verdicts: Sequence[Verdict]) -> list[str]:
    retaken = [seconds for verdict in verdicts for seconds in verdict.retaken]
    resumed = [verdict.resumed for verdict in verdicts if verdict.resumed is not None]
    drained = [verdict.drained for verdict in verdicts if verdict.drained is not None]
    told = [f"{value:.1f}" for value in percentiles(retaken)] if retaken else ["-"] * 3
    counts = [len(verdicts), sum(verdict.jobs for verdict in verdicts), len(retaken)]
    ends = [f"{list(percentiles(values))[1]:.1f}" if values else "-" for values in (resumed, drained)]
    worst = f"{max(drained):.1f}" if drained else "-"
    rest = [sum(verdict.tolerated for verdict in verdicts), sum(len(verdict.violations) for verdict in verdicts)]
    return [*map(str, counts), *told, *ends, worst, *map(str, rest)]


if __name__ == "__main__":
    sys.exit(main())
