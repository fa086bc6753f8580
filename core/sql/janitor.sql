-- try_leadership
-- One leader at a time; ends with the transaction, however the process ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('janitor:' || %(janitor)s, 2)) AS leads;

-- stay_idle
-- A leader's transaction waits while the bus and the blobs are worked on.
SET LOCAL idle_in_transaction_session_timeout = 0;

-- record_run
INSERT INTO app.janitor_runs (janitor, started_at, finished_at, scanned, actions)
VALUES (%(janitor)s, %(started_at)s, clock_timestamp(), %(scanned)s, %(actions)s);

-- last_watch
-- How long ago the janitor ran last, and for how long it had held silence against nobody then.
SELECT extract(epoch FROM now() - started_at)::integer AS seconds, (scanned->>'sparing_seconds')::integer AS sparing
  FROM app.janitor_runs
 WHERE janitor = %(janitor)s
 ORDER BY started_at DESC
 LIMIT 1;

-- list_runs
SELECT janitor, started_at, finished_at, scanned, actions
  FROM app.janitor_runs
 WHERE (%(janitor)s::text IS NULL OR janitor = %(janitor)s)
   AND (NOT %(acted)s OR actions <> '{}')
 ORDER BY started_at DESC
 LIMIT %(limit)s;

-- last_runs
-- The newest run of each janitor.
SELECT DISTINCT ON (janitor) janitor, started_at, finished_at, scanned, actions
  FROM app.janitor_runs
 ORDER BY janitor, started_at DESC;

-- last_action_on
-- The newest run that did something to the job or one of its tasks.
SELECT janitor, finished_at, actions
  FROM app.janitor_runs
 WHERE actions::text LIKE '%%' || %(job_id)s || '%%'
 ORDER BY started_at DESC
 LIMIT 1;

-- forget_runs
DELETE FROM app.janitor_runs WHERE started_at < now() - make_interval(days => %(days)s);

-- open_work
-- How much there is to look at.
SELECT (SELECT count(*) FROM app.jobs WHERE status IN ('queued', 'processing')) AS jobs,
       (SELECT count(*) FROM app.tasks WHERE status IN ('pending', 'queued', 'processing')) AS tasks;

-- resend_tasks
-- Tasks whose message was never sent, or was sent and not claimed for long: under a new number, to be sent again.
UPDATE app.tasks
   SET dispatch = dispatch + 1, updated_at = now()
 WHERE task_id IN (
        SELECT task_id FROM app.tasks
         WHERE (status = 'pending' AND greatest(updated_at, not_before) < now() - make_interval(secs => %(unsent)s))
            OR (status = 'queued' AND greatest(updated_at, not_before) < now() - make_interval(secs => %(unclaimed)s))
         ORDER BY updated_at
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED)
RETURNING task_id, dispatch, NULL AS not_before;

-- expire_tasks
-- Tasks whose worker says nothing for longer than a function may run: waiting again, while attempts are left.
UPDATE app.tasks
   SET status = 'pending', failures = failures + 1, dispatch = dispatch + 1, claimed_by = NULL, not_before = NULL,
       error = %(error)s, updated_at = now()
 WHERE task_id IN (
        SELECT task_id FROM app.tasks
         WHERE status = 'processing' AND updated_at < now() - make_interval(secs => %(stale)s)
           AND failures + 1 < %(max_attempts)s
         ORDER BY updated_at
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED)
RETURNING task_id, dispatch, not_before;

-- exhausted_tasks
-- Tasks whose worker says nothing and that have no attempt left.
SELECT task_id, job_id, run FROM app.tasks
 WHERE status = 'processing' AND updated_at < now() - make_interval(secs => %(stale)s)
   AND failures + 1 >= %(max_attempts)s
 ORDER BY updated_at
 LIMIT %(limit)s;

-- fail_exhausted_tasks
-- The same under their jobs' locks: whatever came to life meanwhile is left alone.
UPDATE app.tasks
   SET status = 'failed', failures = failures + 1, error = %(error)s, finished_at = now(), updated_at = now()
 WHERE task_id = ANY(%(task_ids)s) AND status = 'processing'
   AND updated_at < now() - make_interval(secs => %(stale)s) AND failures + 1 >= %(max_attempts)s
RETURNING task_id, job_id, run;

-- jobs_with_failed_task
-- Open jobs one of whose tasks failed for good, with the first one's error.
SELECT j.job_id, j.run, first.error || jsonb_build_object('task_id', first.task_id) AS error
  FROM app.jobs AS j
 CROSS JOIN LATERAL (
        SELECT t.task_id, coalesce(t.error, '{"code": "task_failed", "message": "a task failed"}') AS error
          FROM app.tasks AS t
         WHERE t.job_id = j.job_id AND t.run = j.run AND t.status = 'failed'
         ORDER BY t.finished_at, t.task_id
         LIMIT 1) AS first
 WHERE j.status IN ('queued', 'processing')
 LIMIT %(limit)s;

-- advance_full_stages
-- Jobs whose stage is complete and that did not move on.
UPDATE app.jobs
   SET stage = stage + 1, dispatched_at = NULL, updated_at = now()
 WHERE job_id IN (
        SELECT j.job_id
          FROM app.jobs AS j
          JOIN app.job_stages AS s
            ON s.job_id = j.job_id AND s.run = j.run AND s.stage = j.stage AND s.completed = s.expected
         WHERE j.status = 'processing'
         LIMIT %(limit)s
           FOR UPDATE OF j SKIP LOCKED)
RETURNING job_id, run, stage;

-- silent_jobs
-- Open jobs without progress for long. Sending a message again is no progress.
SELECT j.job_id, j.run
  FROM app.jobs AS j
 WHERE j.status IN ('queued', 'processing')
   AND j.updated_at < now() - make_interval(secs => %(silent)s)
   AND NOT EXISTS (
        SELECT FROM app.tasks AS t
         WHERE t.job_id = j.job_id AND t.run = j.run
           AND greatest(t.created_at, t.started_at, t.finished_at,
                        CASE WHEN t.status = 'processing' THEN t.updated_at END)
               >= now() - make_interval(secs => %(silent)s))
 ORDER BY j.updated_at
 LIMIT %(limit)s;

-- ended_runs
-- Which of the given runs are over. A job that is not in this database is somebody else's.
SELECT given.job_id, given.run
  FROM unnest(%(job_ids)s::text[], %(runs)s::integer[]) AS given (job_id, run)
  JOIN app.jobs AS j USING (job_id)
 WHERE j.run > given.run OR (j.run = given.run AND j.status IN ('completed', 'failed', 'cancelled'))
 LIMIT %(limit)s;

-- revive_tasks
-- Tasks whose message was dead-lettered, while they have attempts left: to be sent again. What is pending is sent again by
-- the watchdog.
UPDATE app.tasks AS t
   SET status = 'pending', dispatch = t.dispatch + 1, claimed_by = NULL, not_before = NULL, updated_at = now(),
       failures = t.failures + (t.status = 'processing')::int
  FROM unnest(%(task_ids)s::text[], %(message_ids)s::text[]) AS dead (task_id, message_id)
 WHERE t.task_id = dead.task_id
   AND (t.status = 'queued' OR (t.status = 'processing' AND t.claimed_by = dead.message_id))
   AND t.failures + (t.status = 'processing')::int < %(max_attempts)s
RETURNING t.task_id, t.dispatch, t.not_before;

-- jobs_of_tasks
SELECT DISTINCT job_id FROM app.tasks WHERE task_id = ANY(%(task_ids)s);

-- fail_dead_tasks
-- The same without attempts left, with the broker's reasons.
UPDATE app.tasks AS t
   SET status = 'failed', finished_at = now(), updated_at = now(),
       error = jsonb_build_object('code', 'dead_lettered', 'message', dead.reason)
  FROM unnest(%(task_ids)s::text[], %(message_ids)s::text[], %(reasons)s::text[]) AS dead (task_id, message_id, reason)
 WHERE t.task_id = dead.task_id
   AND (t.status IN ('pending', 'queued') OR (t.status = 'processing' AND t.claimed_by = dead.message_id))
   AND t.failures + (t.status = 'processing')::int >= %(max_attempts)s
RETURNING t.task_id, t.job_id, t.run, t.error;

-- keep_dead_letter
INSERT INTO app.dead_letters (queue, message_id, reason, body)
VALUES (%(queue)s, %(message_id)s, %(reason)s, %(body)s)
ON CONFLICT DO NOTHING;

-- never_submitted
-- Those of the blobs that no job has named as its source.
SELECT name
  FROM unnest(%(names)s::text[]) AS name
 WHERE NOT EXISTS (SELECT FROM app.jobs WHERE parameters->>'blob_name' = name);

-- unsent_jobs
-- Open jobs that have to enter a stage and have not: their message was never confirmed as sent, or was lost.
SELECT job_id, run, stage FROM app.jobs AS j
 WHERE status IN ('queued', 'processing')
   AND CASE WHEN dispatched_at IS NULL THEN updated_at < now() - make_interval(secs => %(unconfirmed)s)
            ELSE greatest(updated_at, dispatched_at) < now() - make_interval(secs => %(unsent)s) END
   AND NOT EXISTS (SELECT FROM app.job_stages AS s
                    WHERE s.job_id = j.job_id AND s.run = j.run AND s.stage = j.stage)
 ORDER BY updated_at
 LIMIT %(limit)s;

-- dead_letters
-- The newest messages that nobody could read.
SELECT queue, message_id, reason, found_at FROM app.dead_letters ORDER BY found_at DESC LIMIT %(limit)s;
