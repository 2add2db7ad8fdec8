//! How often the cache has the answer: `cargo run --release -p rideplane-redis --example replay_searches`, on a private
//! Redis.
//!
//! The searches of `data/chicago-taxi-trips.csv`, folded into one week, on a virtual clock: a rider searches, takes the
//! nearest vehicle and leaves it at the drop-off. Counts hits, and listed vehicles that were taken already. Takes some five
//! minutes for each of three ways to keep the cache.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails has nothing to print")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rideplane_core::geo::Point;
use rideplane_core::ids::{VehicleId, Version};
use rideplane_core::time::{Span, Timestamp};
use rideplane_memory::{IndexAvailability, ManualClock};
use rideplane_ports::conformance::fixtures::listing;
use rideplane_ports::{Availability, AvailabilityUpdate, Clock, Listing, Nearest, Source};
use rideplane_redis::{CacheConfig, CachedAvailability};
use rideplane_services::Redis;

/// Vehicles, as in the README's replay.
const FLEET: u32 = 703;
/// Monday, 2024-01-01T00:00:00Z, where the folded week begins.
const WEEK_BEGINS: i64 = 1_704_067_200;
const WEEK: i64 = 7 * 86_400;
const TRIPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/chicago-taxi-trips.csv");

type Cache = CachedAvailability<IndexAvailability>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let redis = Redis::start(&[]).unwrap();
    let trips = read_trips();
    for mode in [Mode::Kept, Mode::Prewarmed, Mode::TtlOnly] {
        replay(&redis, &trips, mode).await;
    }
}

/// How the cache is kept in the replay.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Claims and releases invalidate, what was hot is filled again, zones are warmed: what a host does.
    Kept,
    /// The same, but nothing is filled again before the next round of warming.
    Prewarmed,
    /// Changes are not told to the cache: only the TTL ends an entry.
    TtlOnly,
}

struct Trip {
    at: Timestamp,
    from: Point,
    to: Point,
    ride: Span,
}

fn read_trips() -> Vec<Trip> {
    let mut reader = csv::Reader::from_path(TRIPS).unwrap();
    let column =
        reader.headers().unwrap().iter().map(str::to_owned).zip(0..).collect::<HashMap<String, usize>>();
    let mut trips = Vec::new();
    for row in reader.records() {
        let row = row.unwrap();
        let number = |name: &str| row.get(column[name])?.parse::<f64>().ok();
        let point = |what: &str| {
            Point::new(number(&format!("{what}_latitude"))?, number(&format!("{what}_longitude"))?).ok()
        };
        let (Some(from), Some(to)) = (point("pickup"), point("dropoff")) else { continue };
        let (Some(start), Some(ride)) = (number("trip_start_timestamp"), number("trip_seconds")) else {
            continue;
        };
        let second = WEEK_BEGINS + (start as i64 - WEEK_BEGINS).rem_euclid(WEEK);
        let at = Timestamp::from_unix_seconds(second);
        trips.push(Trip { at, from, to, ride: Span::from_seconds((ride as i64).max(60)) });
    }
    // The log's starts are whole quarters of an hour; spread evenly over theirs, as riders would come.
    trips.sort_by_key(|trip| trip.at);
    let mut counts: HashMap<Timestamp, (i64, i64)> = HashMap::new();
    trips.iter().for_each(|trip| counts.entry(trip.at).or_default().1 += 1);
    for trip in &mut trips {
        let (nth, of) = counts.get_mut(&trip.at).unwrap();
        trip.at = trip.at.plus(Span::from_micros(900_000_000 * *nth / *of));
        *nth += 1;
    }
    trips
}

async fn replay(redis: &Redis, trips: &[Trip], mode: Mode) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(WEEK_BEGINS)));
    let index = Arc::new(IndexAvailability::new());
    let mut config = CacheConfig::new(redis.url());
    config.prefix = format!("{mode:?}");
    // Virtual time runs ahead of the breaker's and of a busy machine's.
    config.timeout = Duration::from_secs(5);
    let cache = Cache::new(Arc::clone(&index), config, clock.clone()).unwrap();
    let told: &dyn Availability = match mode {
        Mode::Kept | Mode::Prewarmed => &cache,
        Mode::TtlOnly => &*index,
    };
    for n in 0..FLEET {
        let trip = &trips[n as usize * trips.len() / FLEET as usize];
        told.apply(&[free(n, 1, trip.from)]).await.unwrap();
    }
    let mut taken = HashSet::new();
    let mut returns: BTreeMap<(Timestamp, usize), (VehicleId, Point)> = BTreeMap::new();
    let (mut version, mut warmed) = (1, clock.now());
    let mut count = Tally::default();
    for (number, trip) in trips.iter().enumerate() {
        if number.is_multiple_of(100) {
            eprint!("\r{mode:?}, trip {number} of {}", trips.len());
        }
        while let Some(entry) = returns.first_entry().filter(|entry| entry.key().0 <= trip.at) {
            let ((at, _), (id, to)) = entry.remove_entry();
            clock.set(at);
            version += 1;
            taken.remove(&id);
            told.apply(&[free_id(id, version, to)]).await.unwrap();
            if matches!(mode, Mode::Kept) {
                cache.refill().await;
            }
        }
        // Of the rounds since the last search only the last can matter to this one.
        let rounds = trip.at.since(warmed).as_seconds() / 15;
        if rounds > 0 {
            warmed = warmed.plus(Span::from_seconds(15 * rounds));
            // Time does not go back for a round that returns came after; it fills what is true now.
            clock.set(clock.now().max(warmed));
            cache.prewarm().await;
        }
        clock.set(trip.at);
        let nearby = cache.nearest(&query(trip.from), trip.at).await.unwrap();
        count.searches += 1;
        count.hits += u32::from(nearby.source == Source::Cache);
        count.listed += nearby.vehicles.len();
        count.stale += nearby.vehicles.iter().filter(|(found, _)| taken.contains(&found.vehicle_id)).count();
        let Some((nearest, _)) = nearby.vehicles.first() else { continue };
        if !taken.insert(nearest.vehicle_id.clone()) {
            count.lost += 1;
            continue;
        }
        count.booked += 1;
        version += 1;
        let claim = AvailabilityUpdate::Taken {
            vehicle_id: nearest.vehicle_id.clone(),
            version: Version(version),
            last_reported: None,
        };
        told.apply(&[claim]).await.unwrap();
        if matches!(mode, Mode::Kept) {
            cache.refill().await;
        }
        returns.insert((trip.at.plus(trip.ride), number), (nearest.vehicle_id.clone(), trip.to));
    }
    count.print(mode);
    println!("           {:?}", cache.metrics());
}

#[derive(Default)]
struct Tally {
    searches: u32,
    hits: u32,
    booked: u32,
    listed: usize,
    /// Vehicles in an answer that somebody had taken already.
    stale: usize,
    /// Riders who chose one of those.
    lost: u32,
}

impl Tally {
    fn print(&self, mode: Mode) {
        let Self { searches, hits, booked, listed, stale, lost } = self;
        let rate = f64::from(*hits) / f64::from(*searches) * 100.0;
        println!(
            "\r{:<10} hit rate {rate:>5.1} % of {searches} searches, {booked} booked; of {listed} vehicles listed {stale} \
             were taken already, {lost} riders chose one",
            format!("{mode:?}")
        );
    }
}

fn query(center: Point) -> Nearest {
    Nearest { center, radius_m: 1_000.0, limit: 20, vehicle_type: None, min_charge: None, min_range_m: None }
}

fn free(n: u32, version: u64, position: Point) -> AvailabilityUpdate {
    AvailabilityUpdate::Free(listing(n, position), Version(version))
}

fn free_id(vehicle_id: VehicleId, version: u64, position: Point) -> AvailabilityUpdate {
    AvailabilityUpdate::Free(Listing { vehicle_id, ..listing(0, position) }, Version(version))
}
