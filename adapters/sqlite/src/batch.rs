//! Judging the commits of a batch: each by its own expectations, and after the effects of those before it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use rideplane_core::ids::{BookingId, UserId, VehicleId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AggregateKey, CommitError, IdempotencyId, IdempotencyKey, IdempotencyRecord, Kind, PortError, Quota,
};
use serde::Serialize;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _, SqliteConnection};

use crate::cache::Memory;
use crate::prepared::{Changed, Prepared};
use crate::rows::{self, Row};
use crate::writer::Work;

const COMMIT: &str = "store.commit";

/// What the commits of a batch refer to, as it is after those that were accepted already.
#[derive(Debug, Default)]
pub(crate) struct Known {
    vehicles: HashMap<VehicleId, Version>,
    bookings: HashMap<BookingId, Version>,
    idempotency: HashMap<IdempotencyId, Option<Arc<IdempotencyRecord>>>,
    created: HashMap<UserId, Vec<Timestamp>>,
    handled: HashSet<(String, String)>,
}

/// Why a batch could not be judged.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// SQL failed.
    Sql(sqlx::Error),
    /// A row is corrupt.
    Row(PortError),
}

impl From<sqlx::Error> for LoadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<PortError> for LoadError {
    fn from(error: PortError) -> Self {
        Self::Row(error)
    }
}

impl Known {
    /// Takes what memory knows and asks the file for the rest, in one call.
    pub(crate) async fn load(
        works: &[&Work],
        memory: &Memory,
        connection: &mut SqliteConnection,
    ) -> Result<Self, LoadError> {
        let mut known = Self::default();
        let commits: Vec<&Prepared> = works.iter().filter_map(|work| work.commit()).collect();
        let unknown = known.recall(works, memory);
        let mut questions = Questions::default();
        questions.ask(VEHICLES, &unknown.vehicles)?;
        questions.ask(BOOKINGS, &unknown.bookings)?;
        let keys: Vec<_> = unknown.keys.iter().map(|id| (id.user_id.as_str(), id.key.as_str())).collect();
        questions.ask(IDEMPOTENCY, &keys)?;
        questions.ask(INBOX, &unknown.handled)?;
        questions.ask(CREATED, &since(&commits))?;
        if questions.sql.is_empty() {
            return Ok(known);
        }
        let query = sqlx::query_with(AssertSqlSafe(questions.sql), questions.arguments);
        for row in &query.fetch_all(connection).await? {
            known.take(row)?;
        }
        Ok(known)
    }

    fn take(&mut self, row: &SqliteRow) -> Result<(), LoadError> {
        let table: String = row.try_get(row.len() - 1)?;
        if table == VEHICLES.table {
            let row = Row::new(row, COMMIT, "vehicles");
            self.vehicles.insert(row.parse(0)?, row.version(1)?);
        } else if table == BOOKINGS.table {
            let row = Row::new(row, COMMIT, "bookings");
            self.bookings.insert(row.parse(0)?, row.version(1)?);
        } else if table == IDEMPOTENCY.table {
            let row = Row::new(row, COMMIT, "idempotency");
            let key = IdempotencyKey::new(row.get::<String>(1)?);
            let key = key.map_err(|_| row.corrupt(1, "is not an Idempotency-Key"))?;
            let id = IdempotencyId { user_id: row.parse(0)?, key };
            self.idempotency.insert(id, Some(Arc::new(rows::idempotency(&row)?)));
        } else if table == INBOX.table {
            let row = Row::new(row, COMMIT, "inbox");
            self.handled.insert((row.get(0)?, row.get(1)?));
        } else {
            let row = Row::new(row, COMMIT, "bookings");
            self.created.entry(row.parse(0)?).or_default().push(row.time(1)?);
        }
        Ok(())
    }

    /// Returns what memory does not know. What neither memory nor the file knows is at version 0, or was never there.
    fn recall(&mut self, works: &[&Work], memory: &Memory) -> Unknown {
        let mut unknown = Unknown::default();
        let mut rows = memory.rows();
        for work in works {
            if let Work::Handled { consumer, event_id, .. } = work {
                let key = (consumer.clone(), event_id.clone());
                match rows.handled.get(&key) {
                    Ok(true) => drop(self.handled.insert(key)),
                    Ok(false) => {}
                    Err(_) => unknown.handled.push(key),
                }
            }
            let Some(commit) = work.commit() else { continue };
            for change in &commit.vehicles {
                let id = &change.stored.state.id;
                match rows.vehicles.get(id) {
                    Ok(stored) => drop(self.vehicles.insert(id.clone(), stored.version)),
                    Err(_) => unknown.vehicles.push(id.clone()),
                }
            }
            for change in &commit.bookings {
                let id = change.stored.state.id;
                match rows.bookings.get(&id) {
                    Ok(stored) => drop(self.bookings.insert(id, stored.version)),
                    Err(_) => unknown.bookings.push(id),
                }
            }
            if let Some(write) = &commit.idempotency {
                match rows.idempotency.get(&write.id) {
                    Ok(record) => drop(self.idempotency.insert(write.id.clone(), record)),
                    Err(_) => unknown.keys.push(write.id.clone()),
                }
            }
        }
        unknown
    }

    /// Whether it is news that the event was handled.
    pub(crate) fn is_news(&mut self, consumer: &str, event_id: &str) -> bool {
        self.handled.insert((consumer.to_owned(), event_id.to_owned()))
    }

    /// Accepts the commit and takes its effects into account, or says why not and leaves everything as it was.
    pub(crate) fn judge(&mut self, commit: &Prepared) -> Result<(), CommitError> {
        if let Some(write) = &commit.idempotency {
            let current = self.idempotency.get(&write.id).cloned().flatten();
            if current.as_deref() != write.expected.as_ref() {
                return Err(CommitError::IdempotencyConflict);
            }
        }
        once(&commit.vehicles, |vehicle| vehicle.id.clone())?;
        once(&commit.bookings, |booking| booking.id)?;
        for change in &commit.vehicles {
            let id = &change.stored.state.id;
            expect(self.vehicles.get(id), change.expected, || AggregateKey::Vehicle(id.clone()))?;
        }
        for change in &commit.bookings {
            let id = change.stored.state.id;
            expect(self.bookings.get(&id), change.expected, || AggregateKey::Booking(id))?;
        }
        if let Some(quota) = &commit.quota {
            self.within(quota)?;
        }
        self.accept(commit);
        Ok(())
    }

    fn within(&self, quota: &Quota) -> Result<(), CommitError> {
        let created = self.created.get(&quota.user_id).map_or(&[][..], Vec::as_slice);
        let counted = || created.iter().filter(|at| **at > quota.since);
        if (counted().count() as u64) < u64::from(quota.max) {
            return Ok(());
        }
        Err(CommitError::QuotaExceeded { oldest: counted().min().copied().unwrap_or(quota.since) })
    }

    fn accept(&mut self, commit: &Prepared) {
        for change in &commit.vehicles {
            self.vehicles.insert(change.stored.state.id.clone(), change.stored.version);
        }
        for change in &commit.bookings {
            let booking = &change.stored.state;
            self.bookings.insert(booking.id, change.stored.version);
            if change.expected == Version::NONE {
                self.created.entry(booking.user_id.clone()).or_default().push(booking.created_at);
            }
        }
        if let Some(write) = &commit.idempotency {
            self.idempotency.insert(write.id.clone(), Some(Arc::new(write.record.clone())));
        }
    }
}

fn expect(
    current: Option<&Version>,
    expected: Version,
    key: impl FnOnce() -> AggregateKey,
) -> Result<(), CommitError> {
    if current.copied().unwrap_or(Version::NONE) == expected {
        return Ok(());
    }
    Err(CommitError::VersionConflict { key: key(), expected })
}

fn once<T, K: Hash + Eq>(changes: &[Changed<T>], id: impl Fn(&T) -> K) -> Result<(), PortError> {
    let mut seen = HashSet::new();
    if changes.len() < 2 || changes.iter().all(|change| seen.insert(id(&change.stored.state))) {
        return Ok(());
    }
    Err(PortError::new(Kind::Rejected, COMMIT, "a commit changes an aggregate at most once"))
}

/// What memory does not know of a batch.
#[derive(Default)]
struct Unknown {
    vehicles: Vec<VehicleId>,
    bookings: Vec<BookingId>,
    keys: Vec<IdempotencyId>,
    handled: Vec<(String, String)>,
}

/// Asks about many keys at once. The last column says what the row is about.
struct Question {
    columns: &'static str,
    table: &'static str,
    from: &'static str,
}

const VEHICLES: Question =
    Question { columns: "t.id, t.version", table: "vehicles", from: "vehicles t ON t.id = x.value" };
const BOOKINGS: Question =
    Question { columns: "t.id, t.version", table: "bookings", from: "bookings t ON t.id = x.value" };
const IDEMPOTENCY: Question = Question {
    columns: rows::IDEMPOTENCY,
    table: "idempotency",
    from: "idempotency t ON t.user_id = x.value ->> 0 AND t.key = x.value ->> 1",
};
const INBOX: Question = Question {
    columns: "t.consumer, t.event_id",
    table: "inbox",
    from: "inbox t ON t.consumer = x.value ->> 0 AND t.event_id = x.value ->> 1",
};
const CREATED: Question = Question {
    columns: "t.user_id, t.created_at",
    table: "created",
    from: "bookings t ON t.user_id = x.value ->> 0 AND t.created_at > x.value ->> 1",
};

/// Statements that are sent in one call.
#[derive(Default)]
struct Questions {
    sql: String,
    arguments: SqliteArguments,
}

impl Questions {
    fn ask<T: Serialize>(&mut self, question: Question, keys: &[T]) -> sqlx::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys = serde_json::to_string(keys).map_err(|error| sqlx::Error::Encode(error.into()))?;
        self.arguments.add(keys).map_err(sqlx::Error::Encode)?;
        let Question { columns, table, from } = question;
        self.sql.push_str("SELECT ");
        self.sql.push_str(columns);
        self.sql.push_str(", '");
        self.sql.push_str(table);
        self.sql.push_str("' FROM json_each(?) x CROSS JOIN ");
        self.sql.push_str(from);
        self.sql.push(';');
        Ok(())
    }
}

/// From when on the bookings of each user count against a quota.
fn since<'c>(commits: &[&'c Prepared]) -> Vec<(&'c UserId, i64)> {
    let mut since: HashMap<&UserId, i64> = HashMap::new();
    for quota in commits.iter().filter_map(|commit| commit.quota.as_ref()) {
        let start = quota.since.as_micros();
        since.entry(&quota.user_id).and_modify(|earliest| *earliest = start.min(*earliest)).or_insert(start);
    }
    since.into_iter().collect()
}
