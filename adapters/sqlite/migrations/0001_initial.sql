-- Times are microseconds since 1970 (UTC), money is minor units with its currency, states and events are JSON.

CREATE TABLE vehicles (
    id       TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,
    deadline INTEGER,
    state    TEXT NOT NULL
) STRICT;
CREATE INDEX vehicles_deadline ON vehicles (deadline) WHERE deadline IS NOT NULL;

CREATE TABLE bookings (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    status     TEXT NOT NULL,
    deadline   INTEGER,
    state      TEXT NOT NULL
) STRICT;
CREATE INDEX bookings_of_user ON bookings (user_id, created_at, id);
CREATE INDEX bookings_deadline ON bookings (deadline) WHERE deadline IS NOT NULL;

-- The log of every aggregate and, where published_at is null, the outbox.
CREATE TABLE events (
    seq               INTEGER PRIMARY KEY,
    aggregate_type    TEXT NOT NULL,
    aggregate_id      TEXT NOT NULL,
    aggregate_version INTEGER NOT NULL,
    topic             TEXT NOT NULL,
    name              TEXT NOT NULL,
    at                INTEGER NOT NULL,
    published_at      INTEGER,
    data              TEXT NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, aggregate_version)
) STRICT;
CREATE INDEX events_unpublished ON events (seq) WHERE published_at IS NULL;

CREATE TABLE ledger (
    seq        INTEGER PRIMARY KEY,
    booking_id TEXT NOT NULL,
    version    INTEGER NOT NULL,
    account    TEXT NOT NULL,
    minor      INTEGER NOT NULL,
    currency   TEXT NOT NULL,
    at         INTEGER NOT NULL
) STRICT;
CREATE INDEX ledger_of_booking ON ledger (booking_id, seq);

-- In flight while status is null.
CREATE TABLE idempotency (
    user_id      TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    booking_id   TEXT,
    locked_until INTEGER,
    status       INTEGER,
    body         BLOB,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

-- Apart from vehicles, so that a heartbeat never rewrites a state.
-- watched: the vehicle is registered, online and not retired.
CREATE TABLE telemetry (
    vehicle_id    TEXT PRIMARY KEY,
    watched       INTEGER NOT NULL,
    last_reported INTEGER,
    lat           REAL,
    lon           REAL,
    charge        INTEGER,
    range_m       INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX telemetry_silence ON telemetry (last_reported, vehicle_id) WHERE watched = 1;

CREATE TABLE profiles (
    user_id TEXT PRIMARY KEY,
    profile TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (consumer, event_id)
) STRICT, WITHOUT ROWID;
