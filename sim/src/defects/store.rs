//! Mutants of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rideplane_core::booking::{Event, Trip};
use rideplane_core::fleet::{self, Rental};
use rideplane_core::ids::ReservationToken;
use rideplane_core::reservation::Phase;
use rideplane_core::unlock::{Action, AttemptEvent};
use rideplane_memory::MemoryStore;
use rideplane_ports::{Commit, Envelope, Store as _};

use super::Defect;
use crate::ports::bus::Bus;

/// What is wrong with the store.
pub(crate) struct StoreMutant {
    truth: Arc<MemoryStore>,
    bus: Arc<Bus>,
    defect: Defect,
    commits: AtomicU64,
}

impl StoreMutant {
    pub(crate) const fn new(truth: Arc<MemoryStore>, bus: Arc<Bus>, defect: Defect) -> Self {
        Self { truth, bus, defect, commits: AtomicU64::new(0) }
    }

    /// Whether it finds the bookings of other riders too.
    pub(crate) fn knows_no_owner(&self) -> bool {
        self.defect == Defect::OwnerNotChecked
    }

    /// Whether it takes events for published once they were read.
    pub(crate) fn marks_too_early(&self) -> bool {
        self.defect == Defect::MarkedTooEarly
    }

    /// Whether it has no memory of what was handled.
    pub(crate) fn has_no_inbox(&self) -> bool {
        self.defect == Defect::InboxMissing
    }

    fn every(&self, n: u64) -> bool {
        self.commits.fetch_add(1, Relaxed) % n == n - 1
    }

    /// The commit as the defective store takes it; `None` when it takes it and does nothing.
    pub(crate) async fn mutate(&self, mut commit: Commit) -> Option<Commit> {
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
