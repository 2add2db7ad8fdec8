//! Planted defects: proof that the rules see what they are there for.

use std::sync::Arc;

use rideplane_core::booking::journey::Outcome;
use rideplane_core::booking::{Event, Trip};
use rideplane_core::fleet::{self, Rental};
use rideplane_core::reservation::Phase;
use rideplane_core::unlock::{Action, AttemptEvent};

use crate::rig::Rig;
use crate::scope::Scope;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Defect {
    /// The vehicle's row is written without comparing its version: the last claim wins.
    ClaimWithoutPredicate,
    /// The booking's row is written without comparing its version.
    LostUpdate,
    /// A commit writes the booking and not the vehicle that it releases.
    ReleaseLost,
    /// An unlock is sent before the booking that asks for it is committed.
    SentBeforeCommit,
    /// An ack that comes after the end of a booking starts its trip.
    LateAckStartsTrip,
    /// The vehicle keeps no epoch, counter and commands: each command is judged as its first.
    MemoryLost,
    /// The vehicle obeys expired commands.
    ExpiryNotChecked,
    /// A trip starts when the unlock is sent, without the vehicle's word.
    TripWithoutAck,
    /// The provider says that it voided a hold, and did not.
    VoidLost,
    /// A call to the provider is repeated under a new key.
    RetryWithNewKey,
    /// A capture that is asked for twice is made twice.
    CapturedTwice,
    /// A hold that should be given back is captured.
    CaptureInsteadOfVoid,
    /// Nobody minds the deadlines of bookings.
    WorkerAsleep,
    /// A commit writes the vehicle and not the booking.
    TornCommit,
    /// A released vehicle is free at once, whatever commands are still out.
    QuarantineSkipped,
    /// The quarantine ends with the last command's expiry, as if all clocks agreed.
    SkewNotCounted,
    /// The vehicle believes its own clock, however far behind that is.
    ClockRaw,
    /// The vehicle carries a repeated command out again.
    CommandActsTwice,
    /// The vehicle acks what it did not do.
    AckWithoutAct,
    /// What the vehicle remembers does not survive a power cut.
    MemoryLostWithPower,
    /// The whole hold is captured, not the fare.
    WholeHoldCaptured,
}

impl Defect {
    /// Every planted defect.
    pub const ALL: [Self; 21] = [
        Self::ClaimWithoutPredicate,
        Self::LostUpdate,
        Self::ReleaseLost,
        Self::SentBeforeCommit,
        Self::LateAckStartsTrip,
        Self::MemoryLost,
        Self::ExpiryNotChecked,
        Self::TripWithoutAck,
        Self::VoidLost,
        Self::RetryWithNewKey,
        Self::CapturedTwice,
        Self::CaptureInsteadOfVoid,
        Self::WorkerAsleep,
        Self::TornCommit,
        Self::QuarantineSkipped,
        Self::SkewNotCounted,
        Self::ClockRaw,
        Self::CommandActsTwice,
        Self::AckWithoutAct,
        Self::MemoryLostWithPower,
        Self::WholeHoldCaptured,
    ];

    /// The smallest scope in which it can be seen, of those that a check searches.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::QuarantineSkipped => Scope::Operator,
            Self::SkewNotCounted => Scope::VehicleClock,
            Self::MemoryLostWithPower => Scope::Faults,
            Self::ClaimWithoutPredicate
            | Self::LostUpdate
            | Self::ReleaseLost
            | Self::SentBeforeCommit
            | Self::LateAckStartsTrip
            | Self::MemoryLost
            | Self::ExpiryNotChecked
            | Self::TripWithoutAck
            | Self::VoidLost
            | Self::RetryWithNewKey
            | Self::CapturedTwice
            | Self::CaptureInsteadOfVoid
            | Self::WorkerAsleep
            | Self::TornCommit
            | Self::ClockRaw
            | Self::CommandActsTwice
            | Self::AckWithoutAct
            | Self::WholeHoldCaptured => Scope::Small,
        }
    }

    /// The defect in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaimWithoutPredicate => "claim without predicate",
            Self::LostUpdate => "booking updated without predicate",
            Self::ReleaseLost => "release lost",
            Self::SentBeforeCommit => "unlock sent before the commit",
            Self::LateAckStartsTrip => "late ack starts a trip",
            Self::MemoryLost => "epoch and counter not kept",
            Self::ExpiryNotChecked => "expired command accepted",
            Self::TripWithoutAck => "trip without ack",
            Self::VoidLost => "void lost",
            Self::RetryWithNewKey => "retry with a new key",
            Self::CapturedTwice => "captured twice",
            Self::CaptureInsteadOfVoid => "capture instead of void",
            Self::WorkerAsleep => "worker asleep",
            Self::TornCommit => "commit not atomic",
            Self::QuarantineSkipped => "quarantine skipped",
            Self::SkewNotCounted => "quarantine without the clocks' skew",
            Self::ClockRaw => "clock used raw",
            Self::CommandActsTwice => "repeated command acts twice",
            Self::AckWithoutAct => "ack without act",
            Self::MemoryLostWithPower => "memory lost with the power",
            Self::WholeHoldCaptured => "whole hold captured",
        }
    }
}

/// What a server with a defect makes of a decision of the core.
pub(crate) fn spoil(rig: &Rig, mut outcome: Outcome) -> Outcome {
    let released = |event: &fleet::Event| matches!(event, fleet::Event::VehicleReleased { .. });
    if rig.has(Defect::ReleaseLost) && outcome.vehicle.iter().any(released) {
        outcome.vehicle_after = None;
    }
    if let Some(vehicle) = outcome.vehicle_after.as_mut().map(Arc::make_mut)
        && let Rental::Quarantined { until } = vehicle.rental
    {
        if rig.has(Defect::QuarantineSkipped) {
            vehicle.rental = Rental::Available;
        } else if rig.has(Defect::SkewNotCounted) && outcome.vehicle.iter().any(released) {
            vehicle.rental = Rental::Quarantined { until: until.minus(rig.policy.clock_skew) };
        }
    }
    if rig.has(Defect::TornCommit) && outcome.vehicle_after.is_some() {
        outcome.booking_after = None;
    }
    let late = outcome.booking.iter().any(|event| match event {
        Event::Command(AttemptEvent::LateAcknowledged(done)) => done.action == Action::Unlock,
        Event::Created(_)
        | Event::Reservation(_)
        | Event::Reclaimed { .. }
        | Event::Payment(_)
        | Event::Command(_)
        | Event::TripStarted { .. }
        | Event::TripEnded(_) => false,
    });
    let sent = outcome.booking.iter().find_map(|event| match event {
        Event::Command(AttemptEvent::Requested { command, .. }) if command.action == Action::Unlock => {
            Some(command.issued_at)
        }
        Event::Created(_)
        | Event::Reservation(_)
        | Event::Reclaimed { .. }
        | Event::Payment(_)
        | Event::Command(_)
        | Event::TripStarted { .. }
        | Event::TripEnded(_) => None,
    });
    if let Some(booking) = outcome.booking_after.as_mut().map(Arc::make_mut) {
        let dead = matches!(booking.reservation.phase, Phase::Released { .. });
        if rig.has(Defect::LateAckStartsTrip) && late && dead {
            booking.reservation.phase = Phase::InUse;
        }
        if let (true, Some(started_at)) = (rig.has(Defect::TripWithoutAck), sent) {
            booking.reservation.phase = Phase::InUse;
            booking.trip = Some(Trip { started_at, start_odometer_m: 0, end: None });
        }
    }
    outcome
}

/// Whether the vehicle has no holder and may be taken.
pub(crate) const fn vacant(rental: &Rental) -> bool {
    match rental {
        Rental::Available => true,
        Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => false,
    }
}
