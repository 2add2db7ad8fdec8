//! The booking: the process manager of one rider's journey with one vehicle.
//!
//! ```text
//!  create            authorised            vehicle's signed ack        lock ack + final price        captured
//!  ------> pending_payment ------> confirmed ------------------> active ------------------> ended ------> completed
//!               | decline, deadline     | cancel, unlock window over, offline 10 min
//!               v                       v
//!            cancelled / expired, each with a reason; the money hold is voided, the vehicle available again
//! ```
//! A booking owns a [`Quote`], a [`Reservation`], a [`Payment`], the [commands](crate::unlock) to its vehicle and a
//! [`Trip`]. Its status is *derived* from them ([`Booking::status`]), so that it can't contradict them.
//!
//! **Effects are derived from state too** ([`Booking::effects`]): a payment that is authorising *means* that the call
//! with this key is due. After a crash there is nothing to recover: load, ask for effects, go on.
//!
//! [`journey`] judges a booking together with its vehicle, so that both change in one commit.

pub mod journey;
mod machine;
mod react;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::ids::{BookingId, Epoch, PaymentMethodId, ReservationToken, UserId, VehicleId};
use crate::payment::{self, CallId, GatewayCall, Payment, PaymentStatus};
use crate::pricing::{Fare, PricingError, Quote};
use crate::reservation::{self, Ending, Phase, ReleaseReason, Reservation};
use crate::time::{Span, Timestamp};
use crate::unlock::{self, AckClaims, Action, CommandClaims, PositionE7};

/// The state of a booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Its id, a UUIDv7.
    pub id: BookingId,
    /// Whose it is.
    pub user_id: UserId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The vehicle's epoch under this booking's claim: the fence of its commands.
    pub epoch: Epoch,
    /// The receipt of the reservation.
    pub reservation_token: ReservationToken,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the rider means to start.
    pub start_time: Timestamp,
    /// The price promise.
    pub quote: Quote,
    /// The hold on the vehicle.
    pub reservation: Reservation,
    /// The money.
    pub payment: Payment,
    /// The commands to the vehicle.
    pub commands: unlock::Commands,
    /// The ride, once it has begun.
    pub trip: Option<Trip>,
}

/// A ride.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// When the vehicle's ack of the unlock was accepted.
    pub started_at: Timestamp,
    /// The vehicle's odometer then, metres.
    pub start_odometer_m: u64,
    /// How it ended.
    pub end: Option<TripEnd>,
}

/// The end of a ride.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripEnd {
    /// When the lock was asked for whose ack came; the rider pays until then.
    pub ended_at: Timestamp,
    /// What the odometer counted, metres.
    pub distance_m: u64,
    /// Who ended it.
    pub by: Party,
    /// Where the vehicle was left, when it said so.
    pub position: Option<PositionE7>,
    /// What is to pay.
    pub fare: Fare,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The rider whose booking it is.
    Rider,
    /// The operator.
    Operator,
}

/// Where a booking stands, for everybody outside. Derived, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The vehicle is held for a payment.
    PendingPayment,
    /// Paid for; the vehicle may be unlocked.
    Confirmed,
    /// The rider rides.
    Active,
    /// The ride is over, the charge not yet settled.
    Ended,
    /// The ride is over and charged.
    Completed,
    /// Ended without a ride, by somebody or by the payment.
    Cancelled,
    /// Ended without a ride, by time.
    Expired,
}

/// What a new booking is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Whose it is.
    pub user_id: UserId,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// The vehicle's epoch under the claim.
    pub epoch: Epoch,
    /// When the rider means to start; now when absent.
    pub start_time: Option<Timestamp>,
    /// The price promise.
    pub quote: Quote,
}

/// What may be asked of a booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make it.
    Create(Box<Create>),
    /// The customer pays with this method.
    ConfirmPayment {
        /// The provider's payment method.
        method: PaymentMethodId,
    },
    /// The same vehicle was claimed again after a decline; pay with this method.
    Reclaim {
        /// The vehicle's epoch under the new claim.
        epoch: Epoch,
        /// The provider's payment method.
        method: PaymentMethodId,
    },
    /// The provider said something.
    Observe(payment::Fact),
    /// End it without a ride.
    Cancel(ReleaseReason),
    /// Open the vehicle.
    Unlock,
    /// Lock the vehicle and end the ride.
    EndTrip {
        /// Who asks. The operator's word ends it even when the vehicle does not answer.
        by: Party,
        /// Whether a ride may end where the vehicle is.
        ride_end_allowed: bool,
    },
    /// The vehicle's ack, its signature verified.
    VehicleAck(AckClaims),
    /// The vehicle was lost sight of.
    VehicleWentOffline {
        /// Since when.
        since: Timestamp,
    },
    /// The vehicle is heard again.
    VehicleCameOnline,
    /// Time passed.
    Tick,
}

/// What happened to a booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was made and the vehicle claimed.
    Created(Box<Booking>),
    /// The hold moved.
    Reservation(reservation::Event),
    /// The vehicle was claimed again under a new fence.
    Reclaimed {
        /// The vehicle's epoch under the new claim.
        epoch: Epoch,
        /// The hold.
        hold: reservation::Event,
    },
    /// The money moved.
    Payment(payment::Event),
    /// A command to the vehicle moved.
    Command(unlock::AttemptEvent),
    /// The ride began.
    TripStarted {
        /// When.
        started_at: Timestamp,
        /// The odometer then, metres.
        start_odometer_m: u64,
    },
    /// The ride is over and its price known.
    TripEnded(Box<TripEnd>),
}

/// Why a booking refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such booking yet, or it exists already.
    #[error("the booking does not exist")]
    NotFound,
    /// Only in another status.
    #[error("the booking is {}: it can't {asked}", status.as_str())]
    WrongStatus {
        /// The status.
        status: Status,
        /// What was asked.
        asked: &'static str,
    },
    /// A command to the vehicle is out and not answered yet.
    #[error("a command to the vehicle is still out: wait until {until}, then try again")]
    CommandPending {
        /// When it is settled at the latest.
        until: Timestamp,
    },
    /// The ride may not end here.
    #[error("a ride may not end here: park the vehicle in an allowed zone")]
    ParkingNotAllowed,
    /// The hold refuses.
    #[error(transparent)]
    Reservation(#[from] reservation::Rejection),
    /// The payment refuses.
    #[error(transparent)]
    Payment(#[from] payment::Rejection),
    /// The command to the vehicle is refused.
    #[error(transparent)]
    Command(#[from] unlock::AttemptRejection),
    /// The fare can't be computed.
    #[error(transparent)]
    Pricing(#[from] PricingError),
}

/// Why a booking has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineReason {
    /// The hold's.
    Reservation(reservation::DeadlineReason),
    /// The payment's.
    Payment(payment::DeadlineReason),
    /// The command's.
    Command(unlock::AttemptDeadline),
    /// The quote ends, and with it the chance to pay by another method.
    Quote,
}

/// What is due now because of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// A call to the payment provider.
    pub gateway: Option<(GatewayCall, CallId)>,
    /// A command to deliver to the vehicle.
    pub command: Option<CommandClaims>,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::PendingPayment,
        Self::Confirmed,
        Self::Active,
        Self::Ended,
        Self::Completed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingPayment => "pending_payment",
            Self::Confirmed => "confirmed",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Whether the journey is over for the rider; money may still be on its way back.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::PendingPayment | Self::Confirmed | Self::Active | Self::Ended => false,
            Self::Completed | Self::Cancelled | Self::Expired => true,
        }
    }
}

impl Event {
    /// The event's name on the bus.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "BookingCreated",
            Self::Reservation(event) => event.name(),
            Self::Reclaimed { .. } => "BookingReclaimed",
            Self::Payment(event) => event.name(),
            Self::Command(event) => event.name(),
            Self::TripStarted { .. } => "TripStarted",
            Self::TripEnded(_) => "TripEnded",
        }
    }
}

impl Booking {
    /// Where the booking stands.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.reservation.phase {
            Phase::Held { .. } => Status::PendingPayment,
            Phase::Confirmed { .. } => Status::Confirmed,
            Phase::InUse => Status::Active,
            Phase::Closed if self.payment.is_settled() => Status::Completed,
            Phase::Closed => Status::Ended,
            Phase::Released { reason, .. } => match reason.ending() {
                Ending::Cancelled => Status::Cancelled,
                Ending::Expired => Status::Expired,
            },
        }
    }

    /// Why it ended without a ride.
    #[must_use]
    pub const fn status_reason(&self) -> Option<ReleaseReason> {
        match &self.reservation.phase {
            Phase::Released { reason, .. } => Some(*reason),
            Phase::Held { .. } | Phase::Confirmed { .. } | Phase::InUse | Phase::Closed => None,
        }
    }

    /// When the hold ends if nothing is paid.
    #[must_use]
    pub const fn reserve_until(&self) -> Option<Timestamp> {
        match &self.reservation.phase {
            Phase::Held { reserve_until, .. } => Some(*reserve_until),
            Phase::Confirmed { .. } | Phase::InUse | Phase::Closed | Phase::Released { .. } => None,
        }
    }

    /// The last instant at which the vehicle may be unlocked.
    #[must_use]
    pub const fn unlock_expires_at(&self) -> Option<Timestamp> {
        match &self.reservation.phase {
            Phase::Confirmed { unlock_expires_at, .. } => Some(*unlock_expires_at),
            Phase::Held { .. } | Phase::InUse | Phase::Closed | Phase::Released { .. } => None,
        }
    }

    /// The end of the trip, when it has one.
    #[must_use]
    pub fn trip_end(&self) -> Option<&TripEnd> {
        self.trip.as_ref().and_then(|trip| trip.end.as_ref())
    }

    /// Whether a declined payment may be tried again on this booking at `now`, by claiming the vehicle anew.
    #[must_use]
    pub fn is_reclaimable(&self, now: Timestamp) -> bool {
        self.status_reason() == Some(ReleaseReason::PaymentDeclined)
            && now < self.quote.expires_at
            && self.payment.status() == PaymentStatus::Declined
    }

    /// What is due at `now`. Carrying an effect out twice is harmless: the gateway repeats its answer to a key, and a
    /// vehicle repeats its ack to a command.
    #[must_use]
    pub fn effects(&self, now: Timestamp) -> Effects {
        Effects { gateway: self.payment.due_call(now), command: self.wanted_command().cloned() }
    }

    /// The command that is out, while what it asks for is still wanted: a booking that has ended in the meantime must
    /// not open its vehicle any more.
    fn wanted_command(&self) -> Option<&CommandClaims> {
        let command = self.commands.due_command()?;
        let wanted = match (command.action, &self.reservation.phase) {
            (Action::Unlock, Phase::Confirmed { .. }) | (Action::Lock, Phase::InUse) => true,
            (Action::Unlock, Phase::Held { .. } | Phase::InUse | Phase::Closed | Phase::Released { .. })
            | (
                Action::Lock,
                Phase::Held { .. } | Phase::Confirmed { .. } | Phase::Closed | Phase::Released { .. },
            ) => false,
        };
        wanted.then_some(command)
    }

    /// How long the ride was.
    #[must_use]
    pub fn trip_duration(&self) -> Option<Span> {
        let trip = self.trip.as_ref()?;
        trip.end.as_ref().map(|end| end.ended_at.since(trip.started_at))
    }
}

impl Effects {
    /// Whether nothing is due.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.gateway.is_none() && self.command.is_none()
    }

    /// The call to the provider, if one is due.
    #[must_use]
    pub fn gateway_call(&self) -> Option<&GatewayCall> {
        self.gateway.as_ref().map(|(call, _)| call)
    }
}
