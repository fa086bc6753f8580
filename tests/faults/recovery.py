"""How long until work goes on: measured on a real stack with the real lock of 60 s and the settings of production.

    python -m tests.faults.recovery            all of it, about half an hour
    python -m tests.faults.recovery --short    fewer repetitions, without the loss of all messages

Bounds: a crashed worker's task runs again within one lock duration + 10 s; a lost message of a `pending` task is sent
again within 4 min; work resumes within 30 s after the bus or the database is back. The exit code is 1 when one of them
was missed, or could not be measured.
"""

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from local.stack.part import Part
from tests.faults.processes_faults import send_signal
from tests.faults.processes_ground import Ground, own_ground
from tests.faults.processes_load import Load
from tests.faults.processes_verdict import FIRST_PROGRESS, RETAKEN, moment, percentiles

LOCK_SECONDS = 60
CRASH_BOUND = LOCK_SECONDS + 10.0
LOST_BOUND = 240.0
BACK_BOUND = 30.0
# A queued task is sent again once nobody claimed it for 10 min, by a watchdog that runs every minute.
QUEUED_BOUND = 720.0
WORKING = "SELECT task_id FROM app.tasks WHERE status = 'processing' AND job_id = ANY(%s)"
OPEN = "SELECT job_id FROM app.jobs WHERE status IN ('queued', 'processing')"
CLAIMED = """
SELECT id, min(at) AS at FROM faults.history
 WHERE kind = 'task' AND id = ANY(%s) AND at > %s AND status = 'processing' GROUP BY id
"""
ENTERED = """
SELECT job_id, min(at) AS at FROM faults.history
 WHERE kind = 'task' AND job_id = ANY(%s) AND at > %s AND status = 'processing' GROUP BY job_id
"""

console = Console(highlight=False, soft_wrap=True, width=160)


@dataclass
class Measured:
    what: str
    bound: float
    seconds: list[float] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return bool(self.seconds) and max(self.seconds) <= self.bound


Measurement = Callable[[Ground, int], Iterator[Measured]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.recovery")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", choices=list(MEASUREMENTS))
    parser.add_argument("--instance", default="faults-recovery", help="of the stack; two may run side by side")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    measured: list[Measured] = []
    with own_ground(arguments.instance, lock_seconds=LOCK_SECONDS, extra={}) as ground:
        for name, (measure, often, seldom) in MEASUREMENTS.items():
            times = seldom if arguments.short else often
            if times and arguments.only in (None, name):
                for one in measure(ground, times):
                    measured.append(one)
                    tell(one)
    show(measured)
    return 0 if all(one.holds for one in measured) else 1


def under_load(ground: Ground, number: int, working: int = 3) -> Load:
    """Jobs are being worked on, several tasks at the same time."""
    load = Load(ground, random.Random(f"recovery:{number}"), spread=0.5)
    load.start()
    load.wait_until_taken()
    deadline = time.monotonic() + 20
    while len(ground.all(WORKING, load.job_ids)) < working and time.monotonic() < deadline:
        time.sleep(0.02)
    return load


def drained(ground: Ground, seconds: float = 900.0) -> None:
    deadline = time.monotonic() + seconds
    while left := ground.all(OPEN):
        assert time.monotonic() < deadline, f"jobs hang: {left}"
        time.sleep(0.3)


def retaken(ground: Ground, load: Load, since: float) -> list[float]:
    """Seconds until the tasks that were interrupted ran again."""
    at = moment(since)
    return [(row["at"] - at).total_seconds() for row in ground.all(RETAKEN, load.job_ids, at, at)]


def resumed(ground: Ground, load: Load, since: float) -> list[float]:
    first = ground.one(FIRST_PROGRESS, load.job_ids, moment(since))["at"]
    return [(first - moment(since)).total_seconds()] if first else []


def crashed_worker(ground: Ground, times: int) -> Iterator[Measured]:
    """The host lives and gives the message back. It is started anew now and then, because it pauses longer and longer
    before it replaces workers that die young."""
    measured = Measured("worker killed -> its tasks run again", CRASH_BOUND)
    for number in range(times):
        if number % 3 == 2:
            ground.app.stop()
            ground.app.start()
        load = under_load(ground, number)
        at = time.time()
        send_signal(signal.SIGKILL, *ground.app.workers()[:1])
        drained(ground)
        measured.seconds += retaken(ground, load, at)
    yield measured


def crashed_host(ground: Ground, times: int) -> Iterator[Measured]:
    """Nobody gives the message back: its lock has to run out."""
    measured = Measured("host killed and started again -> its tasks run again", CRASH_BOUND)
    for number in range(times):
        load = under_load(ground, 1000 + number)
        at = time.time()
        send_signal(signal.SIGKILL, ground.app.host())
        ground.app.start()
        drained(ground)
        measured.seconds += retaken(ground, load, at)
    yield measured


def vanished_machine(ground: Ground, times: int) -> Iterator[Measured]:
    """One of two machines stands still: its connections stay open, transactions too; its locks run out."""
    measured = Measured("one of two machines vanished -> its tasks run again", CRASH_BOUND)
    for number in range(times):
        ground.other_app.start()
        load = under_load(ground, 2000 + number, working=6)
        frozen = [ground.app.host(), *ground.app.workers()]
        at = time.time()
        send_signal(signal.SIGSTOP, *frozen)
        try:
            drained(ground)
        finally:
            send_signal(signal.SIGCONT, *frozen)
        measured.seconds += retaken(ground, load, at)
        ground.other_app.stop()
    yield measured


def part_back(ground: Ground, part: Part, times: int, away: float, *, crash: bool) -> Measured:
    how = "killed" if crash else "stopped"
    measured = Measured(f"{part.name} {how}, away {away:.0f} s, back -> work resumes", BACK_BOUND)
    for number in range(times):
        load = under_load(ground, 3000 + number, working=1)
        part.kill() if crash else part.stop()
        time.sleep(away)
        part.start()
        at = time.time()
        drained(ground)
        measured.seconds += resumed(ground, load, at)
    return measured


def outages(ground: Ground, times: int) -> Iterator[Measured]:
    for part in (ground.bus, ground.postgres):
        for crash in (False, True):
            yield part_back(ground, part, times, 5, crash=crash)
    yield part_back(ground, ground.azurite, max(1, times // 2), 2, crash=False)


def long_outages(ground: Ground, times: int) -> Iterator[Measured]:
    """Longer than a message is held, which is 2 min."""
    for part in (ground.postgres, ground.bus):
        yield part_back(ground, part, times, 150 if part is ground.bus else 300, crash=False)


def lost_pending(ground: Ground, times: int) -> Iterator[Measured]:
    """Rows are committed, and then all is lost before a message is sent: the broker's messages are wiped, and what
    was marked as sent is unmarked."""
    tasks = Measured("message of a pending task lost -> it runs", LOST_BOUND)
    jobs = Measured("message of a new job lost -> its first task runs", LOST_BOUND)
    for number in range(times):
        load = under_load(ground, 4000 + number)
        ground.app.kill()
        waiting = ground.all("SELECT task_id FROM app.tasks WHERE status IN ('pending', 'queued')")
        wipe(ground)
        ground.flow.run("UPDATE app.tasks SET status = 'pending', updated_at = now() WHERE status = 'queued'")
        # Those that a worker held and whose message is gone as well would wait for the function timeout.
        ground.flow.run("UPDATE app.tasks SET status = 'pending', updated_at = now() WHERE status = 'processing'")
        ground.flow.run("UPDATE app.jobs SET updated_at = now() WHERE status IN ('queued', 'processing')")
        unentered = ground.all(f"{OPEN} AND status = 'queued' AND job_id = ANY(%s)", load.job_ids)
        at = time.time()
        ground.app.start()
        drained(ground)
        for measured, query, ids in (
            (tasks, CLAIMED, [row["task_id"] for row in waiting]),
            (jobs, ENTERED, [row["job_id"] for row in unentered]),
        ):
            rows = ground.all(query, ids, moment(at))
            measured.seconds += [(row["at"] - moment(at)).total_seconds() for row in rows]
    yield tasks
    if jobs.seconds:
        yield jobs


def bus_away_at_submission(ground: Ground, times: int) -> Iterator[Measured]:
    """Jobs are taken while the bus is away; the row is the outbox."""
    measured = Measured("job submitted while the bus is away, bus back -> its first task runs", BACK_BOUND)
    for number in range(times):
        load = Load(ground, random.Random(f"recovery:{5000 + number}"), spread=0.5)
        ground.bus.stop()
        load.start()
        load.wait_until_taken()
        at = time.time()
        ground.bus.start()
        drained(ground)
        rows = ground.all(ENTERED, load.job_ids, moment(at))
        measured.seconds += [(row["at"] - moment(at)).total_seconds() for row in rows]
    yield measured


def all_messages_lost(ground: Ground, times: int) -> Iterator[Measured]:
    """The broker loses everything while the app lives: what was marked as sent waits longer, and comes too."""
    measured = Measured("all messages lost, queued ones too -> every task runs", QUEUED_BOUND)
    for number in range(times):
        load = under_load(ground, 6000 + number)
        wipe(ground, start=False)
        waiting = ground.all("SELECT task_id FROM app.tasks WHERE status IN ('pending', 'queued')")
        at = time.time()
        ground.bus.start()
        drained(ground, 2400)
        rows = ground.all(CLAIMED, [row["task_id"] for row in waiting], moment(at))
        measured.seconds += [(row["at"] - moment(at)).total_seconds() for row in rows]
        console.print(f"  {len(load.orders)} jobs ended {time.time() - at:.0f} s after the loss")
    yield measured


def wipe(ground: Ground, *, start: bool = True) -> None:
    """The broker forgets all messages."""
    ground.bus.kill()
    for path in ground.bus.file.parent.glob("messages.db*"):
        path.unlink()
    if start:
        ground.bus.start()


# How often each is measured, in the full and in the short form.
MEASUREMENTS: dict[str, tuple[Measurement, int, int]] = {
    "crashed_worker": (crashed_worker, 20, 4),
    "outages": (outages, 5, 2),
    "crashed_host": (crashed_host, 4, 1),
    "vanished_machine": (vanished_machine, 4, 1),
    "lost_pending": (lost_pending, 2, 1),
    "bus_away_at_submission": (bus_away_at_submission, 1, 0),
    "long_outages": (long_outages, 1, 0),
    "all_messages_lost": (all_messages_lost, 1, 0),
}


def tell(one: Measured) -> None:
    told = " / ".join(f"{value:.1f}" for value in percentiles(one.seconds)) if one.seconds else "nothing measured"
    console.print(
        f"{time.strftime('%H:%M:%S')} {one.what}: n {len(one.seconds)}, p50 / p95 / worst {told} s,"
        f" bound {one.bound:.0f} s {'holds' if one.holds else 'MISSED'}"
    )


def show(measured: list[Measured]) -> None:
    table = Table("measured", "n", "p50 s", "p95 s", "worst s", "bound s", "holds", box=None)
    for one in measured:
        told = [f"{value:.1f}" for value in percentiles(one.seconds)] if one.seconds else ["-"] * 3
        table.add_row(one.what, str(len(one.seconds)), *told, f"{one.bound:.0f}", "yes" if one.holds else "NO")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
