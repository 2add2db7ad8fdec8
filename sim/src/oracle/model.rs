//! The reference model: a booking as the spec's pages tell it, in plain steps, folded from what was committed.

use std::collections::{BTreeMap, BTreeSet};

use rideplane_core::booking::{Event, Status};
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::payment::{self, Op};
use rideplane_core::reservation;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{Action, AttemptEvent};
use rideplane_ports::BookingChange;

use super::{Oracle, Rule};

/// Where a booking stands in the spec's state diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    PendingPayment,
    Confirmed,
    Active,
    Ended,
    Cancelled { declined: bool },
    Expired,
}

/// A booking of the model.
#[derive(Clone, Debug)]
pub(crate) struct Booked {
    pub(crate) user: UserId,
    pub(crate) vehicle: VehicleId,
    pub(crate) version: u64,
    pub(crate) phase: Phase,
    /// What the store says of it.
    pub(crate) wire: Status,
    pub(crate) over_since: Option<Timestamp>,
    pub(crate) authorized: bool,
    pub(crate) had_trip: bool,
    pub(crate) ever_confirmed: bool,
    /// What the ride costs, minor units.
    pub(crate) fare: Option<i64>,
    pub(crate) settled: bool,
    /// The numbers under which a payment intent was asked for.
    pub(crate) created_as: BTreeSet<u32>,
}

/// All bookings.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) bookings: BTreeMap<BookingId, Booked>,
}

impl Oracle {
    /// Folds a commit's events and compares with the state that was written beside them.
    pub(super) fn booking_changed(&mut self, change: &BookingChange, now: Timestamp) {
        let id = change.state.id;
        let known = self.model.bookings.get(&id).map_or(0, |booked| booked.version);
        self.require(
            Rule::Model,
            known == change.expected.0,
            now,
            || vec![id.to_string()],
            || format!("a commit on version {} of a booking at {known}", change.expected),
        );
        for event in &change.events {
            let mut wrong = self.step(change, event, now);
            self.check(Rule::Model);
            if let Some(found) = wrong.take() {
                self.broken(Rule::Model, now, vec![id.to_string()], found);
            }
        }
        let (wire, version) = (change.state.status(), change.version().0);
        let settled = change.state.payment.is_settled();
        let Some(booked) = self.model.bookings.get_mut(&id) else { return };
        booked.version = version;
        booked.wire = wire;
        booked.settled = settled;
        let agrees = match booked.phase {
            Phase::PendingPayment => wire == Status::PendingPayment,
            Phase::Confirmed => wire == Status::Confirmed,
            Phase::Active => wire == Status::Active,
            Phase::Ended => wire == Status::Ended || wire == Status::Completed,
            Phase::Cancelled { .. } => wire == Status::Cancelled,
            Phase::Expired => wire == Status::Expired,
        };
        let phase = booked.phase;
        self.require(
            Rule::Model,
            agrees,
            now,
            || vec![id.to_string()],
            || format!("the store says {wire:?}, the model {phase:?}"),
        );
    }

    /// One event; says what is wrong with it.
    fn step(&mut self, change: &BookingChange, event: &Event, now: Timestamp) -> Option<String> {
        let id = change.state.id;
        if let Event::Created(made) = event {
            self.fresh_id(id.as_uuid().as_u128(), "booking id", now);
            self.fresh_id(made.quote.quote_id.as_uuid().as_u128(), "quote id", now);
            self.fresh_id(made.reservation_token.as_uuid().as_u128(), "reservation token", now);
            let booked = Booked {
                user: made.user_id.clone(),
                vehicle: made.vehicle_id.clone(),
                version: 0,
                phase: Phase::PendingPayment,
                wire: Status::PendingPayment,
                created_as: BTreeSet::new(),
                over_since: None,
                authorized: false,
                had_trip: false,
                ever_confirmed: false,
                fare: None,
                settled: false,
            };
            let before = self.model.bookings.insert(id, booked);
            return before.map(|_| "a booking was created twice".to_owned());
        }
        if let Event::Command(event) = event {
            return self.commanded(id, event, now);
        }
        if let Event::TripStarted { .. } = event {
            self.trip_started(id, &change.events, now);
        }
        let Some(booked) = self.model.bookings.get_mut(&id) else {
            return Some("something happened to a booking that was never made".to_owned());
        };
        booked.take(event, now)
    }

    fn commanded(&mut self, id: BookingId, event: &AttemptEvent, now: Timestamp) -> Option<String> {
        let phase = self.model.bookings.get(&id).map(|booked| booked.phase);
        match event {
            AttemptEvent::Requested { command, .. } => {
                self.fresh_id(command.command_id.as_uuid().as_u128(), "command id", now);
                self.command_issued(command);
                let wanted = match command.action {
                    Action::Unlock => phase == Some(Phase::Confirmed),
                    Action::Lock => phase == Some(Phase::Active),
                };
                (!wanted).then(|| format!("{:?} was commanded while {phase:?}", command.action))
            }
            AttemptEvent::Acknowledged(done) | AttemptEvent::LateAcknowledged(done) => {
                self.command_over(done.command_id);
                None
            }
            AttemptEvent::Refused { command_id, .. } => {
                self.command_over(*command_id);
                None
            }
            // The vehicle may have obeyed all the same.
            AttemptEvent::TimedOut { .. } => None,
        }
    }
}

impl Booked {
    pub(crate) const fn is_live(&self) -> bool {
        match self.phase {
            Phase::PendingPayment | Phase::Confirmed | Phase::Active => true,
            Phase::Ended | Phase::Cancelled { .. } | Phase::Expired => false,
        }
    }

    fn take(&mut self, event: &Event, now: Timestamp) -> Option<String> {
        let from = self.phase;
        let next = match event {
            Event::Created(_) | Event::Command(_) => return None,
            Event::Payment(event) => {
                self.paid(event);
                return None;
            }
            Event::Reclaimed { .. } => {
                self.over_since = None;
                (from == Phase::Cancelled { declined: true }).then_some(Phase::PendingPayment)
            }
            Event::TripStarted { .. } => {
                self.had_trip = true;
                (from == Phase::Confirmed).then_some(Phase::Active)
            }
            Event::TripEnded(end) => {
                self.fare = Some(end.fare.total.to_minor());
                self.over_since = Some(now);
                (from == Phase::Active).then_some(Phase::Ended)
            }
            Event::Reservation(event) => match event {
                reservation::Event::Confirmed { .. } => {
                    if !self.authorized {
                        return Some("confirmed without money".to_owned());
                    }
                    self.ever_confirmed = true;
                    (from == Phase::PendingPayment).then_some(Phase::Confirmed)
                }
                reservation::Event::Released { reason, .. } => {
                    self.over_since = Some(now);
                    let free = from == Phase::PendingPayment || from == Phase::Confirmed;
                    free.then_some(ended_by(*reason))
                }
                reservation::Event::Started => {
                    (from == Phase::Confirmed || from == Phase::Active).then_some(from)
                }
                reservation::Event::Closed => (from == Phase::Active || from == Phase::Ended).then_some(from),
                reservation::Event::Extended { .. } => (from == Phase::PendingPayment).then_some(from),
                reservation::Event::OfflineNoticed { .. } | reservation::Event::OnlineNoticed => Some(from),
                reservation::Event::Reclaimed { .. } => Some(from),
            },
        };
        match next {
            Some(phase) => {
                self.phase = phase;
                None
            }
            None => Some(format!("{} while {from:?}", event.name())),
        }
    }

    fn paid(&mut self, event: &payment::Event) {
        match event {
            payment::Event::PaymentAuthorized { .. } => self.authorized = true,
            payment::Event::PaymentIntentRequested { request } => {
                self.created_as.insert(request.seq);
            }
            payment::Event::PaymentOutcomeUnknown { op: Op::Create, seq, .. }
            | payment::Event::PaymentCallDeferred { op: Op::Create, seq, .. }
            | payment::Event::PaymentCallResumed { op: Op::Create, seq, .. } => {
                self.created_as.insert(*seq);
            }
            _ => {}
        }
    }
}

fn ended_by(reason: reservation::ReleaseReason) -> Phase {
    use reservation::ReleaseReason as R;
    match reason {
        R::PaymentDeclined => Phase::Cancelled { declined: true },
        R::PaymentLost | R::CancelledByRider | R::CancelledByOperator | R::VehicleWithdrawn => {
            Phase::Cancelled { declined: false }
        }
        R::PaymentDeadline | R::UnlockWindowOver | R::VehicleOffline => Phase::Expired,
    }
}
