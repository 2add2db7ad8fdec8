//! Mutants of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use rideplane_core::booking::{Booking, Event, Trip};
use rideplane_core::fleet::{self, Rental, Vehicle};
use rideplane_core::ids::{BookingId, ReservationToken, UserId, VehicleId};
use rideplane_core::reservation::Phase;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{Action, AttemptEvent};
use rideplane_memory::MemoryStore;
use rideplane_ports::{
    BookingFilter, Commit, CommitError, Due, Envelope, IdempotencyId, IdempotencyRecord, Inbox, Outbox, Page,
    PortError, Profile, Store, Stored, Telemetry, VehicleRecord,
};

use super::Defect;
use crate::ports::bus::Bus;
use crate::ports::watched::{Database, Watched};

pub(crate) struct MutantStore {
    inner: Watched,
    truth: Arc<MemoryStore>,
    bus: Arc<Bus>,
    defect: Defect,
    commits: AtomicU64,
}

impl MutantStore {
    pub(crate) fn over(
        inner: Watched,
        truth: Arc<MemoryStore>,
        bus: Arc<Bus>,
        defect: Defect,
    ) -> Arc<dyn Database> {
        Arc::new(Self { inner, truth, bus, defect, commits: AtomicU64::new(0) })
    }

    fn every(&self, n: u64) -> bool {
        self.commits.fetch_add(1, Relaxed) % n == n - 1
    }

    /// The commit as the defective store takes it; `None` when it takes it and does nothing.
    async fn mutate(&self, mut commit: Commit) -> Option<Commit> {
        match self.defect {
            Defect::ClaimWithoutPredicate => {
                for change in &mut commit.vehicles {
                    if let Ok(Some(now)) = self.truth.vehicle(&change.state.id).await {
                        change.expected = now.version;
                    }
                }
            }
            Defect::LostUpdate => {
                for change in &mut commit.bookings {
                    if let Ok(Some(now)) = self.truth.booking(&change.state.id).await {
                        change.expected = now.version;
                    }
                }
            }
            Defect::OutboxBeforeClaim => {
                let envelopes = commit.envelopes().unwrap_or_default();
                let fresh: Vec<Envelope> =
                    envelopes.into_iter().filter(|event| event.version.0 == 1).collect();
                self.bus.append(&fresh);
            }
            Defect::TornCommit
                if !commit.vehicles.is_empty() && !commit.bookings.is_empty() && self.every(10) =>
            {
                commit.bookings.clear();
                commit.ledger.clear();
                commit.idempotency = None;
            }
            Defect::CommitForgotten if self.every(40) => return None,
            Defect::LostIdempotency => commit.idempotency = None,
            Defect::QuarantineSkipped => commit.vehicles.iter_mut().for_each(skip_quarantine),
            Defect::LedgerLost if !commit.ledger.is_empty() && self.every(10) => {
                commit.ledger.pop();
            }
            Defect::ReleaseLost => commit.vehicles.retain(|change| {
                !change.events.iter().any(|event| matches!(event, fleet::Event::VehicleReleased { .. }))
            }),
            Defect::LateAckStartsTrip => start_late(&mut commit),
            Defect::IdsRepeat => repeat_ids(&mut commit),
            _ => {}
        }
        Some(commit)
    }
}

fn skip_quarantine(change: &mut rideplane_ports::VehicleChange) {
    for event in &mut change.events {
        if let fleet::Event::VehicleReleased { quarantined_until, .. }
        | fleet::Event::VehicleLocked { quarantined_until, .. } = event
        {
            *quarantined_until = None;
        }
    }
    if let Rental::Quarantined { .. } = change.state.rental {
        Arc::make_mut(&mut change.state).rental = Rental::Available;
    }
}

fn start_late(commit: &mut Commit) {
    for change in &mut commit.bookings {
        let late = change.events.iter().find_map(|event| match event {
            Event::Command(AttemptEvent::LateAcknowledged(done)) if done.action == Action::Unlock => {
                Some(done.clone())
            }
            _ => None,
        });
        let began = change.events.iter().any(|event| matches!(event, Event::TripStarted { .. }));
        if let Some(done) = late.filter(|_| !began) {
            let (started_at, start_odometer_m) = (done.executed_at, done.odometer_m);
            let state = Arc::make_mut(&mut change.state);
            state.reservation.phase = Phase::InUse;
            state.trip = Some(Trip { started_at, start_odometer_m, end: None });
            change.events.push(Event::TripStarted { started_at, start_odometer_m });
        }
    }
}

fn repeat_ids(commit: &mut Commit) {
    for change in &mut commit.bookings {
        for event in &mut change.events {
            if let Event::Created(made) = event {
                made.reservation_token = ReservationToken::from_uuid(made.quote.quote_id.as_uuid());
                Arc::make_mut(&mut change.state).reservation_token = made.reservation_token;
            }
        }
    }
}

#[async_trait]
impl Store for MutantStore {
    async fn vehicle(&self, id: &VehicleId) -> Result<Option<Stored<Vehicle>>, PortError> {
        self.inner.vehicle(id).await
    }
    async fn booking(&self, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        self.inner.booking(id).await
    }
    async fn booking_of(&self, user: &UserId, id: &BookingId) -> Result<Option<Stored<Booking>>, PortError> {
        if self.defect == Defect::OwnerNotChecked {
            return self.inner.booking(id).await;
        }
        self.inner.booking_of(user, id).await
    }
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        match self.mutate(commit).await {
            Some(commit) => self.inner.commit(commit).await,
            None => Ok(()),
        }
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
impl Outbox for MutantStore {
    async fn pending(&self, limit: usize) -> Result<Vec<Envelope>, PortError> {
        let pending = self.inner.pending(limit).await?;
        if self.defect == Defect::MarkedTooEarly {
            self.inner.mark_published(&pending, Timestamp::EPOCH).await?;
        }
        Ok(pending)
    }
    async fn pending_count(&self) -> Result<u64, PortError> {
        self.inner.pending_count().await
    }
    async fn mark_published(&self, events: &[Envelope], at: Timestamp) -> Result<(), PortError> {
        self.inner.mark_published(events, at).await
    }
}

#[async_trait]
impl Inbox for MutantStore {
    async fn is_handled(&self, consumer: &str, event_id: &str) -> Result<bool, PortError> {
        if self.defect == Defect::InboxMissing {
            return Ok(false);
        }
        self.inner.is_handled(consumer, event_id).await
    }
    async fn mark_handled(&self, consumer: &str, event_id: &str, at: Timestamp) -> Result<bool, PortError> {
        self.inner.mark_handled(consumer, event_id, at).await
    }
}
