//! The database: the memory adapter's store, with the oracles looking over its shoulder and perhaps a defect in it.

use std::sync::Arc;

use parking_lot::Mutex;
use rideplane_core::booking::Booking;
use rideplane_core::ids::{BookingId, UserId};
use rideplane_core::time::Timestamp;
use rideplane_memory::MemoryStore;
use rideplane_ports::{
    Commit, CommitError, Envelope, Inbox as _, Outbox as _, PortError, Store as _, Stored,
};

use crate::defects::StoreMutant;
use crate::net::Net;
use crate::oracle::Oracle;

/// One database for all servers. What is not watched and has no mutant is asked of `store` itself.
pub(crate) struct Database {
    pub(crate) store: Arc<MemoryStore>,
    oracle: Arc<Mutex<Oracle>>,
    net: Arc<Net>,
    mutant: Option<StoreMutant>,
}

impl Database {
    pub(crate) fn new(
        store: Arc<MemoryStore>,
        oracle: Arc<Mutex<Oracle>>,
        net: Arc<Net>,
        mutant: Option<StoreMutant>,
    ) -> Self {
        Self { store, oracle, net, mutant }
    }

    /// Tells the oracles of every commit that really happened.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let commit = match &self.mutant {
            None => commit,
            Some(mutant) => match mutant.mutate(commit).await {
                Some(commit) => commit,
                None => return Ok(()),
            },
        };
        let seen = commit.clone();
        self.store.commit(commit).await?;
        self.oracle.lock().committed(&seen, self.net.now());
        Ok(())
    }

    pub(crate) async fn booking_of(
        &self,
        user: &UserId,
        id: &BookingId,
    ) -> Result<Option<Stored<Booking>>, PortError> {
        if self.mutant.as_ref().is_some_and(StoreMutant::knows_no_owner) {
            return self.store.booking(id).await;
        }
        self.store.booking_of(user, id).await
    }

    pub(crate) async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        let pending = self.store.pending(limit).await?;
        if self.mutant.as_ref().is_some_and(StoreMutant::marks_too_early) {
            self.store.mark_published(&pending, Timestamp::EPOCH).await?;
        }
        Ok(pending)
    }

    pub(crate) async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError> {
        if self.mutant.as_ref().is_some_and(StoreMutant::has_no_inbox) {
            return Ok(false);
        }
        self.store.is_handled(consumer, event_id).await
    }
}
