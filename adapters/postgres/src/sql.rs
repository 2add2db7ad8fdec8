//! Every statement that is sent after opening. A test prepares each against the schema.

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// What a search may show, up to order and limit.
macro_rules! free_within {
    () => {
        "SELECT vehicle_id, vehicle_type, form_factor, propulsion_type, plan_id, lat, lon, charge::bigint, range_m,
               last_reported
           FROM listings
           WHERE free AND ST_DWithin(position, ST_MakePoint($2, $1)::geography, $3, false)
           AND ($4::text IS NULL OR vehicle_type = $4)
           AND ($5::integer IS NULL OR charge >= $5) AND ($6::bigint IS NULL OR range_m >= $6)"
    };
}

/// [`COMMIT_BATCH`] up to its arguments.
pub(crate) const COMMIT_BATCH_CALL: &str = "SELECT commit_no, reason, change_no, current FROM commit_batch";

statements! {
    VEHICLE = "SELECT id, version, state::text FROM vehicles WHERE id = $1";
    BOOKING = "SELECT id::text, version, state::text FROM bookings WHERE id = $1::text::uuid";
    BOOKING_OF = "SELECT id::text, version, state::text FROM bookings WHERE id = $1::text::uuid AND user_id = $2";
    DUE = "SELECT id, kind, deadline FROM (
               (SELECT id::text COLLATE \"C\" AS id, 'booking' AS kind, deadline FROM bookings WHERE deadline <= $1
                ORDER BY deadline LIMIT $2)
               UNION ALL
               (SELECT id, 'vehicle', deadline FROM vehicles WHERE deadline <= $1 ORDER BY deadline LIMIT $2)
           ) due ORDER BY deadline, kind, id LIMIT $2";
    NEXT_DEADLINE = "SELECT least(
               (SELECT min(deadline) FROM bookings WHERE deadline IS NOT NULL),
               (SELECT min(deadline) FROM vehicles WHERE deadline IS NOT NULL))";
    SILENT_VEHICLES = "SELECT vehicle_id FROM telemetry
           WHERE watched AND (last_reported IS NULL OR last_reported < $1)
           ORDER BY last_reported NULLS FIRST, vehicle_id LIMIT $2";
    BOOKINGS_OF = "SELECT id::text, version, state::text FROM bookings
           WHERE user_id = $1 AND ($2::text IS NULL OR status = $2)
           AND ($3::text IS NULL OR (created_at, id) <
                (SELECT created_at, id FROM bookings WHERE id = $3::text::uuid AND user_id = $1))
           ORDER BY created_at DESC, id DESC LIMIT $4";
    VEHICLES = "SELECT v.id, v.version, v.state::text, t.last_reported, t.lat, t.lon, t.charge::bigint, t.range_m
           FROM vehicles v LEFT JOIN telemetry t ON t.vehicle_id = v.id
           WHERE v.id > $1 ORDER BY v.id LIMIT $2";
    TELEMETRY = "SELECT vehicle_id, last_reported, lat, lon, charge::bigint, range_m FROM telemetry
           WHERE vehicle_id = $1";
    RECORD_TELEMETRY = "INSERT INTO telemetry AS t (vehicle_id, watched, last_reported, lat, lon, charge, range_m)
           SELECT id, false, reported, lat, lon, charge, range_m
           FROM unnest($1::text[], $2::bigint[], $3::float8[], $4::float8[], $5::integer[], $6::bigint[])
                w (id, reported, lat, lon, charge, range_m)
           ORDER BY id COLLATE \"C\"
           ON CONFLICT (vehicle_id) DO UPDATE SET (last_reported, lat, lon, charge, range_m) =
               (SELECT greatest(t.last_reported, excluded.last_reported),
                   CASE WHEN late THEN coalesce(t.lat, excluded.lat) ELSE coalesce(excluded.lat, t.lat) END,
                   CASE WHEN late THEN coalesce(t.lon, excluded.lon) ELSE coalesce(excluded.lon, t.lon) END,
                   CASE WHEN late THEN coalesce(t.charge, excluded.charge) ELSE coalesce(excluded.charge, t.charge) END,
                   CASE WHEN late THEN coalesce(t.range_m, excluded.range_m) ELSE coalesce(excluded.range_m, t.range_m) END
               FROM (SELECT t.last_reported > excluded.last_reported AS late) judged)
           WHERE t.last_reported IS NULL OR t.last_reported <= excluded.last_reported
               OR t.lat IS NULL OR t.charge IS NULL OR t.range_m IS NULL";
    IDEMPOTENCY = "SELECT user_id, key, request_hash, booking_id::text, locked_until, status::bigint, body
           FROM idempotency WHERE user_id = $1 AND key = $2";
    PROFILE = "SELECT user_id, profile::text FROM profiles WHERE user_id = $1";
    PUT_PROFILE = "INSERT INTO profiles (user_id, profile) VALUES ($1, $2::text::json)
           ON CONFLICT (user_id) DO UPDATE SET profile = excluded.profile";
    PING = "SELECT version FROM rideplane_schema LIMIT 1";
    COMMIT_BATCH = "SELECT commit_no, reason, change_no, current FROM commit_batch(
           $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
           $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46,
           $47, $48, $49)";

    LEASE = "SELECT partition FROM lease_outbox($1::text::uuid, $2) partition";
    RELEASE = "WITH gone AS (DELETE FROM outbox_relays WHERE holder = $1::text::uuid)
           UPDATE outbox_leases SET holder = NULL, expires_at = now() WHERE holder = $1::text::uuid";
    PENDING = "SELECT e.aggregate_id, e.aggregate_type, e.aggregate_version, e.topic, e.name, e.at, e.data::text
           FROM (SELECT aggregate_type, aggregate_id, aggregate_version, seq FROM outbox
                 WHERE published_at IS NULL AND partition = ANY ($1) ORDER BY seq LIMIT $2) o
           JOIN events e USING (aggregate_type, aggregate_id, aggregate_version)
           ORDER BY o.seq";
    PENDING_COUNT = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
    MARK_PUBLISHED = "UPDATE outbox o SET published_at = $4
           FROM unnest($1::text[], $2::text[], $3::bigint[]) w (kind, id, version)
           WHERE o.aggregate_type = w.kind AND o.aggregate_id = w.id AND o.aggregate_version = w.version
           AND o.published_at IS NULL";
    PRUNE_OUTBOX = "WITH gone AS (
               DELETE FROM outbox WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM outbox WHERE published_at < $1 ORDER BY published_at LIMIT $2
                   FOR UPDATE SKIP LOCKED))
               RETURNING 1
           ) SELECT count(*) FROM gone";
    NOTIFY = "SELECT pg_notify('rideplane_outbox', '')";
    IS_HANDLED = "SELECT EXISTS (SELECT 1 FROM inbox WHERE consumer = $1 AND event_id = $2)";
    MARK_HANDLED = "INSERT INTO inbox (consumer, event_id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
           RETURNING consumer";
    AUDIT_BOOKINGS = "SELECT id::text, 'booking', version, state::text FROM bookings
           WHERE $1::text IS NULL OR id > $1::text::uuid ORDER BY id LIMIT $2";
    AUDIT_VEHICLES = "SELECT id, 'vehicle', version, state::text FROM vehicles
           WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2";
    AUDIT_EVENTS = "SELECT aggregate_id, aggregate_type, aggregate_version, topic, name, at, data::text FROM events
           WHERE aggregate_type = $1 AND aggregate_id >= $2 AND aggregate_id <= $3
           ORDER BY aggregate_id, aggregate_version";
    AUDIT_LEDGER = "SELECT booking_id::text, version, account, minor, currency, at FROM ledger
           WHERE booking_id >= $1::text::uuid AND booking_id <= $2::text::uuid ORDER BY booking_id, seq";
    NEAREST = concat!(free_within!(), " ORDER BY position <-> ST_MakePoint($2, $1)::geography LIMIT $7");
    /// [`NEAREST`] without its order, for answers that hold all there is: to walk the index by distance takes three times as
    /// long as to collect what is within.
    WITHIN = concat!(free_within!(), " LIMIT $7");
    /// How far a standby is behind, microseconds; 0 on a primary and on a standby that has replayed all it received.
    LAG = "SELECT CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
           ELSE coalesce((extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1e6)::bigint, 0) END";
    APPLY_LISTINGS = "INSERT INTO listings AS l (vehicle_id, version, free, vehicle_type, form_factor, propulsion_type,
               plan_id, lat, lon, charge, range_m, last_reported)
           SELECT * FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::text[],
               $8::float8[], $9::float8[], $10::integer[], $11::bigint[], $12::bigint[]) w (id)
           ORDER BY w.id COLLATE \"C\"
           ON CONFLICT (vehicle_id) DO UPDATE SET version = excluded.version, free = excluded.free,
               vehicle_type = excluded.vehicle_type, form_factor = excluded.form_factor,
               propulsion_type = excluded.propulsion_type, plan_id = excluded.plan_id,
               lat = excluded.lat, lon = excluded.lon, charge = excluded.charge, range_m = excluded.range_m,
               last_reported = excluded.last_reported
           WHERE (l.version, coalesce(l.last_reported, -9223372036854775808),
                   num_nonnulls(l.plan_id, l.charge, l.range_m))
               <= (excluded.version, coalesce(excluded.last_reported, -9223372036854775808),
                   num_nonnulls(excluded.plan_id, excluded.charge, excluded.range_m))";
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

    use super::ALL;
    use crate::schema::MIGRATIONS;

    /// What `query!` would check while compiling, without a database to compile: every text against the schema.
    #[tokio::test]
    async fn every_statement_is_one_of_the_schema() {
        let url = std::env::var("RIDEPLANE_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://rideplane:rideplane@127.0.0.1:55432/rideplane".to_owned());
        let mut server = PgConnection::connect(&url)
            .await
            .expect("the test server answers: start it with `cargo xtask services up`");
        let mut transaction = server.begin().await.unwrap();
        let schema = format!("rideplane_prepare_{}", std::process::id());
        let here = format!(
            "CREATE EXTENSION IF NOT EXISTS postgis; CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, public"
        );
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(here))).await.unwrap();
        for script in MIGRATIONS {
            transaction.execute(sqlx::raw_sql(script)).await.unwrap();
        }
        let versions = "CREATE TABLE rideplane_schema (version integer NOT NULL)";
        transaction.execute(sqlx::raw_sql(versions)).await.unwrap();
        assert!(ALL.len() > 25, "the list holds what is sent");
        for (name, text) in ALL {
            let prepared = (&mut *transaction).prepare(text.into_sql_str()).await;
            assert!(prepared.is_ok(), "{name}: {}", prepared.unwrap_err());
        }
        transaction.rollback().await.unwrap();
    }
}
