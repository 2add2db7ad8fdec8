//! The contract of search through the cache, cold and warm, and that a cached answer is the inner's.

use std::sync::Arc;

use async_trait::async_trait;
use rideplane_core::charge::Charge;
use rideplane_core::geo::Point;
use rideplane_core::ids::{VehicleTypeId, Version};
use rideplane_core::time::Timestamp;
use rideplane_ports::conformance::availability;
use rideplane_ports::conformance::fixtures::{at, listing};
use rideplane_ports::{Availability, AvailabilityUpdate, Listing, Nearby, Nearest, PortError, Source};

use super::world::{Held, World};

/// Asks twice and returns the second answer, which comes from the cache where it can.
struct Twice(World);

#[async_trait]
impl Availability for Twice {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        self.0.cache.nearest(query, now).await?;
        self.0.cache.nearest(query, now).await
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        self.0.cache.apply(updates).await
    }
}

struct Factory {
    warm: bool,
}

#[async_trait]
impl availability::Factory for Factory {
    async fn fresh(&self) -> Arc<dyn Availability> {
        let world = World::shared(Held::default());
        if self.warm { Arc::new(Twice(world)) } else { world.cache }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_cache_keeps_the_contract() {
    availability::run_all(&Factory { warm: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_cache_keeps_the_contract() {
    availability::run_all(&Factory { warm: true }).await;
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.unit() * f64::from(end)) as u32
    }

    fn point(&mut self) -> Point {
        Point::new(50.08 + self.unit() * 0.06, 8.64 + self.unit() * 0.09).unwrap()
    }
}

/// 400 steps of changes and searches: every answer is what the inner search says at that moment, bit for bit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_the_inner_searchs() {
    for seed in 1..=3 {
        let world = World::shared(Held::default());
        let mut random = Random(seed);
        let mut versions = vec![0_u64; 300];
        let mut hits = 0;
        for step in 0..400 {
            if step < 5 || random.unit() < 0.3 {
                let count = if step < 5 { 100 } else { 1 };
                let updates: Vec<_> = (0..count).map(|_| change(&mut random, &mut versions)).collect();
                world.cache.apply(&updates).await.unwrap();
            }
            let query = question(&mut random);
            let cached = world.cache.nearest(&query, at(step)).await.unwrap();
            let inner = world.inner.nearest(&query, at(step)).await.unwrap();
            assert_eq!(cached.vehicles, inner.vehicles, "seed {seed}, step {step}: {query:?}");
            assert!(cached.as_of <= at(step));
            hits += u32::from(cached.source == Source::Cache);
        }
        assert!(hits > 50, "seed {seed}: only {hits} of 400 answers came from the cache");
    }
}

fn change(random: &mut Random, versions: &mut [u64]) -> AvailabilityUpdate {
    let n = random.below(300);
    let version = &mut versions[n as usize];
    *version += 1;
    if random.unit() < 0.3 {
        return super::world::taken(n, *version);
    }
    let kind = VehicleTypeId::new(["scooter", "ebike"][random.below(2) as usize]).unwrap();
    let charge = (random.unit() < 0.9).then(|| Charge::from_basis_points(random.below(10_001) as u16));
    let listing = Listing { vehicle_type: kind, charge, ..listing(n, random.point()) };
    AvailabilityUpdate::Free(listing, Version(*version))
}

fn question(random: &mut Random) -> Nearest {
    Nearest {
        // A few places again and again, or nothing would be cached.
        center: Point::new(
            50.09 + f64::from(random.below(4)) * 0.01,
            8.66 + f64::from(random.below(3)) * 0.02,
        )
        .unwrap(),
        radius_m: [200.0, 1_000.0, 1_500.0, 4_000.0][random.below(4) as usize],
        limit: [1, 5, 20, 100][random.below(4) as usize],
        vehicle_type: (random.unit() < 0.3).then(|| VehicleTypeId::new("ebike").unwrap()),
        min_charge: (random.unit() < 0.3).then_some(Charge::from_basis_points(5_000)),
        min_range_m: None,
    }
}
