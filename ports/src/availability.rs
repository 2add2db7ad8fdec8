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
/// another order than they happened: one that is older than what is known is passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum AvailabilityUpdate {
    /// The vehicle is free, and this is what there is to say of it.
    Free(Listing, Version),
    /// The vehicle is not free.
    Taken(VehicleId, Version),
}

/// Free vehicles near a point. Eventually consistent: a vehicle that is listed may be gone by the time it is claimed,
/// which the claim finds out.
#[async_trait]
pub trait Availability: Send + Sync {
    /// The nearest free vehicles, nearest first, ties by id. `now` stamps the answer.
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError>;

    /// Takes changes in, in order, but for those of an older version than is known of their vehicle. A repeat changes
    /// nothing.
    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError>;
}
