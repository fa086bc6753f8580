-- insert_tasks
-- All tasks of a stage at once; %(tasks)s is a JSON array of their parameters, in order.
INSERT INTO app.tasks (task_id, job_id, run, stage, task_index, task_type, parameters)
SELECT %(prefix)s || (position - 1), %(job_id)s, %(run)s, %(stage)s, position - 1, %(task_type)s, parameters
  FROM jsonb_array_elements(%(tasks)s::jsonb) WITH ORDINALITY AS planned (parameters, position);

-- get_task
SELECT * FROM app.tasks WHERE task_id = %(task_id)s;

-- unsent_tasks_of_stage
SELECT task_id, dispatch, not_before FROM app.tasks
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s AND status = 'pending'
 ORDER BY task_index;

-- mark_tasks_queued
-- The messages are with the bus. A task that was claimed, or sent under a later number, stays as it is; so does one that
-- somebody is changing just now: waiting for many rows in any order would end in deadlocks.
UPDATE app.tasks
   SET status = 'queued', updated_at = now()
 WHERE task_id IN (
        SELECT t.task_id
          FROM app.tasks AS t
          JOIN unnest(%(task_ids)s::text[], %(dispatches)s::integer[]) AS sent (task_id, dispatch)
            ON t.task_id = sent.task_id AND t.dispatch = sent.dispatch
         WHERE t.status = 'pending'
           FOR UPDATE OF t SKIP LOCKED);

-- claim_task
-- Take a waiting task, or one whose worker let go of this very message, or gave the attempt back with it because of
-- an outage (which does not count as a failure). No row: somebody else has it, or it is done.
UPDATE app.tasks AS t
   SET status = 'processing', attempt = t.attempt + 1,
       failures = t.failures
                + (t.status = 'processing' AND %(counted)s AND t.attempt IS DISTINCT FROM %(released)s)::int,
       claimed_by = %(holder)s, not_before = NULL, started_at = now(), updated_at = now()
  FROM app.jobs AS j
 WHERE t.task_id = %(task_id)s
   AND j.job_id = t.job_id
   AND (t.status IN ('pending', 'queued')
        OR (t.status = 'processing' AND t.claimed_by = %(holder)s AND %(redelivered)s)
        OR (t.status = 'processing' AND t.attempt = %(released)s))
RETURNING t.*, j.job_type, j.parameters AS job_parameters, j.source AS job_source;

-- hold_attempt
-- Confirm the attempt and keep it from being taken over until this transaction ends. No row: fenced out.
SELECT task_id FROM app.tasks
 WHERE task_id = %(task_id)s AND attempt = %(attempt)s AND status = 'processing'
   FOR SHARE;

-- touch_task
-- Real progress is the heartbeat. No row: fenced out.
UPDATE app.tasks
   SET updated_at = now()
 WHERE task_id = %(task_id)s AND attempt = %(attempt)s AND status = 'processing'
RETURNING task_id;

-- lock_attempt
-- No row: fenced out.
SELECT task_id FROM app.tasks
 WHERE task_id = %(task_id)s AND attempt = %(attempt)s AND status = 'processing'
   FOR UPDATE;

-- complete_task
-- No row: fenced out.
UPDATE app.tasks
   SET status = 'completed', result = %(result)s, error = NULL, finished_at = now(), updated_at = now()
 WHERE task_id = %(task_id)s AND attempt = %(attempt)s AND status = 'processing'
RETURNING task_id;

-- retry_task
-- Back to waiting, under the next dispatch number. No row: fenced out.
UPDATE app.tasks
   SET status = 'pending', failures = failures + %(counted)s::int, dispatch = dispatch + 1, error = %(error)s,
       not_before = now() + make_interval(secs => %(after_seconds)s), claimed_by = NULL, updated_at = now()
 WHERE task_id = %(task_id)s AND attempt = %(attempt)s AND status = 'processing'
RETURNING task_id, dispatch, not_before;

-- fail_task
-- No row: fenced out.
UPDATE app.tasks
   SET status = 'failed', failures = failures + 1, error = %(error)s, finished_at = now(), updated_at = now()
 WHERE task_id = %(task_id)s AND attempt = %(attempt)s AND status = 'processing'
RETURNING task_id;

-- stage_results
-- Results of a completed stage in the tasks' order.
SELECT result FROM app.tasks
 WHERE job_id = %(job_id)s AND run = %(run)s AND stage = %(stage)s AND status = 'completed'
 ORDER BY task_index;

-- list_tasks
SELECT task_id, stage, task_index, task_type, status, attempt, failures, error, result,
       created_at, started_at, updated_at, finished_at, not_before
  FROM app.tasks
 WHERE job_id = %(job_id)s AND run = %(run)s
 ORDER BY stage, task_index
 LIMIT %(limit)s;
