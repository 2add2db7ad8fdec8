-- What a batch and a search need not pay. Nothing that is stored changes.

-- A search reads some hundred rows. Postgres guesses that the functions of PostGIS make it worth a second process, whose
-- start takes longer than the whole search.
ALTER TABLE listings SET (parallel_workers = 0);

-- commit_batch as it was, but
-- - all events of a batch share one number of outbox's sequence;
-- - a new booking is not looked for first: should it be there, its insert says so, and only then who is refused is found out;
-- - a new idempotency record is inserted as one, since the lock on its key has shown that there is none.
CREATE OR REPLACE FUNCTION commit_batch(
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
-- Plans are made once for a connection, which may have begun when the tables were empty: always by index, from the batch to the
-- table. Where two indexes of an empty table would cost the same, or a table might be put before the batch, the
-- statements below leave one way only.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    refused integer[] := '{}';
    -- In the order of the batch: the versions that were found, 0 for none, and where their rows lie.
    found_v bigint[] := '{}';
    found_b bigint[] := '{}';
    place_v tid[];
    place_b tid[];
    meant bigint;
    first bigint;
    written bigint;
BEGIN
    IF cardinality(i_user) + cardinality(q_user) > 0 THEN
        PERFORM pg_advisory_xact_lock(h) FROM (
            SELECT DISTINCT hashtextextended(t, 20) AS h FROM (
                SELECT 'quota ' || u AS t FROM unnest(q_user) u
                UNION ALL SELECT 'key ' || u || ' ' || k FROM unnest(i_user, i_key) x (u, k)
            ) texts ORDER BY h
        ) locks;
    END IF;
    IF cardinality(v_id) > 0 THEN
        SELECT array_agg(coalesce(held.version, 0) ORDER BY x.n), array_agg(held.place ORDER BY x.n)
        INTO found_v, place_v
        FROM (SELECT u.id, u.n FROM unnest(v_id) WITH ORDINALITY u (id, n) ORDER BY u.id COLLATE "C") x
        LEFT JOIN LATERAL (SELECT version, ctid AS place FROM vehicles WHERE id = x.id FOR UPDATE) held ON true;
    END IF;
    IF cardinality(b_id) > 0 THEN
        -- A range of one with an order: for an equality, bookings_of_user would do as well while the table is empty.
        SELECT array_agg(coalesce(held.version, 0) ORDER BY x.n), array_agg(held.place ORDER BY x.n)
        INTO found_b, place_b
        FROM (SELECT u.id::uuid AS id, u.expected, u.n FROM unnest(b_id, b_expected) WITH ORDINALITY u (id, expected, n)
              ORDER BY 1) x
        LEFT JOIN LATERAL (SELECT version, ctid AS place FROM bookings
            WHERE x.expected > 0 AND id BETWEEN x.id AND x.id ORDER BY id LIMIT 1 FOR UPDATE) held ON true;
    END IF;

    IF cardinality(i_commit) > 0 THEN
        FOR commit_no IN
            SELECT x.c
            FROM (SELECT unnest(i_commit) AS c, unnest(i_user) AS u, unnest(i_key) AS k, unnest(i_old_hash) AS hash,
                      unnest(i_old_booking) AS booking, unnest(i_old_locked) AS locked, unnest(i_old_status) AS status,
                      unnest(i_old_body) AS body) x
            LEFT JOIN LATERAL (SELECT request_hash, booking_id, locked_until, status, body FROM idempotency
                WHERE user_id = x.u AND key = x.k OFFSET 0) known ON true
            WHERE (known.request_hash, known.booking_id, known.locked_until, known.status, known.body)
                IS DISTINCT FROM (x.hash, x.booking::uuid, x.locked, x.status, x.body)
        LOOP
            reason := 'idempotency'; change_no := 0; current := 0;
            refused := refused || commit_no;
            RETURN NEXT;
        END LOOP;
    END IF;
    IF found_v <> v_expected OR found_b <> b_expected THEN
        FOR commit_no, reason, change_no, current IN
            SELECT DISTINCT ON (c) c, r, n, v FROM (
                SELECT x.c, 1 AS rank, 'vehicle' AS r, x.n, x.v, x.expected FROM (
                    SELECT c, expected, v, (row_number() OVER (PARTITION BY c ORDER BY o))::integer AS n
                    FROM unnest(v_commit, v_expected, found_v) WITH ORDINALITY u (c, expected, v, o)) x
                UNION ALL
                SELECT x.c, 2, 'booking', x.n, x.v, x.expected FROM (
                    SELECT c, expected, v, (row_number() OVER (PARTITION BY c ORDER BY o))::integer AS n
                    FROM unnest(b_commit, b_expected, found_b) WITH ORDINALITY u (c, expected, v, o)) x
            ) stale WHERE v <> expected AND c <> ALL (refused) ORDER BY c, rank, n
        LOOP
            refused := refused || commit_no;
            RETURN NEXT;
        END LOOP;
    END IF;
    IF cardinality(q_commit) > 0 THEN
        FOR commit_no, current IN
            SELECT x.c, made.oldest
            FROM (SELECT unnest(q_commit) AS c, unnest(q_user) AS u, unnest(q_since) AS since, unnest(q_max) AS most) x
            CROSS JOIN LATERAL (SELECT count(*) AS bookings, coalesce(min(created_at), x.since) AS oldest FROM bookings
                WHERE user_id = x.u AND created_at > x.since) made
            WHERE x.c <> ALL (refused) AND made.bookings >= x.most
        LOOP
            reason := 'quota'; change_no := 0;
            refused := refused || commit_no;
            RETURN NEXT;
        END LOOP;
    END IF;

    -- Before anything else is written, so that a booking that is there already refuses its whole commit.
    WHILE 0 = ANY (b_expected) LOOP
        BEGIN
            INSERT INTO bookings (id, user_id, created_at, version, status, deadline, state)
            SELECT x.id::uuid, x.owner, x.created_at, x.version, x.status, x.deadline, x.state::json
            FROM (SELECT unnest(b_commit) AS c, unnest(b_id) AS id, unnest(b_expected) AS expected,
                      unnest(b_version) AS version, unnest(b_user) AS owner, unnest(b_created) AS created_at,
                      unnest(b_status) AS status, unnest(b_deadline) AS deadline, unnest(b_state) AS state) x
            WHERE x.expected = 0 AND x.c <> ALL (refused) ORDER BY x.id COLLATE "C";
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            meant := cardinality(refused);
            FOR commit_no, change_no, current IN
                SELECT DISTINCT ON (x.c) x.c, x.n, held.version
                FROM (SELECT c, id::uuid AS id, expected, (row_number() OVER (PARTITION BY c ORDER BY o))::integer AS n
                    FROM unnest(b_commit, b_id, b_expected) WITH ORDINALITY u (c, id, expected, o)) x
                CROSS JOIN LATERAL (SELECT version FROM bookings WHERE id BETWEEN x.id AND x.id
                    ORDER BY id LIMIT 1) held
                WHERE x.expected = 0 AND x.c <> ALL (refused) ORDER BY x.c, x.n
            LOOP
                reason := 'booking';
                refused := refused || commit_no;
                RETURN NEXT;
            END LOOP;
            IF cardinality(refused) = meant THEN
                RAISE 'a booking was created and is gone' USING ERRCODE = 'serialization_failure';
            END IF;
        END;
    END LOOP;

    -- By the place of the row that is locked: it cannot move, and no plan can begin with the table.
    IF 0 < ANY (v_expected) THEN
        UPDATE vehicles v SET version = x.version, epoch = x.epoch, deadline = x.deadline, state = x.state::json
        FROM (SELECT unnest(v_commit) AS c, unnest(place_v) AS place, unnest(v_expected) AS expected,
                  unnest(v_version) AS version, unnest(v_epoch) AS epoch, unnest(v_deadline) AS deadline,
                  unnest(v_state) AS state) x
        WHERE v.ctid = x.place AND v.version = x.expected AND x.expected > 0 AND x.c <> ALL (refused);
        GET DIAGNOSTICS written = ROW_COUNT;
        SELECT count(*) INTO meant FROM unnest(v_commit, v_expected) x (c, expected)
        WHERE x.expected > 0 AND x.c <> ALL (refused);
        IF written <> meant THEN
            RAISE 'a vehicle moved on under its lock' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    IF 0 = ANY (v_expected) THEN
        INSERT INTO vehicles (id, version, epoch, deadline, state)
        SELECT x.id, x.version, x.epoch, x.deadline, x.state::json
        FROM (SELECT unnest(v_commit) AS c, unnest(v_id) AS id, unnest(v_expected) AS expected,
                  unnest(v_version) AS version, unnest(v_epoch) AS epoch, unnest(v_deadline) AS deadline,
                  unnest(v_state) AS state) x
        WHERE x.expected = 0 AND x.c <> ALL (refused) ORDER BY x.id COLLATE "C"
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS written = ROW_COUNT;
        SELECT count(*) INTO meant FROM unnest(v_commit, v_expected) x (c, expected)
        WHERE x.expected = 0 AND x.c <> ALL (refused);
        IF written <> meant THEN
            RAISE 'a vehicle was registered meanwhile' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    IF true = ANY (v_watched) OR false = ANY (v_watched) THEN
        INSERT INTO telemetry (vehicle_id, watched)
        SELECT x.id, x.watched FROM unnest(v_commit, v_id, v_watched) x (c, id, watched)
        WHERE x.watched IS NOT NULL AND x.c <> ALL (refused) ORDER BY x.id COLLATE "C"
        ON CONFLICT (vehicle_id) DO UPDATE SET watched = excluded.watched WHERE telemetry.watched <> excluded.watched;
    END IF;

    IF 0 < ANY (b_expected) THEN
        UPDATE bookings b SET version = x.version, status = x.status, deadline = x.deadline, state = x.state::json
        FROM (SELECT unnest(b_commit) AS c, unnest(place_b) AS place, unnest(b_expected) AS expected,
                  unnest(b_version) AS version, unnest(b_status) AS status, unnest(b_deadline) AS deadline,
                  unnest(b_state) AS state) x
        WHERE b.ctid = x.place AND b.version = x.expected AND x.expected > 0 AND x.c <> ALL (refused);
        GET DIAGNOSTICS written = ROW_COUNT;
        SELECT count(*) INTO meant FROM unnest(b_commit, b_expected) x (c, expected)
        WHERE x.expected > 0 AND x.c <> ALL (refused);
        IF written <> meant THEN
            RAISE 'a booking moved on under its lock' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;
    IF cardinality(e_commit) > 0 THEN
        INSERT INTO events (aggregate_type, aggregate_id, aggregate_version, topic, name, at, data)
        SELECT x.kind, x.id, x.version, x.topic, x.name, x.at, x.data::json
        FROM (SELECT unnest(e_commit) AS c, unnest(e_type) AS kind, unnest(e_id) AS id, unnest(e_version) AS version,
                  unnest(e_topic) AS topic, unnest(e_name) AS name, unnest(e_at) AS at, unnest(e_data) AS data) x
        WHERE x.c <> ALL (refused);
        -- One number of the sequence for all of them: it is drawn under the locks, so it rises with the versions.
        first := nextval('outbox_seq_seq') << 20;
        INSERT INTO outbox (seq, aggregate_type, aggregate_id, aggregate_version, partition) OVERRIDING SYSTEM VALUE
        SELECT first + x.n, x.kind, x.id, x.version, hashtext(x.id) & 15
        FROM (SELECT unnest(e_commit) AS c, unnest(e_type) AS kind, unnest(e_id) AS id, unnest(e_version) AS version,
                  generate_series(1, cardinality(e_commit)) AS n) x
        WHERE x.c <> ALL (refused);
    END IF;
    IF cardinality(l_commit) > 0 THEN
        INSERT INTO ledger (booking_id, version, account, minor, currency, at)
        SELECT x.booking::uuid, x.version, x.account, x.minor, x.currency, x.at
        FROM unnest(l_commit, l_booking, l_version, l_account, l_minor, l_currency, l_at) WITH ORDINALITY
             x (c, booking, version, account, minor, currency, at, n)
        WHERE x.c <> ALL (refused) ORDER BY x.n;
    END IF;
    IF array_position(i_old_hash, NULL) IS NOT NULL THEN
        INSERT INTO idempotency (user_id, key, request_hash, booking_id, locked_until, status, body)
        SELECT x.u, x.k, x.hash, x.booking::uuid, x.locked, x.status, x.body
        FROM (SELECT unnest(i_commit) AS c, unnest(i_user) AS u, unnest(i_key) AS k, unnest(i_old_hash) AS old_hash,
                  unnest(i_hash) AS hash, unnest(i_booking) AS booking, unnest(i_locked) AS locked,
                  unnest(i_status) AS status, unnest(i_body) AS body) x
        WHERE x.old_hash IS NULL AND x.c <> ALL (refused);
    END IF;
    IF cardinality(array_remove(i_old_hash, NULL)) > 0 THEN
        INSERT INTO idempotency (user_id, key, request_hash, booking_id, locked_until, status, body)
        SELECT x.u, x.k, x.hash, x.booking::uuid, x.locked, x.status, x.body
        FROM (SELECT unnest(i_commit) AS c, unnest(i_user) AS u, unnest(i_key) AS k, unnest(i_old_hash) AS old_hash,
                  unnest(i_hash) AS hash, unnest(i_booking) AS booking, unnest(i_locked) AS locked,
                  unnest(i_status) AS status, unnest(i_body) AS body) x
        WHERE x.old_hash IS NOT NULL AND x.c <> ALL (refused)
        ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash,
            booking_id = excluded.booking_id, locked_until = excluded.locked_until,
            status = excluded.status, body = excluded.body;
    END IF;
END
$$;
