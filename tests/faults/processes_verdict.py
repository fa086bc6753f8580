"""What must be true after every run, and how long the system took to come back."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.faults.processes_ground import Ground
from tests.faults.processes_load import SHARED_TABLES, Load, Order, table_problem

# What a job may fail with when the same fault hit one task up to its limit.
HIT_TOO_OFTEN = {"worker_lost": 3, "out_of_memory": 2, "timeout": 3}
CLEARING_SECONDS = 60.0

TASKS_AND_COUNTERS = """
SELECT s.job_id, s.run, s.stage, s.expected, s.completed, s.failed,
       count(t.task_id) AS tasks, count(*) FILTER (WHERE t.status = 'completed') AS really_completed,
       count(*) FILTER (WHERE t.status = 'failed') AS really_failed,
       count(*) FILTER (WHERE t.status IN ('pending', 'queued', 'processing')) AS open
  FROM app.job_stages AS s LEFT JOIN app.tasks AS t USING (job_id, run, stage)
 WHERE s.job_id = ANY(%s) GROUP BY s.job_id, s.run, s.stage
"""
TERMINAL_CHANGED = """
SELECT kind, id, run, before, status FROM faults.history
 WHERE job_id = ANY(%s) AND before IN ('completed', 'failed', 'cancelled') AND before <> status
   AND NOT (kind = 'job' AND status = 'queued')
"""
COMPLETED_TWICE = """
SELECT id, count(*) FROM faults.history
 WHERE job_id = ANY(%s) AND kind = 'task' AND status = 'completed' AND before <> 'completed'
 GROUP BY id HAVING count(*) > 1
"""
STAGE_TOO_EARLY = """
SELECT first.job_id, first.run, first.stage
  FROM (SELECT job_id, run, stage, min(number) AS began FROM faults.history
         WHERE kind = 'task' AND job_id = ANY(%s) GROUP BY job_id, run, stage) AS first
  JOIN (SELECT job_id, run, stage, max(number) FILTER (WHERE status = 'completed' AND before <> 'completed') AS ended
          FROM faults.history WHERE kind = 'task' GROUP BY job_id, run, stage) AS earlier
    ON earlier.job_id = first.job_id AND earlier.run = first.run AND earlier.stage = first.stage - 1
 WHERE earlier.ended > first.began
"""
ADVANCED_TWICE = """
SELECT id, run, stage, count(*) FROM (
    SELECT id, run, stage, lag(stage) OVER (PARTITION BY id, run ORDER BY number) AS earlier
      FROM faults.history WHERE kind = 'job' AND job_id = ANY(%s)) AS seen
 WHERE stage <> earlier GROUP BY id, run, stage HAVING count(*) > 1
"""
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
        self.judge_records()
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
            problem = table_problem(self.ground, order.table, order if job["status"] == "completed" else None)
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
            rows = self.ground.all(
                "SELECT job_id FROM app.jobs WHERE job_id = ANY(%s) AND status = 'completed'"
                " ORDER BY finished_at DESC LIMIT 1",
                list(orders),
            )
            if rows and (problem := table_problem(self.ground, table, orders[rows[0]["job_id"]])):
                self.blame(problem)

    def judge_records(self) -> None:
        for name, query in (
            ("a terminal state changed", TERMINAL_CHANGED),
            ("completed twice", COMPLETED_TWICE),
            ("a stage began before the one before it was done", STAGE_TOO_EARLY),
            ("advanced twice", ADVANCED_TWICE),
        ):
            for row in self.ground.all(query, self.jobs):
                self.blame(f"{name}: {row}")
        completed = self.ground.all(
            "SELECT job_id, run FROM app.jobs WHERE job_id = ANY(%s) AND status = 'completed'", self.jobs
        )
        whole = {(row["job_id"], row["run"]) for row in completed}
        for stage in self.ground.all(TASKS_AND_COUNTERS, self.jobs):
            counted = (stage["expected"], stage["completed"], stage["failed"], 0)
            if counted != (stage["tasks"], stage["really_completed"], stage["really_failed"], stage["open"]):
                self.blame(f"counters are wrong: {stage}")
            if (stage["job_id"], stage["run"]) in whole and stage["completed"] != stage["expected"]:
                self.blame(f"completed without all tasks: {stage}")

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
