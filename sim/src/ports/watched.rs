//! The store as it really is: in memory, with the oracles looking over its shoulder.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::booking::Booking;
use rideplane_core::fleet::Vehicle;
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::time::Timestamp;
use rideplane_memory::MemoryStore;
use rideplane_ports::{
    BookingFilter, Commit, CommitError, Due, Envelope, IdempotencyId, IdempotencyRecord, Inbox, Outbox, Page,
    PortError, Profile, Store, Stored, Telemetry, VehicleRecord,
};

use crate::net::Net;
use crate::oracle::Oracle;

/// Everything that one database does.
pub(crate) trait Database: Store + Outbox + Inbox {}
impl<T: Store + Outbox + Inbox> Database for T {}

/// A store that tells the oracles of every commit that really happened.
pub(crate) struct Watched {
    inner: Arc<MemoryStore>,
    oracle: Arc<Mutex<Oracle>>,
    net: Arc<Net>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<MemoryStore>, oracle: Arc<Mutex<Oracle>>, net: Arc<Net>) -> Self {
        Self { inner, oracle, net }
    }
}

#[async_trait]
impl Store for Watched {
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>, PortError> {
        self.inner.vehicle(id).await
    }
    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        self.inner.booking(id).await
    }
    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        self.inner.booking_of(user, id).await
    }
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let seen = commit.clone();
        self.inner.commit(commit).await?;
        self.oracle.lock().committed(&seen, self.net.now());
        Ok(())
    }
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, PortError> {
        self.inner.due(now, limit).await
    }
    async fn next_deadline(&self) -> Result<Option<Timestamp>, PortError> {
        self.inner.next_deadline().await
    }
    async fn silent_vehicles(&self, before: Timestamp, limit: usize) -> Result<Vec<VehicleId>, PortError> {
        self.inner.silent_vehicles(before, limit).await
    }
    async fn bookings_of(
        &self,
        user: &UserId,
        filter: &BookingFilter,
    ) -> Result<Page<Stored<Booking>>, PortError> {
        self.inner.bookings_of(user, filter).await
    }
    async fn vehicles(
        &self,
        after: Option<&VehicleId>,
        limit: usize,
    ) -> Result<Vec<VehicleRecord>, PortError> {
        self.inner.vehicles(after, limit).await
    }
    async fn telemetry(&self, id: &VehicleId) -> Result<Option<Telemetry>, PortError> {
        self.inner.telemetry(id).await
    }
    async fn record_telemetry(&self, reports: &[Telemetry]) -> Result<(), PortError> {
        self.inner.record_telemetry(reports).await
    }
    async fn idempotency(&self, id: &IdempotencyId) -> Result<Option<IdempotencyRecord>, PortError> {
        self.inner.idempotency(id).await
    }
    async fn profile(&self, user: &UserId) -> Result<Option<Profile>, PortError> {
        self.inner.profile(user).await
    }
    async fn put_profile(&self, profile: &Profile) -> Result<(), PortError> {
        self.inner.put_profile(profile).await
    }
    async fn ping(&self) -> Result<(), PortError> {
        self.inner.ping().await
    }
}

#[async_trait]
impl Outbox for Watched {
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        self.inner.pending(limit).await
    }
    async fn pending_count(&self) -> Result<u64, PortError> {
        self.inner.pending_count().await
    }
    async fn mark_published(&self, events: &[Envelope], at: Timestamp) -> Result<(), PortError> {
        self.inner.mark_published(events, at).await
    }
}

#[async_trait]
impl Inbox for Watched {
    async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError> {
        self.inner.is_handled(consumer, event_id).await
    }
    async fn mark_handled(&self, consumer: &str, event_id: &str, at: Timestamp) -> Result<bool, PortError> {
        self.inner.mark_handled(consumer, event_id, at).await
    }
}
