//! Search, plainly: a list, walked from end to end.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::geo::distance_m;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_ports::{Availability, AvailabilityUpdate, Listing, Nearby, Nearest, PortError, Source, Stamp};

/// What is known of one vehicle.
struct Known {
    /// How new it is.
    stamp: Stamp,
    listing: Option<Listing>,
    /// What was known before the last change.
    before: Option<Listing>,
}

/// Every vehicle of the fleet.
#[derive(Default)]
pub(crate) struct ListSearch(Mutex<BTreeMap<VehicleId, Known>>);

impl ListSearch {
    /// What was true before each vehicle's last change: vehicles that are taken are free, and free ones are taken.
    pub(crate) fn stale(&self, query: &Nearest, now: Timestamp) -> Nearby {
        self.near(query, now, |known| &known.before)
    }

    fn near(&self, query: &Nearest, now: Timestamp, shown: impl Fn(&Known) -> &Option<Listing>) -> Nearby {
        let known = self.0.lock();
        let mut vehicles: Vec<(Listing, f64)> = known
            .values()
            .filter_map(|known| shown(known).clone())
            .map(|listing| {
                let distance = distance_m(listing.position, query.center);
                (listing, distance)
            })
            .filter(|(_, distance)| *distance <= query.radius_m)
            .collect();
        vehicles
            .sort_by(|(a, near), (b, far)| near.total_cmp(far).then_with(|| a.vehicle_id.cmp(&b.vehicle_id)));
        vehicles.truncate(query.limit);
        Nearby { vehicles, source: Source::Index, as_of: now }
    }
}

#[async_trait]
impl Availability for ListSearch {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        Ok(self.near(query, now, |known| &known.listing))
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        let mut known = self.0.lock();
        for update in updates {
            let (id, stamp, listing) = (update.vehicle_id(), update.stamp(), update.listing().cloned());
            match known.get_mut(id) {
                Some(known) if known.stamp <= stamp => {
                    known.stamp = stamp;
                    known.before = std::mem::replace(&mut known.listing, listing);
                }
                Some(_) => {}
                None => drop(known.insert(id.clone(), Known { stamp, listing, before: None })),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rideplane_core::ids::Version;
    use rideplane_ports::conformance::fixtures::{at, listing, nearest, place, vehicle_id};

    use super::*;
    use crate::episode::now_or_never;

    #[test]
    fn a_stale_search_shows_what_was_before_each_last_change() {
        let search = ListSearch::default();
        let taken = |n, version| AvailabilityUpdate::Taken {
            vehicle_id: vehicle_id(n),
            version: Version(version),
            last_reported: None,
        };
        let free = |n| AvailabilityUpdate::Free(listing(n, place(f64::from(n))), Version(1));
        now_or_never(search.apply(&[free(1), taken(2, 1)])).unwrap().unwrap();
        now_or_never(
            search.apply(&[taken(1, 2), AvailabilityUpdate::Free(listing(2, place(2.0)), Version(2))]),
        )
        .unwrap()
        .unwrap();
        // Older than what is known: changes nothing.
        now_or_never(search.apply(&[free(1)])).unwrap().unwrap();
        let shown = |nearby: Nearby| nearby.vehicles.into_iter().map(|(found, _)| found.vehicle_id).collect();
        let now: Vec<_> = shown(now_or_never(search.nearest(&nearest(500.0), at(0))).unwrap().unwrap());
        let before: Vec<_> = shown(search.stale(&nearest(500.0), at(0)));
        assert_eq!((now, before), (vec![vehicle_id(2)], vec![vehicle_id(1)]));
    }
}
