//! What must hold, read off the stored states, the provider's book and what the vehicle did.

use rideplane_core::booking::{Booking, Status};
use rideplane_core::fleet::Service;
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
    /// A command is carried out only for the holder's own booking under the current epoch.
    HolderOnly,
    /// A command is not carried out after its expiry.
    NotAfterExpiry,
    /// A trip starts only after the vehicle opened for it.
    TripOpened,
    /// A booking has at most one intent at the provider, so at most one hold.
    OneIntent,
    /// At most one capture.
    OneCapture,
    /// No capture without a trip.
    NoTripNoCapture,
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
            Self::BookingOver => "at rest every booking is over",
            Self::HoldGone => "at rest no hold stands",
            Self::TripPaid => "at rest every trip is paid",
            Self::VehicleFree => "at rest the vehicle is free or in maintenance",
        }
    }
}

/// What must hold when the vehicle carries a command out.
pub(crate) fn acted(world: &World, command: &CommandClaims, now: Timestamp) -> Option<Rule> {
    if now >= command.expires_at {
        return Some(Rule::NotAfterExpiry);
    }
    let vehicle = &world.vehicle;
    let own = vehicle.holder().map(|holder| holder.booking_id == command.booking_id);
    let fits = match command.action {
        Action::Unlock => own == Some(true) && vehicle.epoch == command.epoch,
        // An operator may have ended the ride in the meantime: a lock harms only somebody else's.
        Action::Lock => own != Some(false),
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
        (captures > 0 && !(opened && booking.trip.is_some())).then_some(Rule::NoTripNoCapture)
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
