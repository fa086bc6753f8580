"""What must be true after every run, and how long the system took to come back."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.faults import invariants
from tests.faults.processes_faults import OUTAGES
from tests.faults.processes_ground import Ground
from tests.faults.processes_load import SHARED_TABLES, Load, Order, table_problem

# What a job may fail with when the same fault hit one task up to its limit.
HIT_TOO_OFTEN = {"worker_lost": 3, "out_of_memory": 2, "timeout": 3}
CLEARING_SECONDS = 60.0
# What was interrupted by a crash runs again when the lock has run out, and the rest goes on at once.
CRASH_GRACE_SECONDS = 10.0
BACK_SECONDS = 30.0

# Tasks that were being worked on in the moment of the fault, and when somebody took them up again.
RETAKEN = """
SELECT h.id, min(h.at) AS at FROM faults.history AS h
  JOIN (SELECT DISTINCT ON (id) id, status, attempt FROM faults.history
         WHERE kind = 'task' AND job_id = ANY(%s) AND at <= %s ORDER BY id, number DESC) AS held
    ON held.id = h.id AND held.status = 'processing'
 WHERE h.at > %s AND h.status = 'processing' AND h.attempt > held.attempt GROUP BY h.id
"""
FIRST_PROGRESS = """
SELECT min(at) AS at FROM faults.history
 WHERE job_id = ANY(%s) AND at > %s AND kind = 'task' AND status IN ('processing', 'completed')
   AND before IS DISTINCT FROM status
"""
LAST_END = """
SELECT max(at) AS at FROM faults.history
 WHERE job_id = ANY(%s) AND kind = 'job' AND status IN ('completed', 'failed', 'cancelled')
"""


@dataclass
class Verdict:
    """A run: what happened, in seconds after the fault was over."""

    number: int
    fault: str
    jobs: int = 0
    tolerated: int = 0
    retaken: list[float] = field(default_factory=list)
    resumed: float | None = None
    drained: float | None = None
    violations: list[str] = field(default_factory=list)


class Judge:
    def __init__(self, ground: Ground, load: Load, verdict: Verdict) -> None:
        self.ground = ground
        self.load = load
        self.verdict = verdict
        self.jobs = load.job_ids

    def wait_for_the_end(self, bound: float) -> None:
        """Every job ends, within `bound` seconds."""
        deadline = time.monotonic() + bound
        query = "SELECT job_id FROM app.jobs WHERE job_id = ANY(%s) AND status IN ('queued', 'processing')"
        while waiting := self.ground.all(query, self.jobs):
            if time.monotonic() > deadline:
                for row in waiting:
                    self.blame(f"job {row['job_id'][:12]} hangs: {self.diagnosis(row['job_id'])}")
                return
            time.sleep(0.2)

    def diagnosis(self, job_id: str) -> str:
        stages = self.ground.all(
            "SELECT j.status, j.stage, j.dispatch, t.status AS task, t.attempt, t.failures, t.dispatch AS sent,"
            " min(t.updated_at)::text AS since, count(*)"
            " FROM app.jobs AS j LEFT JOIN app.tasks AS t USING (job_id, run)"
            " WHERE j.job_id = %s GROUP BY 1, 2, 3, 4, 5, 6, 7",
            job_id,
        )
        return str(stages)

    def blame(self, what: str) -> None:
        self.verdict.violations.append(what)

    def judge(self) -> None:
        self.verdict.jobs = len(self.load.orders)
        for order in self.load.orders:
            self.judge_order(order)
        self.judge_shared_tables()
        self.judge_leftovers()

    def judge_order(self, order: Order) -> None:
        if order.refusal or not order.job_id:
            self.blame(f"{order.job_type} {order.body} was refused: {order.refusal}")
            return
        job = self.ground.one("SELECT status, error, result FROM app.jobs WHERE job_id = %s", order.job_id)
        if job["status"] not in order.outcomes and not self.hit_too_often(order, job["status"], job["error"]):
            self.blame(f"{order.job_type} {order.job_id[:12]} is {job['status']}: {job['error']}")
        if job["status"] == "completed" and order.table:
            told = job["result"]["rows"]
            if (told["read"], told["loaded"]) != (order.rows, order.rows):
                self.blame(f"job {order.job_id[:12]} accounts for {told} instead of {order.rows} rows")
        if order.table and order.table not in SHARED_TABLES:
            problem = table_problem(self.ground, order.table, order.content if job["status"] == "completed" else None)
            if problem:
                self.blame(problem)

    def hit_too_often(self, order: Order, status: str, error: dict[str, str] | None) -> bool:
        """Failed by the same fault up to the limit of attempts: that is promised, too."""
        code = (error or {}).get("code", "")
        if status != "failed" or code not in HIT_TOO_OFTEN:
            return False
        most = self.ground.one("SELECT max(failures) AS most FROM app.tasks WHERE job_id = %s", order.job_id)["most"]
        if most < HIT_TOO_OFTEN[code]:
            return False
        self.verdict.tolerated += 1
        return True

    def judge_shared_tables(self) -> None:
        """They hold what the last job that completed brought, whatever failed since."""
        for table in SHARED_TABLES:
            orders = {order.job_id: order for order in self.load.orders if order.table == table and order.job_id}
            last = self.ground.all(
                "SELECT job_id FROM app.jobs WHERE job_id = ANY(%s) AND status = 'completed'"
                " ORDER BY finished_at DESC LIMIT 1",
                list(orders),
            )
            if last:
                self.ground.published[table] = orders[last[0]["job_id"]].content
            if problem := table_problem(self.ground, table, self.ground.published.get(table)):
                self.blame(problem)

    def judge_leftovers(self) -> None:
        flow, app = self.ground.flow, self.ground.app
        for name, look in (
            ("staging tables", flow.staging),
            ("chunks", flow.chunks),
            ("temporary folders", lambda: app.folders() + self.ground.other_app.folders()),
            ("batches", lambda: [str(row) for row in self.ground.all("SELECT job_id, run, batch FROM app.batches")]),
        ):
            if left := still_there(look):
                self.blame(f"{name} are left after {CLEARING_SECONDS:.0f} s: {left[:3]} ({len(left)})")
        for violation in still_there(self.broken_invariants):
            self.blame(violation)

    def broken_invariants(self) -> list[str]:
        """Of all jobs since the ground forgot them: what wakes up late may break an older one."""
        with self.ground.flow.database() as connection:
            # Nobody analysed these small tables; for nested loops it takes twenty times as long.
            connection.execute("SET enable_nestloop = off")
            return invariants.violations(connection)

    def measure(self, began: float, over: float) -> None:
        """When work went on, after a fault from `began` to `over` (seconds since the epoch)."""
        start, end = moment(began), moment(over)
        self.verdict.retaken = [
            max(0.0, (row["at"] - end).total_seconds()) for row in self.ground.all(RETAKEN, self.jobs, start, start)
        ]
        first = self.ground.one(FIRST_PROGRESS, self.jobs, end)["at"]
        self.verdict.resumed = (first - end).total_seconds() if first else None
        last = self.ground.one(LAST_END, self.jobs)["at"]
        self.verdict.drained = max(0.0, (last - end).total_seconds()) if last else None
        for what, seconds, bound in (
            ("interrupted tasks ran again", max(self.verdict.retaken, default=None), self.retaken_bound),
            ("work resumed", self.verdict.resumed, BACK_SECONDS),
        ):
            if seconds is not None and seconds > bound:
                self.blame(f"{what} after {seconds:.1f} s, the bound is {bound:.0f} s")

    @property
    def retaken_bound(self) -> float:
        return BACK_SECONDS if self.verdict.fault in OUTAGES else self.ground.lock_seconds + CRASH_GRACE_SECONDS


def still_there(look: Callable[[], list[str]]) -> list[str]:
    """What is left once there was time to clear up."""
    deadline = time.monotonic() + CLEARING_SECONDS
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def percentiles(values: list[float]) -> Iterator[float]:
    """p50, p95 and the worst."""
    ordered = sorted(values)
    for share in (0.5, 0.95, 1.0):
        yield ordered[min(len(ordered) - 1, int(share * len(ordered)))]
