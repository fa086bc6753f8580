"""What must be true of a play in its end: the invariants of the rows, and what the play knows besides."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from core.submission import job_id_of as id_of
from tests.faults import invariants
from tests.faults.scheduler_work import REGISTRY, ROWS_PER_BATCH, Params, expected_result

if TYPE_CHECKING:
    from tests.faults.scheduler_play import Play

MOST_FAILURES = 3
OPEN = "SELECT 1 FROM app.jobs WHERE status IN ('queued', 'processing') LIMIT 1"
EFFECTS = """
SELECT 'effects of a task in its completing transaction, ' || t.status || ': ' || count(e.task_id) || ' ' || t.task_id
  FROM app.tasks AS t LEFT JOIN sim.effects AS e USING (task_id)
 WHERE t.task_type IN ('publish', 'greet')
 GROUP BY t.task_id HAVING count(e.task_id) <> (t.status = 'completed')::int
"""
ROWS = """
SELECT 'rows of a completed batch: ' || coalesce(r.found, 0) || ', in the ledger ' || coalesce(b.rows_loaded, 0)
       || ' ' || t.task_id
  FROM app.tasks AS t
  LEFT JOIN (SELECT job_id, run, batch, count(*) AS found FROM sim.rows GROUP BY job_id, run, batch) AS r
    ON (r.job_id, r.run, r.batch) = (t.job_id, t.run, t.task_index)
  LEFT JOIN app.batches AS b ON (b.job_id, b.run, b.batch) = (t.job_id, t.run, t.task_index)
 WHERE t.task_type = 'upload' AND t.status = 'completed'
   AND (coalesce(r.found, 0) <> %(rows)s OR coalesce(b.rows_loaded, 0) <> %(rows)s)
"""
STALE = """
SELECT 'completed by attempt ' || (result->>'attempt') || ' while ' || attempt || ' was the current one: ' || task_id
  FROM app.tasks WHERE status = 'completed' AND (result->>'attempt')::int <> attempt
"""


# Whoever submits in a play wants to be told how the job ends.
TOLD = """
SELECT 'nobody is told how a run ended: ' || r.job_id || ' run ' || r.run || ' ' || r.status
  FROM app.job_runs AS r
 WHERE NOT EXISTS (SELECT FROM app.notifications AS n
                    WHERE n.event_id = concat_ws('-', r.job_id, r.run, r.status))
UNION ALL
SELECT 'told of an end that never was: ' || n.event_id
  FROM app.notifications AS n
 WHERE NOT EXISTS (SELECT FROM app.job_runs AS r WHERE n.event_id = concat_ws('-', r.job_id, r.run, r.status))
UNION ALL
SELECT 'a subscription outlived its run: ' || job_id FROM app.subscriptions
UNION ALL
SELECT 'a subscriber is told nothing: ' || url
  FROM unnest(%(promised)s::text[]) AS subscriber (url)
 WHERE NOT EXISTS (SELECT FROM app.notifications AS n WHERE n.url = subscriber.url)
"""


def job_id_of(job_type: str, params: Params) -> str:
    return id_of(REGISTRY[job_type], params, {})


def rows(play: "Play", query: str, **params: Any) -> list[dict[str, Any]]:
    return play.database.monitor.execute(query.encode(), params or None).fetchall()


def all_ended(play: "Play") -> bool:
    return not rows(play, OPEN)


def statuses(play: "Play") -> Counter[str]:
    return Counter(row["status"] for row in rows(play, "SELECT status FROM app.job_runs"))


def violations(play: "Play") -> list[str]:
    told = [value for query in (EFFECTS, STALE) for row in rows(play, query) for value in row.values()]
    told += [value for row in rows(play, ROWS, rows=ROWS_PER_BATCH) for value in row.values()]
    told += [value for row in rows(play, TOLD, promised=play.promised) for value in row.values()]
    found = invariants.violations(play.database.monitor)
    return [*found, *told, *leftovers(play), *fences(play), *blameless(play), *endings(play), *results(play)]


def leftovers(play: "Play") -> list[str]:
    left = [(row["job_id"], row["run"]) for row in rows(play, "SELECT job_id, run FROM sim.staging")]
    return [f"left behind by an ended run: {what}" for what in [*left, *sorted(play.world.blobs)]]


def fences(play: "Play") -> list[str]:
    return [f"two workers had one attempt: {key}" for key, count in play.world.starts.items() if count > 1]


def blameless(play: "Play") -> list[str]:
    """A failure that counts needs an attempt that failed, died or overstayed: an outage alone is nobody's failure.
    The attempt that finds that its predecessors died counts as one, too."""
    query = """SELECT task_id, failures - (coalesce(error->>'code', '') = 'worker_lost' AND status = 'failed')::int
                   AS failures FROM app.tasks WHERE failures > 0"""
    return [
        f"{row['failures']} failures counted, {len(play.blame.get(row['task_id'], ()))} deserved: {row['task_id']}"
        for row in rows(play, query)
        if row["failures"] > len(play.blame.get(row["task_id"], ()))
    ]


def endings(play: "Play") -> list[str]:
    """A run fails because of a task, is cancelled because somebody asked for it, and completes otherwise."""
    told = []
    for row in rows(play, "SELECT job_id, run, status, error FROM app.job_runs"):
        if row["status"] == "cancelled" and row["job_id"] not in play.cancelled:
            told.append(f"cancelled by nobody: {row['job_id']}")
        if row["status"] == "failed" and not deserved(play, f"{row['job_id']}-{row['run']}-"):
            told.append(f"failed without a cause: {row['job_id']} run {row['run']}: {row['error']}")
    return told


def deserved(play: "Play", prefix: str) -> bool:
    for task_id, blamed in play.blame.items():
        if task_id.startswith(prefix):
            condemned = play.condemned.get(task_id)
            needed = {"permanent": 1, "memory": 2}.get(condemned or "", MOST_FAILURES)
            if len(blamed) >= needed:
                return True
    return False


def results(play: "Play") -> list[str]:
    query = "SELECT job_id, job_type, parameters, result FROM app.jobs WHERE status = 'completed'"
    return [
        f"a wrong result: {row['job_id']} {row['result']}"
        for row in rows(play, query)
        if row["result"] != expected_result(row["job_type"], row["parameters"]["n"])
    ]
