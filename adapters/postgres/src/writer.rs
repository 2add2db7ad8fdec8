//! The tasks that commit, each on a connection of its own.
//!
//! A task takes the commits that are waiting, puts aside those that touch what another one of them touches, and sends
//! the rest as one call of `commit_batch`, which is one transaction and one round trip. While one task waits for the
//! disk of the server, the next batch gathers: the more callers, the larger the batch, and nobody waits for a clock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rideplane_core::ids::{BookingId, UserId, VehicleId, Version};
use rideplane_ports::{AggregateKey, CommitError, IdempotencyId, Kind, PortError, PreparedCommit};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::columns::{arguments, refusal, text};
use crate::config::PostgresConfig;
use crate::database::{Database, exchange, exchange_text};
use crate::failure::Failure;
use crate::gather::{Op, Tray};
use crate::sql;

const COMMIT: &str = "store.commit";

/// How often a batch is tried again when another transaction was in its way.
const ATTEMPTS: u32 = 5;

/// How long after its last use a connection is taken to be there.
const TRUSTED: Duration = Duration::from_secs(1);

/// What became of a commit.
pub(crate) type Answer = std::result::Result<(), CommitError>;

/// A commit that waits for its batch.
pub(crate) type Waiting = Op<Box<PreparedCommit>, Answer>;

pub(crate) struct Writer {
    pub(crate) database: Arc<Database>,
    pub(crate) tray: Tray<Box<PreparedCommit>, Answer>,
    /// How many transactions were committed.
    pub(crate) batches: Arc<AtomicU64>,
    /// Tells that there are events for the bus.
    pub(crate) news: Arc<Notify>,
    /// `None` after a failure that may have broken it.
    pub(crate) connection: Option<Held>,
}

/// A connection that worked when it was last used.
pub(crate) struct Held {
    connection: PgConnection,
    /// How many connections to this database had broken when it was made.
    breaks: u64,
    used: Instant,
}

/// The answers of a batch, in its order, each with the version that its aggregate was found to have where that is why it was
/// refused.
type Answers = Vec<(Answer, Option<Version>)>;

/// A batch as it is sent: its values bound to what was prepared, or written out for a pooler.
enum Call {
    Bound(PgArguments),
    Written(String),
}

impl Call {
    fn of(commits: &[&PreparedCommit], written: bool) -> std::result::Result<Self, BoxDynError> {
        Ok(if written { Self::Written(text(commits)?) } else { Self::Bound(arguments(commits)?) })
    }

    async fn send(
        self,
        connection: &mut PgConnection,
        config: &PostgresConfig,
    ) -> std::result::Result<Vec<PgRow>, Failure> {
        match self {
            Self::Bound(arguments) => exchange(connection, config, sql::COMMIT_BATCH, arguments).await,
            Self::Written(text) => exchange_text(connection, config, &text).await,
        }
    }
}

impl Writer {
    /// Works until everybody who could ask has gone.
    pub(crate) async fn run(mut self) {
        let limit = self.database.config.max_batch.max(1);
        let mut put_aside: VecDeque<Waiting> = VecDeque::new();
        loop {
            let more = match put_aside.is_empty() {
                true => self.tray.take(limit).await,
                false => self.tray.take_now(limit.saturating_sub(put_aside.len())),
            };
            put_aside.extend(more);
            if put_aside.is_empty() {
                break;
            }
            let batch = independent(&mut put_aside, limit);
            let commits: Vec<&PreparedCommit> = batch.iter().map(|op| &*op.work).collect();
            let answers = self.carry_out(&commits).await;
            if !put_aside.is_empty() {
                put_aside = answer_losers(put_aside, &commits, &answers);
            }
            for (op, (answer, _)) in batch.into_iter().zip(answers) {
                // Who no longer waits does not need the answer; the work is done all the same.
                drop(op.answer.send(answer));
            }
            // Whose commit was answered may have its next one ready: with it the batch is a half larger.
            tokio::task::yield_now().await;
        }
        if let Some(held) = self.connection.take() {
            drop(held.connection.close().await);
        }
    }

    async fn carry_out(&mut self, commits: &[&PreparedCommit]) -> Answers {
        let mut attempt = 1;
        loop {
            match self.attempt(commits).await {
                Ok(answers) => return answers,
                Err(failure) if failure.is_contention() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 2)).await;
                    attempt += 1;
                }
                // One of them met a row that can't be there. It must not take the others with it.
                Err(failure) if failure.is_of_a_row() && commits.len() > 1 => {
                    return self.one_by_one(commits).await;
                }
                Err(failure) => {
                    tracing::error!(?failure, commits = commits.len(), "a batch was not written");
                    return commits.iter().map(|_| (Err(failure.of_write(COMMIT).into()), None)).collect();
                }
            }
        }
    }

    async fn one_by_one(&mut self, commits: &[&PreparedCommit]) -> Answers {
        let mut all = Answers::with_capacity(commits.len());
        for commit in commits {
            match self.attempt(&[*commit]).await {
                Ok(one) => all.extend(one),
                Err(failure) => all.push((Err(failure.of_write(COMMIT).into()), None)),
            }
        }
        all
    }

    /// Carries all of it out in one transaction, or nothing.
    async fn attempt(&mut self, commits: &[&PreparedCommit]) -> std::result::Result<Answers, Failure> {
        let config = &self.database.config;
        let call = Call::of(commits, config.transaction_pooling)
            .map_err(|error| Failure::Refused(sqlx::Error::Encode(error)))?;
        let mut held = self.hold().await?;
        match call.send(&mut held.connection, &self.database.config).await {
            Ok(rows) => {
                held.used = Instant::now();
                self.connection = Some(held);
                self.batches.fetch_add(1, Ordering::Relaxed);
                let answers = answers(commits, &rows);
                let wrote = answers
                    .iter()
                    .zip(commits)
                    .any(|((answer, _), commit)| answer.is_ok() && !commit.events.is_empty());
                if wrote {
                    self.news.notify_one();
                }
                Ok(answers)
            }
            Err(failure) => {
                if failure.is_broken() {
                    // Not politely: a statement may still be under way on it.
                    drop(held.connection.close_hard().await);
                    self.database.broke();
                } else {
                    self.connection = Some(held);
                }
                Err(failure)
            }
        }
    }

    /// A connection that is there. A commit on one that broke unnoticed would have no known end, so one that was idle, or
    /// has seen another break, is asked first: a round trip that only an idle writer pays.
    async fn hold(&mut self) -> std::result::Result<Held, Failure> {
        let breaks = self.database.breaks();
        if let Some(mut held) = self.connection.take() {
            let trusted = held.breaks == breaks && held.used.elapsed() < TRUSTED;
            let patience = self.database.config.acquire_timeout;
            if trusted || matches!(timeout(patience, held.connection.ping()).await, Ok(Ok(()))) {
                return Ok(Held { breaks, ..held });
            }
            drop(held.connection.close_hard().await);
        }
        let connection = self.database.connect().await?;
        Ok(Held { connection, breaks, used: Instant::now() })
    }
}

fn answers(commits: &[&PreparedCommit], rows: &[PgRow]) -> Answers {
    let mut answers: Answers = commits.iter().map(|_| (Ok(()), None)).collect();
    for row in rows {
        let (Some((place, error)), current) = understood(commits, row) else { continue };
        if let Some(answer) = answers.get_mut(place) {
            *answer = (Err(error), current);
        }
    }
    answers
}

/// Which commit a row of the answer refuses and why, and the version that its aggregate has.
fn understood(commits: &[&PreparedCommit], row: &PgRow) -> (Option<(usize, CommitError)>, Option<Version>) {
    let read = || -> sqlx::Result<(i32, String, i32, i64)> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
    };
    let Ok((number, reason, change, current)) = read() else { return (None, None) };
    let (Ok(place), Ok(change)) = (usize::try_from(number), usize::try_from(change)) else {
        return (None, None);
    };
    let Some(commit) = commits.get(place) else { return (None, None) };
    let error = refusal(commit, &reason, change, current).unwrap_or_else(|| {
        let message = format!("nothing was written: commit_batch refused for an unknown reason, {reason}");
        PortError::new(Kind::Corrupt, COMMIT, message).into()
    });
    (Some((place, error)), u64::try_from(current).ok().map(Version))
}

fn changes(commit: &PreparedCommit) -> impl Iterator<Item = (AggregateKey, Version, Version)> {
    let vehicles = commit.vehicles.iter().map(|change| {
        (AggregateKey::Vehicle(change.stored.state.id.clone()), change.expected, change.stored.version)
    });
    let bookings = commit.bookings.iter().map(|change| {
        (AggregateKey::Booking(change.stored.state.id), change.expected, change.stored.version)
    });
    vehicles.chain(bookings)
}

/// What a commit touches.
#[derive(PartialEq, Eq, Hash)]
enum Name<'a> {
    Vehicle(&'a VehicleId),
    Booking(BookingId),
    Key(&'a IdempotencyId),
    Quota(&'a UserId),
}

fn names(commit: &PreparedCommit) -> impl Iterator<Item = Name<'_>> {
    let vehicles = commit.vehicles.iter().map(|change| Name::Vehicle(&change.stored.state.id));
    let bookings = commit.bookings.iter().map(|change| Name::Booking(change.stored.state.id));
    let quota = commit.quota.iter().map(|quota| Name::Quota(&quota.user_id));
    vehicles.chain(bookings).chain(key(commit)).chain(quota)
}

fn key(commit: &PreparedCommit) -> Option<Name<'_>> {
    commit.idempotency.as_ref().map(|write| Name::Key(&write.id))
}

/// Takes commits from the front that touch nothing in common, with each other or with one that is passed over: nobody
/// is overtaken by a commit on the same row.
fn independent(waiting: &mut VecDeque<Waiting>, limit: usize) -> Vec<Waiting> {
    let (mut touched, mut room) = (HashSet::new(), limit);
    let free: Vec<bool> = waiting
        .iter()
        .map(|op| {
            let free = room > 0 && names(&op.work).all(|name| !touched.contains(&name));
            touched.extend(names(&op.work));
            room -= usize::from(free);
            free
        })
        .collect();
    let (mut batch, mut rest) = (Vec::new(), VecDeque::new());
    for (op, free) in waiting.drain(..).zip(free) {
        if free { batch.push(op) } else { rest.push_back(op) }
    }
    *waiting = rest;
    batch
}

/// Answers those whose expectation can't hold any more after a batch: versions only rise. The rest waits for the next one. Who
/// meets its own idempotency key asks the database: it must hear of that first.
fn answer_losers(
    waiting: VecDeque<Waiting>,
    commits: &[&PreparedCommit],
    answers: &Answers,
) -> VecDeque<Waiting> {
    let mut reached: HashMap<AggregateKey, Version> = HashMap::new();
    let mut written = HashSet::new();
    for (commit, (answer, current)) in commits.iter().zip(answers) {
        match (answer, current) {
            (Ok(()), _) => {
                reached.extend(changes(commit).map(|(key, _, version)| (key, version)));
                written.extend(names(commit));
            }
            (Err(CommitError::VersionConflict { key, .. }), Some(version)) => {
                reached.insert(key.clone(), *version);
            }
            (Err(_), _) => {}
        }
    }
    let mut rest = VecDeque::new();
    for op in waiting {
        let met_its_key = key(&op.work).is_some_and(|key| written.contains(&key));
        let lost =
            changes(&op.work).find(|(key, expected, _)| reached.get(key).is_some_and(|now| now > expected));
        match lost {
            Some((key, expected, _)) if !met_its_key => {
                drop(op.answer.send(Err(CommitError::VersionConflict { key, expected })));
            }
            Some(_) | None => rest.push_back(op),
        }
    }
    rest
}
