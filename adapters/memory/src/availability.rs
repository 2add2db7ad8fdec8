//! Search in this process: an index of places and what there is to say of each vehicle.

use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::RwLock;
use rideplane_core::geo::{CellIndex, IndexEntry, NearestQuery, VehicleIndex as _};
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Availability, AvailabilityUpdate, Listing, Nearby, Nearest, PortError, Source, Stamp};

/// Free vehicles in a [`CellIndex`]. Answers as of the question: whatever was applied before it is in the answer.
#[derive(Default)]
pub struct IndexAvailability {
    free: RwLock<Free>,
}

#[derive(Default)]
struct Free {
    index: CellIndex,
    listings: HashMap<VehicleId, Listing>,
    /// Of every vehicle ever told of, how new the latest is.
    stamps: HashMap<VehicleId, Stamp>,
}

impl IndexAvailability {
    /// One that lists nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many vehicles are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.free.read().listings.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[async_trait]
impl Availability for IndexAvailability {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        let asked = NearestQuery {
            center: query.center,
            radius_m: query.radius_m,
            limit: query.limit,
            vehicle_type: query.vehicle_type.as_ref(),
            min_charge: query.min_charge,
            min_range_m: query.min_range_m,
        };
        let free = self.free.read();
        let found = free.index.nearest(&asked).into_iter();
        let vehicles = found.filter_map(|near| Some((free.listings.get(&near.id)?.clone(), near.distance_m)));
        Ok(Nearby { vehicles: vehicles.collect(), source: Source::Index, as_of: now })
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        let mut free = self.free.write();
        for update in updates {
            if !free.is_news(update) {
                continue;
            }
            match update.listing() {
                Some(listing) => free.list(listing),
                None => free.unlist(update.vehicle_id()),
            }
        }
        Ok(())
    }
}

impl Free {
    fn is_news(&mut self, update: &AvailabilityUpdate) -> bool {
        let (id, stamp) = (update.vehicle_id(), update.stamp());
        match self.stamps.get_mut(id) {
            Some(known) if *known > stamp => false,
            Some(known) => {
                *known = stamp;
                true
            }
            None => {
                self.stamps.insert(id.clone(), stamp);
                true
            }
        }
    }

    fn list(&mut self, listing: &Listing) {
        self.index.upsert(IndexEntry {
            id: listing.vehicle_id.clone(),
            point: listing.position,
            vehicle_type: listing.vehicle_type.clone(),
            charge: listing.charge,
            range_m: listing.range_m,
        });
        self.listings.insert(listing.vehicle_id.clone(), listing.clone());
    }

    fn unlist(&mut self, id: &VehicleId) {
        self.index.remove(id);
        self.listings.remove(id);
    }
}
