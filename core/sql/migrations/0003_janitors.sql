-- What the janitors looked at, and messages that nobody could read.

ALTER TABLE app.janitor_runs ADD COLUMN scanned jsonb NOT NULL DEFAULT '{}';

CREATE TABLE app.dead_letters (
    queue        text NOT NULL,
    message_id   text NOT NULL,
    reason       text NOT NULL,
    body         text NOT NULL,
    found_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (queue, message_id)
);
COMMENT ON TABLE app.dead_letters IS 'dead-lettered messages that are not messages of the app, as they were';
