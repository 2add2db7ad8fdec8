//! Messages to riders.

use async_trait::async_trait;
use rideplane_core::ids::{BookingId, UserId, VehicleId};
use rideplane_core::money::Money;
use rideplane_core::reservation::ReleaseReason;
use rideplane_core::time::Timestamp;

use crate::{PortError, Profile};

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// To the rider's device.
    Push,
    /// To the rider's mailbox.
    Email,
    /// To the rider's phone.
    Sms,
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// The booking is confirmed; the vehicle may be unlocked until then.
    BookingConfirmed {
        /// The last instant at which the vehicle may be unlocked.
        unlock_expires_at: Timestamp,
        /// What is held on the means of payment.
        authorized: Money,
    },
    /// The booking ended without a ride.
    BookingEnded {
        /// Why.
        reason: ReleaseReason,
    },
    /// The vehicle can't be reached.
    VehicleOffline,
    /// The ride is charged.
    Receipt {
        /// What was charged.
        captured: Money,
    },
}

/// A message to one rider over one channel.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The same message always has the same id; a sender may drop a repeat.
    pub id: String,
    /// How.
    pub channel: Channel,
    /// To whom, with the contact data. Its `Debug` shows none.
    pub to: Profile,
    /// About which booking.
    pub booking_id: BookingId,
    /// About which vehicle.
    pub vehicle_id: VehicleId,
    /// What.
    pub kind: NotificationKind,
}

/// Sends messages. At least once: a repeat of an id may be dropped.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Hands the message over.
    async fn send(&self, notification: &Notification) -> Result<(), PortError>;
}

impl Notification {
    /// Whose it is.
    #[must_use]
    pub const fn user_id(&self) -> &UserId {
        &self.to.user_id
    }
}
