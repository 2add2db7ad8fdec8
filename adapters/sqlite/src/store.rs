//! The store: answers from memory where it can, from the file where it must; writes through the [writer](crate::writer).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    BookingFilter, Commit, CommitError, Due, IdempotencyId, IdempotencyRecord, Kind, Page, PortError,
    PreparedCommit, Profile, Store, Stored, Telemetry, VehicleRecord,
};
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use crate::cache::{Memory, Rows};
use crate::config::SqliteConfig;
use crate::lookups;
use crate::open;
use crate::readers::Readers;
use crate::rows::{self, Result, Source};
use crate::writer::{Op, Outcome, Work, Writer};

/// How many operations may wait before callers wait to be heard.
const QUEUE: usize = 1024;

/// The store on one SQLite file. Also its [`Outbox`](rideplane_ports::Outbox), [`Inbox`](rideplane_ports::Inbox) and
/// [`AuditSource`](rideplane_ports::AuditSource).
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` when opened for reading.
    writable: Option<Writable>,
    pub(crate) readers: Readers,
}

#[derive(Debug)]
struct Writable {
    writer: mpsc::Sender<Op>,
    memory: Arc<Memory>,
    batches: Arc<AtomicU64>,
}

impl SqliteStore {
    /// Opens the file for writing, makes it when it is missing, and brings its schema up to date. Must run within a
    /// tokio runtime, whose waiting threads carry the long reads.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when another process writes to it, [`Kind::Rejected`] when its schema is newer than this
    /// build or it is another program's, [`Kind::Corrupt`] when it is not a database, [`Kind::Unavailable`] when it
    /// can't be opened.
    pub async fn open(config: SqliteConfig) -> Result<Self> {
        let memory = Arc::new(Memory::new(config.cached_rows));
        let batches = Arc::new(AtomicU64::new(0));
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writing = (Arc::clone(&memory), Arc::clone(&batches));
        let readers = apart(move || {
            let (path, readers) = (config.path.clone(), config.readers);
            let writer = Writer::open(config, writing.0, writing.1)?;
            let readers = Readers::open(&path, readers)?;
            writer.start(receiver)?;
            Ok(readers)
        })
        .await?;
        Ok(Self { writable: Some(Writable { writer: sender, memory, batches }), readers })
    }

    /// Opens an existing file for reading only, also while another process writes to it. Every write is refused, and
    /// every read asks the file.
    ///
    /// # Errors
    /// [`Kind::Rejected`] when its schema is not the one of this build, [`Kind::Unavailable`] when it can't be opened.
    pub async fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let readers = apart(move || {
            open::check(&open::reader(&path)?, &path)?;
            Readers::open(&path, 2)
        })
        .await?;
        Ok(Self { writable: None, readers })
    }

    /// Finishes what was begun and lets go of the file. Dropping the store does the same, a moment later.
    pub async fn close(&self) {
        self.readers.close();
        if self.writable.is_some() {
            // The last connection to go tidies the file up. Closed already leaves nothing to do.
            drop(self.ask(Work::Close).await);
        }
    }

    /// Bounds the size of the file to `pages` of 4 KiB until it is closed. Beyond that commits end with
    /// [`Kind::Unavailable`]; a later, higher bound lets them go on.
    ///
    /// # Errors
    /// When the store is closed or was opened for reading.
    pub async fn limit_pages(&self, pages: u32) -> Result<()> {
        self.done(Work::LimitPages(pages)).await
    }

    /// How many transactions were committed since the store was opened: with the number of commits it says how many
    /// share one.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.writable.as_ref().map_or(0, |writable| writable.batches.load(Ordering::Relaxed))
    }

    pub(crate) async fn ask(&self, work: Work) -> Result<Outcome> {
        let operation = work.operation();
        let Some(writable) = &self.writable else {
            return Err(PortError::new(
                Kind::Rejected,
                operation,
                "the database was opened for reading only",
            ));
        };
        let (answer, waiting) = oneshot::channel();
        writable.writer.send(Op { work, answer }).await.map_err(|_| {
            PortError::new(Kind::Unavailable, operation, "nothing was written: the store is closed")
        })?;
        waiting.await.map_err(|_| {
            let message = "the store was closed before it answered: the write may or may not have happened";
            PortError::new(Kind::OutcomeUnknown, operation, message)
        })
    }

    pub(crate) async fn done(&self, work: Work) -> Result<()> {
        match self.ask(work).await? {
            Outcome::Done | Outcome::News(_) => Ok(()),
            Outcome::Failed(error) | Outcome::Refused(CommitError::Port(error)) => Err(error),
            Outcome::Refused(refusal) => {
                Err(PortError::new(Kind::Conflict, "store.write", refusal.to_string()))
            }
        }
    }

    /// What memory says; `None` when there is none.
    pub(crate) fn recall<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> Option<T> {
        self.writable.as_ref().map(|writable| look(&mut writable.memory.rows()))
    }

    pub(crate) fn fill(&self, fill: impl FnOnce(&mut Rows)) {
        if let Some(writable) = &self.writable {
            fill(&mut writable.memory.rows());
        }
    }

    fn known_booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>> {
        let moment = match self.recall(|rows| rows.bookings.get(id)) {
            Some(Ok(stored)) => return Ok(Some(stored)),
            Some(Err(moment)) => Some(moment),
            None => None,
        };
        let look = |connection: &Connection| lookups::booking(connection, id);
        let found = self.readers.at_once("store.booking", look)?;
        if let (Some(stored), Some(moment)) = (&found, moment) {
            self.fill(|rows| rows.bookings.fill(*id, stored.clone(), moment));
        }
        Ok(found)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>> {
        let moment = match self.recall(|rows| rows.vehicles.get(id)) {
            Some(Ok(stored)) => return Ok(Some(stored)),
            Some(Err(moment)) => Some(moment),
            None => None,
        };
        let found = self.readers.at_once("store.vehicle", |connection| lookups::vehicle(connection, id))?;
        if let (Some(stored), Some(moment)) = (&found, moment) {
            self.fill(|rows| rows.vehicles.fill(id.clone(), stored.clone(), moment));
        }
        Ok(found)
    }

    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>> {
        self.known_booking(id)
    }

    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>> {
        Ok(self.known_booking(id)?.filter(|stored| stored.state.user_id == *user))
    }

    async fn commit(&self, commit: Commit) -> std::result::Result<(), CommitError> {
        if commit.is_empty() {
            return Ok(());
        }
        let prepared = Box::new(PreparedCommit::try_from(commit)?);
        match self.ask(Work::Commit(prepared)).await? {
            Outcome::Done | Outcome::News(_) => Ok(()),
            Outcome::Refused(error) => Err(error),
            Outcome::Failed(error) => Err(error.into()),
        }
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
        const OPERATION: &str = "store.due";
        let known = self.recall(|rows| {
            let deadlines = rows.deadlines.as_ref()?;
            let due = deadlines.iter().take_while(|(deadline, _)| *deadline <= now).take(limit);
            Some(due.map(|(deadline, key)| Due { key: key.clone(), deadline: *deadline }).collect())
        });
        if let Some(Some(due)) = known {
            return Ok(due);
        }
        let sql = "SELECT id, 'booking' AS kind, deadline FROM bookings WHERE deadline <= ?1
                   UNION ALL SELECT id, 'vehicle', deadline FROM vehicles WHERE deadline <= ?1
                   ORDER BY deadline, kind, id LIMIT ?2";
        let read = move |connection: &Connection| {
            let source = Source::new(OPERATION, "bookings or vehicles");
            source.all(connection, sql, params![now.as_micros(), at_most(limit)], |row| {
                Ok(Due { key: row.key(1, 0)?, deadline: row.time(2)? })
            })
        };
        self.readers.apart(OPERATION, read).await
    }

    async fn next_deadline(&self) -> Result<Option<Timestamp>> {
        const OPERATION: &str = "store.next_deadline";
        let known = self.recall(|rows| {
            rows.deadlines.as_ref().map(|deadlines| deadlines.iter().next().map(|(deadline, _)| *deadline))
        });
        if let Some(Some(deadline)) = known {
            return Ok(deadline);
        }
        let sql = "SELECT min(deadline) FROM (
                   SELECT min(deadline) AS deadline FROM bookings WHERE deadline IS NOT NULL
                   UNION ALL SELECT min(deadline) FROM vehicles WHERE deadline IS NOT NULL)";
        let read = move |connection: &Connection| {
            let source = Source::new(OPERATION, "bookings or vehicles");
            source.first(connection, sql, [], |row| row.get::<Option<i64>>(0))
        };
        Ok(self.readers.apart(OPERATION, read).await?.flatten().map(Timestamp::from_micros))
    }

    async fn silent_vehicles(&self, before: Timestamp, limit: usize) -> Result<Vec<VehicleId>> {
        const OPERATION: &str = "store.silent_vehicles";
        let sql = "SELECT vehicle_id, last_reported FROM telemetry WHERE watched = 1 AND last_reported IS NULL
                   UNION ALL SELECT vehicle_id, last_reported FROM telemetry WHERE watched = 1 AND last_reported < ?1
                   ORDER BY last_reported, vehicle_id LIMIT ?2";
        let read = move |connection: &Connection| {
            let params = params![before.as_micros(), at_most(limit)];
            Source::new(OPERATION, "telemetry").all(connection, sql, params, |row| row.parse(0))
        };
        self.readers.apart(OPERATION, read).await
    }

    async fn bookings_of(&self, user: &UserId, filter: &BookingFilter) -> Result<Page<Stored<Booking>>> {
        const OPERATION: &str = "store.bookings_of";
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let sql = "SELECT id, version, state FROM bookings
                   WHERE user_id = ?1 AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR (created_at, id) <
                   (SELECT created_at, id FROM bookings WHERE id = ?3 AND user_id = ?1))
                   ORDER BY created_at DESC, id DESC LIMIT ?4";
        let (user, status) = (user.clone(), filter.status.map(|status| status.as_str()));
        let before = filter.before.map(|id| id.to_string());
        let read = move |connection: &Connection| {
            let params = params![user.as_str(), status, before, at_most(limit.saturating_add(1))];
            // The one beyond the page only says that there is more: it may be damaged.
            let mut room = limit;
            let found = Source::new(OPERATION, "bookings").all(connection, sql, params, |row| {
                let within = room > 0;
                room = room.saturating_sub(1);
                within.then(|| row.stored(1)).transpose()
            })?;
            let more = found.len() > limit;
            Ok(Page { items: found.into_iter().flatten().collect(), more })
        };
        self.readers.apart(OPERATION, read).await
    }

    async fn vehicles(&self, after: Option<&VehicleId>, limit: usize) -> Result<Vec<VehicleRecord>> {
        const OPERATION: &str = "store.vehicles";
        let sql = "SELECT v.id, v.version, v.state, t.last_reported, t.lat, t.lon, t.charge, t.range_m
                   FROM vehicles v LEFT JOIN telemetry t ON t.vehicle_id = v.id
                   WHERE v.id > ?1 ORDER BY v.id LIMIT ?2";
        let after = after.map_or_else(String::new, |id| id.as_str().to_owned());
        let read = move |connection: &Connection| {
            let source = Source::new(OPERATION, "vehicles");
            source.all(connection, sql, params![after, at_most(limit)], |row| {
                let telemetry = rows::telemetry(row, row.parse(0)?, 3)?;
                Ok(VehicleRecord { vehicle: row.stored(1)?, telemetry })
            })
        };
        self.readers.apart(OPERATION, read).await
    }

    async fn telemetry(&self, id: &VehicleId) -> Result<Option<Telemetry>> {
        let moment = match self.recall(|rows| rows.telemetry.get(id)) {
            Some(Ok(telemetry)) => return Ok(telemetry),
            Some(Err(moment)) => Some(moment),
            None => None,
        };
        let found =
            self.readers.at_once("store.telemetry", |connection| lookups::telemetry(connection, id))?;
        if let Some(moment) = moment {
            self.fill(|rows| rows.telemetry.fill(id.clone(), found.clone(), moment));
        }
        Ok(found)
    }

    async fn record_telemetry(&self, reports: &[Telemetry]) -> Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        self.done(Work::Telemetry(reports.to_vec())).await
    }

    async fn idempotency(&self, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>> {
        let moment = match self.recall(|rows| rows.idempotency.get(id)) {
            Some(Ok(record)) => return Ok(record.map(|record| (*record).clone())),
            Some(Err(moment)) => Some(moment),
            None => None,
        };
        let look = |connection: &Connection| lookups::idempotency(connection, id);
        let found = self.readers.at_once("store.idempotency", look)?;
        if let Some(moment) = moment {
            let record = found.clone().map(Arc::new);
            self.fill(|rows| rows.idempotency.fill(id.clone(), record, moment));
        }
        Ok(found)
    }

    async fn profile(&self, user: &UserId) -> Result<Option<Profile>> {
        let moment = match self.recall(|rows| rows.profiles.get(user)) {
            Some(Ok(profile)) => return Ok(profile.map(|profile| (*profile).clone())),
            Some(Err(moment)) => Some(moment),
            None => None,
        };
        let found = self.readers.at_once("store.profile", |connection| lookups::profile(connection, user))?;
        if let Some(moment) = moment {
            let profile = found.clone().map(Arc::new);
            self.fill(|rows| rows.profiles.fill(user.clone(), profile, moment));
        }
        Ok(found)
    }

    async fn put_profile(&self, profile: &Profile) -> Result<()> {
        let json = serde_json::to_string(profile).map_err(|_| {
            PortError::new(Kind::Rejected, "store.put_profile", "the profile can't be written as JSON")
        })?;
        self.done(Work::Profile { profile: profile.clone(), json }).await
    }

    async fn ping(&self) -> Result<()> {
        const OPERATION: &str = "store.ping";
        if let Some(writable) = &self.writable
            && writable.writer.is_closed()
        {
            return Err(PortError::new(Kind::Unavailable, OPERATION, "the store is closed"));
        }
        self.readers.at_once(OPERATION, |connection| {
            let sql = "SELECT 1 FROM sqlite_schema LIMIT 1";
            Source::new(OPERATION, "sqlite_schema").first(connection, sql, [], |_| Ok(())).map(drop)
        })
    }
}

/// Does what waits for the disk where tokio lets threads wait.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let broken = |_| PortError::new(Kind::Unavailable, "store.open", "opening the database was broken off");
    tokio::task::spawn_blocking(work).await.map_err(broken)?
}

/// A limit as SQLite takes it.
pub(crate) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
