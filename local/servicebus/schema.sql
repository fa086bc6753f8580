-- state: 0 active, 1 deferred, 2 scheduled. Times are milliseconds since 1970.
-- wake_at: when the message next changes by itself (its lock ends, it is due, it expires).
CREATE TABLE IF NOT EXISTS messages (
    id              INTEGER PRIMARY KEY,
    entity          TEXT    NOT NULL,
    sequence_number INTEGER NOT NULL,
    state           INTEGER NOT NULL,
    enqueued_at     INTEGER NOT NULL,
    due_at          INTEGER,
    expires_at      INTEGER,
    wake_at         INTEGER,
    delivery_count  INTEGER NOT NULL DEFAULT 0,
    lock_token      BLOB,
    locked_until    INTEGER,
    priority        INTEGER NOT NULL,
    time_to_live    INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS messages_in_order ON messages (entity, sequence_number);
CREATE INDEX IF NOT EXISTS messages_waiting ON messages (entity, sequence_number)
    WHERE state = 0 AND lock_token IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS messages_locked ON messages (lock_token) WHERE lock_token IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_to_wake ON messages (entity, wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS payloads (
    id               INTEGER PRIMARY KEY,
    annotation_count INTEGER NOT NULL,
    annotations      BLOB    NOT NULL,
    body             BLOB    NOT NULL
);

CREATE TABLE IF NOT EXISTS sequences (
    queue TEXT PRIMARY KEY,
    last  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS sent_ids (
    entity     TEXT    NOT NULL,
    message_id TEXT    NOT NULL,
    sent_at    INTEGER NOT NULL,
    PRIMARY KEY (entity, message_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sent_ids_by_age ON sent_ids (entity, sent_at);
