//! What is written for the accepted work of a batch: plain statements, prepared once, carried out row by row within the
//! transaction of the [writer](crate::writer).

use rideplane_core::charge::Charge;
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    Envelope, IdempotencyRecord, IdempotencyWrite, LedgerEntry, PreparedCommit, Profile, Telemetry,
};
use rusqlite::{CachedStatement, Connection, Result, params};

use crate::waiting::EventKey;

const VEHICLE: &str = "INSERT INTO vehicles (id, version, deadline, state) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, deadline = excluded.deadline, state = excluded.state";
const WATCHED: &str = "INSERT INTO telemetry (vehicle_id, watched) VALUES (?1, ?2)
    ON CONFLICT (vehicle_id) DO UPDATE SET watched = excluded.watched WHERE watched <> excluded.watched";
const BOOKING: &str = "INSERT INTO bookings (id, user_id, created_at, version, status, deadline, state)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status,
        deadline = excluded.deadline, state = excluded.state";
const EVENT: &str =
    "INSERT INTO events (aggregate_type, aggregate_id, aggregate_version, topic, name, at, data)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const OUTBOX: &str = "INSERT INTO outbox (seq) VALUES (?1)";
const LEDGER: &str = "INSERT INTO ledger (booking_id, version, account, minor, currency, at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const IDEMPOTENCY: &str =
    "INSERT INTO idempotency (user_id, key, request_hash, booking_id, locked_until, status, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash,
        booking_id = excluded.booking_id, locked_until = excluded.locked_until,
        status = excluded.status, body = excluded.body";
const TELEMETRY: &str =
    "INSERT INTO telemetry (vehicle_id, watched, last_reported, lat, lon, charge, range_m)
    VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (vehicle_id) DO UPDATE SET
        last_reported = max(coalesce(last_reported, excluded.last_reported), excluded.last_reported),
        lat = iif(last_reported > excluded.last_reported, coalesce(lat, excluded.lat), coalesce(excluded.lat, lat)),
        lon = iif(last_reported > excluded.last_reported, coalesce(lon, excluded.lon), coalesce(excluded.lon, lon)),
        charge = iif(last_reported > excluded.last_reported, coalesce(charge, excluded.charge),
            coalesce(excluded.charge, charge)),
        range_m = iif(last_reported > excluded.last_reported, coalesce(range_m, excluded.range_m),
            coalesce(excluded.range_m, range_m))
        WHERE last_reported IS NULL OR last_reported <= excluded.last_reported
            OR lat IS NULL OR charge IS NULL OR range_m IS NULL";
const PROFILE: &str = "INSERT INTO profiles (user_id, profile) VALUES (?1, ?2)
    ON CONFLICT (user_id) DO UPDATE SET profile = excluded.profile";
const HANDLED: &str = "INSERT INTO inbox (consumer, event_id, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const PUBLISHED_RANGE: &str = "DELETE FROM outbox WHERE seq BETWEEN ?1 AND ?2";
const PUBLISHED_EVENT: &str = "DELETE FROM outbox WHERE seq = (SELECT seq FROM events
    WHERE aggregate_type = ?1 AND aggregate_id = ?2 AND aggregate_version = ?3)";

/// Writes everything of a commit and returns the number of its first event; the others follow one by one.
pub(crate) fn commit(connection: &Connection, commit: &PreparedCommit) -> Result<i64> {
    for change in &commit.vehicles {
        let id = change.stored.state.id.as_str();
        let deadline = change.deadline.map(Timestamp::as_micros);
        let row = params![id, change.stored.version.0, deadline, change.json];
        connection.prepare_cached(VEHICLE)?.execute(row)?;
        if commit.moves_watch {
            connection.prepare_cached(WATCHED)?.execute(params![id, change.stored.state.is_watched()])?;
        }
    }
    for change in &commit.bookings {
        let booking = &change.stored.state;
        connection.prepare_cached(BOOKING)?.execute(params![
            booking.id.to_string(),
            booking.user_id.as_str(),
            booking.created_at.as_micros(),
            change.stored.version.0,
            booking.status().as_str(),
            change.deadline.map(Timestamp::as_micros),
            change.json,
        ])?;
    }
    for entry in &commit.ledger {
        posting(&mut connection.prepare_cached(LEDGER)?, entry)?;
    }
    if let Some(write) = &commit.idempotency {
        idempotency(&mut connection.prepare_cached(IDEMPOTENCY)?, write)?;
    }
    let mut first = 0;
    let (mut log, mut outbox) = (connection.prepare_cached(EVENT)?, connection.prepare_cached(OUTBOX)?);
    for (place, envelope) in commit.events.iter().enumerate() {
        let seq = event(&mut log, envelope)?;
        outbox.execute([seq])?;
        if place == 0 {
            first = seq;
        }
    }
    Ok(first)
}

fn event(log: &mut CachedStatement<'_>, event: &Envelope) -> Result<i64> {
    log.insert(params![
        event.aggregate.kind(),
        event.aggregate.id(),
        event.version.0,
        event.topic.as_str(),
        event.name,
        event.at.as_micros(),
        event.data,
    ])
}

fn posting(ledger: &mut CachedStatement<'_>, entry: &LedgerEntry) -> Result<usize> {
    ledger.execute(params![
        entry.booking_id.to_string(),
        entry.version.0,
        entry.account.as_str(),
        entry.amount.to_minor(),
        entry.amount.currency().code(),
        entry.at.as_micros(),
    ])
}

fn idempotency(table: &mut CachedStatement<'_>, write: &IdempotencyWrite) -> Result<usize> {
    let (user, key, hash) =
        (write.id.user_id.as_str(), write.id.key.as_str(), &write.record.request_hash()[..]);
    match &write.record {
        IdempotencyRecord::InFlight { booking_id, locked_until, .. } => table.execute(params![
            user,
            key,
            hash,
            booking_id.to_string(),
            locked_until.as_micros(),
            None::<i64>,
            None::<&[u8]>
        ]),
        IdempotencyRecord::Done { status, body, .. } => {
            table.execute(params![user, key, hash, None::<&str>, None::<i64>, status, body])
        }
    }
}

/// Writes what vehicles said; the newest wins.
pub(crate) fn telemetry(connection: &Connection, reports: &[Telemetry]) -> Result<()> {
    let mut table = connection.prepare_cached(TELEMETRY)?;
    for report in reports {
        table.execute(params![
            report.vehicle_id.as_str(),
            report.last_reported.as_micros(),
            report.position.map(|point| point.lat()),
            report.position.map(|point| point.lon()),
            report.charge.map(Charge::as_basis_points),
            report.range_m,
        ])?;
    }
    Ok(())
}

pub(crate) fn profile(connection: &Connection, profile: &Profile, json: &str) -> Result<()> {
    connection.prepare_cached(PROFILE)?.execute(params![profile.user_id.as_str(), json]).map(drop)
}

pub(crate) fn handled(connection: &Connection, consumer: &str, event: &str, at: Timestamp) -> Result<()> {
    connection.prepare_cached(HANDLED)?.execute(params![consumer, event, at.as_micros()]).map(drop)
}

/// Takes events out of the outbox by their numbers, given in rising order.
pub(crate) fn published_numbers(connection: &Connection, numbers: &[i64]) -> Result<()> {
    let mut outbox = connection.prepare_cached(PUBLISHED_RANGE)?;
    for run in numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
        outbox.execute(params![run.first(), run.last()])?;
    }
    Ok(())
}

/// Takes events out of the outbox by their names.
pub(crate) fn published_events(connection: &Connection, events: &[EventKey]) -> Result<()> {
    let mut outbox = connection.prepare_cached(PUBLISHED_EVENT)?;
    for (aggregate, version) in events {
        outbox.execute(params![aggregate.kind(), aggregate.id(), version.0])?;
    }
    Ok(())
}
