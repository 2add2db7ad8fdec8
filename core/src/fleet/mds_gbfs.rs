//! How others see a vehicle: the one table from (rental x presence x service) to our own status, to MDS 2.0 and
//! to GBFS 3.1.
//!
//! | Status | when, read from the top | MDS `vehicle_state` | in GBFS `vehicle_status` |
//! |---|---|---|---|
//! | `retired` | the operator withdrew it for good | `removed` | no |
//! | `offline` | it is not heard from | `non_contactable` | unless in use; `is_disabled` |
//! | `in_use` | a booking rides it | `on_trip` | no |
//! | `reserved` | a booking holds it | `reserved` | `is_reserved` |
//! | `maintenance` | the operator withdrew it | `non_operational` | `is_disabled` |
//! | `quarantined` | an old command might still open it | `non_operational` | `is_disabled` |
//! | `available` | otherwise | `available` | yes |
//!
//! A holder outranks maintenance because MDS knows no way from `reserved` or `on_trip` to `non_operational` but
//! through the end of the reservation or trip. Lost contact outranks the holder because MDS `comms_lost` does; when
//! contact is back, `comms_restored` leads to whatever state holds by then.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{Event, MaintenanceReason, Presence, Rental, Service, Vehicle};
use crate::machine::Machine;

/// The `status` of a vehicle in the HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireStatus {
    /// It may be reserved.
    Available,
    /// A booking holds it.
    Reserved,
    /// A booking rides it.
    InUse,
    /// A command of the last holder might still open it.
    Quarantined,
    /// It is not heard from.
    Offline,
    /// It is withdrawn from hire.
    Maintenance,
    /// It is withdrawn for good.
    Retired,
}

/// MDS 2.0 `vehicle_state`, micromobility mode, as far as this machine knows it. `missing` and `elsewhere` need a
/// search on the street and a jurisdiction's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MdsState {
    /// For rent.
    Available,
    /// On the street and not for rent.
    NonOperational,
    /// Reserved by a customer.
    Reserved,
    /// In possession of a renter, moving or not.
    OnTrip,
    /// Contact is lost for now.
    NonContactable,
    /// Not on the street.
    Removed,
}

/// MDS 2.0 `event_type`, micromobility mode, as far as this machine causes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MdsEventType {
    /// The provider placed it on the street.
    ProviderDropOff,
    /// A reservation began.
    ReservationStart,
    /// A reservation was given up.
    ReservationCancel,
    /// A trip began.
    TripStart,
    /// A trip ended.
    TripEnd,
    /// Contact was lost.
    CommsLost,
    /// Contact is back.
    CommsRestored,
    /// It needs maintenance, or has had it.
    Maintenance,
    /// Its battery is too low to be hired.
    BatteryLow,
    /// Its battery is charged again.
    BatteryCharged,
    /// It left the fleet for good.
    Decommissioned,
    /// Another reason. Used for the quarantine alone: MDS has no word for a short safety wait, and every other
    /// event type that leads there would claim a reason that is not so.
    Unspecified,
}

/// The flags of a vehicle in the GBFS 3.1 `vehicle_status` feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GbfsFlags {
    /// GBFS `is_reserved`: a booking holds it and its ride has not begun. False again when the hold ends, as GBFS
    /// asks for in `default_reserve_time`.
    pub is_reserved: bool,
    /// GBFS `is_disabled`: it is on the street and cannot be hired.
    pub is_disabled: bool,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// Our own word.
    pub status: WireStatus,
    /// That of MDS.
    pub mds_state: MdsState,
    /// Its flags in GBFS `vehicle_status`; `None` when it must not be listed there: in an active rental, or no longer
    /// part of the fleet.
    pub gbfs: Option<GbfsFlags>,
}

/// The row for a state. [`Vehicle::wire`] looks it up for an instant, with a quarantine that has run out read as
/// available.
#[must_use]
pub const fn wire(rental: &Rental, presence: &Presence, service: &Service) -> Wire {
    let status = status(rental, presence, service);
    Wire { status, mds_state: status.mds_state(), gbfs: gbfs(rental, presence, service) }
}

const fn status(rental: &Rental, presence: &Presence, service: &Service) -> WireStatus {
    match service {
        Service::Retired => return WireStatus::Retired,
        Service::InService | Service::Maintenance { .. } => {}
    }
    match presence {
        Presence::Offline { .. } => return WireStatus::Offline,
        Presence::Online => {}
    }
    match rental {
        Rental::InUse(_) => WireStatus::InUse,
        Rental::Reserved(_) => WireStatus::Reserved,
        Rental::Quarantined { .. } => match service {
            Service::Maintenance { .. } => WireStatus::Maintenance,
            Service::InService | Service::Retired => WireStatus::Quarantined,
        },
        Rental::Available => match service {
            Service::Maintenance { .. } => WireStatus::Maintenance,
            Service::InService | Service::Retired => WireStatus::Available,
        },
    }
}

const fn gbfs(rental: &Rental, presence: &Presence, service: &Service) -> Option<GbfsFlags> {
    let withdrawn = match service {
        Service::Retired => return None,
        Service::Maintenance { .. } => true,
        Service::InService => false,
    };
    let silent = match presence {
        Presence::Offline { .. } => true,
        Presence::Online => false,
    };
    let (is_reserved, quarantined) = match rental {
        Rental::InUse(_) => return None,
        Rental::Reserved(_) => (true, false),
        Rental::Quarantined { .. } => (false, true),
        Rental::Available => (false, false),
    };
    Some(GbfsFlags { is_reserved, is_disabled: withdrawn || silent || quarantined })
}

/// The MDS event types of one event, in order: what an MDS event's `event_types` holds. Empty when MDS knows no
/// change: of what happens while contact is lost it learns the outcome with `comms_restored`, and a removed
/// vehicle's contact is none of its matters.
///
/// For every event that the machine decides, the types lead through the table "Vehicle State Events" of MDS 2.0
/// (`modes/micromobility.md`) from the state before to the state after. Before its registration a vehicle is
/// `removed`.
#[must_use]
pub fn mds_events(before: &Option<Vehicle>, event: &Event) -> Vec<MdsEventType> {
    use MdsEventType as Mds;
    let after = Vehicle::evolve(before.clone(), event);
    let (from, to) = (mds_state(before.as_ref()), mds_state(after.as_ref()));
    if from == to {
        return Vec::new();
    }
    match event {
        Event::VehicleRegistered { .. } => vec![Mds::ProviderDropOff, Mds::CommsLost],
        Event::VehicleReserved { .. } => vec![Mds::ReservationStart],
        Event::VehicleUnlocked { .. } => vec![Mds::TripStart],
        Event::VehicleLocked { .. } => vacated(Mds::TripEnd, after.as_ref(), to),
        Event::VehicleReleased { .. } => vacated(Mds::ReservationCancel, after.as_ref(), to),
        Event::VehicleQuarantineEnded { .. } => vec![Mds::Unspecified],
        Event::VehicleWentOffline { .. } => vec![Mds::CommsLost],
        Event::VehicleCameOnline { .. } => vec![Mds::CommsRestored],
        Event::VehicleMaintenanceStarted { .. } => closing(after.as_ref()).into_iter().collect(),
        Event::VehicleReturnedToService => vec![opening(before.as_ref())],
        Event::VehicleRetired => vec![Mds::Decommissioned],
        Event::VehicleUpdated { .. } => Vec::new(),
    }
}

fn mds_state(vehicle: Option<&Vehicle>) -> MdsState {
    match vehicle {
        None => MdsState::Removed,
        Some(vehicle) => wire(&vehicle.rental, &vehicle.presence, &vehicle.service).mds_state,
    }
}

/// The end of a reservation or trip leads to `available`, from where a second type may be needed.
fn vacated(end: MdsEventType, after: Option<&Vehicle>, to: MdsState) -> Vec<MdsEventType> {
    let mut types = vec![end];
    match to {
        MdsState::NonOperational => types.extend(closing(after)),
        MdsState::Available
        | MdsState::Reserved
        | MdsState::OnTrip
        | MdsState::NonContactable
        | MdsState::Removed => {}
    }
    types
}

/// From `available` to `non_operational`, and why.
fn closing(after: Option<&Vehicle>) -> Option<MdsEventType> {
    Some(match after?.service {
        Service::Maintenance { reason: MaintenanceReason::LowCharge } => MdsEventType::BatteryLow,
        Service::Maintenance { .. } => MdsEventType::Maintenance,
        Service::InService | Service::Retired => MdsEventType::Unspecified,
    })
}

/// From `non_operational` to `available`, and why.
fn opening(before: Option<&Vehicle>) -> MdsEventType {
    match before.map(|vehicle| &vehicle.service) {
        Some(Service::Maintenance { reason: MaintenanceReason::LowCharge }) => MdsEventType::BatteryCharged,
        Some(Service::Maintenance { .. } | Service::InService | Service::Retired) | None => {
            MdsEventType::Maintenance
        }
    }
}

impl WireStatus {
    /// The status as the HTTP API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Reserved => "reserved",
            Self::InUse => "in_use",
            Self::Quarantined => "quarantined",
            Self::Offline => "offline",
            Self::Maintenance => "maintenance",
            Self::Retired => "retired",
        }
    }

    /// The MDS state that this status is.
    #[must_use]
    pub const fn mds_state(self) -> MdsState {
        match self {
            Self::Available => MdsState::Available,
            Self::Reserved => MdsState::Reserved,
            Self::InUse => MdsState::OnTrip,
            Self::Quarantined | Self::Maintenance => MdsState::NonOperational,
            Self::Offline => MdsState::NonContactable,
            Self::Retired => MdsState::Removed,
        }
    }
}

impl MdsState {
    /// The state as MDS spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::NonOperational => "non_operational",
            Self::Reserved => "reserved",
            Self::OnTrip => "on_trip",
            Self::NonContactable => "non_contactable",
            Self::Removed => "removed",
        }
    }
}

impl MdsEventType {
    /// The type as MDS spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProviderDropOff => "provider_drop_off",
            Self::ReservationStart => "reservation_start",
            Self::ReservationCancel => "reservation_cancel",
            Self::TripStart => "trip_start",
            Self::TripEnd => "trip_end",
            Self::CommsLost => "comms_lost",
            Self::CommsRestored => "comms_restored",
            Self::Maintenance => "maintenance",
            Self::BatteryLow => "battery_low",
            Self::BatteryCharged => "battery_charged",
            Self::Decommissioned => "decommissioned",
            Self::Unspecified => "unspecified",
        }
    }
}

impl fmt::Display for WireStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for MdsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for MdsEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
