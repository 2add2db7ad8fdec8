//! Single rows by their keys, as the file holds them.

use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, UserId, VehicleId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::{IdempotencyId, IdempotencyRecord, Profile, Stored, Telemetry};
use rusqlite::{Connection, params};

use crate::rows::{self, Result, Source};

const COMMIT: &str = "store.commit";

pub(crate) fn vehicle(connection: &Connection, id: &VehicleId) -> Result<Option<Stored<Vehicle>>> {
    let sql = "SELECT id, version, state FROM vehicles WHERE id = ?1";
    Source::new("store.vehicle", "vehicles").first(connection, sql, [id.as_str()], |row| row.stored(1))
}

pub(crate) fn vehicle_version(connection: &Connection, id: &VehicleId) -> Result<Option<Version>> {
    let sql = "SELECT id, version FROM vehicles WHERE id = ?1";
    Source::new(COMMIT, "vehicles").first(connection, sql, [id.as_str()], |row| row.version(1))
}

pub(crate) fn booking(connection: &Connection, id: &BookingId) -> Result<Option<Stored<Booking>>> {
    let sql = "SELECT id, version, state FROM bookings WHERE id = ?1";
    Source::new("store.booking", "bookings").first(connection, sql, [id.to_string()], |row| row.stored(1))
}

pub(crate) fn booking_version(connection: &Connection, id: &BookingId) -> Result<Option<Version>> {
    let sql = "SELECT id, version FROM bookings WHERE id = ?1";
    Source::new(COMMIT, "bookings").first(connection, sql, [id.to_string()], |row| row.version(1))
}

/// When the user's bookings were made that are younger than `since`.
pub(crate) fn created_after(
    connection: &Connection,
    user: &UserId,
    since: Timestamp,
) -> Result<Vec<Timestamp>> {
    let sql = "SELECT id, created_at FROM bookings WHERE user_id = ?1 AND created_at > ?2";
    let params = params![user.as_str(), since.as_micros()];
    Source::new(COMMIT, "bookings").all(connection, sql, params, |row| row.time(1))
}

pub(crate) fn telemetry(connection: &Connection, id: &VehicleId) -> Result<Option<Telemetry>> {
    let sql =
        "SELECT vehicle_id, last_reported, lat, lon, charge, range_m FROM telemetry WHERE vehicle_id = ?1";
    let source = Source::new("store.telemetry", "telemetry");
    let found = source.first(connection, sql, [id.as_str()], |row| rows::telemetry(row, id.clone(), 1))?;
    Ok(found.flatten())
}

pub(crate) fn idempotency(connection: &Connection, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>> {
    let sql = "SELECT user_id, key, request_hash, booking_id, locked_until, status, body FROM idempotency
               WHERE user_id = ?1 AND key = ?2";
    let params = [id.user_id.as_str(), id.key.as_str()];
    Source::new("store.idempotency", "idempotency").first(connection, sql, params, rows::idempotency)
}

pub(crate) fn profile(connection: &Connection, user: &UserId) -> Result<Option<Profile>> {
    let sql = "SELECT user_id, profile FROM profiles WHERE user_id = ?1";
    Source::new("store.profile", "profiles").first(connection, sql, [user.as_str()], |row| row.json(1))
}

pub(crate) fn is_handled(connection: &Connection, consumer: &str, event_id: &str) -> Result<bool> {
    let sql = "SELECT event_id FROM inbox WHERE consumer = ?1 AND event_id = ?2";
    let source = Source::new("inbox.is_handled", "inbox");
    Ok(source.first(connection, sql, [consumer, event_id], |_| Ok(()))?.is_some())
}
