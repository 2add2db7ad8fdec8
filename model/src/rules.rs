//! What must hold, read off the stored states, the provider's book and what the vehicle did.

use rideplane_core::booking::{Booking, Status};
use rideplane_core::fleet::{Holder, Rental, Service};
use rideplane_core::reservation::Phase;
use rideplane_core::time::Timestamp;
use rideplane_core::unlock::{Action, CommandClaims};

use crate::defects::vacant;
use crate::world::World;

/// A rule of the journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// At most one live booking has the vehicle, and it is the vehicle's holder.
    OneHolder,
    /// A command is carried out only for the holder's own booking under the current epoch, or while the vehicle is kept from
    /// everybody because of it.
    HolderOnly,
    /// A command is not carried out after its expiry.
    NotAfterExpiry,
    /// A trip starts only after the vehicle stood open by its command.
    TripOpened,
    /// A booking has at most one intent at the provider, so at most one hold.
    OneIntent,
    /// At most one capture.
    OneCapture,
    /// No capture without a trip.
    NoTripNoCapture,
    /// What is captured is the fare.
    FareCaptured,
    /// At rest: every booking is over.
    BookingOver,
    /// At rest: no hold stands.
    HoldGone,
    /// At rest: every trip is paid.
    TripPaid,
    /// At rest: the vehicle is free, or in maintenance.
    VehicleFree,
}

impl Rule {
    /// The rule in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneHolder => "one live holder of the vehicle",
            Self::HolderOnly => "commands act for the holder under its epoch",
            Self::NotAfterExpiry => "no command acts after its expiry",
            Self::TripOpened => "a trip starts by the vehicle's word",
            Self::OneIntent => "one intent per booking",
            Self::OneCapture => "one capture per booking",
            Self::NoTripNoCapture => "no capture without a trip",
            Self::FareCaptured => "what is captured is the fare",
            Self::BookingOver => "at rest every booking is over",
            Self::HoldGone => "at rest no hold stands",
            Self::TripPaid => "at rest every trip is paid",
            Self::VehicleFree => "at rest the vehicle is free or in maintenance",
        }
    }
}

/// What must hold when the vehicle carries a command out, at a time by its own clock.
pub(crate) fn acted(world: &World, command: &CommandClaims, now: Timestamp) -> Option<Rule> {
    if now >= command.expires_at {
        return Some(Rule::NotAfterExpiry);
    }
    let vehicle = &world.vehicle;
    let own = |holder: &Holder| holder.booking_id == command.booking_id;
    let fits = match (command.action, &vehicle.rental) {
        (Action::Unlock, Rental::Reserved(holder) | Rental::InUse(holder)) => {
            own(holder) && vehicle.epoch == command.epoch
        }
        // A command can't be called back: until it is dead the vehicle is nobody's.
        (Action::Unlock, Rental::Quarantined { until }) => world.now < *until,
        (Action::Unlock, Rental::Available) => false,
        // An operator may have ended the ride in the meantime: a lock harms only somebody else's.
        (Action::Lock, Rental::Reserved(holder) | Rental::InUse(holder)) => own(holder),
        (Action::Lock, Rental::Quarantined { .. } | Rental::Available) => true,
    };
    (!fits).then_some(Rule::HolderOnly)
}

/// What must hold in every state.
pub(crate) fn always(world: &World) -> Option<Rule> {
    let live = |booking: &&Booking| match booking.reservation.phase {
        Phase::Held { .. } | Phase::Confirmed { .. } | Phase::InUse => true,
        Phase::Closed | Phase::Released { .. } => false,
    };
    let holder = world.vehicle.holder().map(|holder| holder.booking_id);
    let mut holders = world.stored().filter(live).map(|booking| booking.id);
    let (first, second) = (holders.next(), holders.next());
    if second.is_some() || (first.is_some() && first != holder) {
        return Some(Rule::OneHolder);
    }
    world.bookings.iter().zip(world.opened).find_map(|(booking, opened)| {
        let booking: &Booking = booking.as_ref()?;
        if booking.trip.is_some() && !opened {
            return Some(Rule::TripOpened);
        }
        let intents = || world.provider.intents.values().filter(|intent| intent.reference == booking.id);
        let captures: usize = intents().map(|intent| intent.captured.len()).sum();
        if intents().count() > 1 {
            return Some(Rule::OneIntent);
        }
        if captures > 1 {
            return Some(Rule::OneCapture);
        }
        if captures > 0 && !(opened && booking.trip.is_some()) {
            return Some(Rule::NoTripNoCapture);
        }
        let fare = booking.trip.as_ref().and_then(|trip| trip.end.as_ref()).map(|end| end.fare.total);
        let other = intents().flat_map(|intent| &intent.captured).any(|captured| Some(*captured) != fare);
        other.then_some(Rule::FareCaptured)
    })
}

/// What must hold when nothing is left that happens by itself.
pub(crate) fn at_rest(world: &World) -> Option<Rule> {
    for booking in world.stored() {
        match booking.status() {
            Status::Completed | Status::Cancelled | Status::Expired => {}
            Status::PendingPayment | Status::Confirmed | Status::Active | Status::Ended => {
                return Some(Rule::BookingOver);
            }
        }
        let mut intents = world.provider.intents.values().filter(|intent| intent.reference == booking.id);
        if intents.clone().any(|intent| intent.holds) {
            return Some(Rule::HoldGone);
        }
        if booking.trip.is_some() && !intents.any(|intent| !intent.captured.is_empty()) {
            return Some(Rule::TripPaid);
        }
    }
    let withdrawn = match world.vehicle.service {
        Service::Maintenance { .. } => true,
        Service::InService | Service::Retired => false,
    };
    (!withdrawn && !vacant(&world.vehicle.rental)).then_some(Rule::VehicleFree)
}
