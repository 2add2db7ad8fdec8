//! Aggregates, events and everything else that a commit changes, behind one lock.
//!
//! States are kept as values, not as JSON: a read clones one, and the lock is held for a few map operations. Events are
//! kept typed too, and written as JSON when the relay or an audit asks. Nothing is forgotten, so a store grows with its
//! history; it is for tests, demonstrations and simulations.

mod audit;
mod commit;
mod read;
mod rows;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_ports::{
    AggregateDump, AggregateKey, AuditSource, BookingFilter, Commit, CommitError, Due, Envelope,
    IdempotencyId, IdempotencyRecord, Inbox, Outbox, Page, PortError, Profile, Store, Stored, Telemetry,
    VehicleRecord,
};

use rows::Tables;

/// A [`Store`] in memory, with its [`Outbox`], [`Inbox`] and [`AuditSource`]. Gone with the process.
///
/// ```
/// use std::sync::Arc;
/// use rideplane_memory::MemoryStore;
/// use rideplane_ports::{Outbox, Store};
/// let store = Arc::new(MemoryStore::new());
/// let (_store, _outbox): (Arc<dyn Store>, Arc<dyn Outbox>) = (store.clone(), store);
/// ```
#[derive(Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

// No lock is held across an await, and no call has one: a call that is polled at all ends in that poll.
#[async_trait]
impl Store for MemoryStore {
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>, PortError> {
        Ok(self.tables.lock().vehicle(id))
    }

    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        Ok(self.tables.lock().booking(id))
    }

    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        Ok(self.tables.lock().booking(id).filter(|stored| stored.state.user_id == *user))
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        commit::check_shape(&commit)?;
        let mut tables = self.tables.lock();
        tables.check(&commit)?;
        let replaced = tables.write(commit);
        drop(tables);
        // What was replaced is freed after the lock is.
        drop(replaced);
        Ok(())
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, PortError> {
        Ok(self.tables.lock().due(now, limit))
    }

    async fn next_deadline(&self) -> Result<Option<Timestamp>, PortError> {
        Ok(self.tables.lock().next_deadline())
    }

    async fn silent_vehicles(&self, before: Timestamp, limit: usize) -> Result<Vec<VehicleId>, PortError> {
        Ok(self.tables.lock().silent(before, limit))
    }

    async fn bookings_of(
        &self,
        user: &UserId,
        filter: &BookingFilter,
    ) -> Result<Page<Stored<Booking>>, PortError> {
        Ok(self.tables.lock().bookings_of(user, filter))
    }

    async fn vehicles(
        &self,
        after: Option<&VehicleId>,
        limit: usize,
    ) -> Result<Vec<VehicleRecord>, PortError> {
        Ok(self.tables.lock().vehicles(after, limit))
    }

    async fn telemetry(&self, id: &VehicleId) -> Result<Option<Telemetry>, PortError> {
        Ok(self.tables.lock().telemetry(id))
    }

    async fn record_telemetry(&self, reports: &[Telemetry]) -> Result<(), PortError> {
        let mut tables = self.tables.lock();
        reports.iter().for_each(|report| tables.record(report));
        Ok(())
    }

    async fn idempotency(&self, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>, PortError> {
        Ok(self.tables.lock().idempotency(id))
    }

    async fn profile(&self, user: &UserId) -> Result<Option<Profile>, PortError> {
        Ok(self.tables.lock().profile(user))
    }

    async fn put_profile(&self, profile: &Profile) -> Result<(), PortError> {
        self.tables.lock().put_profile(profile.clone());
        Ok(())
    }

    async fn ping(&self) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        let facts = self.tables.lock().pending(limit);
        facts.iter().map(|fact| fact.envelope()).collect()
    }

    async fn pending_count(&self) -> Result<u64, PortError> {
        Ok(self.tables.lock().pending_count())
    }

    async fn mark_published(&self, events: &[Envelope], _at: Timestamp) -> Result<(), PortError> {
        self.tables.lock().mark_published(events);
        Ok(())
    }
}

#[async_trait]
impl Inbox for MemoryStore {
    async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError> {
        Ok(self.tables.lock().is_handled(consumer, event_id))
    }

    async fn mark_handled(&self, consumer: &str, event_id: &str, _at: Timestamp) -> Result<bool, PortError> {
        Ok(self.tables.lock().mark_handled(consumer, event_id))
    }
}

#[async_trait]
impl AuditSource for MemoryStore {
    async fn aggregates(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Vec<AggregateDump>, PortError> {
        let rows = self.tables.lock().aggregates(after, limit);
        rows.iter().map(audit::Row::dump).collect()
    }
}
