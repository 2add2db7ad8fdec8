//! The one thread that writes.
//!
//! Callers send operations and wait; the thread takes all that are waiting and carries them out in one transaction.
//! While the disk syncs one batch, the next one gathers: the more callers, the larger the batch, and nobody ever waits
//! for a clock. An operation is answered after the COMMIT, and memory learns of it in between.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rideplane_core::time::Timestamp;
use rideplane_ports::{CommitError, Kind, PortError, PreparedCommit, Profile, Telemetry};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::batch::Known;
use crate::cache::{Deadlines, Memory};
use crate::config::SqliteConfig;
use crate::rows::{Result, SQLITE_BUSY, SQLITE_CONSTRAINT, SQLITE_FULL, Source, failed_read, primary_code};
use crate::waiting::EventKey;
use crate::{open, statements};

/// What is asked of the writer.
#[derive(Debug)]
pub(crate) enum Work {
    Commit(Box<PreparedCommit>),
    Telemetry(Vec<Telemetry>),
    Profile { profile: Profile, json: String },
    Published(Vec<EventKey>),
    Handled { consumer: String, event_id: String, at: Timestamp },
    LimitPages(u32),
    Close,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// Whether it was news that the event was handled.
    News(bool),
    Refused(CommitError),
    Failed(PortError),
}

/// Work and who waits for it.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) work: Work,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// Why a batch failed as a whole.
#[derive(Debug)]
enum Failure {
    /// Nothing was done.
    Nothing(rusqlite::Error),
    /// What the batch builds on can't be read; nothing was done.
    Read(PortError),
    /// A row stands in the way of one of them; nothing was done.
    Row(String),
    /// The COMMIT failed in a way that says nothing.
    Unknown(rusqlite::Error),
}

/// The writer's belongings.
pub(crate) struct Writer {
    config: SqliteConfig,
    memory: Arc<Memory>,
    /// `None` after a failure that may have broken it.
    connection: Option<Connection>,
    /// How many transactions were committed.
    batches: Arc<AtomicU64>,
    /// Until the connection is closed.
    lock: File,
}

impl Work {
    pub(crate) const fn operation(&self) -> &'static str {
        match self {
            Self::Commit(_) => "store.commit",
            Self::Telemetry(_) => "store.record_telemetry",
            Self::Profile { .. } => "store.put_profile",
            Self::Published(_) => "outbox.mark_published",
            Self::Handled { .. } => "inbox.mark_handled",
            Self::LimitPages(_) => "store.limit_pages",
            Self::Close => "store.close",
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match primary_code(&error) {
            Some(SQLITE_CONSTRAINT) => Self::Row(error.to_string()),
            Some(_) | None => Self::Nothing(error),
        }
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        match error.kind() {
            Kind::Corrupt => Self::Row(error.to_string()),
            Kind::Unavailable
            | Kind::RateLimited
            | Kind::NotFound
            | Kind::Conflict
            | Kind::OutcomeUnknown
            | Kind::Rejected => Self::Read(error),
        }
    }
}

impl Failure {
    fn of(&self, operation: &'static str) -> PortError {
        match self {
            Self::Nothing(error) if primary_code(error) == Some(SQLITE_FULL) => PortError::new(
                Kind::Unavailable,
                operation,
                format!("nothing was written, there is no room for the database: free disk space ({error})"),
            ),
            Self::Nothing(error) => {
                PortError::new(Kind::Unavailable, operation, format!("nothing was written: {error}"))
            }
            Self::Read(error) => {
                PortError::new(error.kind(), operation, format!("nothing was written: {error}"))
            }
            Self::Row(message) => PortError::new(
                Kind::Corrupt,
                operation,
                format!("nothing was written, the database holds a row that can't be there: {message}"),
            ),
            Self::Unknown(error) => PortError::new(
                Kind::OutcomeUnknown,
                operation,
                format!("the write may or may not have happened: {error}"),
            ),
        }
    }
}

impl Writer {
    /// Opens the file for writing.
    pub(crate) fn open(config: SqliteConfig, memory: Arc<Memory>, batches: Arc<AtomicU64>) -> Result<Self> {
        let lock = open::lock(&config.path)?;
        let mut writer = Self { config, memory, connection: None, batches, lock };
        writer.ready()?;
        Ok(writer)
    }

    /// Works on a thread of its own until everybody who could ask has gone. SQLite's calls wait for the disk, and on a
    /// thread of a runtime they would keep others waiting.
    pub(crate) fn start(self, inbox: mpsc::Receiver<Op>) -> Result<()> {
        let thread = std::thread::Builder::new().name("sqlite-writer".to_owned());
        thread.spawn(move || self.run(inbox)).map(drop).map_err(|error| {
            PortError::new(
                Kind::Unavailable,
                "store.open",
                format!("can't start the writing thread: {error}"),
            )
        })
    }

    fn run(mut self, mut inbox: mpsc::Receiver<Op>) {
        let mut ops = Vec::new();
        let mut closing = None;
        while closing.is_none() && inbox.blocking_recv_many(&mut ops, self.config.max_batch.max(1)) > 0 {
            let mut batch = Vec::with_capacity(ops.len());
            for op in ops.drain(..) {
                match op.work {
                    Work::Close => closing = Some(op.answer),
                    Work::LimitPages(pages) => {
                        let outcome = self.limit(pages);
                        drop(op.answer.send(outcome));
                    }
                    work @ (Work::Commit(_)
                    | Work::Telemetry(_)
                    | Work::Profile { .. }
                    | Work::Published(_)
                    | Work::Handled { .. }) => batch.push(Op { work, answer: op.answer }),
                }
            }
            self.carry_out(batch);
        }
        if let Some(connection) = self.connection.take()
            && let Err((_, error)) = connection.close()
        {
            tracing::warn!(%error, "the database did not close cleanly; nothing is lost");
        }
        drop(self.lock);
        if let Some(answer) = closing {
            drop(answer.send(Outcome::Done));
        }
    }

    fn carry_out(&mut self, batch: Vec<Op>) {
        if batch.is_empty() {
            return;
        }
        let works: Vec<&Work> = batch.iter().map(|op| &op.work).collect();
        let outcomes = match self.attempt(&works) {
            Ok(outcomes) => outcomes,
            // One of them met a row that can't be there. It must not take the others with it.
            Err(Failure::Row(_)) if works.len() > 1 => {
                let mut outcomes = Vec::with_capacity(works.len());
                for work in &works {
                    outcomes.push(match self.attempt(&[*work]) {
                        Ok(mut outcome) => outcome.pop().unwrap_or(Outcome::Done),
                        Err(failure) => Outcome::Failed(failure.of(work.operation())),
                    });
                }
                outcomes
            }
            Err(failure) => {
                tracing::error!(?failure, operations = works.len(), "a batch was not written");
                works.iter().map(|work| Outcome::Failed(failure.of(work.operation()))).collect()
            }
        };
        for (op, outcome) in batch.into_iter().zip(outcomes) {
            // Who no longer waits does not need the answer; the work is done all the same.
            drop(op.answer.send(outcome));
        }
    }

    /// Carries all of it out in one transaction, or nothing.
    fn attempt(&mut self, works: &[&Work]) -> std::result::Result<Vec<Outcome>, Failure> {
        let result = self.transact(works);
        let Err(failure) = &result else {
            return result;
        };
        if let Some(connection) = &self.connection
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a batch could not be taken back; the connection is made anew");
            self.connection = None;
        }
        match failure {
            Failure::Row(_) => {}
            Failure::Nothing(error) if primary_code(error) == Some(SQLITE_FULL) => {}
            Failure::Nothing(_) | Failure::Read(_) => self.connection = None,
            Failure::Unknown(_) => {
                self.connection = None;
                self.memory.rows().clear();
            }
        }
        result
    }

    fn transact(&mut self, works: &[&Work]) -> std::result::Result<Vec<Outcome>, Failure> {
        let memory = Arc::clone(&self.memory);
        let connection = self.ready()?;
        let mut known = Known::load(works, &memory, connection)?;
        let outcomes: Vec<Outcome> = works
            .iter()
            .map(|work| match work {
                Work::Commit(commit) => match known.judge(commit) {
                    Ok(()) => Outcome::Done,
                    Err(error) => Outcome::Refused(error),
                },
                Work::Handled { consumer, event_id, .. } => Outcome::News(known.is_news(consumer, event_id)),
                Work::Telemetry(_)
                | Work::Profile { .. }
                | Work::Published(_)
                | Work::LimitPages(_)
                | Work::Close => Outcome::Done,
            })
            .collect();
        let accepted: Vec<&Work> = works
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| matches!(outcome, Outcome::Done | Outcome::News(true)))
            .map(|(work, _)| *work)
            .collect();
        if accepted.is_empty() {
            return Ok(outcomes);
        }
        let written = write(connection, &memory, &accepted)?;
        remember(&memory, written);
        if accepted.iter().any(|work| matches!(work, Work::Published(_)))
            && let Err(error) = begin_waiting(&memory, connection)
        {
            // What was written is written; the file goes on being asked.
            tracing::debug!(%error, "the outbox could not be read");
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        Ok(outcomes)
    }

    /// The connection, made anew after a failure, with memory's deadlines in step with the file.
    fn ready(&mut self) -> Result<&Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open::connect(&self.config)?,
        };
        let connection = &*self.connection.insert(connection);
        if self.memory.rows().deadlines.is_none() {
            let deadlines = load_deadlines(connection)?;
            begin_waiting(&self.memory, connection).map_err(|error| failed_read("store.open", &error))?;
            self.memory.rows().deadlines = Some(deadlines);
        }
        Ok(connection)
    }

    fn limit(&mut self, pages: u32) -> Outcome {
        let limited = self.ready().and_then(|connection| {
            let limited = connection.pragma_update(None, "max_page_count", pages);
            limited.map_err(|error| failed_read("store.limit_pages", &error))
        });
        limited.map_or_else(Outcome::Failed, |()| Outcome::Done)
    }
}

impl Work {
    pub(crate) fn commit(&self) -> Option<&PreparedCommit> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::Telemetry(_)
            | Self::Profile { .. }
            | Self::Published(_)
            | Self::Handled { .. }
            | Self::LimitPages(_)
            | Self::Close => None,
        }
    }
}

/// Work that was written, with what its writing told.
enum Written<'w> {
    /// A commit, with the number of its first event.
    Commit(&'w PreparedCommit, i64),
    /// Published events, by their numbers where memory knew them.
    Published(Option<Vec<i64>>),
    Other(&'w Work),
}

/// Writes everything in one transaction. Nobody else writes, so what was judged before it began still holds.
fn write<'w>(
    connection: &Connection,
    memory: &Memory,
    works: &[&'w Work],
) -> std::result::Result<Vec<Written<'w>>, Failure> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut written = Vec::with_capacity(works.len());
    for work in works {
        match work {
            Work::Commit(commit) => {
                written.push(Written::Commit(commit, statements::commit(connection, commit)?));
                continue;
            }
            Work::Published(events) => {
                let numbers = memory.rows().waiting.numbers(events);
                match &numbers {
                    Some(numbers) => statements::published_numbers(connection, numbers)?,
                    None => statements::published_events(connection, events)?,
                }
                written.push(Written::Published(numbers));
                continue;
            }
            Work::Telemetry(reports) => statements::telemetry(connection, reports)?,
            Work::Profile { profile, json } => statements::profile(connection, profile, json)?,
            Work::Handled { consumer, event_id, at } => {
                statements::handled(connection, consumer, event_id, *at)?;
            }
            Work::LimitPages(_) | Work::Close => {}
        }
        written.push(Written::Other(work));
    }
    connection.execute_batch("COMMIT").map_err(committing)?;
    Ok(written)
}

/// What a failed COMMIT means. SQLite's own word for a full disk, a busy file or a row in
/// the way is that nothing was written.
fn committing(error: rusqlite::Error) -> Failure {
    match primary_code(&error) {
        Some(SQLITE_CONSTRAINT) => Failure::Row(error.to_string()),
        Some(SQLITE_FULL | SQLITE_BUSY) => Failure::Nothing(error),
        Some(_) | None => Failure::Unknown(error),
    }
}

/// Takes what is durable now into memory.
fn remember(memory: &Memory, written: Vec<Written<'_>>) {
    let mut rows = memory.rows();
    for written in written {
        match written {
            Written::Commit(commit, first_event) => rows.take(commit, first_event),
            Written::Published(Some(numbers)) => rows.waiting.remove(&numbers),
            // Memory holds none that waits.
            Written::Published(None) => {}
            Written::Other(work) => match work {
                Work::Telemetry(reports) => reports.iter().for_each(|report| rows.report(report)),
                Work::Profile { profile, .. } => {
                    rows.profiles.put(profile.user_id.clone(), Some(Arc::new(profile.clone())));
                }
                Work::Handled { consumer, event_id, .. } => {
                    rows.handled.put((consumer.clone(), event_id.clone()), true);
                }
                Work::Commit(_) | Work::Published(_) | Work::LimitPages(_) | Work::Close => {}
            },
        }
    }
}

/// Lets memory know what waits for the bus as soon as nothing does.
fn begin_waiting(memory: &Memory, connection: &Connection) -> rusqlite::Result<()> {
    if memory.rows().waiting.is_known() {
        return Ok(());
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox)";
    let waits: bool = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    if !waits {
        memory.rows().waiting.begin();
    }
    Ok(())
}

fn load_deadlines(connection: &Connection) -> Result<Deadlines> {
    let sql = "SELECT id, 'booking', deadline FROM bookings WHERE deadline IS NOT NULL
               UNION ALL SELECT id, 'vehicle', deadline FROM vehicles WHERE deadline IS NOT NULL";
    let source = Source::new("store.open", "bookings or vehicles");
    let found = source.all(connection, sql, [], |row| Ok((row.key(1, 0)?, row.time(2)?)))?;
    let mut deadlines = Deadlines::default();
    for (key, deadline) in found {
        deadlines.set(key, Some(deadline));
    }
    Ok(deadlines)
}
