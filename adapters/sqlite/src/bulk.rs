//! Statements that write many rows at once, and what they write for the accepted commits of a batch.

use std::collections::HashMap;
use std::sync::Arc;

use rideplane_core::charge::Charge;
use rideplane_core::time::Timestamp;
use rideplane_ports::{IdempotencyRecord, Telemetry};
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection};

use crate::prepared::Prepared;
use crate::rows;

/// The most rows of one statement. Each number of rows is a text of its own, prepared once: a statement costs two switches
/// of threads, which is more than the rows in it.
const MAX_ROWS: usize = 64;

/// `head (?, ...), (?, ...) tail`
struct Insert {
    head: &'static str,
    columns: usize,
    tail: &'static str,
}

const VEHICLES: Insert = Insert {
    head: "INSERT INTO vehicles (id, version, deadline, state) VALUES",
    columns: 4,
    tail: "ON CONFLICT (id) DO UPDATE SET version = excluded.version, deadline = excluded.deadline,
           state = excluded.state",
};
const WATCHED: Insert = Insert {
    head: "INSERT INTO telemetry (vehicle_id, watched) VALUES",
    columns: 2,
    tail: "ON CONFLICT (vehicle_id) DO UPDATE SET watched = excluded.watched WHERE watched <> excluded.watched",
};
const BOOKINGS: Insert = Insert {
    head: "INSERT INTO bookings (id, user_id, created_at, version, status, deadline, state) VALUES",
    columns: 7,
    tail: "ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status,
           deadline = excluded.deadline, state = excluded.state",
};
const EVENTS: Insert = Insert {
    head: "INSERT INTO events (aggregate_type, aggregate_id, aggregate_version, topic, name, at, data) VALUES",
    columns: 7,
    tail: "",
};
const LEDGER: Insert = Insert {
    head: "INSERT INTO ledger (booking_id, version, account, minor, currency, at) VALUES",
    columns: 6,
    tail: "",
};
const IDEMPOTENCY: Insert = Insert {
    head: "INSERT INTO idempotency (user_id, key, request_hash, booking_id, locked_until, status, body) VALUES",
    columns: 7,
    tail: "ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash,
           booking_id = excluded.booking_id, locked_until = excluded.locked_until,
           status = excluded.status, body = excluded.body",
};
const TELEMETRY: Insert = Insert {
    head: "INSERT INTO telemetry (vehicle_id, watched, last_reported, lat, lon, charge, range_m) VALUES",
    columns: 7,
    tail: "ON CONFLICT (vehicle_id) DO UPDATE SET last_reported = excluded.last_reported,
           lat = coalesce(excluded.lat, lat), lon = coalesce(excluded.lon, lon),
           charge = coalesce(excluded.charge, charge), range_m = coalesce(excluded.range_m, range_m)
           WHERE last_reported IS NULL OR last_reported <= excluded.last_reported",
};
const PROFILES: Insert = Insert {
    head: "INSERT INTO profiles (user_id, profile) VALUES",
    columns: 2,
    tail: "ON CONFLICT (user_id) DO UPDATE SET profile = excluded.profile",
};

/// The texts that were made already.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashMap<(&'static str, usize), Arc<str>>);

type Bound = Result<(), BoxDynError>;

impl Texts {
    fn text(&mut self, insert: &Insert, rows: usize) -> Arc<str> {
        let text = self.0.entry((insert.head, rows)).or_insert_with(|| {
            let row = format!("({})", vec!["?"; insert.columns].join(","));
            format!("{} {} {}", insert.head, vec![row; rows].join(","), insert.tail).into()
        });
        Arc::clone(text)
    }

    async fn insert<R>(
        &mut self,
        connection: &mut SqliteConnection,
        insert: &Insert,
        rows: &[R],
        bind: impl Fn(&mut SqliteArguments, &R) -> Bound,
    ) -> sqlx::Result<()> {
        let mut rest = rows;
        while !rest.is_empty() {
            let count = rest.len().min(MAX_ROWS);
            let (now, later) = rest.split_at(count);
            let mut arguments = SqliteArguments::default();
            for row in now {
                bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
            }
            let text = AssertSqlSafe(self.text(insert, count));
            sqlx::query_with(text, arguments).execute(&mut *connection).await?;
            rest = later;
        }
        Ok(())
    }

    /// Writes everything of the commits: one statement per table.
    pub(crate) async fn commits(
        &mut self,
        connection: &mut SqliteConnection,
        commits: &[&Prepared],
    ) -> sqlx::Result<()> {
        let vehicles: Vec<_> = commits.iter().flat_map(|commit| &commit.vehicles).collect();
        self.insert(connection, &VEHICLES, &vehicles, |row, change| {
            row.add(change.stored.state.id.as_str())?;
            row.add(integer(change.stored.version.0)?)?;
            row.add(change.deadline.map(Timestamp::as_micros))?;
            row.add(change.json.as_str())
        })
        .await?;
        self.insert(connection, &WATCHED, &vehicles, |row, change| {
            row.add(change.stored.state.id.as_str())?;
            row.add(change.is_watched())
        })
        .await?;
        let bookings: Vec<_> = commits.iter().flat_map(|commit| &commit.bookings).collect();
        self.insert(connection, &BOOKINGS, &bookings, |row, change| {
            let booking = &change.stored.state;
            row.add(booking.id.to_string())?;
            row.add(booking.user_id.as_str())?;
            row.add(booking.created_at.as_micros())?;
            row.add(integer(change.stored.version.0)?)?;
            row.add(booking.status().as_str())?;
            row.add(change.deadline.map(Timestamp::as_micros))?;
            row.add(change.json.as_str())
        })
        .await?;
        self.history(connection, commits).await
    }

    async fn history(
        &mut self,
        connection: &mut SqliteConnection,
        commits: &[&Prepared],
    ) -> sqlx::Result<()> {
        let events: Vec<_> = commits.iter().flat_map(|commit| &commit.events).collect();
        self.insert(connection, &EVENTS, &events, |row, event| {
            row.add(event.aggregate.kind())?;
            row.add(event.aggregate.id())?;
            row.add(integer(event.version.0)?)?;
            row.add(event.topic.as_str())?;
            row.add(event.name.as_str())?;
            row.add(event.at.as_micros())?;
            row.add(event.data.as_str())
        })
        .await?;
        let ledger: Vec<_> = commits.iter().flat_map(|commit| &commit.ledger).collect();
        self.insert(connection, &LEDGER, &ledger, |row, entry| {
            row.add(entry.booking_id.to_string())?;
            row.add(integer(entry.version.0)?)?;
            row.add(rows::account(entry.account))?;
            row.add(entry.amount.to_minor())?;
            row.add(entry.amount.currency().code())?;
            row.add(entry.at.as_micros())
        })
        .await?;
        let keys: Vec<_> = commits.iter().filter_map(|commit| commit.idempotency.as_ref()).collect();
        self.insert(connection, &IDEMPOTENCY, &keys, |row, write| {
            row.add(write.id.user_id.as_str())?;
            row.add(write.id.key.as_str())?;
            row.add(&write.record.request_hash()[..])?;
            match &write.record {
                IdempotencyRecord::InFlight { booking_id, locked_until, .. } => {
                    row.add(booking_id.to_string())?;
                    row.add(locked_until.as_micros())?;
                    row.add(None::<i64>)?;
                    row.add(None::<Vec<u8>>)
                }
                IdempotencyRecord::Done { status, body, .. } => {
                    row.add(None::<String>)?;
                    row.add(None::<i64>)?;
                    row.add(*status)?;
                    row.add(body.as_slice())
                }
            }
        })
        .await
    }

    /// Writes what vehicles said; the newest wins.
    pub(crate) async fn telemetry(
        &mut self,
        connection: &mut SqliteConnection,
        reports: &[&Telemetry],
    ) -> sqlx::Result<()> {
        self.insert(connection, &TELEMETRY, reports, |row, report| {
            row.add(report.vehicle_id.as_str())?;
            row.add(false)?;
            row.add(report.last_reported.as_micros())?;
            row.add(report.position.map(|point| point.lat()))?;
            row.add(report.position.map(|point| point.lon()))?;
            row.add(report.charge.map(Charge::as_basis_points))?;
            row.add(report.range_m)
        })
        .await
    }

    /// Writes profiles: pairs of the user and the profile as JSON.
    pub(crate) async fn profiles(
        &mut self,
        connection: &mut SqliteConnection,
        profiles: &[(&str, &str)],
    ) -> sqlx::Result<()> {
        self.insert(connection, &PROFILES, profiles, |row, (user, profile)| {
            row.add(*user)?;
            row.add(*profile)
        })
        .await
    }
}

fn integer(number: u64) -> Result<i64, BoxDynError> {
    Ok(i64::try_from(number)?)
}
