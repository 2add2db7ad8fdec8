//! Which vehicles are nearest.
//!
//! Two implementations of one contract, with the same answers to the last bit: [`CellIndex`] is made for
//! vehicles that move, [`RstarIndex`] is the general R*-tree it is held against.

mod cells;
mod nearest;
mod roster;
mod rstar;
#[cfg(test)]
mod tests;

pub use cells::CellIndex;
pub use rstar::RstarIndex;

use super::point::Point;
use crate::charge::Charge;
use crate::ids::{VehicleId, VehicleTypeId};

/// What an index knows about a vehicle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The vehicle.
    pub id: VehicleId,
    /// Where it stands.
    pub point: Point,
    /// What it is (GBFS `vehicle_type_id`).
    pub vehicle_type: VehicleTypeId,
    /// How full it is (GBFS `current_fuel_percent`), if that is known.
    pub charge: Option<Charge>,
    /// How far it goes with that, in metres (GBFS `current_range_meters`), if that is known.
    pub range_m: Option<u32>,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearestQuery<'a> {
    /// From where.
    pub center: Point,
    /// The greatest distance in metres, itself included. Nothing lies within a negative radius or NaN; infinity
    /// is the whole earth.
    pub radius_m: f64,
    /// The most vehicles to answer.
    pub limit: usize,
    /// Only of this type.
    pub vehicle_type: Option<&'a VehicleTypeId>,
    /// Only with at least this charge; a vehicle whose charge is unknown does not qualify.
    pub min_charge: Option<Charge>,
    /// Only with at least this range in metres; a vehicle whose range is unknown does not qualify.
    pub min_range_m: Option<u32>,
}

impl NearestQuery<'_> {
    fn admits(&self, entry: &IndexEntry) -> bool {
        self.min_charge.is_none_or(|least| entry.charge.is_some_and(|charge| charge >= least))
            && self.min_range_m.is_none_or(|least| entry.range_m.is_some_and(|range| range >= least))
    }

    fn admits_all(&self) -> bool {
        self.min_charge.is_none() && self.min_range_m.is_none()
    }
}

/// A vehicle that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// The vehicle.
    pub id: VehicleId,
    /// Its [`distance_m`](super::distance_m) from the centre of the query, in metres.
    pub distance_m: f64,
}

/// An index of vehicles by place.
pub trait VehicleIndex {
    /// Takes a vehicle in, or replaces all that is known about it.
    fn upsert(&mut self, entry: IndexEntry);

    /// Forgets a vehicle; says whether it was there.
    fn remove(&mut self, id: &VehicleId) -> bool;

    /// The nearest vehicles that satisfy the query: nearest first, equal distances by id.
    ///
    /// The answer depends on the entries and the query alone, never on the order in which entries came.
    fn nearest(&self, query: &NearestQuery<'_>) -> Vec<Neighbour>;

    /// What is known about a vehicle.
    fn get(&self, id: &VehicleId) -> Option<&IndexEntry>;

    /// How many vehicles there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
