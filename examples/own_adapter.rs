//! Your own adapter: a search index that is a plain list, held against the suite that every search index passes.
//!
//! `cargo run -p rideplane-examples --bin own_adapter`
//!
//! A port's documentation is its contract, and its conformance suite is the contract again as code. Write the port, hand
//! the suite a factory, and you know whether the use cases can rely on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rideplane_core::geo::distance_m;
use rideplane_core::ids::VehicleId;
use rideplane_core::time::Timestamp;
use rideplane_ports::conformance::availability::{Factory, run_all};
use rideplane_ports::{Availability, AvailabilityUpdate, Listing, Nearby, Nearest, PortError, Source, Stamp};
use tokio::sync::RwLock;

/// Free vehicles, one after another: right for a hundred of them, and for nothing more.
#[derive(Default)]
struct PlainList(RwLock<BTreeMap<VehicleId, (Stamp, Option<Listing>)>>);

#[async_trait]
impl Availability for PlainList {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        let known = self.0.read().await;
        let mut vehicles: Vec<(Listing, f64)> = known
            .values()
            .filter_map(|(_, listing)| listing.as_ref())
            .filter(|listing| query.vehicle_type.as_ref().is_none_or(|kind| *kind == listing.vehicle_type))
            .filter(|listing| query.min_charge.is_none_or(|least| listing.charge >= Some(least)))
            .filter(|listing| query.min_range_m.is_none_or(|least| listing.range_m >= Some(least)))
            .map(|listing| (listing.clone(), distance_m(query.center, listing.position)))
            .filter(|(_, distance)| *distance <= query.radius_m)
            .collect();
        vehicles.sort_by(|(a, near), (b, far)| near.total_cmp(far).then(a.vehicle_id.cmp(&b.vehicle_id)));
        vehicles.truncate(query.limit);
        Ok(Nearby { vehicles, source: Source::Index, as_of: now })
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        let mut known = self.0.write().await;
        for update in updates {
            let (id, stamp) = (update.vehicle_id(), update.stamp());
            // What is older than what is known came late, and says nothing any more.
            if known.get(id).is_none_or(|(latest, _)| *latest <= stamp) {
                known.insert(id.clone(), (stamp, update.listing().cloned()));
            }
        }
        Ok(())
    }
}

struct Fresh;

#[async_trait]
impl Factory for Fresh {
    async fn fresh(&self) -> Arc<dyn Availability> {
        Arc::new(PlainList::default())
    }
}

#[tokio::main]
async fn main() {
    // It panics with the sentence of the contract that is broken.
    run_all(&Fresh).await;
    println!("conformance passed: availability");
}
