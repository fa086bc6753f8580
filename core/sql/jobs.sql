-- lock_job
-- One transaction at a time changes a job's counters; released with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(job_id)s, 0));

-- insert_job
-- Write a new job down. No row: the job exists. A unique violation: another active job holds the key.
INSERT INTO app.jobs (job_id, job_type, total_stages, parameters, source, exclusive_key)
VALUES (%(job_id)s, %(job_type)s, %(total_stages)s, %(parameters)s, %(source)s, %(exclusive_key)s)
ON CONFLICT (job_id) DO NOTHING
RETURNING *;

-- restart_job
-- Start the next run of an ended job. No row: it is active, or somebody else restarted it.
UPDATE app.jobs
   SET status = 'queued', run = run + 1, stage = 1, result = NULL, error = NULL, finished_at = NULL,
       total_stages = %(total_stages)s, parameters = %(parameters)s, source = %(source)s, dispatched_at = NULL,
       run_started_at = now(), updated_at = now()
 WHERE job_id = %(job_id)s AND run = %(run)s AND status IN ('completed', 'failed', 'cancelled')
RETURNING *;

-- active_job_with_key
SELECT job_id FROM app.jobs WHERE exclusive_key = %(exclusive_key)s AND status IN ('queued', 'processing');

-- get_job
SELECT * FROM app.jobs WHERE job_id = %(job_id)s;

-- next_job_dispatch
-- Number the next sending of an open job's message. No row: the job is not at that stage any more.
UPDATE app.jobs
   SET dispatch = dispatch + 1
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s AND status IN ('queued', 'processing')
RETURNING dispatch;

-- mark_job_dispatched
UPDATE app.jobs
   SET dispatched_at = now()
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s AND status IN ('queued', 'processing');

-- begin_stage
-- The job enters a stage it has been advanced to. No row: it ended, or is elsewhere.
UPDATE app.jobs
   SET status = 'processing', updated_at = now()
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s AND status IN ('queued', 'processing')
RETURNING job_id;

-- insert_stage
-- No row: the stage is planned already.
INSERT INTO app.job_stages (job_id, run, stage, name, expected)
VALUES (%(job_id)s, %(run)s, %(stage)s, %(name)s, %(expected)s)
ON CONFLICT DO NOTHING
RETURNING stage;

-- get_stage
SELECT * FROM app.job_stages WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s;

-- count_completed
-- One more task of the stage is done; the answer says whether it was the last.
UPDATE app.job_stages
   SET completed = completed + 1, updated_at = now()
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s
RETURNING completed, failed, expected;

-- advance_job
-- The stage is full: the job moves to the next one.
UPDATE app.jobs
   SET stage = stage + 1, dispatched_at = NULL, updated_at = now()
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s AND status = 'processing'
RETURNING stage;

-- finish_job
-- No row: the run has ended otherwise.
UPDATE app.jobs
   SET status = 'completed', result = %(result)s, finished_at = now(), updated_at = now()
 WHERE job_id = %(job_id)s AND run = %(run)s AND status IN ('queued', 'processing')
RETURNING *;

-- record_run
-- Keep how the run ended, before a next run overwrites it.
INSERT INTO app.job_runs (job_id, run, status, result, error, started_at, finished_at)
SELECT job_id, run, status, result, error, run_started_at, finished_at FROM app.jobs WHERE job_id = %(job_id)s
ON CONFLICT DO NOTHING;

-- lock_jobs
-- As lock_job, for many; always in the same order, so that two who lock many wait for each other and no more.
SELECT pg_advisory_xact_lock(hashtextextended(job_id, 0))
  FROM (SELECT DISTINCT job_id FROM unnest(%(job_ids)s::text[]) AS given (job_id) ORDER BY job_id) AS sorted;

-- end_jobs
-- End runs with whatever of them is still open, in one step. %(ending)s: a JSON array of {job_id, run, error}.
-- A run that has ended already stays as it is, and is not in the answer; so does one that is past its last stage, whose
-- outcome is published, unless %(published)s.
WITH ending AS (
    SELECT * FROM jsonb_to_recordset(%(ending)s::jsonb) AS given (job_id text, run integer, error jsonb)
), ended_tasks AS (
    UPDATE app.tasks AS t
       SET status = %(status)s, error = coalesce(t.error, %(task_error)s), finished_at = now(), updated_at = now()
      FROM ending AS e
     WHERE t.job_id = e.job_id AND t.run = e.run AND t.status IN ('pending', 'queued', 'processing')
    RETURNING t.job_id, t.run, t.stage, t.status
), counted AS (
    UPDATE app.job_stages AS s
       SET failed = (SELECT count(*) FROM app.tasks AS t
                      WHERE t.job_id = s.job_id AND t.run = s.run AND t.stage = s.stage AND t.status = 'failed')
                    + (SELECT count(*) FROM ended_tasks AS t
                        WHERE t.job_id = s.job_id AND t.run = s.run AND t.stage = s.stage AND t.status = 'failed'),
           updated_at = now()
      FROM ending AS e
     WHERE s.job_id = e.job_id AND s.run = e.run
), ended AS (
    UPDATE app.jobs AS j
       SET status = %(status)s, error = e.error, finished_at = now(), updated_at = now()
      FROM ending AS e
     WHERE j.job_id = e.job_id AND j.run = e.run AND j.status IN ('queued', 'processing')
       AND (j.stage <= j.total_stages OR %(published)s)
    RETURNING j.*
)
INSERT INTO app.job_runs (job_id, run, status, result, error, started_at, finished_at)
SELECT job_id, run, status, result, error, run_started_at, finished_at FROM ended
RETURNING job_id, run, error;

-- stage_progress
-- Per stage of the jobs' current runs: what was expected and how the tasks stand.
SELECT s.job_id, s.stage, s.name, s.expected AS total, s.completed, s.failed,
       count(*) FILTER (WHERE t.status = 'processing') AS processing,
       count(*) FILTER (WHERE t.status = 'queued') AS queued,
       count(*) FILTER (WHERE t.status = 'pending') AS pending,
       count(*) FILTER (WHERE t.status = 'cancelled') AS cancelled,
       coalesce(sum((t.result->>'rows_loaded')::bigint), 0) AS rows_loaded,
       max((t.result #>> '{result,total_features}')::bigint) AS rows_total,
       s.created_at AS started_at, s.updated_at
  FROM app.jobs AS j
  JOIN app.job_stages AS s ON s.job_id = j.job_id AND s.run = j.run
  JOIN app.tasks AS t ON t.job_id = s.job_id AND t.run = s.run AND t.stage = s.stage
 WHERE j.job_id = ANY(%(job_ids)s)
 GROUP BY s.job_id, s.run, s.stage
 ORDER BY s.job_id, s.stage;

-- list_runs
SELECT run, status, error, started_at, finished_at FROM app.job_runs WHERE job_id = %(job_id)s ORDER BY run;

-- list_jobs
-- Newest first, after the (created_at, job_id) of the page before.
SELECT * FROM app.jobs
 WHERE (%(status)s::text IS NULL OR status = %(status)s)
   AND (%(job_type)s::text IS NULL OR job_type = %(job_type)s)
   AND (%(before)s::timestamptz IS NULL OR (created_at, job_id) < (%(before)s, %(before_id)s::text))
 ORDER BY created_at DESC, job_id DESC
 LIMIT %(limit)s;

-- next_wait
-- When the earliest of a job's waiting retries is due, and since when its running tasks have said nothing.
SELECT min(not_before) FILTER (WHERE status IN ('pending', 'queued')) AS next_retry_at,
       min(updated_at) FILTER (WHERE status = 'processing') AS silent_since,
       min(updated_at) FILTER (WHERE status IN ('pending', 'queued')) AS waiting_since,
       coalesce(max(attempt), 0) AS most_attempts
  FROM app.tasks
 WHERE job_id = %(job_id)s AND run = %(run)s;
