//! Search, plainly: a list, walked from end to end.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::geo::distance_m;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Availability, AvailabilityUpdate, Listing, Nearby, Nearest, PortError, Source, Stamp};

/// What is known of each vehicle, and how new it is.
#[derive(Default)]
pub(crate) struct ListSearch(Mutex<BTreeMap<VehicleId, (Stamp, Option<Listing>)>>);

#[async_trait]
impl Availability for ListSearch {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        let known = self.0.lock();
        let mut vehicles: Vec<(Listing, f64)> = known
            .values()
            .filter_map(|(_, listing)| listing.clone())
            .map(|listing| {
                let distance = distance_m(listing.position, query.center);
                (listing, distance)
            })
            .filter(|(_, distance)| *distance <= query.radius_m)
            .collect();
        vehicles
            .sort_by(|(a, near), (b, far)| near.total_cmp(far).then_with(|| a.vehicle_id.cmp(&b.vehicle_id)));
        vehicles.truncate(query.limit);
        Ok(Nearby { vehicles, source: Source::Index, as_of: now })
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        let mut known = self.0.lock();
        for update in updates {
            let (id, stamp) = (update.vehicle_id(), update.stamp());
            if known.get(id).is_none_or(|(newest, _)| *newest <= stamp) {
                known.insert(id.clone(), (stamp, update.listing().cloned()));
            }
        }
        Ok(())
    }
}
