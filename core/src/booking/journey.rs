//! A booking and its vehicle, judged together: whatever one decides for the other is in the same outcome, so that one
//! commit holds both and no reader ever sees half.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Booking, Command, Create, Event, Party, Rejection as BookingRejection, Status};
use crate::fleet::{self, Presence, Rental, Service, Vehicle};
use crate::ids::{PaymentMethodId, UserId};
use crate::machine::{Context, Machine as _};
use crate::pricing::Quote;
use crate::reservation::{self, Phase, ReleaseReason};
use crate::time::Timestamp;
use crate::unlock::{Action, AttemptEvent};

/// What a command on a journey brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events of the vehicle, in order.
    pub vehicle: Vec<fleet::Event>,
    /// Events of the booking, in order.
    pub booking: Vec<Event>,
}

/// Why a journey refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The booking refuses.
    #[error(transparent)]
    Booking(#[from] BookingRejection),
    /// The vehicle refuses.
    #[error(transparent)]
    Vehicle(#[from] fleet::Rejection),
    /// The vehicle is not this booking's.
    #[error("the vehicle is not held by this booking")]
    NotHeld,
    /// The vehicle can't be reached.
    #[error("the vehicle has been offline since {since}: it can't be reached now, try again shortly")]
    VehicleOffline {
        /// Since when.
        since: Timestamp,
    },
    /// The vehicle was taken out of service.
    #[error("the vehicle is out of service: cancel and take another one")]
    OutOfService,
    /// A booking starts too late or too early.
    #[error("start_time {start_time} is out of range: from now to {latest}")]
    StartTimeOutOfRange {
        /// As asked.
        start_time: Timestamp,
        /// The latest that is taken.
        latest: Timestamp,
    },
}

impl Outcome {
    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.vehicle.is_empty() && self.booking.is_empty()
    }
}

/// Claims a vehicle for a new booking.
///
/// # Errors
/// When the vehicle is not free for anybody, or the start time is out of range.
pub fn reserve(
    vehicle: &Vehicle,
    user_id: &UserId,
    start_time: Option<Timestamp>,
    quote: Quote,
    cx: &Context<'_>,
) -> Result<Outcome, Rejection> {
    if let Some(start_time) = start_time {
        let (earliest, latest) =
            (cx.now.minus(cx.policy.clock_skew), cx.now.plus(cx.policy.start_time_max_ahead));
        if start_time < earliest || start_time > latest {
            return Err(Rejection::StartTimeOutOfRange { start_time, latest });
        }
    }
    let create = Create {
        user_id: user_id.clone(),
        vehicle_id: vehicle.id.clone(),
        epoch: vehicle.epoch.next(),
        start_time,
        quote: Arc::new(quote),
    };
    let booking = Booking::decide(&None, &Command::Create(Box::new(create)), cx)?;
    let mut outcome = Outcome { vehicle: Vec::new(), booking };
    if let Some(Event::Created(created)) = outcome.booking.first() {
        let claim = fleet::Command::Reserve { booking_id: created.id, user_id: created.user_id.clone() };
        outcome.vehicle = vehicle.judge(&claim, cx)?;
    }
    Ok(outcome)
}

/// Pays for a booking; after a declined payment this claims the same vehicle again, if it is still free.
///
/// # Errors
/// As the booking and the vehicle say.
pub fn confirm_payment(
    vehicle: &Vehicle,
    booking: &Booking,
    method: &PaymentMethodId,
    cx: &Context<'_>,
) -> Result<Outcome, Rejection> {
    if booking.status() == Status::Cancelled && booking.is_reclaimable(cx.now) {
        let claim = fleet::Command::Reserve { booking_id: booking.id, user_id: booking.user_id.clone() };
        let claimed = vehicle.judge(&claim, cx)?;
        let epoch = claimed.iter().fold(vehicle.epoch, |epoch, event| {
            if let fleet::Event::VehicleReserved { epoch, .. } = event { *epoch } else { epoch }
        });
        let command = Command::Reclaim { epoch, method: method.clone() };
        let booking = booking.clone().advance(&command, cx)?;
        return Ok(Outcome { vehicle: claimed, booking });
    }
    decide(vehicle, booking, &Command::ConfirmPayment { method: method.clone() }, cx)
}

/// Opens the vehicle for its rider.
///
/// # Errors
/// When the vehicle is not this booking's, is offline or out of service, or the booking is not confirmed.
pub fn unlock(vehicle: &Vehicle, booking: &Booking, cx: &Context<'_>) -> Result<Outcome, Rejection> {
    if booking.status() == Status::Confirmed {
        if !holds(vehicle, booking) {
            return Err(Rejection::NotHeld);
        }
        // A command that is out may have opened it already: a repeat waits for that, whatever has become of the vehicle.
        if booking.commands.pending_until().is_some_and(|until| cx.now < until) {
            return decide(vehicle, booking, &Command::Unlock, cx);
        }
        match vehicle.service {
            Service::InService => {}
            Service::Maintenance { .. } | Service::Retired => return Err(Rejection::OutOfService),
        }
        if let Presence::Offline { since } = vehicle.presence {
            return Err(Rejection::VehicleOffline { since });
        }
    }
    decide(vehicle, booking, &Command::Unlock, cx)
}

/// Judges any command on a booking, and lets its vehicle follow.
///
/// # Errors
/// As the booking says.
pub fn decide(
    vehicle: &Vehicle,
    booking: &Booking,
    command: &Command,
    cx: &Context<'_>,
) -> Result<Outcome, Rejection> {
    let mut after = booking.clone();
    let events = after.advance(command, cx)?;
    let vehicle = follow(vehicle, &after, &events, cx)?;
    Ok(Outcome { vehicle, booking: events })
}

/// Judges a command on a vehicle, and lets the booking that holds it follow. `holder` is the booking of the vehicle's
/// holder, if it has one.
///
/// # Errors
/// As the vehicle says.
pub fn decide_vehicle(
    vehicle: &Option<Vehicle>,
    holder: Option<&Booking>,
    command: &fleet::Command,
    cx: &Context<'_>,
) -> Result<Outcome, Rejection> {
    let mut outcome = Outcome { vehicle: Vehicle::decide(vehicle, command, cx)?, booking: Vec::new() };
    let moved = outcome.vehicle.iter().fold(vehicle.clone(), Vehicle::evolve);
    let (Some(moved), Some(booking)) = (moved, holder) else {
        return Ok(outcome);
    };
    let Some(consequence) = consequence(command, &moved, booking) else {
        return Ok(outcome);
    };
    let followed = decide(&moved, booking, &consequence, cx)?;
    outcome.vehicle.extend(followed.vehicle);
    outcome.booking = followed.booking;
    Ok(outcome)
}

/// What a change of the vehicle means for its holder.
fn consequence(command: &fleet::Command, vehicle: &Vehicle, booking: &Booking) -> Option<Command> {
    match command {
        fleet::Command::WentOffline { .. } => match vehicle.presence {
            Presence::Offline { since } => Some(Command::VehicleWentOffline { since }),
            Presence::Online => None,
        },
        fleet::Command::CameOnline => Some(Command::VehicleCameOnline),
        fleet::Command::EnterMaintenance { .. } | fleet::Command::FoundUnlocked => match booking.status() {
            Status::PendingPayment | Status::Confirmed => {
                Some(Command::Cancel(ReleaseReason::VehicleWithdrawn))
            }
            Status::Active | Status::Ended | Status::Completed | Status::Cancelled | Status::Expired => None,
        },
        fleet::Command::Register { .. }
        | fleet::Command::Reserve { .. }
        | fleet::Command::StartUse { .. }
        | fleet::Command::Release { .. }
        | fleet::Command::EndUse { .. }
        | fleet::Command::EnterService
        | fleet::Command::Retire
        | fleet::Command::Tick => None,
    }
}

/// Whether the vehicle is held by this booking under its fence.
#[must_use]
pub fn holds(vehicle: &Vehicle, booking: &Booking) -> bool {
    let held = match &vehicle.rental {
        Rental::Reserved(holder) | Rental::InUse(holder) => holder.booking_id == booking.id,
        Rental::Available | Rental::Quarantined { .. } => false,
    };
    held && vehicle.epoch == booking.epoch
}

/// The vehicle's part in what the booking decided.
fn follow(
    vehicle: &Vehicle,
    booking: &Booking,
    events: &[Event],
    cx: &Context<'_>,
) -> Result<Vec<fleet::Event>, Rejection> {
    let mut state = Cow::Borrowed(vehicle);
    let (mut all, mut applied) = (Vec::new(), 0);
    for event in events {
        let Some(command) = told(event, vehicle, booking, cx) else {
            continue;
        };
        // The vehicle changes only for a further question: most decisions have one for it at most.
        for event in all.iter().skip(applied) {
            state.to_mut().become_after(event);
        }
        applied = all.len();
        all.extend(state.judge(&command, cx)?);
    }
    Ok(all)
}

fn told(event: &Event, vehicle: &Vehicle, booking: &Booking, cx: &Context<'_>) -> Option<fleet::Command> {
    let booking_id = booking.id;
    // A command of this epoch that was never answered may still be accepted by the vehicle.
    let quarantine_until =
        || booking.commands.outstanding_until().map(|until| until.plus(cx.policy.clock_skew));
    match event {
        Event::TripStarted { .. } => Some(fleet::Command::StartUse { booking_id }),
        Event::TripEnded(end) => Some(fleet::Command::EndUse {
            booking_id,
            quarantine_until: quarantine_until(),
            needs_inspection: end.by == Party::Operator,
        }),
        Event::Reservation(reservation::Event::Released { .. }) => {
            Some(fleet::Command::Release { booking_id, quarantine_until: quarantine_until() })
        }
        Event::Command(AttemptEvent::Acknowledged(done) | AttemptEvent::LateAcknowledged(done)) => {
            opened_for_nobody(done.action, vehicle, booking).then_some(fleet::Command::FoundUnlocked)
        }
        Event::Created(_)
        | Event::Reservation(_)
        | Event::Reclaimed { .. }
        | Event::Payment(_)
        | Event::Command(_) => None,
    }
}

/// An unlock that was executed, but whose booking no longer has the vehicle: it stands open, and only a person can
/// tell in what state.
fn opened_for_nobody(action: Action, vehicle: &Vehicle, booking: &Booking) -> bool {
    match (action, &booking.reservation.phase) {
        (Action::Lock, _) => false,
        (Action::Unlock, Phase::InUse | Phase::Closed) => false,
        (Action::Unlock, Phase::Held { .. } | Phase::Confirmed { .. } | Phase::Released { .. }) => {
            // A retired vehicle is out of service for good already, and would refuse to hear of it.
            !matches!(vehicle.rental, Rental::InUse(_)) && vehicle.service != Service::Retired
        }
    }
}
