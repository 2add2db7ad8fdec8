//! Judging the commits of a batch: each by its own expectations, and after the effects of those before it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use rideplane_core::ids::{BookingId, UserId, VehicleId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::{AggregateKey, CommitError, IdempotencyId, IdempotencyRecord, Kind, PortError, Quota};
use sqlx::SqliteConnection;

use crate::cache::Memory;
use crate::prepared::{Changed, Prepared};
use crate::rows::{self, Row};

const COMMIT: &str = "store.commit";

/// What the commits of a batch refer to, as it is after those that were accepted already.
#[derive(Debug, Default)]
pub(crate) struct Known {
    vehicles: HashMap<VehicleId, Version>,
    bookings: HashMap<BookingId, Version>,
    idempotency: HashMap<IdempotencyId, Option<Arc<IdempotencyRecord>>>,
    created: HashMap<UserId, Vec<Timestamp>>,
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
    /// Takes what memory knows and asks the file for the rest: at most one statement for each kind of row.
    pub(crate) async fn load(
        commits: &[&Prepared],
        memory: &Memory,
        connection: &mut SqliteConnection,
    ) -> Result<Self, LoadError> {
        let mut known = Self::default();
        let (vehicles, bookings, keys) = known.recall(commits, memory);
        if !vehicles.is_empty() {
            let sql = "SELECT v.id, v.version FROM json_each(?1) x CROSS JOIN vehicles v ON v.id = x.value";
            for row in sqlx::query(sql).bind(json(&vehicles)?).fetch_all(&mut *connection).await? {
                let row = Row::new(&row, COMMIT, "vehicles");
                known.vehicles.insert(row.parse(0)?, row.version(1)?);
            }
        }
        if !bookings.is_empty() {
            let sql = "SELECT b.id, b.version FROM json_each(?1) x CROSS JOIN bookings b ON b.id = x.value";
            for row in sqlx::query(sql).bind(json(&bookings)?).fetch_all(&mut *connection).await? {
                let row = Row::new(&row, COMMIT, "bookings");
                known.bookings.insert(row.parse(0)?, row.version(1)?);
            }
        }
        if !keys.is_empty() {
            known.load_idempotency(keys, connection).await?;
        }
        known.load_created(commits, connection).await?;
        Ok(known)
    }

    /// Returns what memory does not know. Aggregates that neither memory nor the file knows are at version 0.
    fn recall(
        &mut self,
        commits: &[&Prepared],
        memory: &Memory,
    ) -> (Vec<VehicleId>, Vec<BookingId>, Vec<IdempotencyId>) {
        let (mut vehicles, mut bookings, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = memory.rows();
        for commit in commits {
            for change in &commit.vehicles {
                let id = &change.stored.state.id;
                match rows.vehicles.get(id) {
                    Ok(stored) => drop(self.vehicles.insert(id.clone(), stored.version)),
                    Err(_) => vehicles.push(id.clone()),
                }
            }
            for change in &commit.bookings {
                let id = change.stored.state.id;
                match rows.bookings.get(&id) {
                    Ok(stored) => drop(self.bookings.insert(id, stored.version)),
                    Err(_) => bookings.push(id),
                }
            }
            if let Some(write) = &commit.idempotency {
                match rows.idempotency.get(&write.id) {
                    Ok(record) => drop(self.idempotency.insert(write.id.clone(), record)),
                    Err(_) => keys.push(write.id.clone()),
                }
            }
        }
        (vehicles, bookings, keys)
    }

    async fn load_idempotency(
        &mut self,
        keys: Vec<IdempotencyId>,
        connection: &mut SqliteConnection,
    ) -> Result<(), LoadError> {
        let pairs: Vec<(&str, &str)> = keys.iter().map(|id| (id.user_id.as_str(), id.key.as_str())).collect();
        let sql = idempotency_sql();
        let rows = sqlx::query(sql).bind(json(&pairs)?).fetch_all(&mut *connection).await?;
        for row in &rows {
            let row = Row::new(row, COMMIT, "idempotency");
            let (user, key) = (row.get::<&str>(0)?, row.get::<&str>(1)?);
            let record = Arc::new(rows::idempotency(&row)?);
            let found = keys.iter().find(|id| id.user_id.as_str() == user && id.key.as_str() == key);
            if let Some(id) = found {
                self.idempotency.insert(id.clone(), Some(record));
            }
        }
        Ok(())
    }

    async fn load_created(
        &mut self,
        commits: &[&Prepared],
        connection: &mut SqliteConnection,
    ) -> Result<(), LoadError> {
        let mut since: HashMap<&UserId, i64> = HashMap::new();
        for quota in commits.iter().filter_map(|commit| commit.quota.as_ref()) {
            let start = quota.since.as_micros();
            since
                .entry(&quota.user_id)
                .and_modify(|earliest| *earliest = start.min(*earliest))
                .or_insert(start);
        }
        if since.is_empty() {
            return Ok(());
        }
        let pairs: Vec<_> = since.into_iter().collect();
        let sql = "SELECT b.user_id, b.created_at FROM json_each(?1) x
                   CROSS JOIN bookings b ON b.user_id = x.value ->> 0 AND b.created_at > x.value ->> 1";
        for row in sqlx::query(sql).bind(json(&pairs)?).fetch_all(&mut *connection).await? {
            let row = Row::new(&row, COMMIT, "bookings");
            self.created.entry(row.parse(0)?).or_default().push(row.time(1)?);
        }
        Ok(())
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
    let mut seen = std::collections::HashSet::new();
    if changes.len() < 2 || changes.iter().all(|change| seen.insert(id(&change.stored.state))) {
        return Ok(());
    }
    Err(PortError::new(Kind::Rejected, COMMIT, "a commit changes an aggregate at most once"))
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, LoadError> {
    serde_json::to_string(value).map_err(|error| LoadError::Sql(sqlx::Error::Encode(error.into())))
}

fn idempotency_sql() -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!(
        "SELECT {} FROM json_each(?1) x
         CROSS JOIN idempotency i ON i.user_id = x.value ->> 0 AND i.key = x.value ->> 1",
        rows::IDEMPOTENCY
    ))
}
