"""Each boundary between two effects fails in each way, one at a time: `python -m tests.faults.boundaries`.

`boundaries.txt` lists every boundary; `--record` writes it anew. `--only TEXT` takes those whose name has the text.
"""

import argparse
import logging
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

import geopandas
import pyogrio

from core.config import Settings
from infrastructure.blob import open_service
from local.stack import database as databases
from local.stack.server import Server
from tests.conftest import CLONES, ROOT, hold_free_instance
from tests.faults.boundaries_effects import Fault, Way
from tests.faults.boundaries_invariants import AUDIT, is_quiet, problems
from tests.faults.boundaries_scenarios import (
    CSV,
    EMPTY,
    NEW,
    NEW_ROWS,
    NONE,
    OLD,
    OLD_ROWS,
    REJECTED,
    SCENARIOS,
    SHAPE_ROWS,
    SHAPES,
    SOME,
    Feature,
    Scenario,
)
from tests.faults.boundaries_world import ensure_silver, opened
from tests.infrastructure.conftest import UNUSED, settings_from

# How much later jobs may end because of one fault, in simulated seconds. A worker's: the watchdog sends within 4 min of
# the loss. A janitor's: its next turn, and for the watchdog the 10 min in which a task is not sent again.
WORKER_BOUND = 240.0
BOUNDS = {"run_outbox": 60.0, "run_task_watchdog": 660.0, "run_job_health_check": 420.0, "run_orphan_detection": 1020.0}
# Boundaries of the machine itself, outside of handlers and of what commits with a completion.
ORCHESTRATION = re.compile(r"^process_(?!.* > (handle|publish|release) > )")
RECORD = "python -m tests.faults.boundaries --record"
REMEDY = f'(when a fault there does no harm, list it: {RECORD} --only "{{}}")'
LIST = Path(__file__).with_suffix(".txt")
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@dataclass(frozen=True)
class Trial:
    """A scenario with the one fault that is injected into it; without, it records."""

    scenario: str
    fault: Fault | None = None
    swallows: bool = True


@dataclass
class Outcome:
    """Simulated seconds: `ended` until no job was open, `simulated` until nothing was left to do. `reached`: how often
    each boundary was."""

    trial: Trial
    ends: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    simulated: float = 0.0
    ended: float = 0.0
    reached: Counter[str] = field(default_factory=Counter)


RunAll = Callable[[Sequence[Trial]], Iterator[Outcome]]
RECORDINGS = [Trial(scenario.name) for scenario in SCENARIOS]


class Laboratory:
    """Runs trials, each on its own clone of a database in which geo.t is published already. Picklable."""

    def __init__(self, server: Server, blob_storage: str, base: str) -> None:
        self.server = server
        self.blob_storage = blob_storage
        self.base = base

    def prepare(self) -> None:
        """Put the sources into the bronze zone, publish geo.t in the base database, with an owner and a grant."""
        settings = self.settings(self.base)
        put_sources(settings)
        ensure_silver(settings)
        with opened(self.server.url(self.base), settings, own_folder()) as world:
            job = world.submit(OLD, **CSV)
            world.settle(lambda: is_quiet(world))
            assert world.rows("SELECT status FROM app.jobs WHERE job_id = %s", job) == [("completed",)]
            world.run("ALTER TABLE geo.t OWNER TO pg_monitor")
            world.run("GRANT SELECT ON geo.t TO pg_read_all_settings")
            # Trials start minutes later: to their janitors that would be a gap in the watch.
            world.run("TRUNCATE app.janitor_runs")
            world.run(AUDIT)

    def run(self, trial: Trial) -> Outcome:
        outcome, started = Outcome(trial), time.perf_counter()
        name = CLONES + uuid4().hex[:12]
        databases.create(self.server, name, template=self.base)
        try:
            self.play(BY_NAME[trial.scenario], trial, name, outcome)
        except Exception:  # noqa: BLE001  a trial that cannot be judged is a problem, and no end of the others
            outcome.problems.append(traceback.format_exc(limit=-6))
        finally:
            databases.drop(self.server, name)
        outcome.seconds = time.perf_counter() - started
        return outcome

    def play(self, scenario: Scenario, trial: Trial, name: str, outcome: Outcome) -> None:
        settings = self.settings(name)
        ensure_silver(settings)
        url = self.server.url(name)
        with opened(url, settings, own_folder(), trial.fault, swallows=trial.swallows) as world:
            world.effects.planned, world.effects.watching = list(scenario.planned), True
            expected = scenario.play(world)
            world.settle(lambda: is_quiet(world))
            world.effects.watching = False
            outcome.reached, outcome.simulated = world.effects.reached, world.elapsed
            outcome.ended = world.elapsed if world.ended is None else world.ended
            outcome.problems += problems(world, expected)
            if trial.fault and not world.effects.hit:
                outcome.problems.append("the boundary was not reached")
            statuses = world.rows(
                "SELECT status FROM app.jobs WHERE job_id = ANY(%s)", [j.job_id for j, _ in expected.ends]
            )
            outcome.ends = ", ".join(sorted(status for (status,) in statuses))

    def settings(self, name: str) -> Settings:
        own = {"BLOB_CONNECTION_STRING": self.blob_storage, "SILVER_CONTAINER": f"boundaries-{os.getpid()}"}
        return settings_from(UNUSED | self.server.settings(name) | own)


def own_folder() -> Path:
    return Path(gettempdir()) / f"boundaries-{uuid4().hex}"


def put_sources(settings: Settings) -> None:
    bronze = open_service(settings).get_container_client(settings.bronze_container)
    contents = {OLD: csv_of(OLD_ROWS), NEW: csv_of(NEW_ROWS), SOME: csv_of(NEW_ROWS, REJECTED), EMPTY: csv_of([])}
    contents[NONE] = b"name,lat,lon\nnowhere,,\n"
    for name, content in (contents | shapefile_of(SHAPE_ROWS)).items():
        bronze.upload_blob(name, content, overwrite=True)


def csv_of(rows: Sequence[Feature], nowhere: Sequence[int] = ()) -> bytes:
    lines = (f"{name},," if number in nowhere else f"{name},{lat},{lon}" for number, name, lon, lat in rows)
    return "\n".join(["name,lat,lon", *lines, ""]).encode()


def shapefile_of(rows: Sequence[Feature]) -> dict[str, bytes]:
    """SHAPES and its sidecars."""
    points = geopandas.points_from_xy([row[2] for row in rows], [row[3] for row in rows], crs=4326)
    path = own_folder().with_suffix(".shp")
    pyogrio.write_dataframe(geopandas.GeoDataFrame({"name": [row[1] for row in rows]}, geometry=points), path)
    parts = {suffix: path.with_suffix(suffix) for suffix in (".shp", ".dbf", ".shx", ".prj", ".cpg")}
    try:
        return {SHAPES.replace(".shp", suffix): part.read_bytes() for suffix, part in parts.items() if part.exists()}
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


@contextmanager
def side_by_side(server: Server, blob_storage: str, workers: int = 2) -> Iterator[RunAll]:
    """Runs trials in processes of their own; the outcomes come in the trials' order."""
    lab = Laboratory(server, blob_storage, CLONES + "base" + uuid4().hex[:8])
    databases.create(server, lab.base, template=databases.template(server, ROOT))
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=silenced) as pool:
            pool.submit(lab.prepare).result()
            yield lambda trials: pool.map(lab.run, trials)
    finally:
        databases.drop(server, lab.base)


def trials(recorded: Iterable[Outcome], *, everywhere: bool = False) -> list[Trial]:
    """Each boundary in each way, when it is first reached in the first scenario that has it, and when it is last; those
    of a scenario that recovers in another way once more there. `everywhere`: in all scenarios."""
    seen: set[str] = set()
    planned: list[Trial] = []
    for outcome in recorded:
        scenario = BY_NAME[outcome.trial.scenario]
        for name, times in outcome.reached.items():
            if name not in seen or everywhere:
                planned += in_each_way(scenario, name, times)
            if name in seen and scenario.all_again and ORCHESTRATION.search(name):
                # The second time comes after what is planned in the scenario.
                faults = [Fault(name, way, n) for way in Way for n in range(1, min(times, 2) + 1)]
                planned += [Trial(scenario.name, fault) for fault in faults]
            seen.add(name)
    return list(dict.fromkeys(planned))


def in_each_way(scenario: Scenario, name: str, times: int) -> list[Trial]:
    """Nothing was changed by a read: once is enough. The broker of the later ones delivers what was sent twice."""
    first = [Trial(scenario.name, Fault(name, way)) for way in Way]
    if times == 1 or name.endswith(": read"):
        return first
    return first + [Trial(scenario.name, Fault(name, way, times), swallows=False) for way in Way]


def judged(outcome: Outcome, calm: Mapping[str, Outcome]) -> Outcome:
    """With a problem more when the jobs ended later than the fault explains; `calm`: the scenarios without it."""
    fault = outcome.trial.fault
    if fault and not outcome.problems:
        late = outcome.ended - calm[outcome.trial.scenario].ended
        bound = next((seconds for entry, seconds in BOUNDS.items() if fault.boundary.startswith(entry)), WORKER_BOUND)
        if late > bound:
            outcome.problems.append(
                f"the jobs ended {late:.0f} s later than without the fault, more than {bound:.0f} s"
            )
    return outcome


def listed() -> list[str]:
    return LIST.read_text().splitlines() if LIST.exists() else []


def boundaries_of(outcomes: Iterable[Outcome]) -> list[str]:
    return sorted({name for outcome in outcomes for name in outcome.reached})


def difference(outcomes: Iterable[Outcome]) -> list[str]:
    """Boundaries that are not on the list, and those on the list that were not reached."""
    found, known = set(boundaries_of(outcomes)), set(listed())
    new = [f"not on the list: {name} {REMEDY.format(name)}" for name in sorted(found - known)]
    return new + [f"never reached: {name} (no scenario has it any more? {RECORD})" for name in sorted(known - found)]


def told(outcome: Outcome) -> str:
    fault = outcome.trial.fault
    what = f"[{outcome.trial.scenario}]" + (f" {fault.boundary} ({fault.occurrence}) | {fault.way}" if fault else "")
    end = "PROBLEM" if outcome.problems else outcome.ends
    return f"{what} | {end} | {outcome.ended:.0f} s | {outcome.simulated:.0f} s | {outcome.seconds:.2f} s"


def silenced() -> None:
    logging.disable(logging.CRITICAL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--everywhere", action="store_true", help="in every scenario that reaches the boundary")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    silenced()
    with ExitStack() as held:
        stack = hold_free_instance(held)
        stack.start("postgres", "azurite")
        run_all = held.enter_context(side_by_side(stack.server, stack.azurite.connection_string, given.workers))
        started = time.perf_counter()
        recorded = list(run_all(RECORDINGS))
        for outcome in recorded:
            report(outcome)
        if given.record:
            LIST.write_text("".join(f"{name}\n" for name in boundaries_of(recorded)))
        planned = trials(recorded, everywhere=given.everywhere)
        chosen = [trial for trial in planned if trial.fault and given.only in trial.fault.boundary]
        injected, calm = [], {outcome.trial.scenario: outcome for outcome in recorded}
        for outcome in run_all(chosen):
            report(judged(outcome, calm))
            injected.append(outcome)
        return summary(recorded, injected, time.perf_counter() - started)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(outcome: Outcome) -> None:
    say(told(outcome))
    for problem in outcome.problems:
        say("    " + problem.replace("\n", "\n    "))


def summary(recorded: Sequence[Outcome], injected: Sequence[Outcome], seconds: float) -> int:
    missing = difference(recorded)
    bad = [outcome for outcome in [*recorded, *injected] if outcome.problems]
    known = set(boundaries_of(recorded))
    only_under_faults = sorted({name for outcome in injected for name in outcome.reached} - known)
    for line in missing:
        say(line)
    for name in only_under_faults:
        say(f"reached only under a fault: {name}")
    ways = Counter(str(outcome.trial.fault.way) for outcome in injected if outcome.trial.fault)
    say(f"\n{len(known)} boundaries, {len(recorded)} scenarios, {len(injected)} runs with a fault: {dict(ways)}")
    say(f"outcomes: {dict(Counter('problem' if o.problems else o.ends for o in injected))}")
    calm = {outcome.trial.scenario: outcome for outcome in recorded}
    later = [outcome.ended - calm[outcome.trial.scenario].ended for outcome in injected]
    say(f"simulated seconds that jobs ended later: {shares(later)}")
    say(f"simulated seconds until all was clean: {shares([outcome.simulated for outcome in injected])}")
    for outcome in bad:
        say("PROBLEM in " + told(outcome))
    say(f"{len(bad)} runs with problems, {len(missing)} differences to the list, {seconds:.0f} s")
    return 1 if bad or missing or only_under_faults else 0


def shares(values: Sequence[float]) -> str:
    ordered = sorted(values) or [0.0]
    told = [f"p{p} {ordered[min(len(ordered) - 1, len(ordered) * p // 100)]:.0f}" for p in (50, 90, 99)]
    return ", ".join([*told, f"most {ordered[-1]:.0f}"])


if __name__ == "__main__":
    sys.exit(main())
