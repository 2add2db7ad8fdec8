//! What is remembered of a vehicle.

use serde::{Deserialize, Serialize};

use super::{Unavailability, VehicleSpec, Wire, WireStatus, wire};
use crate::ids::{BookingId, Epoch, UserId, VehicleId};
use crate::time::Timestamp;

/// A registered vehicle. The machine's state is `Option<Vehicle>`: `None` until the first event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vehicle {
    /// The operator's name for it.
    pub id: VehicleId,
    /// What it is.
    pub spec: VehicleSpec,
    /// Who holds it.
    pub rental: Rental,
    /// Whether it answers.
    pub presence: Presence,
    /// Whether it may be hired.
    pub service: Service,
    /// The fence: rises by one with every change of holder, to one and from one.
    pub epoch: Epoch,
}

/// Who holds the vehicle. At most one booking does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Rental {
    /// Nobody.
    Available,
    /// A booking that has not unlocked it yet.
    Reserved(Holder),
    /// A booking that is riding it.
    InUse(Holder),
    /// Nobody, but a command made for the last holder might still open it.
    Quarantined {
        /// From this instant on no such command is accepted by the vehicle, and it may be hired again.
        until: Timestamp,
    },
}

/// The booking that holds a vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The booking.
    pub booking_id: BookingId,
    /// Its rider.
    pub user_id: UserId,
    /// Since when it holds the vehicle in this way: reserved, later in use.
    pub since: Timestamp,
}

/// Whether the vehicle is heard from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Presence {
    /// It reports.
    Online,
    /// It does not.
    Offline {
        /// When it last reported; when it was registered, if it never has.
        since: Timestamp,
    },
}

/// Whether the operator lets the vehicle be hired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Service {
    /// It may be hired.
    InService,
    /// Withdrawn until somebody returns it to service.
    Maintenance {
        /// Why.
        reason: MaintenanceReason,
    },
    /// Withdrawn for good.
    Retired,
}

/// Why a vehicle is withdrawn from hire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceReason {
    /// The operator says no more.
    Operator,
    /// It is damaged.
    Damage,
    /// Its battery or tank is too low (MDS `battery_low`).
    LowCharge,
    /// Its ride ended in a way that somebody must look at, such as without a lock ack.
    Inspection,
    /// It was found open although nobody uses it.
    FoundUnlocked,
}

/// Why the vehicle machine wants a `Tick`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineReason {
    /// The quarantine is over.
    QuarantineEnds,
}

impl Vehicle {
    /// The booking that holds it, reserved or in use.
    #[must_use]
    pub const fn holder(&self) -> Option<&Holder> {
        match &self.rental {
            Rental::Reserved(holder) | Rental::InUse(holder) => Some(holder),
            Rental::Available | Rental::Quarantined { .. } => None,
        }
    }

    /// Whether its silence would be news: it is online and not retired.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        let online = match self.presence {
            Presence::Online => true,
            Presence::Offline { .. } => false,
        };
        let retired = match self.service {
            Service::Retired => true,
            Service::InService | Service::Maintenance { .. } => false,
        };
        online && !retired
    }

    /// What keeps a booking that does not hold it from reserving it at `now`; `None` when nothing does.
    /// Of several reasons the one that lasts longest for the rider: service, then presence, then rental.
    #[must_use]
    pub fn unavailability(&self, now: Timestamp) -> Option<Unavailability> {
        match self.service {
            Service::Retired => return Some(Unavailability::Retired),
            Service::Maintenance { .. } => return Some(Unavailability::Maintenance),
            Service::InService => {}
        }
        match self.presence {
            Presence::Offline { since } => return Some(Unavailability::Offline { since }),
            Presence::Online => {}
        }
        match self.rental {
            Rental::Available => None,
            Rental::Reserved(_) => Some(Unavailability::Reserved),
            Rental::InUse(_) => Some(Unavailability::InUse),
            Rental::Quarantined { until } => (until > now).then_some(Unavailability::Quarantined { until }),
        }
    }

    /// Whether a new booking may reserve it at `now`: nobody holds it, no quarantine is running, it is online and
    /// in service.
    #[must_use]
    pub fn is_claimable(&self, now: Timestamp) -> bool {
        self.unavailability(now).is_none()
    }

    /// Whether a search at `now` shows it: exactly when it is claimable, for a search never offers what a
    /// reservation would refuse. (What the GBFS feed lists is wider: [`Wire::gbfs`].)
    #[must_use]
    pub fn is_listable(&self, now: Timestamp) -> bool {
        self.is_claimable(now)
    }

    /// How others see it at `now`. A quarantine whose end has passed reads as available, whether or not the `Tick`
    /// that ends it has come yet.
    #[must_use]
    pub fn wire(&self, now: Timestamp) -> Wire {
        match self.rental {
            Rental::Quarantined { until } if until <= now => {
                wire(&Rental::Available, &self.presence, &self.service)
            }
            Rental::Available | Rental::Reserved(_) | Rental::InUse(_) | Rental::Quarantined { .. } => {
                wire(&self.rental, &self.presence, &self.service)
            }
        }
    }

    /// The `status` of the HTTP API at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> WireStatus {
        self.wire(now).status
    }
}
