"""What must be true of the app's rows after any run, whatever went wrong in it.

`install` puts triggers on a database that note every change of a job or task; `violations` says what is not as it must
be, in words, one line each. It reads only what is committed and knows nothing of how the run was made.
"""

from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

# A watched row's history is written in the transaction that changes it: what is rolled back leaves no trace.
WATCH = """
CREATE SCHEMA IF NOT EXISTS watch;
CREATE SEQUENCE watch.seq;
CREATE TABLE watch.jobs (
    seq bigint NOT NULL DEFAULT nextval('watch.seq'), job_id text, old_run integer, run integer,
    old_stage integer, stage integer, old_status text, status text);
CREATE TABLE watch.tasks (
    seq bigint NOT NULL DEFAULT nextval('watch.seq'), task_id text, job_id text, run integer, stage integer,
    old_status text, status text, old_attempt integer, attempt integer, old_failures integer, failures integer,
    old_dispatch integer, dispatch integer, old_claimed_by text, claimed_by text, waited interval);

CREATE FUNCTION watch.job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO watch.jobs (job_id, old_run, run, old_stage, stage, old_status, status)
    VALUES (NEW.job_id, OLD.run, NEW.run, OLD.stage, NEW.stage, OLD.status, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER watch_inserted AFTER INSERT ON app.jobs FOR EACH ROW EXECUTE FUNCTION watch.job();
CREATE TRIGGER watch_updated AFTER UPDATE ON app.jobs FOR EACH ROW
    WHEN ((OLD.run, OLD.stage, OLD.status) IS DISTINCT FROM (NEW.run, NEW.stage, NEW.status))
    EXECUTE FUNCTION watch.job();

CREATE FUNCTION watch.task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO watch.tasks (task_id, job_id, run, stage, old_status, status, old_attempt, attempt, old_failures,
                             failures, old_dispatch, dispatch, old_claimed_by, claimed_by, waited)
    VALUES (NEW.task_id, NEW.job_id, NEW.run, NEW.stage, OLD.status, NEW.status, OLD.attempt, NEW.attempt,
            OLD.failures, NEW.failures, OLD.dispatch, NEW.dispatch, OLD.claimed_by, NEW.claimed_by,
            NEW.updated_at - OLD.updated_at);
    RETURN NULL;
END $$;
CREATE TRIGGER watch_inserted AFTER INSERT ON app.tasks FOR EACH ROW EXECUTE FUNCTION watch.task();
CREATE TRIGGER watch_updated AFTER UPDATE ON app.tasks FOR EACH ROW
    WHEN ((OLD.status, OLD.attempt, OLD.failures, OLD.dispatch, OLD.claimed_by)
          IS DISTINCT FROM (NEW.status, NEW.attempt, NEW.failures, NEW.dispatch, NEW.claimed_by))
    EXECUTE FUNCTION watch.task();
"""

# `legal` is the page docs/state_machine.md as a table: how a task may change.
CHECK = """
WITH legal (old_status, status, attempts, dispatches, least_failures, most_failures) AS (VALUES
    ('pending', 'queued', 0, 0, 0, 0),
    ('pending', 'processing', 1, 0, 0, 0),
    ('queued', 'processing', 1, 0, 0, 0),
    ('processing', 'processing', 1, 0, 0, 1),
    ('processing', 'completed', 0, 0, 0, 0),
    ('processing', 'pending', 0, 1, 0, 1),
    ('processing', 'failed', 0, 0, 0, 1),
    ('pending', 'failed', 0, 0, 0, 0),
    ('queued', 'failed', 0, 0, 0, 0),
    ('pending', 'cancelled', 0, 0, 0, 0),
    ('queued', 'cancelled', 0, 0, 0, 0),
    ('processing', 'cancelled', 0, 0, 0, 0),
    ('pending', 'pending', 0, 1, 0, 0),
    ('queued', 'queued', 0, 1, 0, 0),
    ('queued', 'pending', 0, 1, 0, 0)),
ended AS (SELECT seq, task_id, status FROM watch.tasks WHERE status IN ('completed', 'failed', 'cancelled')
             AND old_status IS DISTINCT FROM status),
states AS (SELECT job_id, run, stage, count(*) AS tasks,
                  count(*) FILTER (WHERE status = 'completed') AS completed,
                  count(*) FILTER (WHERE status = 'failed') AS failed
             FROM app.tasks GROUP BY job_id, run, stage)

SELECT 'a job did not end: ' || job_id || ' is ' || status || ' in stage ' || stage AS violation
  FROM app.jobs WHERE status IN ('queued', 'processing')
UNION ALL
SELECT 'a terminal job changed: ' || job_id || ' from ' || old_status || ' to ' || status
  FROM watch.jobs WHERE old_status IN ('completed', 'failed', 'cancelled') AND old_run = run
UNION ALL
SELECT 'a terminal task changed: ' || task_id || ' from ' || old_status || ' to ' || status
  FROM watch.tasks WHERE old_status IN ('completed', 'failed', 'cancelled') AND old_status <> status
UNION ALL
SELECT 'a run began in the wrong way: ' || job_id || ' run ' || run
  FROM watch.jobs WHERE old_run <> run
   AND (run <> old_run + 1 OR status <> 'queued' OR stage <> 1 OR old_status IN ('queued', 'processing'))
UNION ALL
SELECT 'more than one accepted completion: ' || task_id
  FROM watch.tasks WHERE status = 'completed' AND old_status <> 'completed' GROUP BY task_id HAVING count(*) > 1
UNION ALL
SELECT 'no legal transition: ' || task_id || ' ' || old_status || ' -> ' || status || ', attempt ' || old_attempt
       || ' -> ' || attempt || ', dispatch ' || old_dispatch || ' -> ' || dispatch || ', failures ' || old_failures
       || ' -> ' || failures
  FROM watch.tasks AS w
 WHERE old_status IS NOT NULL
   AND NOT EXISTS (
        SELECT FROM legal WHERE legal.old_status = w.old_status AND legal.status = w.status
           AND w.attempt - w.old_attempt = legal.attempts AND w.dispatch - w.old_dispatch = legal.dispatches
           AND w.failures - w.old_failures BETWEEN legal.least_failures AND legal.most_failures)
UNION ALL
SELECT 'sent again too soon: ' || task_id || ' ' || status || ' after ' || waited
  FROM watch.tasks WHERE old_status = status AND dispatch > old_dispatch
   AND waited < make_interval(secs => CASE status WHEN 'queued' THEN %(unclaimed)s ELSE %(unsent)s END)
UNION ALL
SELECT 'a stage began before the one before was done: ' || later.job_id || ' stage ' || later.stage
  FROM watch.tasks AS later
 WHERE later.old_status IS NULL AND later.stage > 1
   AND (NOT EXISTS (SELECT FROM app.job_stages AS s WHERE s.job_id = later.job_id AND s.run = later.run
                       AND s.stage = later.stage - 1)
        OR EXISTS (SELECT FROM app.tasks AS t
                     LEFT JOIN ended AS e ON e.task_id = t.task_id AND e.status = 'completed' AND e.seq < later.seq
                    WHERE t.job_id = later.job_id AND t.run = later.run AND t.stage = later.stage - 1
                      AND e.seq IS NULL))
UNION ALL
SELECT 'a stage was left before it was done: ' || moved.job_id || ' stage ' || moved.old_stage
  FROM watch.jobs AS moved
 WHERE moved.old_run = moved.run AND moved.stage <> moved.old_stage
   AND EXISTS (SELECT FROM app.tasks AS t
                 LEFT JOIN ended AS e ON e.task_id = t.task_id AND e.status = 'completed' AND e.seq < moved.seq
                WHERE t.job_id = moved.job_id AND t.run = moved.run AND t.stage = moved.old_stage AND e.seq IS NULL)
UNION ALL
SELECT 'not exactly one advance: ' || job_id || ' run ' || run || ' stage ' || old_stage
  FROM watch.jobs WHERE old_run = run AND stage <> old_stage
 GROUP BY job_id, run, old_stage HAVING count(*) > 1 OR bool_or(stage <> old_stage + 1)
UNION ALL
SELECT 'completed, but not every task of every stage: ' || j.job_id || ' stage ' || n
  FROM app.jobs AS j CROSS JOIN generate_series(1, j.total_stages) AS n
  LEFT JOIN app.job_stages AS s ON s.job_id = j.job_id AND s.run = j.run AND s.stage = n
  LEFT JOIN states AS t ON t.job_id = j.job_id AND t.run = j.run AND t.stage = n
 WHERE j.status = 'completed'
   AND (j.stage <> j.total_stages + 1 OR (s.expected = s.completed AND t.tasks = t.completed) IS NOT TRUE)
UNION ALL
SELECT 'counters are not what the tasks are: ' || s.job_id || ' stage ' || s.stage || ' expected ' || s.expected
       || ' completed ' || s.completed || ' failed ' || s.failed
  FROM app.job_stages AS s LEFT JOIN states AS t USING (job_id, run, stage)
 WHERE (s.expected = t.tasks AND s.completed = t.completed AND s.failed = t.failed) IS NOT TRUE
UNION ALL
SELECT 'an ended run has an open task: ' || t.task_id || ' is ' || t.status
  FROM app.tasks AS t JOIN app.jobs AS j USING (job_id)
 WHERE t.status IN ('pending', 'queued', 'processing')
   AND (j.run <> t.run OR j.status IN ('completed', 'failed', 'cancelled'))
UNION ALL
SELECT 'how a run ended was not kept: ' || w.job_id || ' run ' || w.run
  FROM watch.jobs AS w
  LEFT JOIN app.job_runs AS r ON r.job_id = w.job_id AND r.run = w.run AND r.status = w.status
 WHERE w.status IN ('completed', 'failed', 'cancelled') AND r.job_id IS NULL
UNION ALL
SELECT 'failed without a reason: ' || job_id
  FROM app.jobs WHERE status = 'failed' AND coalesce(error->>'code', '') = ''
UNION ALL
SELECT 'an advisory lock is held: ' || objid || ' by ' || pid
  FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database
                                                             WHERE datname = current_database())
"""


def install(connection: Connection) -> None:
    """Watch app.jobs and app.tasks of this database from now on."""
    connection.execute(WATCH)


def violations(connection: Connection, *, unsent: float = 120.0, unclaimed: float = 600.0) -> list[str]:
    """What is not as it must be, once everything has had the time to end. `unsent`, `unclaimed`: the janitors' limits
    in seconds."""
    rows = connection.execute(CHECK, {"unsent": unsent, "unclaimed": unclaimed}).fetchall()
    return sorted(row["violation"] if isinstance(row, dict) else row[0] for row in rows)
