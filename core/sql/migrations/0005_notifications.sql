-- Who wants to be told of a job's events, and what is still to be told: the outbox of the webhooks.

CREATE TABLE app.subscriptions (
    job_id  text NOT NULL REFERENCES app.jobs ON DELETE CASCADE,
    url     text NOT NULL,
    events  text[] NOT NULL,
    PRIMARY KEY (job_id, url)
);
COMMENT ON TABLE app.subscriptions IS 'of the current run; gone when it has ended';

CREATE TABLE app.notifications (
    event_id      text NOT NULL,
    url           text NOT NULL,
    receiver      text NOT NULL GENERATED ALWAYS AS (substring(url FROM '^[^/]+//[^/?#]+')) STORED,
    job_id        text NOT NULL REFERENCES app.jobs ON DELETE CASCADE,
    event         text NOT NULL,
    occurred_at   timestamptz NOT NULL,
    job           jsonb NOT NULL,
    stages        jsonb NOT NULL,
    enqueued_at   timestamptz NOT NULL DEFAULT now(),
    due_at        timestamptz NOT NULL DEFAULT now(),
    attempt       integer NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,
    leased_until  timestamptz,
    delivered_at  timestamptz,
    given_up_at   timestamptz,
    last_problem  text,
    PRIMARY KEY (event_id, url)
);
COMMENT ON COLUMN app.notifications.job IS 'the row of app.jobs as the event left it; stages: its counters';
COMMENT ON COLUMN app.notifications.attempt IS 'the fence: rises with every claim; what a worker writes carries it';
COMMENT ON COLUMN app.notifications.leased_until IS 'somebody is delivering it';

CREATE INDEX notifications_due ON app.notifications (due_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX notifications_leased ON app.notifications (receiver) WHERE leased_until IS NOT NULL;
CREATE INDEX notifications_of_job ON app.notifications (job_id);
CREATE INDEX notifications_ended ON app.notifications (coalesce(delivered_at, given_up_at));

-- To be told again what was told before takes the place of the first telling, and fences it out.
CREATE FUNCTION app.note_event(job app.jobs, happened text, at_stage integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO app.notifications (event_id, url, job_id, event, occurred_at, job, stages)
    SELECT concat_ws('-', job.job_id, job.run, happened, at_stage), s.url, job.job_id, happened,
           coalesce(job.finished_at, now()), to_jsonb(job),
           coalesce((SELECT jsonb_agg(jsonb_build_object('stage', stage, 'name', name, 'total', expected,
                                                         'completed', completed, 'failed', failed) ORDER BY stage)
                       FROM app.job_stages AS counted
                      WHERE counted.job_id = job.job_id AND counted.run = job.run), '[]')
      FROM app.subscriptions AS s
     WHERE s.job_id = job.job_id AND happened = ANY (s.events)
    ON CONFLICT (event_id, url) DO UPDATE
       SET enqueued_at = now(), due_at = now(), attempt = notifications.attempt + 1, failures = 0, leased_until = NULL,
           delivered_at = NULL, given_up_at = NULL, last_problem = NULL;
$$;

CREATE FUNCTION app.note_end(job app.jobs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM app.note_event(job, job.status, NULL);
    DELETE FROM app.subscriptions AS s WHERE s.job_id = job.job_id;
END $$;

-- Whatever moves a job on tells of it in the same transaction: there is no other way.
CREATE FUNCTION app.note_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IN ('completed', 'failed', 'cancelled') THEN
        PERFORM app.note_end(NEW);
    ELSIF NEW.stage > OLD.stage THEN
        PERFORM app.note_event(NEW, 'stage_completed', OLD.stage);
    ELSIF OLD.status = 'queued' THEN
        PERFORM app.note_event(NEW, 'started', NULL);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_transition AFTER UPDATE ON app.jobs
    FOR EACH ROW WHEN (OLD.run = NEW.run AND (OLD.status, OLD.stage) IS DISTINCT FROM (NEW.status, NEW.stage))
    EXECUTE FUNCTION app.note_transition();
