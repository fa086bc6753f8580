-- forget_batch
DELETE FROM app.rejects WHERE job_id = %(job_id)s AND run = %(run)s AND batch = %(batch)s;

-- forget_outdated
-- Those of a job's earlier runs, and of a job that ended long ago.
DELETE FROM app.rejects AS r
 USING app.jobs AS j
 WHERE r.job_id = %(job_id)s AND j.job_id = r.job_id
   AND (r.run < j.run OR j.finished_at < now() - make_interval(days => %(days)s));

-- outdated_runs
-- The same of all jobs. Leaps from run to run on the primary key: a run may have millions of rejects.
WITH RECURSIVE runs AS (
    (SELECT job_id, run FROM app.rejects ORDER BY job_id, run LIMIT 1)
    UNION ALL
    SELECT following.job_id, following.run
      FROM runs
     CROSS JOIN LATERAL (
            SELECT r.job_id, r.run FROM app.rejects AS r
             WHERE (r.job_id, r.run) > (runs.job_id, runs.run)
             ORDER BY r.job_id, r.run
             LIMIT 1) AS following
)
SELECT runs.job_id, runs.run
  FROM runs
  JOIN app.jobs AS j USING (job_id)
 WHERE runs.run < j.run OR j.finished_at < now() - make_interval(days => %(days)s);

-- count_rejects
SELECT count(*) AS rows FROM app.rejects WHERE job_id = %(job_id)s AND run = %(run)s;

-- examples
SELECT row_number, lon, lat FROM app.rejects
 WHERE job_id = %(job_id)s AND run = %(run)s AND reason = %(reason)s
 ORDER BY row_number
 LIMIT %(limit)s;

-- page
-- The rejects after a row number: `limit` at most, and no more than about `bytes`, but one at least. available: how many
-- there are up to one more than the limit.
SELECT row_number, reason, detail, lon, lat, geometry, attributes, available
  FROM (SELECT *, count(*) OVER () AS available, sum(size) OVER (ORDER BY row_number) - size AS size_before
          FROM (SELECT *, coalesce(octet_length(geometry), 0) + pg_column_size(attributes) AS size
                  FROM app.rejects
                 WHERE job_id = %(job_id)s AND run = %(run)s AND row_number > %(after)s
                 ORDER BY row_number
                 LIMIT %(limit)s + 1) AS following) AS sized
 WHERE size_before < %(bytes)s
 ORDER BY row_number
 LIMIT %(limit)s;
