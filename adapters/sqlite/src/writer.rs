//! The one task that writes.
//!
//! Callers send operations and wait; the task takes all that are waiting and carries them out in one transaction.
//! While the disk syncs one batch, the next one gathers: the more callers, the larger the batch, and nobody ever waits
//! for a clock. An operation is answered after the COMMIT, and memory learns of it in between.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rideplane_core::time::Timestamp;
use rideplane_ports::{AggregateKey, CommitError, Kind, PortError, Profile, Telemetry};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Known, LoadError};
use crate::bulk::Texts;
use crate::cache::{Deadlines, Memory};
use crate::config::SqliteConfig;
use crate::open;
use crate::prepared::Prepared;
use crate::rows::{Result, Row, SQLITE_BUSY, SQLITE_CONSTRAINT, SQLITE_FULL, failed_read, primary_code};
use crate::waiting::EventKey;

/// What is asked of the writer.
#[derive(Debug)]
pub(crate) enum Work {
    Commit(Box<Prepared>),
    Telemetry(Vec<Telemetry>),
    Profile {
        profile: Profile,
        json: String,
    },
    /// `json`: the same as an array of `[aggregate_type, aggregate_id, aggregate_version]`.
    Published {
        events: Vec<EventKey>,
        json: String,
    },
    Handled {
        consumer: String,
        event_id: String,
        at: Timestamp,
    },
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
    Nothing(sqlx::Error),
    /// A row stands in the way of one of them; nothing was done.
    Row(String),
    /// The COMMIT failed in a way that says nothing.
    Unknown(sqlx::Error),
}

/// The writer's belongings.
pub(crate) struct Writer {
    config: SqliteConfig,
    memory: Arc<Memory>,
    /// `None` after a failure that may have broken it.
    connection: Option<SqliteConnection>,
    texts: Texts,
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
            Self::Published { .. } => "outbox.mark_published",
            Self::Handled { .. } => "inbox.mark_handled",
            Self::LimitPages(_) => "store.limit_pages",
            Self::Close => "store.close",
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Sql(error) => error.into(),
            LoadError::Row(error) => Self::Row(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(SQLITE_CONSTRAINT) => Self::Row(error.to_string()),
            Some(_) | None => Self::Nothing(error),
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
    pub(crate) async fn open(
        config: SqliteConfig,
        memory: Arc<Memory>,
        batches: Arc<AtomicU64>,
    ) -> Result<Self> {
        let lock = open::lock(&config.path).await?;
        let mut writer = Self { config, memory, connection: None, texts: Texts::default(), batches, lock };
        writer.ready().await?;
        Ok(writer)
    }

    /// Works until everybody who could ask has gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Op>) {
        let mut ops = Vec::new();
        let mut closing = None;
        while closing.is_none() && inbox.recv_many(&mut ops, self.config.max_batch.max(1)).await > 0 {
            self.gather(&mut inbox, &mut ops).await;
            let mut batch = Vec::with_capacity(ops.len());
            for op in ops.drain(..) {
                match op.work {
                    Work::Close => closing = Some(op.answer),
                    Work::LimitPages(pages) => {
                        let outcome = self.limit(pages).await;
                        drop(op.answer.send(outcome));
                    }
                    work @ (Work::Commit(_)
                    | Work::Telemetry(_)
                    | Work::Profile { .. }
                    | Work::Published { .. }
                    | Work::Handled { .. }) => batch.push(Op { work, answer: op.answer }),
                }
            }
            self.carry_out(batch).await;
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database did not close cleanly; nothing is lost");
        }
        drop(self.lock);
        if let Some(answer) = closing {
            drop(answer.send(Outcome::Done));
        }
    }

    /// Lets every task that is ready run before the batch is closed, as long as that brings more: a larger batch costs
    /// little more than a small one. Where nobody else is ready, nobody waits.
    async fn gather(&self, inbox: &mut mpsc::Receiver<Op>, ops: &mut Vec<Op>) {
        let mut before = 0;
        while before < ops.len() && ops.len() < self.config.max_batch {
            before = ops.len();
            tokio::task::yield_now().await;
            while ops.len() < self.config.max_batch
                && let Ok(op) = inbox.try_recv()
            {
                ops.push(op);
            }
        }
    }

    async fn carry_out(&mut self, batch: Vec<Op>) {
        if batch.is_empty() {
            return;
        }
        let works: Vec<&Work> = batch.iter().map(|op| &op.work).collect();
        let outcomes = match self.attempt(&works).await {
            Ok(outcomes) => outcomes,
            // One of them met a row that can't be there. It must not take the others with it.
            Err(Failure::Row(_)) if works.len() > 1 => {
                let mut outcomes = Vec::with_capacity(works.len());
                for work in &works {
                    outcomes.push(match self.attempt(&[*work]).await {
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
    async fn attempt(&mut self, works: &[&Work]) -> std::result::Result<Vec<Outcome>, Failure> {
        let result = self.transact(works).await;
        let Err(failure) = &result else {
            return result;
        };
        if let Some(connection) = &mut self.connection {
            // SQLite may have rolled back already; then this says so, and that is fine.
            drop(sqlx::query("ROLLBACK").execute(connection).await);
        }
        match failure {
            Failure::Row(_) => {}
            Failure::Nothing(error) if primary_code(error) == Some(SQLITE_FULL) => {}
            Failure::Nothing(_) => self.connection = None,
            Failure::Unknown(_) => {
                self.connection = None;
                self.memory.rows().clear();
            }
        }
        result
    }

    async fn transact(&mut self, works: &[&Work]) -> std::result::Result<Vec<Outcome>, Failure> {
        let memory = Arc::clone(&self.memory);
        let (connection, texts) = self
            .ready()
            .await
            .map_err(|error| Failure::Nothing(sqlx::Error::Io(std::io::Error::other(error.to_string()))))?;
        let mut known = Known::load(works, &memory, connection).await?;
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
                | Work::Published { .. }
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
        write(connection, texts, &accepted).await?;
        remember(&memory, &accepted);
        if accepted.iter().any(|work| matches!(work, Work::Published { .. }))
            && let Err(error) = begin_waiting(&memory, connection).await
        {
            // What was written is written; the file goes on being asked.
            tracing::debug!(%error, "the outbox could not be read");
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        Ok(outcomes)
    }

    /// The connection, made anew after a failure, with memory's deadlines in step with the file.
    async fn ready(&mut self) -> Result<(&mut SqliteConnection, &mut Texts)> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open::connect(&self.config).await?,
        };
        let connection = self.connection.insert(connection);
        if self.memory.rows().deadlines.is_none() {
            let deadlines = load_deadlines(connection).await?;
            begin_waiting(&self.memory, connection).await.map_err(failed_read("store.open"))?;
            self.memory.rows().deadlines = Some(deadlines);
        }
        Ok((connection, &mut self.texts))
    }

    async fn limit(&mut self, pages: u32) -> Outcome {
        let connection = match self.ready().await {
            Ok((connection, _)) => connection,
            Err(error) => return Outcome::Failed(error),
        };
        let sql = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        match sqlx::query(sql).execute(connection).await {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed(failed_read("store.limit_pages")(error)),
        }
    }
}

impl Work {
    pub(crate) fn commit(&self) -> Option<&Prepared> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::Telemetry(_)
            | Self::Profile { .. }
            | Self::Published { .. }
            | Self::Handled { .. }
            | Self::LimitPages(_)
            | Self::Close => None,
        }
    }
}

/// Writes everything in one transaction and one call. Nobody else writes, so what was judged before it began still holds.
async fn write(
    connection: &mut SqliteConnection,
    texts: &mut Texts,
    works: &[&Work],
) -> std::result::Result<(), Failure> {
    let mut commits = Vec::new();
    let mut reports = Vec::new();
    let mut profiles = Vec::new();
    let mut published = Vec::new();
    let mut handled = Vec::new();
    for work in works {
        match work {
            Work::Commit(commit) => commits.push(&**commit),
            Work::Telemetry(some) => reports.extend(some),
            Work::Profile { profile, json } => profiles.push((profile.user_id.as_str(), json.as_str())),
            Work::Handled { consumer, event_id, at } => {
                handled.push((consumer.as_str(), event_id.as_str(), at.as_micros()));
            }
            Work::Published { json, .. } => published.push(json.as_str()),
            Work::LimitPages(_) | Work::Close => {}
        }
    }
    texts.begin("BEGIN IMMEDIATE;");
    texts.commits(&commits)?;
    texts.telemetry(&reports)?;
    texts.profiles(&profiles)?;
    texts.handled(&handled)?;
    for events in published {
        texts.published(events)?;
    }
    texts.end("COMMIT");
    texts.run(connection).await.map_err(committing)
}

/// What a failure means in which the COMMIT may have had a part. SQLite's own word for a full disk, a busy file or a row in
/// the way is that nothing was written.
fn committing(error: sqlx::Error) -> Failure {
    match primary_code(&error) {
        Some(SQLITE_CONSTRAINT) => Failure::Row(error.to_string()),
        Some(SQLITE_FULL | SQLITE_BUSY) => Failure::Nothing(error),
        Some(_) | None => Failure::Unknown(error),
    }
}

/// Takes what is durable now into memory.
fn remember(memory: &Memory, works: &[&Work]) {
    let mut rows = memory.rows();
    for work in works {
        match work {
            Work::Commit(commit) => {
                for change in &commit.vehicles {
                    let id = change.stored.state.id.clone();
                    if let Some(deadlines) = &mut rows.deadlines {
                        deadlines.set(AggregateKey::Vehicle(id.clone()), change.deadline);
                    }
                    rows.vehicles.put(id, Arc::clone(&change.stored));
                }
                for change in &commit.bookings {
                    let id = change.stored.state.id;
                    if let Some(deadlines) = &mut rows.deadlines {
                        deadlines.set(AggregateKey::Booking(id), change.deadline);
                    }
                    rows.bookings.put(id, Arc::clone(&change.stored));
                }
                rows.waiting.add(&commit.events);
                if let Some(write) = &commit.idempotency {
                    rows.idempotency.put(write.id.clone(), Some(Arc::new(write.record.clone())));
                }
            }
            Work::Telemetry(reports) => reports.iter().for_each(|report| rows.report(report)),
            Work::Profile { profile, .. } => {
                rows.profiles.put(profile.user_id.clone(), Some(Arc::new(profile.clone())));
            }
            Work::Handled { consumer, event_id, .. } => {
                rows.handled.put((consumer.clone(), event_id.clone()), true);
            }
            Work::Published { events, .. } => rows.waiting.remove(events),
            Work::LimitPages(_) | Work::Close => {}
        }
    }
}

/// Lets memory know what waits for the bus as soon as nothing does.
async fn begin_waiting(memory: &Memory, connection: &mut SqliteConnection) -> sqlx::Result<()> {
    if memory.rows().waiting.is_known() {
        return Ok(());
    }
    let waits: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM outbox)").fetch_one(connection).await?;
    if !waits {
        memory.rows().waiting.begin();
    }
    Ok(())
}

async fn load_deadlines(connection: &mut SqliteConnection) -> Result<Deadlines> {
    const OPERATION: &str = "store.open";
    let sql = "SELECT id, 'booking', deadline FROM bookings WHERE deadline IS NOT NULL
               UNION ALL SELECT id, 'vehicle', deadline FROM vehicles WHERE deadline IS NOT NULL";
    let mut deadlines = Deadlines::default();
    for row in sqlx::query(sql).fetch_all(connection).await.map_err(failed_read(OPERATION))? {
        let row = Row::new(&row, OPERATION, "bookings or vehicles");
        deadlines.set(row.key(1, 0)?, Some(row.time(2)?));
    }
    Ok(deadlines)
}
