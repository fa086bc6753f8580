-- hold_job
-- The job does not move until this transaction ends: who subscribes either does so before its end, or sees it.
SELECT job_id FROM app.jobs WHERE job_id = %(job_id)s FOR SHARE;

-- subscribe
-- Nobody's wish is taken away: the same URL is told of all that was ever asked for.
INSERT INTO app.subscriptions AS s (job_id, url, events)
VALUES (%(job_id)s, %(url)s, %(events)s)
ON CONFLICT (job_id, url) DO UPDATE
   SET events = ARRAY(SELECT DISTINCT event FROM unnest(s.events || excluded.events) AS wanted (event) ORDER BY event);

-- note_end_if_over
-- Who subscribes when the job has ended is told how.
SELECT app.note_end(j) FROM app.jobs AS j WHERE j.job_id = %(job_id)s AND j.status IN ('completed', 'failed', 'cancelled');

-- claim
-- The longest due event, for as long as the lease lasts. A receiver that is slow, or hangs, has a few at a time.
WITH busy AS (
    SELECT receiver FROM app.notifications WHERE leased_until > now()
     GROUP BY receiver HAVING count(*) >= %(most_per_receiver)s
), due AS (
    SELECT event_id, url FROM app.notifications
     WHERE delivered_at IS NULL AND given_up_at IS NULL AND due_at <= now()
       AND enqueued_at > now() - make_interval(secs => %(patience)s)
       AND receiver NOT IN (SELECT receiver FROM busy)
     ORDER BY due_at
     LIMIT 1
       FOR UPDATE SKIP LOCKED
)
UPDATE app.notifications AS n
   SET attempt = n.attempt + 1, leased_until = now() + make_interval(secs => %(lease)s),
       due_at = now() + make_interval(secs => %(lease)s)
  FROM due
 WHERE (n.event_id, n.url) = (due.event_id, due.url)
RETURNING n.*;

-- delivered
-- No row: fenced out.
UPDATE app.notifications
   SET delivered_at = now(), leased_until = NULL, last_problem = NULL
 WHERE event_id = %(event_id)s AND url = %(url)s AND attempt = %(attempt)s AND delivered_at IS NULL
RETURNING event_id;

-- not_delivered
-- Due again later, or given up at once by a receiver that is %(gone)s. No row: fenced out.
UPDATE app.notifications
   SET failures = failures + 1, due_at = now() + make_interval(secs => %(after)s), leased_until = NULL,
       given_up_at = CASE WHEN %(gone)s THEN now() END, last_problem = %(problem)s
 WHERE event_id = %(event_id)s AND url = %(url)s AND attempt = %(attempt)s AND delivered_at IS NULL
RETURNING event_id;

-- give_up
-- What nobody took for too long.
UPDATE app.notifications
   SET given_up_at = now(), leased_until = NULL
 WHERE delivered_at IS NULL AND given_up_at IS NULL
   AND enqueued_at <= now() - make_interval(secs => %(patience)s)
   AND (leased_until IS NULL OR leased_until <= now())
RETURNING event_id, job_id, receiver, failures, last_problem;

-- forget
DELETE FROM app.notifications WHERE coalesce(delivered_at, given_up_at) < now() - make_interval(days => %(days)s);

-- list_notifications
-- Of a job, without what a URL may hide behind its host.
SELECT event_id, event, receiver,
       CASE WHEN delivered_at IS NOT NULL THEN 'delivered' WHEN given_up_at IS NOT NULL THEN 'given_up'
            WHEN leased_until > now() THEN 'on_its_way' ELSE 'waiting' END AS status,
       occurred_at, failures, last_problem, delivered_at, given_up_at,
       CASE WHEN delivered_at IS NULL AND given_up_at IS NULL THEN due_at END AS next_attempt_at
  FROM app.notifications
 WHERE job_id = %(job_id)s
 ORDER BY occurred_at, event_id, url
 LIMIT %(limit)s;

-- backlog
SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting,
       count(*) FILTER (WHERE given_up_at IS NULL AND failures > 0) AS failing,
       coalesce(extract(epoch FROM now() - min(enqueued_at) FILTER (WHERE given_up_at IS NULL)), 0)::integer
           AS oldest_seconds,
       count(*) FILTER (WHERE given_up_at IS NOT NULL) AS given_up
  FROM app.notifications
 WHERE delivered_at IS NULL;
