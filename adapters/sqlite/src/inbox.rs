//! What consumers have handled already.

use async_trait::async_trait;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Inbox, Kind, PortError};
use rusqlite::Connection;

use crate::SqliteStore;
use crate::lookups;
use crate::writer::{Outcome, Work};

#[async_trait]
impl Inbox for SqliteStore {
    async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError> {
        let key = (consumer.to_owned(), event_id.to_owned());
        let moment = match self.recall(|rows| rows.handled.get(&key)) {
            Some(Ok(handled)) => return Ok(handled),
            Some(Err(moment)) => Some(moment),
            None => None,
        };
        let look = |connection: &Connection| lookups::is_handled(connection, consumer, event_id);
        let handled = self.readers.at_once("inbox.is_handled", look)?;
        if let Some(moment) = moment {
            self.fill(|rows| rows.handled.fill(key, handled, moment));
        }
        Ok(handled)
    }

    async fn mark_handled(&self, consumer: &str, event_id: &str, at: Timestamp) -> Result<bool, PortError> {
        let work = Work::Handled { consumer: consumer.to_owned(), event_id: event_id.to_owned(), at };
        match self.ask(work).await? {
            Outcome::News(news) => Ok(news),
            Outcome::Failed(error) => Err(error),
            Outcome::Done | Outcome::Refused(_) => Err(PortError::new(
                Kind::OutcomeUnknown,
                "inbox.mark_handled",
                "the writer gave an answer to another question",
            )),
        }
    }
}
