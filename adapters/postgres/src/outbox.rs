//! Events waiting for the bus: rows of `outbox` without `published_at`, looked for on the primary and without a cursor,
//! which would lose what commits late.
//!
//! Several relays may run: each holds a lease on some of the 16 partitions that the aggregates fall into, so one
//! aggregate is never published by two at once. A relay that ended without letting go is waited for. One that is merely
//! slower than its lease may publish what another one publishes too: consumers know an event by its id.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Envelope, Outbox, PortError};
use sqlx::postgres::{PgArguments, PgListener};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::database::Database;
use crate::failure::Failure;
use crate::rows::{self, Row, arguments};
use crate::store::at_most;
use crate::{PostgresStore, sql};

/// The channel that says that there are events. Only a wake-up: who listens looks in the outbox, and looks there now and
/// then in any case.
const CHANNEL: &str = "rideplane_outbox";

/// At most so often it is said. Every NOTIFY takes a lock of the whole server while it commits, so it never shares a
/// transaction with a claim.
const WAKE_EVERY: Duration = Duration::from_millis(20);

/// How many rows are pruned at a time: none of the locks lasts.
const PRUNE_ROWS: i64 = 1_000;

/// The partitions that this relay holds.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    partitions: Vec<i16>,
    since: Instant,
}

/// Wake-ups for a relay. One may get lost with its connection, so a relay also looks by itself now and then.
#[derive(Debug)]
pub struct Wakeups(PgListener);

impl Wakeups {
    /// Waits for the next one.
    ///
    /// # Errors
    /// When the connection is lost: listen anew.
    pub async fn next(&mut self) -> Result<(), PortError> {
        let heard = self.0.recv().await;
        heard.map(drop).map_err(|error| Failure::Lost(error).nothing_was_done("outbox.listen"))
    }
}

/// Tells the relays that there are events.
pub(crate) async fn wake(database: Arc<Database>, news: Arc<Notify>) {
    loop {
        news.notified().await;
        if let Err(failure) = database.fetch(sql::NOTIFY, PgArguments::default()).await {
            tracing::debug!(?failure, "relays were not woken; they look by themselves");
        }
        sleep(WAKE_EVERY).await;
    }
}

impl PostgresStore {
    /// Hears when there are events; `None` through a pooler, which hands nobody's notifications on.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn listen(&self) -> Result<Option<Wakeups>, PortError> {
        const OPERATION: &str = "outbox.listen";
        if self.database.config.transaction_pooling {
            return Ok(None);
        }
        let failed = |error| Failure::NoConnection(error).nothing_was_done(OPERATION);
        let mut listener = PgListener::connect_with(&self.database.pool()).await.map_err(failed)?;
        listener.listen(CHANNEL).await.map_err(failed)?;
        Ok(Some(Wakeups(listener)))
    }

    /// Forgets which events were published before `before`, in small batches; returns how many. The events themselves
    /// stay in the log.
    ///
    /// # Errors
    /// When the database can't be reached; what was pruned until then is.
    pub async fn prune_outbox(&self, before: Timestamp) -> Result<u64, PortError> {
        const OPERATION: &str = "outbox.prune";
        let mut pruned = 0;
        loop {
            let arguments = arguments!(OPERATION, before.as_micros(), PRUNE_ROWS);
            let rows = self.database.read(OPERATION, sql::PRUNE_OUTBOX, arguments).await?;
            let count: i64 = rows.first().map_or(Ok(0), |row| Row::new(row, OPERATION, "outbox").get(0))?;
            pruned += count.unsigned_abs();
            if count < PRUNE_ROWS {
                return Ok(pruned);
            }
        }
    }

    /// Lets other relays go on where this one stops.
    pub(crate) async fn release(&self) -> Result<(), PortError> {
        const OPERATION: &str = "outbox.release";
        if self.lease.lock().take().is_none() {
            return Ok(());
        }
        let arguments = arguments!(OPERATION, self.relay.to_string());
        self.database.read(OPERATION, sql::RELEASE, arguments).await.map(drop)
    }

    /// The partitions that are ours for certain, for at least two thirds of the lease.
    async fn leased(&self) -> Result<Vec<i16>, PortError> {
        const OPERATION: &str = "outbox.lease";
        let known = self.lease.lock().clone();
        let term = self.database.config.lease;
        // Who holds nothing asks each time: a partition may have become free.
        if let Some(lease) =
            known.filter(|lease| lease.since.elapsed() < term / 3 && !lease.partitions.is_empty())
        {
            return Ok(lease.partitions);
        }
        let since = Instant::now();
        let arguments = arguments!(OPERATION, self.relay.to_string(), term.as_secs_f64());
        let rows = self.database.read(OPERATION, sql::LEASE, arguments).await?;
        let partitions: Vec<i16> = rows
            .iter()
            .map(|row| Row::new(row, OPERATION, "outbox_leases").get(0))
            .collect::<Result<_, _>>()?;
        *self.lease.lock() = Some(Lease { partitions: partitions.clone(), since });
        Ok(partitions)
    }
}

#[async_trait]
impl Outbox for PostgresStore {
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        const OPERATION: &str = "outbox.pending";
        let partitions = self.leased().await?;
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = arguments!(OPERATION, partitions, at_most(limit));
        let found = self.database.read(OPERATION, sql::PENDING, arguments).await?;
        found.iter().map(|row| rows::event(&Row::new(row, OPERATION, "events"))).collect()
    }

    async fn pending_count(&self) -> Result<u64, PortError> {
        const OPERATION: &str = "outbox.pending_count";
        let found = self.database.read(OPERATION, sql::PENDING_COUNT, PgArguments::default()).await?;
        let count: i64 = found.first().map_or(Ok(0), |row| Row::new(row, OPERATION, "outbox").get(0))?;
        Ok(count.unsigned_abs())
    }

    async fn mark_published(&self, events: &[Envelope], at: Timestamp) -> Result<(), PortError> {
        const OPERATION: &str = "outbox.mark_published";
        if events.is_empty() {
            return Ok(());
        }
        let arguments = arguments!(
            OPERATION,
            events.iter().map(|event| event.aggregate.kind()).collect::<Vec<_>>(),
            events.iter().map(|event| event.aggregate.id()).collect::<Vec<_>>(),
            // A version that no row can have marks none.
            events.iter().map(|event| i64::try_from(event.version.0).unwrap_or(-1)).collect::<Vec<_>>(),
            at.as_micros(),
        );
        let marked = self.database.fetch(sql::MARK_PUBLISHED, arguments).await;
        marked.map(drop).map_err(|failure| failure.of_write(OPERATION))
    }
}
