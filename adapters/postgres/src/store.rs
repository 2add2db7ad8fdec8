//! The store: reads ask the database, commits go through the [writers](crate::writer).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    BookingFilter, Commit, CommitError, Due, IdempotencyId, IdempotencyRecord, Kind, Page, PortError,
    PreparedCommit, Profile, Store, Stored, Telemetry, VehicleRecord,
};
use sqlx::postgres::{PgArguments, PgRow};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use uuid::Uuid;

use crate::config::PostgresConfig;
use crate::database::Database;
use crate::gather::{Desk, desk};
use crate::outbox::{Lease, wake};
use crate::rows::{self, Result, Row, arguments};
use crate::schema::{self, Migrated};
use crate::sql;
use crate::telemetry::{self, Reports};
use crate::writer::{Answer, Writer};

/// The store on Postgres. Also its [`Outbox`](rideplane_ports::Outbox), [`Inbox`](rideplane_ports::Inbox) and
/// [`AuditSource`](rideplane_ports::AuditSource).
#[derive(Debug)]
pub struct PostgresStore {
    pub(crate) database: Arc<Database>,
    pub(crate) relay: Uuid,
    pub(crate) lease: Mutex<Option<Lease>>,
    commits: Desk<Box<PreparedCommit>, Answer>,
    reports: Desk<Vec<Telemetry>, Result<()>>,
    batches: Arc<AtomicU64>,
    writing: Mutex<Vec<JoinHandle<()>>>,
    waking: Waking,
}

/// Ends with its store.
#[derive(Debug)]
struct Waking(AbortHandle);

impl Drop for Waking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PostgresStore {
    /// Connects to a database whose schema is up to date. Must run within a tokio runtime, which then carries the
    /// writers.
    ///
    /// # Errors
    /// [`Kind::Rejected`] when user, password or database are wrong, or the schema is not the one of this build;
    /// [`Kind::Unavailable`] when no host answers that takes writes.
    pub async fn open(config: PostgresConfig) -> Result<Self> {
        schema::check(&config).await?;
        let database = Database::open(config).await?;
        let ((commits, commit_tray), (reports, report_tray)) = (desk(), desk());
        let (batches, news) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let mut writing = Vec::new();
        for _ in 0..database.config.writers.max(1) {
            let writer = Writer {
                database: Arc::clone(&database),
                tray: commit_tray.clone(),
                batches: Arc::clone(&batches),
                news: Arc::clone(&news),
                connection: None,
            };
            writing.push(tokio::spawn(writer.run()));
        }
        let reporter = Reports { database: Arc::clone(&database), tray: report_tray };
        writing.push(tokio::spawn(reporter.run()));
        let waking = Waking(tokio::spawn(wake(Arc::clone(&database), news)).abort_handle());
        Ok(Self {
            relay: random()?,
            lease: Mutex::new(None),
            commits,
            reports,
            batches,
            writing: Mutex::new(writing),
            waking,
            database,
        })
    }

    /// Brings the schema up to date. May be called again, and by several processes at once: one does it, the others wait
    /// and find it done.
    ///
    /// # Errors
    /// As [`open`](Self::open); also [`Kind::Rejected`] when PostGIS is missing, when the user may not change the schema
    /// and when the database is another program's.
    pub async fn migrate(config: &PostgresConfig) -> Result<Migrated> {
        schema::migrate(config).await
    }

    /// Finishes what was begun, lets go of the outbox and closes the connections. A store that is dropped instead lets
    /// go when its lease ends.
    pub async fn close(&self) {
        self.commits.close();
        self.reports.close();
        self.waking.0.abort();
        let writing = std::mem::take(&mut *self.writing.lock());
        for task in writing {
            // It ends by itself; a panic in it has been told already.
            drop(task.await);
        }
        if let Err(error) = self.release().await {
            tracing::warn!(%error, "the outbox is let go when its lease ends");
        }
        self.database.close().await;
    }

    /// How many transactions were committed since the store was opened: with the number of commits it says how many
    /// share one.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    async fn one<T>(
        &self,
        operation: &'static str,
        table: &'static str,
        sql: &'static str,
        keys: &[&str],
        read: impl Fn(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut arguments = PgArguments::default();
        for key in keys {
            rows::bind(operation, &mut arguments, *key)?;
        }
        let found = self.database.read(operation, sql, arguments).await?;
        found.first().map(|row| read(&Row::new(row, operation, table))).transpose()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>> {
        self.one("store.vehicle", "vehicles", sql::VEHICLE, &[id.as_str()], |row| row.stored(1)).await
    }

    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>> {
        self.one("store.booking", "bookings", sql::BOOKING, &[&id.to_string()], |row| row.stored(1)).await
    }

    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>> {
        let keys = [&*id.to_string(), user.as_str()];
        self.one("store.booking", "bookings", sql::BOOKING_OF, &keys, |row| row.stored(1)).await
    }

    async fn commit(&self, commit: Commit) -> std::result::Result<(), CommitError> {
        if commit.is_empty() {
            return Ok(());
        }
        let prepared = Box::new(PreparedCommit::try_from(commit)?);
        self.commits.ask("store.commit", prepared).await?
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
        const OPERATION: &str = "store.due";
        let arguments = arguments!(OPERATION, now.as_micros(), at_most(limit));
        let found = self.database.read(OPERATION, sql::DUE, arguments).await?;
        let read = |row: &PgRow| {
            let row = Row::new(row, OPERATION, "bookings or vehicles");
            Ok(Due { key: row.key(1, 0)?, deadline: row.time(2)? })
        };
        found.iter().map(read).collect()
    }

    async fn next_deadline(&self) -> Result<Option<Timestamp>> {
        const OPERATION: &str = "store.next_deadline";
        let found = self.database.read(OPERATION, sql::NEXT_DEADLINE, PgArguments::default()).await?;
        let deadline = found.first().map(|row| Row::new(row, OPERATION, "bookings").get::<Option<i64>>(0));
        Ok(deadline.transpose()?.flatten().map(Timestamp::from_micros))
    }

    async fn silent_vehicles(&self, before: Timestamp, limit: usize) -> Result<Vec<VehicleId>> {
        const OPERATION: &str = "store.silent_vehicles";
        let arguments = arguments!(OPERATION, before.as_micros(), at_most(limit));
        let found = self.database.read(OPERATION, sql::SILENT_VEHICLES, arguments).await?;
        found.iter().map(|row| Row::new(row, OPERATION, "telemetry").parse(0)).collect()
    }

    async fn bookings_of(&self, user: &UserId, filter: &BookingFilter) -> Result<Page<Stored<Booking>>> {
        const OPERATION: &str = "store.bookings_of";
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let arguments = arguments!(
            OPERATION,
            user.as_str(),
            filter.status.map(|status| status.as_str()),
            filter.before.map(|id| id.to_string()),
            at_most(limit.saturating_add(1))
        );
        let found = self.database.read(OPERATION, sql::BOOKINGS_OF, arguments).await?;
        let items: Result<Vec<_>> =
            found.iter().take(limit).map(|row| Row::new(row, OPERATION, "bookings").stored(1)).collect();
        Ok(Page { items: items?, more: found.len() > limit })
    }

    async fn vehicles(&self, after: Option<&VehicleId>, limit: usize) -> Result<Vec<VehicleRecord>> {
        const OPERATION: &str = "store.vehicles";
        let arguments = arguments!(OPERATION, after.map_or("", VehicleId::as_str), at_most(limit));
        let found = self.database.read(OPERATION, sql::VEHICLES, arguments).await?;
        let read = |row: &PgRow| {
            let row = Row::new(row, OPERATION, "vehicles");
            let telemetry = rows::telemetry(&row, row.parse(0)?, 3)?;
            Ok(VehicleRecord { vehicle: row.stored(1)?, telemetry })
        };
        found.iter().map(read).collect()
    }

    async fn telemetry(&self, id: &VehicleId) -> Result<Option<Telemetry>> {
        let read = |row: &Row<'_>| rows::telemetry(row, id.clone(), 1);
        Ok(self.one("store.telemetry", "telemetry", sql::TELEMETRY, &[id.as_str()], read).await?.flatten())
    }

    async fn record_telemetry(&self, reports: &[Telemetry]) -> Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        self.reports.ask(telemetry::OPERATION, reports.to_vec()).await?
    }

    async fn idempotency(&self, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>> {
        let keys = [id.user_id.as_str(), id.key.as_str()];
        self.one("store.idempotency", "idempotency", sql::IDEMPOTENCY, &keys, rows::idempotency).await
    }

    async fn profile(&self, user: &UserId) -> Result<Option<Profile>> {
        self.one("store.profile", "profiles", sql::PROFILE, &[user.as_str()], |row| row.json(1)).await
    }

    async fn put_profile(&self, profile: &Profile) -> Result<()> {
        const OPERATION: &str = "store.put_profile";
        let json = serde_json::to_string(profile)
            .map_err(|_| PortError::new(Kind::Rejected, OPERATION, "the profile can't be written as JSON"))?;
        let arguments = arguments!(OPERATION, profile.user_id.as_str(), json);
        let written = self.database.fetch(sql::PUT_PROFILE, arguments).await;
        written.map(drop).map_err(|failure| failure.of_write(OPERATION))
    }

    async fn ping(&self) -> Result<()> {
        self.database.read("store.ping", sql::PING, PgArguments::default()).await.map(drop)
    }
}

/// A limit as Postgres takes it.
pub(crate) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A name that no other process has.
fn random() -> Result<Uuid> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        PortError::new(Kind::Unavailable, "store.open", format!("the system has no entropy: {error}"))
    })?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
