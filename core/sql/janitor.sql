-- try_leadership
-- One leader at a time; ends with the transaction, however the process ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('janitor:' || %(janitor)s, 2)) AS leads;

-- record_run
INSERT INTO app.janitor_runs (janitor, started_at, finished_at, actions)
VALUES (%(janitor)s, %(started_at)s, clock_timestamp(), %(actions)s);

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
SELECT * FROM app.tasks
 WHERE status = 'processing' AND updated_at < now() - make_interval(secs => %(stale)s)
   AND failures + 1 >= %(max_attempts)s
 ORDER BY updated_at
 LIMIT %(limit)s;

-- unsent_jobs
-- Open jobs that were told to enter a stage and have not: their message was not sent, or was lost.
SELECT job_id, run, stage FROM app.jobs AS j
 WHERE status IN ('queued', 'processing')
   AND greatest(updated_at, dispatched_at) < now() - make_interval(secs => %(unsent)s)
   AND NOT EXISTS (SELECT FROM app.job_stages AS s
                    WHERE s.job_id = j.job_id AND s.run = j.run AND s.stage = j.stage)
 ORDER BY updated_at
 LIMIT %(limit)s;
