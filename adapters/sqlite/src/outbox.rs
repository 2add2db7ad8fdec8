//! Events waiting for the bus: those whose `seq` is in `outbox`.

use async_trait::async_trait;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Envelope, Kind, Outbox, PortError};
use sqlx::AssertSqlSafe;

use crate::SqliteStore;
use crate::rows::{self, Row, failed_read};
use crate::store::at_most;
use crate::writer::Work;

#[async_trait]
impl Outbox for SqliteStore {
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        const OPERATION: &str = "outbox.pending";
        if let Some(events) = self.recall(|rows| rows.waiting.oldest(limit)).flatten() {
            return Ok(events.into_iter().map(|event| Envelope::clone(&event)).collect());
        }
        let sql = format!(
            "SELECT {} FROM outbox o CROSS JOIN events e ON e.seq = o.seq ORDER BY o.seq LIMIT ?1",
            rows::EVENT
        );
        let found = sqlx::query(AssertSqlSafe(sql))
            .bind(at_most(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed_read(OPERATION))?;
        found.iter().map(|row| rows::event(&Row::new(row, OPERATION, "events"))).collect()
    }

    async fn pending_count(&self) -> Result<u64, PortError> {
        const OPERATION: &str = "outbox.pending_count";
        if let Some(count) = self.recall(|rows| rows.waiting.count()).flatten() {
            return Ok(count as u64);
        }
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox")
            .fetch_one(&self.pool)
            .await
            .map_err(failed_read(OPERATION))?;
        Ok(count.unsigned_abs())
    }

    async fn mark_published(&self, events: &[Envelope], _at: Timestamp) -> Result<(), PortError> {
        if events.is_empty() {
            return Ok(());
        }
        let names: Vec<_> =
            events.iter().map(|e| (e.aggregate.kind(), e.aggregate.id(), e.version.0)).collect();
        let json = serde_json::to_string(&names).map_err(|error| {
            let message = "the events' names can't be written as JSON";
            PortError::new(Kind::Rejected, "outbox.mark_published", message).with_source(error)
        })?;
        let events = events.iter().map(|event| (event.aggregate.clone(), event.version)).collect();
        self.done(Work::Published { events, json }).await
    }
}
