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
/// After the insert of so many events: numbers rise one by one.
const OUTBOX: &str = "INSERT INTO outbox (seq) SELECT seq FROM events ORDER BY seq DESC LIMIT ?;";
const PUBLISHED: &str = "DELETE FROM outbox WHERE seq IN (SELECT e.seq FROM json_each(?) x CROSS JOIN events e
    ON e.aggregate_type = x.value ->> 0 AND e.aggregate_id = x.value ->> 1 AND e.aggregate_version = x.value ->> 2);";
const INBOX: Insert = Insert {
    head: "INSERT INTO inbox (consumer, event_id, at) VALUES",
    columns: 3,
    tail: "ON CONFLICT DO NOTHING",
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

/// Scripts of more rows than this are prepared anew each time: there are too many to keep.
const KEPT_ROWS: usize = 24;

/// The texts that were made already, and the script of the transaction that is being put together. A transaction goes to
/// SQLite as one script, because each call costs two switches of threads.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    made: HashMap<(&'static str, usize), Arc<str>>,
    script: String,
    arguments: SqliteArguments,
    rows: usize,
}

type Bound = Result<(), BoxDynError>;

impl Texts {
    fn text(&mut self, insert: &Insert, rows: usize) -> Arc<str> {
        let text = self.made.entry((insert.head, rows)).or_insert_with(|| {
            let row = format!("({})", vec!["?"; insert.columns].join(","));
            format!("{} {} {};", insert.head, vec![row; rows].join(","), insert.tail).into()
        });
        Arc::clone(text)
    }

    /// Adds a statement without arguments. The first one of a script drops what a failed one left behind.
    pub(crate) fn begin(&mut self, statement: &str) {
        self.script.clear();
        self.arguments = SqliteArguments::default();
        self.rows = 0;
        self.script.push_str(statement);
    }

    /// Ends the script.
    pub(crate) fn end(&mut self, statement: &str) {
        self.script.push_str(statement);
    }

    /// Sends the script.
    pub(crate) async fn run(&mut self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let arguments = std::mem::take(&mut self.arguments);
        let script = AssertSqlSafe(self.script.as_str());
        let query = sqlx::query_with(script, arguments).persistent(self.rows <= KEPT_ROWS);
        query.execute(connection).await.map(drop)
    }

    fn insert<R>(
        &mut self,
        insert: &Insert,
        rows: &[R],
        bind: impl Fn(&mut SqliteArguments, &R) -> Bound,
    ) -> sqlx::Result<()> {
        for some in rows.chunks(MAX_ROWS) {
            for row in some {
                bind(&mut self.arguments, row).map_err(sqlx::Error::Encode)?;
            }
            let text = self.text(insert, some.len());
            self.script.push_str(&text);
            self.rows += some.len();
        }
        Ok(())
    }

    /// Writes everything of the commits: one statement per table.
    pub(crate) fn commits(&mut self, commits: &[&Prepared]) -> sqlx::Result<()> {
        let vehicles: Vec<_> = commits.iter().flat_map(|commit| &commit.vehicles).collect();
        self.insert(&VEHICLES, &vehicles, |row, change| {
            row.add(change.stored.state.id.as_str())?;
            row.add(integer(change.stored.version.0)?)?;
            row.add(change.deadline.map(Timestamp::as_micros))?;
            row.add(change.json.as_str())
        })?;
        let moved = commits.iter().filter(|commit| commit.events.iter().any(|event| is_watch(&event.name)));
        let watched: Vec<_> = moved.flat_map(|commit| &commit.vehicles).collect();
        self.insert(&WATCHED, &watched, |row, change| {
            row.add(change.stored.state.id.as_str())?;
            row.add(change.is_watched())
        })?;
        let bookings: Vec<_> = commits.iter().flat_map(|commit| &commit.bookings).collect();
        self.insert(&BOOKINGS, &bookings, |row, change| {
            let booking = &change.stored.state;
            row.add(booking.id.to_string())?;
            row.add(booking.user_id.as_str())?;
            row.add(booking.created_at.as_micros())?;
            row.add(integer(change.stored.version.0)?)?;
            row.add(booking.status().as_str())?;
            row.add(change.deadline.map(Timestamp::as_micros))?;
            row.add(change.json.as_str())
        })?;
        self.history(commits)
    }

    fn history(&mut self, commits: &[&Prepared]) -> sqlx::Result<()> {
        let events: Vec<_> = commits.iter().flat_map(|commit| &commit.events).collect();
        self.insert(&EVENTS, &events, |row, event| {
            row.add(event.aggregate.kind())?;
            row.add(event.aggregate.id())?;
            row.add(integer(event.version.0)?)?;
            row.add(event.topic.as_str())?;
            row.add(event.name.as_str())?;
            row.add(event.at.as_micros())?;
            row.add(event.data.as_str())
        })?;
        if !events.is_empty() {
            self.arguments
                .add(i64::try_from(events.len()).unwrap_or(i64::MAX))
                .map_err(sqlx::Error::Encode)?;
            self.script.push_str(OUTBOX);
        }
        let ledger: Vec<_> = commits.iter().flat_map(|commit| &commit.ledger).collect();
        self.insert(&LEDGER, &ledger, |row, entry| {
            row.add(entry.booking_id.to_string())?;
            row.add(integer(entry.version.0)?)?;
            row.add(rows::account(entry.account))?;
            row.add(entry.amount.to_minor())?;
            row.add(entry.amount.currency().code())?;
            row.add(entry.at.as_micros())
        })?;
        let keys: Vec<_> = commits.iter().filter_map(|commit| commit.idempotency.as_ref()).collect();
        self.insert(&IDEMPOTENCY, &keys, |row, write| {
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
    }

    /// Writes what vehicles said; the newest wins.
    pub(crate) fn telemetry(&mut self, reports: &[&Telemetry]) -> sqlx::Result<()> {
        self.insert(&TELEMETRY, reports, |row, report| {
            row.add(report.vehicle_id.as_str())?;
            row.add(false)?;
            row.add(report.last_reported.as_micros())?;
            row.add(report.position.map(|point| point.lat()))?;
            row.add(report.position.map(|point| point.lon()))?;
            row.add(report.charge.map(Charge::as_basis_points))?;
            row.add(report.range_m)
        })
    }

    /// Takes events out of the outbox: a JSON array of `[aggregate_type, aggregate_id, aggregate_version]`.
    pub(crate) fn published(&mut self, events: &str) -> sqlx::Result<()> {
        self.arguments.add(events).map_err(sqlx::Error::Encode)?;
        self.script.push_str(PUBLISHED);
        Ok(())
    }

    /// Writes which consumer handled which event when.
    pub(crate) fn handled(&mut self, events: &[(&str, &str, i64)]) -> sqlx::Result<()> {
        self.insert(&INBOX, events, |row, (consumer, event_id, at)| {
            row.add(*consumer)?;
            row.add(*event_id)?;
            row.add(*at)
        })
    }

    /// Writes profiles: pairs of the user and the profile as JSON.
    pub(crate) fn profiles(&mut self, profiles: &[(&str, &str)]) -> sqlx::Result<()> {
        self.insert(&PROFILES, profiles, |row, (user, profile)| {
            row.add(*user)?;
            row.add(*profile)
        })
    }
}

/// Whether the event can move a vehicle in or out of those whose silence would be news.
fn is_watch(event: &str) -> bool {
    ["VehicleRegistered", "VehicleCameOnline", "VehicleWentOffline", "VehicleRetired"].contains(&event)
}

fn integer(number: u64) -> Result<i64, BoxDynError> {
    Ok(i64::try_from(number)?)
}
