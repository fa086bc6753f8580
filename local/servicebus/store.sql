-- add_message
-- Returns the row's id.
INSERT INTO messages (entity, sequence_number, state, enqueued_at, due_at, expires_at, wake_at, priority, time_to_live)
VALUES (:entity, :sequence_number, :state, :enqueued_at, :due_at, :expires_at, :wake_at, :priority, :time_to_live)
RETURNING id;

-- add_payload
-- The bulk of a message, apart, so that locking one does not rewrite it.
INSERT INTO payloads (id, annotation_count, annotations, body)
VALUES (:id, :annotation_count, :annotations, :body);

-- next_sequence_number
-- A queue and its dead-letter queue count together.
INSERT INTO sequences (queue, last) VALUES (:queue, 1)
ON CONFLICT (queue) DO UPDATE SET last = last + 1
RETURNING last;

-- remember_id
-- No row: this message id was sent within the window.
INSERT INTO sent_ids (entity, message_id, sent_at) VALUES (:entity, :message_id, :now)
ON CONFLICT (entity, message_id) DO UPDATE SET sent_at = :now WHERE sent_at <= :before
RETURNING sent_at;

-- forget_ids
-- Drop the ids whose window is over.
DELETE FROM sent_ids WHERE entity = :entity AND sent_at <= :before;

-- lock_next
-- Lock the oldest waiting message. No row: nothing waits.
UPDATE messages
   SET lock_token = :token, locked_until = :until, wake_at = :until
 WHERE id = (SELECT id FROM messages
              WHERE entity = :entity AND state = 0 AND lock_token IS NULL
              ORDER BY sequence_number LIMIT 1)
RETURNING *;

-- take_next
-- Remove the oldest waiting message. No row: nothing waits.
DELETE FROM messages
 WHERE id = (SELECT id FROM messages
              WHERE entity = :entity AND state = 0 AND lock_token IS NULL
              ORDER BY sequence_number LIMIT 1)
RETURNING *;

-- lock_one
-- Lock a deferred message that somebody asked for by its number.
UPDATE messages SET lock_token = :token, locked_until = :until, wake_at = :until
 WHERE id = :id AND lock_token IS NULL
RETURNING *;

-- held
-- The message under this lock, while the lock lasts.
SELECT * FROM messages WHERE entity = :entity AND lock_token = :token AND locked_until > :now;

-- renew
UPDATE messages SET locked_until = :until, wake_at = :until WHERE id = :id;

-- unlock
-- Give a message back, waiting (0) or deferred (1). A deferred message wakes for nothing.
UPDATE messages
   SET lock_token = NULL, locked_until = NULL, state = :state, delivery_count = :delivery_count,
       wake_at = CASE :state WHEN 0 THEN expires_at END
 WHERE id = :id;

-- activate
-- A scheduled message's time has come: it joins the end of the queue, with a number of its own.
UPDATE messages
   SET state = 0, sequence_number = :sequence_number, enqueued_at = :now, wake_at = expires_at
 WHERE id = :id;

-- move_to_dead_letter
-- Nothing expires in a dead-letter queue.
UPDATE messages
   SET entity = :entity, state = 0, lock_token = NULL, locked_until = NULL, expires_at = NULL, wake_at = NULL
 WHERE id = :id;

-- replace_body
UPDATE payloads SET body = :body WHERE id = :id;

-- remove_message
DELETE FROM messages WHERE id = :id;

-- remove_payload
DELETE FROM payloads WHERE id = :id;

-- payload
SELECT annotation_count, annotations, body FROM payloads WHERE id = :id;

-- by_sequence_number
SELECT * FROM messages WHERE entity = :entity AND sequence_number = :sequence_number;

-- browse
-- In order, from a sequence number on.
SELECT * FROM messages WHERE entity = :entity AND sequence_number >= :first ORDER BY sequence_number LIMIT :count;

-- due
-- What a lock's end, a schedule or an expiry has come for.
SELECT * FROM messages WHERE entity = :entity AND wake_at <= :now ORDER BY wake_at LIMIT :count;

-- next_wake
SELECT wake_at FROM messages WHERE entity = :entity AND wake_at IS NOT NULL ORDER BY wake_at LIMIT 1;
