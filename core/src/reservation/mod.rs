//! The hold on a vehicle, from the claim to the unlock, and every deadline of it.
//!
//! ```text
//! Held --payment authorised--> Confirmed --vehicle's signed ack--> InUse --lock--> Closed
//!   | payment deadline,           | unlock window over,
//!   | declined, cancelled         | vehicle offline too long, cancelled
//!   v                             v
//!  Released{reason} <-------------+      (declined only: Reclaimed -> Held, while the quote stands)
//! ```
//! A reservation is a part of a [`Booking`](crate::booking::Booking); who holds the vehicle is the
//! [`Vehicle`](crate::fleet::Vehicle)'s to say, and both change in one commit.

mod machine;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The state of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// When the vehicle was claimed: the last time, when it was claimed again after a decline.
    pub since: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// Since when the vehicle is known to be offline.
    pub vehicle_offline_since: Option<Timestamp>,
}

/// Where a hold stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The vehicle is kept for a payment.
    Held {
        /// When it ends by itself.
        reserve_until: Timestamp,
        /// Whether it was extended already; it is extended once.
        extended: bool,
    },
    /// Paid for: the rider may unlock.
    Confirmed {
        /// The last instant at which the vehicle may be unlocked.
        unlock_expires_at: Timestamp,
        /// When the booking expires because the vehicle is offline.
        offline_expires_at: Option<Timestamp>,
    },
    /// Unlocked: the rider has the vehicle.
    InUse,
    /// The trip is over and the vehicle free.
    Closed,
    /// Over without a ride.
    Released {
        /// Why.
        reason: ReleaseReason,
        /// When.
        at: Timestamp,
    },
}

/// Why a hold ended without a ride. On the wire the booking's `status_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// The payment was declined; the rider may try another method.
    PaymentDeclined,
    /// The provider's hold lapsed or contradicted itself.
    PaymentLost,
    /// The rider cancelled.
    CancelledByRider,
    /// The operator cancelled.
    CancelledByOperator,
    /// The operator took the vehicle out of service.
    VehicleWithdrawn,
    /// No payment was made while the vehicle was held.
    PaymentDeadline,
    /// The rider did not come.
    UnlockWindowOver,
    /// The vehicle could not be reached for too long.
    VehicleOffline,
}

/// The two ways in which a booking ends without a ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody or the payment ended it.
    Cancelled,
    /// Time ended it.
    Expired,
}

impl ReleaseReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::PaymentDeclined,
        Self::PaymentLost,
        Self::CancelledByRider,
        Self::CancelledByOperator,
        Self::VehicleWithdrawn,
        Self::PaymentDeadline,
        Self::UnlockWindowOver,
        Self::VehicleOffline,
    ];

    /// Whether the booking counts as cancelled or as expired.
    #[must_use]
    pub const fn ending(self) -> Ending {
        match self {
            Self::PaymentDeclined
            | Self::PaymentLost
            | Self::CancelledByRider
            | Self::CancelledByOperator
            | Self::VehicleWithdrawn => Ending::Cancelled,
            Self::PaymentDeadline | Self::UnlockWindowOver | Self::VehicleOffline => Ending::Expired,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentLost => "payment_lost",
            Self::CancelledByRider => "cancelled_by_rider",
            Self::CancelledByOperator => "cancelled_by_operator",
            Self::VehicleWithdrawn => "vehicle_withdrawn",
            Self::PaymentDeadline => "payment_deadline",
            Self::UnlockWindowOver => "unlock_window_over",
            Self::VehicleOffline => "vehicle_offline",
        }
    }
}

/// What may be asked of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The customer must authenticate: give them time, once.
    Extend,
    /// The payment is authorised.
    Confirm {
        /// When the rider means to start; the unlock window counts from it when it is later than now.
        start_time: Timestamp,
    },
    /// The vehicle's signed ack came.
    Start,
    /// The vehicle is locked, or the operator ended the trip.
    Close,
    /// End it without a ride.
    Release(ReleaseReason),
    /// The same vehicle was claimed again after a declined payment.
    Reclaim,
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

/// What happened to a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The hold was extended.
    Extended {
        /// Its new end.
        reserve_until: Timestamp,
    },
    /// The booking is confirmed.
    Confirmed {
        /// The last instant at which the vehicle may be unlocked.
        unlock_expires_at: Timestamp,
        /// When it expires because the vehicle is offline already.
        offline_expires_at: Option<Timestamp>,
    },
    /// The vehicle was lost sight of.
    OfflineNoticed {
        /// Since when.
        since: Timestamp,
        /// When a confirmed booking expires because of it.
        expires_at: Timestamp,
    },
    /// The vehicle is heard again.
    OnlineNoticed,
    /// The ride began.
    Started,
    /// The ride is over.
    Closed,
    /// Over without a ride.
    Released {
        /// Why.
        reason: ReleaseReason,
        /// When.
        at: Timestamp,
    },
    /// Held again after a declined payment.
    Reclaimed {
        /// When it was claimed again.
        since: Timestamp,
        /// When it ends by itself.
        reserve_until: Timestamp,
    },
}

impl Event {
    /// The event's name on the bus.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Extended { .. } => "HoldExtended",
            Self::Confirmed { .. } => "BookingConfirmed",
            Self::OfflineNoticed { .. } => "BookingVehicleWentOffline",
            Self::OnlineNoticed => "BookingVehicleCameOnline",
            Self::Started => "TripStarted",
            Self::Closed => "TripEnded",
            Self::Released { reason, .. } => match reason.ending() {
                Ending::Cancelled => "BookingCancelled",
                Ending::Expired => "BookingExpired",
            },
            Self::Reclaimed { .. } => "BookingReclaimed",
        }
    }
}

/// Why a hold refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Only in another phase.
    #[error("the reservation is {phase}: it can't {command}")]
    WrongPhase {
        /// The phase.
        phase: &'static str,
        /// What was asked.
        command: &'static str,
    },
    /// The deadline has passed.
    #[error("the reservation ended at {deadline}")]
    TooLate {
        /// Which deadline.
        deadline: Timestamp,
    },
}

/// Why the hold has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadlineReason {
    /// The payment must be made by then.
    Payment,
    /// The vehicle must be unlocked by then.
    Unlock,
    /// The vehicle must be heard again by then.
    Offline,
}

impl Phase {
    /// The phase's name, for messages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Confirmed { .. } => "confirmed",
            Self::InUse => "in use",
            Self::Closed => "closed",
            Self::Released { .. } => "released",
        }
    }
}
