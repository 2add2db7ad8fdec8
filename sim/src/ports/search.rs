//! Search, plainly: a list, walked from end to end.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::geo::distance_m;
use rideplane_core::ids::{VehicleId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::{Availability, AvailabilityUpdate, Listing, Nearby, Nearest, PortError, Source};

/// What is known of each vehicle, and since which version.
#[derive(Default)]
pub(crate) struct ListSearch(Mutex<BTreeMap<VehicleId, (Version, Option<Listing>)>>);

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
            let (id, version, listing) = match update {
                AvailabilityUpdate::Free(listing, version) => {
                    (listing.vehicle_id.clone(), *version, Some(listing.clone()))
                }
                AvailabilityUpdate::Taken(id, version) => (id.clone(), *version, None),
            };
            if known.get(&id).is_none_or(|(newest, _)| *newest <= version) {
                known.insert(id, (version, listing));
            }
        }
        Ok(())
    }
}
