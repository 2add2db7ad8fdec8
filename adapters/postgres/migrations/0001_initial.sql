-- Times are microseconds since 1970 (UTC), money is minor units with its currency, states and events are JSON, kept as
-- it was written. Ids sort by their bytes, as everywhere else.

CREATE EXTENSION IF NOT EXISTS postgis;

-- version counts the events: it stands for the claim, and every change repeats it in its predicate. epoch is the fence
-- that the vehicle compares.
CREATE TABLE vehicles (
    id       text COLLATE "C" PRIMARY KEY,
    version  bigint NOT NULL,
    epoch    bigint NOT NULL,
    deadline bigint,
    state    json NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX vehicles_deadline ON vehicles (deadline) WHERE deadline IS NOT NULL;

CREATE TABLE bookings (
    id         uuid PRIMARY KEY,
    user_id    text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    version    bigint NOT NULL,
    status     text NOT NULL,
    deadline   bigint,
    state      json NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX bookings_of_user ON bookings (user_id, created_at, id);
CREATE INDEX bookings_deadline ON bookings (deadline) WHERE deadline IS NOT NULL;

-- The log of every aggregate. It is never pruned: folding it gives the stored state.
CREATE TABLE events (
    aggregate_type    text COLLATE "C" NOT NULL,
    aggregate_id      text COLLATE "C" NOT NULL,
    aggregate_version bigint NOT NULL,
    topic             text NOT NULL,
    name              text NOT NULL,
    at                bigint NOT NULL,
    data              json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, aggregate_version)
);

-- Which events of the log wait for the bus, and for a while those that are on it. seq is drawn under the lock of the
-- aggregate's row, so it rises with the version; between aggregates it says nothing.
CREATE TABLE outbox (
    seq               bigint GENERATED ALWAYS AS IDENTITY,
    aggregate_type    text COLLATE "C" NOT NULL,
    aggregate_id      text COLLATE "C" NOT NULL,
    aggregate_version bigint NOT NULL,
    partition         smallint NOT NULL,
    published_at      bigint,
    PRIMARY KEY (aggregate_type, aggregate_id, aggregate_version)
);
CREATE INDEX outbox_queue ON outbox (published_at, seq);

-- Which relay may publish a partition of the aggregates, and until when.
CREATE TABLE outbox_leases (
    partition  smallint PRIMARY KEY,
    holder     uuid,
    expires_at timestamptz NOT NULL
);
INSERT INTO outbox_leases (partition, holder, expires_at) SELECT n, NULL, now() FROM generate_series(0, 15) n;

-- Relays that are there, and until when they are believed to be.
CREATE TABLE outbox_relays (
    holder     uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

-- Renews what the relay holds and takes what nobody holds, up to its fair share; lets go of what is more than that.
-- The clock is the database's.
CREATE FUNCTION lease_outbox(relay uuid, seconds double precision) RETURNS SETOF smallint LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => seconds);
    share bigint;
BEGIN
    PERFORM 1 FROM outbox_leases ORDER BY partition FOR UPDATE;
    DELETE FROM outbox_relays WHERE expires_at <= clock_timestamp();
    INSERT INTO outbox_relays VALUES (relay, until) ON CONFLICT (holder) DO UPDATE SET expires_at = until;
    SELECT ceil((SELECT count(*) FROM outbox_leases)::numeric / count(*)) INTO share FROM outbox_relays;
    UPDATE outbox_leases SET holder = NULL WHERE holder = relay AND partition NOT IN (
        SELECT partition FROM outbox_leases WHERE holder = relay ORDER BY partition LIMIT share);
    RETURN QUERY
    UPDATE outbox_leases SET holder = relay, expires_at = until WHERE partition IN (
        SELECT partition FROM outbox_leases
        WHERE holder IS NULL OR holder = relay OR expires_at <= clock_timestamp()
        ORDER BY holder IS DISTINCT FROM relay, partition LIMIT share)
    RETURNING partition;
END
$$;

CREATE TABLE ledger (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    booking_id uuid NOT NULL,
    version    bigint NOT NULL,
    account    text NOT NULL,
    minor      bigint NOT NULL,
    currency   text NOT NULL,
    at         bigint NOT NULL
);
CREATE INDEX ledger_of_booking ON ledger (booking_id, seq);

-- In flight while status is null.
CREATE TABLE idempotency (
    user_id      text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    booking_id   uuid,
    locked_until bigint,
    status       smallint,
    body         bytea,
    PRIMARY KEY (user_id, key)
) WITH (fillfactor = 80);

-- Apart from vehicles, so that a heartbeat never rewrites a state nor waits for a claim.
-- watched: the vehicle is registered, online and not retired.
CREATE TABLE telemetry (
    vehicle_id    text COLLATE "C" PRIMARY KEY,
    watched       boolean NOT NULL,
    last_reported bigint,
    lat           double precision,
    lon           double precision,
    charge        integer,
    range_m       bigint
) WITH (fillfactor = 50);
CREATE INDEX telemetry_silence ON telemetry (last_reported, vehicle_id) WHERE watched;

-- Search: what is free and where. A row stays when its vehicle is taken, for its version.
CREATE TABLE listings (
    vehicle_id      text COLLATE "C" PRIMARY KEY,
    version         bigint NOT NULL,
    free            boolean NOT NULL,
    vehicle_type    text,
    form_factor     text,
    propulsion_type text,
    plan_id         text,
    lat             double precision,
    lon             double precision,
    charge          integer,
    range_m         bigint,
    last_reported   bigint,
    position        geography(Point, 4326) GENERATED ALWAYS AS (ST_MakePoint(lon, lat)::geography) STORED
);
CREATE INDEX listings_free ON listings USING gist (position) WHERE free;

CREATE TABLE profiles (
    user_id text COLLATE "C" PRIMARY KEY,
    profile json NOT NULL
);

CREATE TABLE inbox (
    consumer text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    at       bigint NOT NULL,
    PRIMARY KEY (consumer, event_id)
);

-- Carries out commits that do not touch one another: no aggregate, no idempotency key and no quota's user twice. Each
-- stands or falls by its own expectations. Returns a row for each that is refused; all others are written.
--
-- x_commit says to which commit the x belongs. Under READ COMMITTED each statement sees what was committed before it
-- began, so: take every lock first, always in the same order (so that two batches can't wait for each other in a
-- circle), then judge, then write. The predicate on version is repeated where the row is written.
CREATE FUNCTION commit_batch(
    v_commit integer[], v_id text[], v_expected bigint[], v_version bigint[], v_epoch bigint[], v_watched boolean[],
    v_deadline bigint[], v_state text[],
    b_commit integer[], b_id text[], b_expected bigint[], b_version bigint[], b_user text[], b_created bigint[],
    b_status text[], b_deadline bigint[], b_state text[],
    e_commit integer[], e_type text[], e_id text[], e_version bigint[], e_topic text[], e_name text[], e_at bigint[],
    e_data text[],
    l_commit integer[], l_booking text[], l_version bigint[], l_account text[], l_minor bigint[], l_currency text[],
    l_at bigint[],
    i_commit integer[], i_user text[], i_key text[],
    i_old_hash bytea[], i_old_booking text[], i_old_locked bigint[], i_old_status smallint[], i_old_body bytea[],
    i_hash bytea[], i_booking text[], i_locked bigint[], i_status smallint[], i_body bytea[],
    q_commit integer[], q_user text[], q_since bigint[], q_max bigint[]
) RETURNS TABLE (commit_no integer, reason text, change_no integer, current bigint)
LANGUAGE plpgsql
-- Plans are made once for a connection, which may have begun when the tables were empty: always by index.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    refused integer[] := '{}';
    found_v jsonb;
    found_b jsonb;
    w record;
    known record;
    made bigint;
    oldest bigint;
    expected_rows bigint;
    written bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(h) FROM (
        SELECT DISTINCT hashtextextended(t, 20) AS h FROM (
            SELECT 'quota ' || u AS t FROM unnest(q_user) u
            UNION ALL SELECT 'key ' || u || ' ' || k FROM unnest(i_user, i_key) x (u, k)
        ) texts ORDER BY h
    ) locks;
    SELECT coalesce(jsonb_object_agg(id, version), '{}') INTO found_v FROM (
        SELECT id, version FROM vehicles WHERE id = ANY (v_id) ORDER BY id FOR UPDATE
    ) locked;
    SELECT coalesce(jsonb_object_agg(id, version), '{}') INTO found_b FROM (
        SELECT id, version FROM bookings WHERE id = ANY (b_id::uuid[]) ORDER BY id FOR UPDATE
    ) locked;

    -- Row by row from here where a table is looked into: the plan of an equality on a key is right for a table of any size.
    FOR w IN SELECT * FROM unnest(i_commit, i_user, i_key, i_old_hash, i_old_booking, i_old_locked, i_old_status,
        i_old_body) x (c, u, k, hash, booking, locked, status, body)
    LOOP
        SELECT request_hash, booking_id, locked_until, status, body INTO known
        FROM idempotency WHERE user_id = w.u AND key = w.k;
        IF (known.request_hash, known.booking_id, known.locked_until, known.status, known.body)
            IS DISTINCT FROM (w.hash, w.booking::uuid, w.locked, w.status, w.body)
        THEN
            commit_no := w.c; reason := 'idempotency'; change_no := 0; current := 0;
            refused := refused || w.c;
            RETURN NEXT;
        END IF;
    END LOOP;
    FOR commit_no, reason, change_no, current IN
        SELECT DISTINCT ON (c) c, r, n, v FROM (
            SELECT x.c, 1 AS rank, 'vehicle' AS r, x.n::integer AS n, coalesce((found_v ->> x.id)::bigint, 0) AS v
            FROM unnest(v_commit, v_id, v_expected) WITH ORDINALITY x (c, id, expected, n)
            WHERE coalesce((found_v ->> x.id)::bigint, 0) <> x.expected
            UNION ALL
            SELECT x.c, 2, 'booking', x.n::integer, coalesce((found_b ->> x.id)::bigint, 0)
            FROM unnest(b_commit, b_id, b_expected) WITH ORDINALITY x (c, id, expected, n)
            WHERE coalesce((found_b ->> x.id)::bigint, 0) <> x.expected
        ) stale WHERE c <> ALL (refused) ORDER BY c, rank, n
    LOOP
        refused := refused || commit_no;
        RETURN NEXT;
    END LOOP;
    FOR w IN SELECT * FROM unnest(q_commit, q_user, q_since, q_max) x (c, u, since, most) WHERE c <> ALL (refused)
    LOOP
        SELECT count(*), coalesce(min(created_at), w.since) INTO made, oldest
        FROM bookings WHERE user_id = w.u AND created_at > w.since;
        IF made >= w.most THEN
            commit_no := w.c; reason := 'quota'; change_no := 0; current := oldest;
            refused := refused || w.c;
            RETURN NEXT;
        END IF;
    END LOOP;

    FOR w IN SELECT * FROM unnest(v_commit, v_id, v_expected, v_version, v_epoch, v_deadline, v_state)
        x (c, id, expected, version, epoch, deadline, state) WHERE expected > 0 AND c <> ALL (refused)
    LOOP
        UPDATE vehicles SET version = w.version, epoch = w.epoch, deadline = w.deadline, state = w.state::json
        WHERE id = w.id AND version = w.expected;
        IF NOT FOUND THEN
            RAISE 'a vehicle moved on under its lock' USING ERRCODE = 'serialization_failure';
        END IF;
    END LOOP;
    INSERT INTO vehicles (id, version, epoch, deadline, state)
    SELECT x.id, x.version, x.epoch, x.deadline, x.state::json
    FROM unnest(v_commit, v_id, v_expected, v_version, v_epoch, v_deadline, v_state)
         x (c, id, expected, version, epoch, deadline, state)
    WHERE x.expected = 0 AND x.c <> ALL (refused) ORDER BY x.id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    SELECT count(*) INTO expected_rows FROM unnest(v_commit, v_expected) x (c, expected)
    WHERE x.expected = 0 AND x.c <> ALL (refused);
    IF written <> expected_rows THEN
        RAISE 'a vehicle was registered meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO telemetry (vehicle_id, watched)
    SELECT x.id, x.watched FROM unnest(v_commit, v_id, v_watched) x (c, id, watched)
    WHERE x.watched IS NOT NULL AND x.c <> ALL (refused) ORDER BY x.id
    ON CONFLICT (vehicle_id) DO UPDATE SET watched = excluded.watched WHERE telemetry.watched <> excluded.watched;

    FOR w IN SELECT * FROM unnest(b_commit, b_id, b_expected, b_version, b_status, b_deadline, b_state)
        x (c, id, expected, version, status, deadline, state) WHERE expected > 0 AND c <> ALL (refused)
    LOOP
        UPDATE bookings SET version = w.version, status = w.status, deadline = w.deadline, state = w.state::json
        WHERE id = w.id::uuid AND version = w.expected;
        IF NOT FOUND THEN
            RAISE 'a booking moved on under its lock' USING ERRCODE = 'serialization_failure';
        END IF;
    END LOOP;
    INSERT INTO bookings (id, user_id, created_at, version, status, deadline, state)
    SELECT x.id::uuid, x.owner, x.created_at, x.version, x.status, x.deadline, x.state::json
    FROM unnest(b_commit, b_id, b_expected, b_version, b_user, b_created, b_status, b_deadline, b_state)
         x (c, id, expected, version, owner, created_at, status, deadline, state)
    WHERE x.expected = 0 AND x.c <> ALL (refused) ORDER BY x.id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    SELECT count(*) INTO expected_rows FROM unnest(b_commit, b_expected) x (c, expected)
    WHERE x.expected = 0 AND x.c <> ALL (refused);
    IF written <> expected_rows THEN
        RAISE 'a booking was created meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;

    INSERT INTO events (aggregate_type, aggregate_id, aggregate_version, topic, name, at, data)
    SELECT x.kind, x.id, x.version, x.topic, x.name, x.at, x.data::json
    FROM unnest(e_commit, e_type, e_id, e_version, e_topic, e_name, e_at, e_data)
         x (c, kind, id, version, topic, name, at, data)
    WHERE x.c <> ALL (refused);
    INSERT INTO outbox (aggregate_type, aggregate_id, aggregate_version, partition)
    SELECT x.kind, x.id, x.version, hashtext(x.id) & 15
    FROM unnest(e_commit, e_type, e_id, e_version) WITH ORDINALITY x (c, kind, id, version, n)
    WHERE x.c <> ALL (refused) ORDER BY x.n;
    INSERT INTO ledger (booking_id, version, account, minor, currency, at)
    SELECT x.booking::uuid, x.version, x.account, x.minor, x.currency, x.at
    FROM unnest(l_commit, l_booking, l_version, l_account, l_minor, l_currency, l_at) WITH ORDINALITY
         x (c, booking, version, account, minor, currency, at, n)
    WHERE x.c <> ALL (refused) ORDER BY x.n;
    INSERT INTO idempotency (user_id, key, request_hash, booking_id, locked_until, status, body)
    SELECT x.u, x.k, x.hash, x.booking::uuid, x.locked, x.status, x.body
    FROM unnest(i_commit, i_user, i_key, i_hash, i_booking, i_locked, i_status, i_body)
         x (c, u, k, hash, booking, locked, status, body)
    WHERE x.c <> ALL (refused)
    ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash,
        booking_id = excluded.booking_id, locked_until = excluded.locked_until,
        status = excluded.status, body = excluded.body;
END
$$;
