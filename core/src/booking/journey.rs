//! A booking and its vehicle, judged together: whatever one decides for the other is in the same outcome, so that one
//! commit holds both and no reader ever sees half.

use std::sync::Arc;

use super::{Booking, Command, Create, Event, Party, Rejection as BookingRejection, Status};
use crate::fleet::{self, Presence, Rental, Service, Vehicle};
use crate::ids::{PaymentMethodId, UserId};
use crate::machine::{Context, Machine as _};
use crate::pricing::Quote;
use crate::reservation::{self, Phase, ReleaseReason};
use crate::time::Timestamp;
use crate::unlock::{Action, AttemptEvent};

/// What a command on a journey brought about. The states are those that folding the events gives: a host that has just
/// decided need not fold, and one that reads the events back comes to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events of the vehicle, in order.
    pub vehicle: Vec<fleet::Event>,
    /// The vehicle after its events; `None` when it has none.
    pub vehicle_after: Option<Arc<Vehicle>>,
    /// Events of the booking, in order.
    pub booking: Vec<Event>,
    /// The booking after its events; `None` when it has none.
    pub booking_after: Option<Arc<Booking>>,
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

    fn new(vehicle: Followed, booking: Vec<Event>, booking_after: Arc<Booking>) -> Self {
        let booking_after = (!booking.is_empty()).then_some(booking_after);
        Self { vehicle: vehicle.0, vehicle_after: vehicle.1, booking, booking_after }
    }
}

/// Events of a vehicle, and what it is after them when there are any.
type Followed = (Vec<fleet::Event>, Option<Arc<Vehicle>>);

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
    let (booking, events) = Booking::create(&create, cx)?;
    let claim = fleet::Command::Reserve { booking_id: booking.id, user_id: create.user_id };
    Ok(Outcome::new(told_once(vehicle, &claim, cx)?, events, Arc::new(booking)))
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
        let claimed = told_once(vehicle, &claim, cx)?;
        let epoch = claimed.1.as_ref().map_or(vehicle.epoch, |held| held.epoch);
        let command = Command::Reclaim { epoch, method: method.clone() };
        let mut after = Arc::new(booking.clone());
        let events = Arc::make_mut(&mut after).advance(&command, cx)?;
        return Ok(Outcome::new(claimed, events, after));
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
    let mut after = Arc::new(booking.clone());
    let events = Arc::make_mut(&mut after).advance(command, cx)?;
    Ok(Outcome::new(follow(vehicle, &after, &events, cx)?, events, after))
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
    let mut events = Vehicle::decide(vehicle, command, cx)?;
    let moved = events.iter().fold(vehicle.clone(), Vehicle::evolve);
    let follows = moved.as_ref().zip(holder).and_then(|(moved, booking)| {
        consequence(command, moved, booking).map(|consequence| decide(moved, booking, &consequence, cx))
    });
    let followed = follows.transpose()?.unwrap_or_default();
    events.extend(followed.vehicle);
    let vehicle_after = followed.vehicle_after.or(moved.map(Arc::new)).filter(|_| !events.is_empty());
    Ok(Outcome { vehicle: events, vehicle_after, ..followed })
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
) -> Result<Followed, Rejection> {
    let (mut all, mut after) = (Vec::new(), None::<Arc<Vehicle>>);
    for event in events {
        let Some(command) = told(event, vehicle, booking, cx) else {
            continue;
        };
        let (made, next) = told_once(after.as_deref().unwrap_or(vehicle), &command, cx)?;
        all.extend(made);
        after = next.or(after);
    }
    Ok((all, after))
}

/// What one command makes of the vehicle.
fn told_once(vehicle: &Vehicle, command: &fleet::Command, cx: &Context<'_>) -> Result<Followed, Rejection> {
    let events = vehicle.judge(command, cx)?;
    // Most decisions leave the vehicle as it is: it is copied only when it changes.
    let after = (!events.is_empty()).then(|| {
        let mut after = Arc::new(vehicle.clone());
        let state = Arc::make_mut(&mut after);
        events.iter().for_each(|event| state.become_after(event));
        after
    });
    Ok((events, after))
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
