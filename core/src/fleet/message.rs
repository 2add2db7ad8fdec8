//! What may be asked of a vehicle, what happens to it, and why a request is refused.

use serde::{Deserialize, Serialize};

use super::{MaintenanceReason, VehicleSpec};
use crate::ids::{BookingId, Epoch, UserId, VehicleId};
use crate::time::Timestamp;

/// What may be asked. After a command was accepted, the same command again is accepted without an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Create the vehicle, or replace its description. A new one is offline until it reports.
    Register {
        /// Its name.
        id: VehicleId,
        /// What it is.
        spec: VehicleSpec,
    },
    /// Hold it for a booking. Accepted when [`Vehicle::is_claimable`](super::Vehicle::is_claimable), or when this
    /// booking of this user already holds it.
    Reserve {
        /// The booking.
        booking_id: BookingId,
        /// Its rider.
        user_id: UserId,
    },
    /// The vehicle's ack says that it opened for the booking that reserved it. A fact from the street, so neither
    /// presence nor maintenance stands against it. When the booking holds it no longer, the vehicle stands open
    /// for nobody: follow the refusal with [`Command::FoundUnlocked`].
    StartUse {
        /// The booking.
        booking_id: BookingId,
    },
    /// Give up the reservation. By a booking that does not hold the vehicle it is accepted without an event: what
    /// it asks for is already so.
    Release {
        /// The booking.
        booking_id: BookingId,
        /// Until when a command made for this holder could still open the vehicle: its expiry and the clock skew.
        /// `None` when no command was made.
        quarantine_until: Option<Timestamp>,
    },
    /// End the use. By a booking that does not hold the vehicle it is accepted without an event.
    EndUse {
        /// The booking.
        booking_id: BookingId,
        /// As for [`Command::Release`].
        quarantine_until: Option<Timestamp>,
        /// Whether somebody must look at the vehicle before it is hired again.
        needs_inspection: bool,
    },
    /// The vehicle has not been heard from.
    WentOffline {
        /// When it last was.
        last_reported: Timestamp,
    },
    /// The vehicle was heard from. Any message of it counts: telemetry, heartbeat or ack.
    CameOnline,
    /// Withdraw it from hire. Allowed while a booking holds it: what becomes of that booking is the booking's matter.
    /// Another reason than the standing one replaces it.
    EnterMaintenance {
        /// Why.
        reason: MaintenanceReason,
    },
    /// Let it be hired again.
    EnterService,
    /// Withdraw it for good. Refused while a booking holds it.
    Retire,
    /// It reports that it is open. While nobody uses it that takes it out of service.
    FoundUnlocked,
    /// Time has passed.
    Tick,
}

/// What happened to a vehicle. Instants that are not named are the instant of the event itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It exists now: available, offline since `at`, in service, epoch 0.
    VehicleRegistered {
        /// Its name.
        id: VehicleId,
        /// What it is.
        spec: VehicleSpec,
        /// When.
        at: Timestamp,
    },
    /// Its description was replaced.
    VehicleUpdated {
        /// What it is now.
        spec: VehicleSpec,
    },
    /// A booking holds it.
    VehicleReserved {
        /// The booking.
        booking_id: BookingId,
        /// Its rider.
        user_id: UserId,
        /// The fence from now on.
        epoch: Epoch,
        /// When.
        at: Timestamp,
    },
    /// It opened for the booking that reserved it: the ride begins.
    VehicleUnlocked {
        /// The booking.
        booking_id: BookingId,
        /// When.
        at: Timestamp,
    },
    /// The use ended.
    VehicleLocked {
        /// The booking.
        booking_id: BookingId,
        /// The fence from now on.
        epoch: Epoch,
        /// When.
        at: Timestamp,
        /// Until when it is quarantined, if it is.
        quarantined_until: Option<Timestamp>,
    },
    /// The reservation was given up.
    VehicleReleased {
        /// The booking.
        booking_id: BookingId,
        /// The fence from now on.
        epoch: Epoch,
        /// When.
        at: Timestamp,
        /// Until when it is quarantined, if it is.
        quarantined_until: Option<Timestamp>,
    },
    /// No command of an earlier holder can open it any more.
    VehicleQuarantineEnded {
        /// When this was noticed; never before the quarantine's end.
        at: Timestamp,
    },
    /// It is no longer heard from.
    VehicleWentOffline {
        /// When it last was.
        since: Timestamp,
    },
    /// It is heard from again.
    VehicleCameOnline {
        /// When.
        at: Timestamp,
    },
    /// It was withdrawn from hire, or the reason for that changed.
    VehicleMaintenanceStarted {
        /// Why.
        reason: MaintenanceReason,
    },
    /// It may be hired again.
    VehicleReturnedToService,
    /// It was withdrawn for good.
    VehicleRetired,
}

impl Event {
    /// The event's published name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::VehicleRegistered { .. } => "VehicleRegistered",
            Self::VehicleUpdated { .. } => "VehicleUpdated",
            Self::VehicleReserved { .. } => "VehicleReserved",
            Self::VehicleUnlocked { .. } => "VehicleUnlocked",
            Self::VehicleLocked { .. } => "VehicleLocked",
            Self::VehicleReleased { .. } => "VehicleReleased",
            Self::VehicleQuarantineEnded { .. } => "VehicleQuarantineEnded",
            Self::VehicleWentOffline { .. } => "VehicleWentOffline",
            Self::VehicleCameOnline { .. } => "VehicleCameOnline",
            Self::VehicleMaintenanceStarted { .. } => "VehicleMaintenanceStarted",
            Self::VehicleReturnedToService => "VehicleReturnedToService",
            Self::VehicleRetired => "VehicleRetired",
        }
    }

    /// Whether it can make [`Vehicle::is_watched`](super::Vehicle::is_watched) another than it was, or gives the first answer.
    #[must_use]
    pub const fn moves_watch(&self) -> bool {
        match self {
            Self::VehicleRegistered { .. }
            | Self::VehicleWentOffline { .. }
            | Self::VehicleCameOnline { .. }
            | Self::VehicleRetired => true,
            Self::VehicleUpdated { .. }
            | Self::VehicleReserved { .. }
            | Self::VehicleUnlocked { .. }
            | Self::VehicleLocked { .. }
            | Self::VehicleReleased { .. }
            | Self::VehicleQuarantineEnded { .. }
            | Self::VehicleMaintenanceStarted { .. }
            | Self::VehicleReturnedToService => false,
        }
    }
}

/// Why a command to a vehicle is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Rejection {
    /// There is no such vehicle.
    #[error("the vehicle is not registered: register it first")]
    NotRegistered,
    /// The command names another vehicle than the one it was sent to.
    #[error("vehicle {vehicle_id} cannot be registered as {asked}: send the command to {asked}")]
    OtherVehicle {
        /// The vehicle it was sent to.
        vehicle_id: VehicleId,
        /// The vehicle it names.
        asked: VehicleId,
    },
    /// The vehicle is retired.
    #[error("vehicle {vehicle_id} is retired for good: register a vehicle under a new id")]
    Retired {
        /// The vehicle.
        vehicle_id: VehicleId,
    },
    /// The vehicle cannot be reserved.
    #[error("vehicle {vehicle_id} cannot be reserved: {why}; choose another one")]
    Unavailable {
        /// The vehicle.
        vehicle_id: VehicleId,
        /// What stands against it.
        why: Unavailability,
    },
    /// The booking does not hold the vehicle that opened.
    #[error(
        "booking {booking_id} does not hold vehicle {vehicle_id}: reserve the vehicle before it is unlocked"
    )]
    NotHolder {
        /// The vehicle.
        vehicle_id: VehicleId,
        /// The booking.
        booking_id: BookingId,
    },
    /// The booking uses the vehicle, so there is no reservation to give up.
    #[error(
        "booking {booking_id} is using vehicle {vehicle_id}: end the use, a release is for a reservation"
    )]
    InUse {
        /// The vehicle.
        vehicle_id: VehicleId,
        /// The booking.
        booking_id: BookingId,
    },
    /// The booking has reserved the vehicle and not used it, so there is no use to end.
    #[error("booking {booking_id} has reserved vehicle {vehicle_id} and not unlocked it: release it instead")]
    NotInUse {
        /// The vehicle.
        vehicle_id: VehicleId,
        /// The booking.
        booking_id: BookingId,
    },
    /// A booking holds the vehicle.
    #[error(
        "vehicle {vehicle_id} is held by booking {booking_id}: end or cancel that booking, then retire it"
    )]
    Held {
        /// The vehicle.
        vehicle_id: VehicleId,
        /// The booking.
        booking_id: BookingId,
    },
}

/// What stands against a reservation. It never says whose booking it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Unavailability {
    /// Another booking has reserved it.
    #[error("another booking has reserved it")]
    Reserved,
    /// Another booking uses it.
    #[error("another booking is using it")]
    InUse,
    /// A command of the last holder might still open it.
    #[error("it is locked for safety until {until}")]
    Quarantined {
        /// Until when.
        until: Timestamp,
    },
    /// It is not heard from.
    #[error("it has not been heard from since {since}")]
    Offline {
        /// Since when.
        since: Timestamp,
    },
    /// It is withdrawn from hire.
    #[error("it is in maintenance")]
    Maintenance,
    /// It is withdrawn for good.
    #[error("it is retired")]
    Retired,
}
