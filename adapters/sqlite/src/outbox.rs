//! Events waiting for the bus: those whose `seq` is in `outbox`.

use async_trait::async_trait;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Envelope, Outbox, PortError};
use rusqlite::Connection;

use crate::SqliteStore;
use crate::rows::{self, Source};
use crate::store::at_most;
use crate::writer::Work;

#[async_trait]
impl Outbox for SqliteStore {
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        const OPERATION: &str = "outbox.pending";
        if let Some(events) = self.recall(|rows| rows.waiting.oldest(limit)).flatten() {
            return Ok(events.into_iter().map(|event| Envelope::clone(&event)).collect());
        }
        let read = move |connection: &Connection| {
            let sql = format!(
                "SELECT {} FROM outbox o CROSS JOIN events e ON e.seq = o.seq ORDER BY o.seq LIMIT ?1",
                rows::EVENT
            );
            Source::new(OPERATION, "events").all(connection, &sql, [at_most(limit)], rows::event)
        };
        self.readers.apart(OPERATION, read).await
    }

    async fn pending_count(&self) -> Result<u64, PortError> {
        const OPERATION: &str = "outbox.pending_count";
        if let Some(count) = self.recall(|rows| rows.waiting.count()).flatten() {
            return Ok(count as u64);
        }
        let read = |connection: &Connection| {
            let sql = "SELECT count(*) FROM outbox";
            Source::new(OPERATION, "outbox").first(connection, sql, [], |row| row.number(0))
        };
        Ok(self.readers.apart(OPERATION, read).await?.unwrap_or(0))
    }

    async fn mark_published(&self, events: &[Envelope], _at: Timestamp) -> Result<(), PortError> {
        if events.is_empty() {
            return Ok(());
        }
        let events = events.iter().map(|event| (event.aggregate.clone(), event.version)).collect();
        self.done(Work::Published(events)).await
    }
}
