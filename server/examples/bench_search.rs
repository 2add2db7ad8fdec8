//! How fast a search is: `cargo run --release -p rideplane --features production --example bench_search`, on a private
//! Postgres and a private Redis.
//!
//! 1,000 searches a second, sent by the clock whether or not earlier ones were answered, on 50,000 vehicles while 50
//! vehicles a second are claimed and released again: by the index in the process, by PostGIS, and by the cache before PostGIS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails has nothing to print")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rideplane_core::geo::Point;
use rideplane_core::ids::Version;
use rideplane_memory::{IndexAvailability, SystemClock};
use rideplane_ports::conformance::fixtures::{listing, vehicle_id};
use rideplane_ports::{Availability, AvailabilityUpdate, Clock, Nearest, Source};
use rideplane_postgres::{PostgresAvailability, PostgresConfig, PostgresStore};
use rideplane_redis::{CacheConfig, CachedAvailability};
use rideplane_services::{DATABASE, Postgres, PostgresOptions, Redis};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const VEHICLES: u32 = 50_000;
const RATE: u32 = 1_000;
const CHANGES: u32 = 50;
const SECONDS: u32 = 15;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let postgres = Postgres::start(&PostgresOptions::default()).unwrap();
    let redis = Redis::start(&[]).unwrap();
    let config: PostgresConfig = postgres.url().parse().unwrap();
    PostgresStore::migrate(&config).await.unwrap();
    let store = PostgresStore::open(config).await.unwrap();
    let index = Arc::new(IndexAvailability::new());
    let postgis = Arc::new(PostgresAvailability::new(&store, &[]));

    let mut city = City::new();
    for part in city.fleet().chunks(1_000) {
        index.apply(part).await.unwrap();
        postgis.apply(part).await.unwrap();
    }
    postgres.psql(DATABASE, "VACUUM ANALYZE").unwrap();

    println!(
        "{VEHICLES} vehicles, {RATE} searches/s for {SECONDS} s, radius 1,000 m, 20 results, {CHANGES} changes/s"
    );
    print_row("index", &open_loop(index, &mut city).await.answered);
    print_row("PostGIS", &open_loop(Arc::clone(&postgis), &mut city).await.answered);

    let cache = CachedAvailability::new(postgis, CacheConfig::new(redis.url()), Arc::new(SystemClock));
    let cache = Arc::new(cache.unwrap());
    let warm = Arc::clone(&cache);
    let warmer = tokio::spawn(async move { warm.run().await });
    let found = open_loop(Arc::clone(&cache), &mut city).await;
    warmer.abort();
    print_row("cache hit", &found.cached);
    print_row("cache miss", &found.answered);
    println!("{:?}", cache.metrics());
    store.close().await;
}

/// Latencies from the time at which a search was due.
#[derive(Default)]
struct Found {
    cached: Vec<Duration>,
    answered: Vec<Duration>,
}

async fn open_loop<A: Availability + 'static>(search: Arc<A>, city: &mut City) -> Found {
    let start = Instant::now();
    let mut tasks = Vec::new();
    let mut changes = Vec::new();
    for number in 0..RATE * SECONDS {
        let due = start + Duration::from_secs(1) / RATE * number;
        tokio::time::sleep_until(due.into()).await;
        if number % (RATE / CHANGES) == 0 {
            let change = city.change();
            let search = Arc::clone(&search);
            changes.push(tokio::spawn(async move { search.apply(&[change]).await }));
        }
        let query = city.query();
        let search = Arc::clone(&search);
        tasks.push(tokio::spawn(async move {
            let nearby = search.nearest(&query, SystemClock.now()).await.unwrap();
            assert!(!nearby.vehicles.is_empty(), "124 vehicles per square kilometre, and none within one");
            (nearby.source, due.elapsed())
        }));
    }
    let mut found = Found::default();
    for task in tasks {
        match task.await.unwrap() {
            (Source::Cache, took) => found.cached.push(took),
            (Source::Index | Source::Store, took) => found.answered.push(took),
        }
    }
    for change in changes {
        change.await.unwrap().unwrap();
    }
    found
}

fn print_row(name: &str, times: &[Duration]) {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    let (p50, p95, p99) = (at(0.5), at(0.95), at(0.99));
    println!(
        "{name:<12} {:>6} searches   p50 {p50:>7.2} ms   p95 {p95:>7.2} ms   p99 {p99:>7.2} ms",
        times.len()
    );
}

/// Vehicles and the places where riders search.
struct City {
    random: SplitMix,
    places: Vec<Point>,
    versions: HashMap<u32, u64>,
    centers: Vec<Point>,
}

impl City {
    fn new() -> Self {
        let mut random = SplitMix(7);
        let places = (0..VEHICLES).map(|_| random.place()).collect();
        let centers = (0..200).map(|_| random.place()).collect();
        Self { random, places, versions: HashMap::new(), centers }
    }

    fn fleet(&self) -> Vec<AvailabilityUpdate> {
        (0..VEHICLES).zip(&self.places).map(|(n, place)| free(n, 1, *place)).collect()
    }

    fn one_of(&mut self, many: usize) -> usize {
        (self.random.unit() * many as f64) as usize
    }

    fn query(&mut self) -> Nearest {
        let center = self.one_of(self.centers.len());
        Nearest {
            center: self.centers[center],
            radius_m: 1_000.0,
            limit: 20,
            vehicle_type: None,
            min_charge: None,
            min_range_m: None,
        }
    }

    /// A claim of some vehicle; when it is claimed already, its release.
    fn change(&mut self) -> AvailabilityUpdate {
        let n = self.one_of(self.places.len());
        let place = self.places[n];
        let n = u32::try_from(n).unwrap();
        let version = self.versions.entry(n).or_insert(1);
        *version += 1;
        if version.is_multiple_of(2) {
            let (vehicle_id, version) = (vehicle_id(n), Version(*version));
            return AvailabilityUpdate::Taken { vehicle_id, version, last_reported: None };
        }
        free(n, *version, place)
    }
}

fn free(n: u32, version: u64, position: Point) -> AvailabilityUpdate {
    AvailabilityUpdate::Free(listing(n, position), Version(version))
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers in every run.
struct SplitMix(u64);

impl SplitMix {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Somewhere in a city of 20 km by 20 km.
    fn place(&mut self) -> Point {
        Point::new(52.43 + self.unit() * 0.18, 13.25 + self.unit() * 0.295).unwrap()
    }
}
