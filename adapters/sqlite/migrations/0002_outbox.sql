-- What waits for the bus is a short table of its own, so that publishing never rewrites an event.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY
) STRICT;
INSERT INTO outbox (seq) SELECT seq FROM events WHERE published_at IS NULL;
DROP INDEX events_unpublished;
ALTER TABLE events DROP COLUMN published_at;

-- A body is up to some kilobytes: rows lie in the order of their making, and only the index in that of the keys.
CREATE TABLE idempotency_by_row (
    user_id      TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    booking_id   TEXT,
    locked_until INTEGER,
    status       INTEGER,
    body         BLOB,
    UNIQUE (user_id, key)
) STRICT;
INSERT INTO idempotency_by_row SELECT user_id, key, request_hash, booking_id, locked_until, status, body FROM idempotency;
DROP TABLE idempotency;
ALTER TABLE idempotency_by_row RENAME TO idempotency;
