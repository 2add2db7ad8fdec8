//! The read side of search: which vehicles are free near a point.

use async_trait::async_trait;
use rideplane_core::charge::Charge;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::geo::Point;
use rideplane_core::ids::{PlanId, VehicleId, VehicleTypeId, Version};
use rideplane_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::PortError;

/// A free vehicle, as search shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Which.
    pub vehicle_id: VehicleId,
    /// The operator's type.
    pub vehicle_type: VehicleTypeId,
    /// GBFS `form_factor`.
    pub form_factor: FormFactor,
    /// GBFS `propulsion_type`.
    pub propulsion_type: PropulsionType,
    /// Its pricing plan.
    pub plan_id: PlanId,
    /// Where it is.
    pub position: Point,
    /// GBFS `current_fuel_percent`.
    pub charge: Option<Charge>,
    /// GBFS `current_range_meters`.
    pub range_m: Option<u32>,
    /// GBFS `last_reported`.
    pub last_reported: Timestamp,
}

/// A question for free vehicles.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// From where.
    pub center: Point,
    /// How far, metres, inclusive.
    pub radius_m: f64,
    /// At most how many.
    pub limit: usize,
    /// Only this type.
    pub vehicle_type: Option<VehicleTypeId>,
    /// Only at least this full; a vehicle that does not say is left out.
    pub min_charge: Option<Charge>,
    /// Only with at least this range, metres; a vehicle that does not say is left out.
    pub min_range_m: Option<u32>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A cache.
    Cache,
    /// The database.
    Store,
    /// The index in this process.
    Index,
}

/// Free vehicles, nearest first, ties by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearby {
    /// The vehicles, each with its great-circle distance in metres.
    pub vehicles: Vec<(Listing, f64)>,
    /// Where the answer came from.
    pub source: Source,
    /// How old it may be.
    pub as_of: Timestamp,
}

/// A change that search must know of, with the version of the vehicle that it is read from. Changes may arrive in
/// another order than they happened: one that is older than what is known, by its [`stamp`](Self::stamp), is passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum AvailabilityUpdate {
    /// The vehicle is free, and this is what there is to say of it.
    Free(Listing, Version),
    /// The vehicle can't be had, or nobody knows where it is, or no ride may start there.
    Taken {
        /// Which.
        vehicle_id: VehicleId,
        /// The version of the vehicle that says so.
        version: Version,
        /// Of the report by which it can't be had; `None` when the vehicle's state alone says so.
        last_reported: Option<Timestamp>,
    },
}

/// How new a change is: by the vehicle's version; of one version by the vehicle's report, whose positions and charge change
/// no version; of one report by how much is known, because older reports only ever
/// [fill gaps](crate::Telemetry::take_in).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Of the vehicle.
    pub version: Version,
    /// Of the vehicle's report.
    pub last_reported: Option<Timestamp>,
    /// How many of place, charge and range are told.
    pub told: u8,
}

impl AvailabilityUpdate {
    /// The vehicle that it is about.
    #[must_use]
    pub fn vehicle_id(&self) -> &VehicleId {
        match self {
            Self::Free(listing, _) => &listing.vehicle_id,
            Self::Taken { vehicle_id, .. } => vehicle_id,
        }
    }

    /// What search shows of the vehicle from now on, if anything.
    #[must_use]
    pub fn listing(&self) -> Option<&Listing> {
        match self {
            Self::Free(listing, _) => Some(listing),
            Self::Taken { .. } => None,
        }
    }

    /// How new it is.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        match self {
            Self::Free(listing, version) => Stamp {
                version: *version,
                last_reported: Some(listing.last_reported),
                told: 1 + u8::from(listing.charge.is_some()) + u8::from(listing.range_m.is_some()),
            },
            Self::Taken { version, last_reported, .. } => {
                Stamp { version: *version, last_reported: *last_reported, told: 0 }
            }
        }
    }
}

/// Free vehicles near a point. Eventually consistent: a vehicle that is listed may be gone by the time it is claimed,
/// which the claim finds out.
#[async_trait]
pub trait Availability: Send + Sync {
    /// The nearest free vehicles, nearest first, ties by id. `now` stamps the answer.
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError>;

    /// Takes changes in, but for those with an older [`Stamp`] than is known of their vehicle; of equal ones the last
    /// stands. A repeat changes nothing.
    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError>;
}
