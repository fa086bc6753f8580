-- Jobs, their stages and tasks. Postgres is the truth; a message is a hint.

CREATE SCHEMA IF NOT EXISTS app;

CREATE TABLE app.jobs (
    job_id          text PRIMARY KEY CHECK (job_id ~ '^[0-9a-f]{64}$'),
    job_type        text NOT NULL,
    status          text NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    run             integer NOT NULL DEFAULT 1,
    stage           integer NOT NULL DEFAULT 1,
    total_stages    integer NOT NULL CHECK (total_stages > 0),
    parameters      jsonb NOT NULL,
    source          jsonb NOT NULL DEFAULT '{}',
    exclusive_key   text,
    result          jsonb,
    error           jsonb,
    dispatch        integer NOT NULL DEFAULT 0,
    dispatched_at   timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    run_started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz
);
COMMENT ON COLUMN app.jobs.stage IS 'the stage being worked on, from 1';
COMMENT ON COLUMN app.jobs.exclusive_key IS 'what only one active job may write, e.g. table:geo.parcels';

CREATE UNIQUE INDEX jobs_one_active_per_key ON app.jobs (exclusive_key) WHERE status IN ('queued', 'processing');
CREATE INDEX jobs_open ON app.jobs (updated_at) WHERE status IN ('queued', 'processing');
CREATE INDEX jobs_newest ON app.jobs (created_at DESC, job_id DESC);

CREATE TABLE app.job_runs (
    job_id       text NOT NULL REFERENCES app.jobs ON DELETE CASCADE,
    run          integer NOT NULL,
    status       text NOT NULL,
    result       jsonb,
    error        jsonb,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL,
    PRIMARY KEY (job_id, run)
);
COMMENT ON TABLE app.job_runs IS 'how each ended run of a job ended';

CREATE TABLE app.job_stages (
    job_id      text NOT NULL REFERENCES app.jobs ON DELETE CASCADE,
    run         integer NOT NULL,
    stage       integer NOT NULL,
    name        text NOT NULL,
    expected    integer NOT NULL CHECK (expected > 0),
    completed   integer NOT NULL DEFAULT 0,
    failed      integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, run, stage),
    CHECK (completed >= 0 AND failed >= 0 AND completed + failed <= expected)
) WITH (fillfactor = 50);

CREATE TABLE app.tasks (
    task_id      text PRIMARY KEY,
    job_id       text NOT NULL,
    run          integer NOT NULL,
    stage        integer NOT NULL,
    task_index   integer NOT NULL,
    task_type    text NOT NULL,
    status       text NOT NULL DEFAULT 'pending'
                 CHECK (status IN ('pending', 'queued', 'processing', 'completed', 'failed', 'cancelled')),
    parameters   jsonb NOT NULL,
    attempt      integer NOT NULL DEFAULT 0,
    failures     integer NOT NULL DEFAULT 0,
    dispatch     integer NOT NULL DEFAULT 1,
    claimed_by   text,
    result       jsonb,
    error        jsonb,
    not_before   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    UNIQUE (job_id, run, stage, task_index),
    FOREIGN KEY (job_id, run, stage) REFERENCES app.job_stages ON DELETE CASCADE
) WITH (fillfactor = 70);
COMMENT ON COLUMN app.tasks.attempt IS 'the fence: rises with every claim; what a worker writes carries it';
COMMENT ON COLUMN app.tasks.failures IS 'attempts that count against the limit';
COMMENT ON COLUMN app.tasks.dispatch IS 'how often it was sent; part of the message id';

CREATE INDEX tasks_open ON app.tasks (status, updated_at) WHERE status IN ('pending', 'queued', 'processing');

CREATE TABLE app.janitor_runs (
    janitor_run_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    janitor         text NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    actions         jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX janitor_runs_newest ON app.janitor_runs (started_at DESC);

-- Terminal states never change; a job starts over only as its next run.
CREATE FUNCTION app.keep_job_terminal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('completed', 'failed', 'cancelled') AND NEW.run = OLD.run AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'job % run % is %, it cannot become %', OLD.job_id, OLD.run, OLD.status, NEW.status
              USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.run <> OLD.run AND (NEW.run <> OLD.run + 1 OR OLD.status IN ('queued', 'processing')) THEN
        RAISE EXCEPTION 'job % run % is %, run % cannot start', OLD.job_id, OLD.run, OLD.status, NEW.run
              USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_terminal BEFORE UPDATE ON app.jobs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.run IS DISTINCT FROM NEW.run)
    EXECUTE FUNCTION app.keep_job_terminal();

CREATE FUNCTION app.keep_task_terminal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'task % is %, it cannot become %', OLD.task_id, OLD.status, NEW.status
          USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER keep_terminal BEFORE UPDATE ON app.tasks
    FOR EACH ROW WHEN (OLD.status IN ('completed', 'failed', 'cancelled') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION app.keep_task_terminal();
