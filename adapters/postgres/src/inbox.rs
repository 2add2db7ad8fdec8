//! What consumers have handled already.

use async_trait::async_trait;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Inbox, PortError};

use crate::rows::{Row, arguments};
use crate::{PostgresStore, sql};

#[async_trait]
impl Inbox for PostgresStore {
    async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError> {
        const OPERATION: &str = "inbox.is_handled";
        let arguments = arguments!(OPERATION, consumer, event_id);
        let found = self.database.read(OPERATION, sql::IS_HANDLED, arguments).await?;
        found.first().map_or(Ok(false), |row| Row::new(row, OPERATION, "inbox").get(0))
    }

    async fn mark_handled(&self, consumer: &str, event_id: &str, at: Timestamp) -> Result<bool, PortError> {
        const OPERATION: &str = "inbox.mark_handled";
        let arguments = arguments!(OPERATION, consumer, event_id, at.as_micros());
        let news = self.database.fetch(sql::MARK_HANDLED, arguments).await;
        news.map(|rows| !rows.is_empty()).map_err(|failure| failure.of_write(OPERATION))
    }
}
