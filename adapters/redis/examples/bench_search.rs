//! How fast a cached search is, and how often the cache has the answer:
//! `cargo run --release -p rideplane-redis --example bench_search [speed|replay]`, on a private Redis.
//!
//! 1. 1,000 searches a second, sent by the clock whether or not earlier ones were answered, on 50,000 vehicles while 50
//!    vehicles a second are claimed or released; the index alone beside the cache.
//! 2. The searches of `data/chicago-taxi-trips.csv`, folded into one week, on a virtual clock: a rider searches, takes the
//!    nearest vehicle and leaves it at the drop-off. Counts hits, and listed vehicles that were taken already.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails has nothing to print")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rideplane_core::charge::Charge;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::geo::Point;
use rideplane_core::ids::{PlanId, VehicleId, VehicleTypeId, Version};
use rideplane_core::time::{Span, Timestamp};
use rideplane_memory::{IndexAvailability, ManualClock, SystemClock};
use rideplane_ports::{Availability, AvailabilityUpdate, Clock, Listing, Nearest, Source};
use rideplane_redis::{CacheConfig, CachedAvailability};
use rideplane_services::Redis;

const VEHICLES: u32 = 50_000;
const RATE: u32 = 1_000;
const SECONDS: u32 = 15;
/// Vehicles of the replay, as in the README's.
const FLEET: u32 = 703;
/// Monday, 2024-01-01T00:00:00Z, where the folded week begins.
const WEEK_BEGINS: i64 = 1_704_067_200;
const WEEK: i64 = 7 * 86_400;
const TRIPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/chicago-taxi-trips.csv");

type Cache = CachedAvailability<IndexAvailability>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let redis = Redis::start(&[]).unwrap();
    let part = std::env::args().nth(1);
    if part.as_deref() != Some("replay") {
        speed(&redis).await;
    }
    if part.as_deref() == Some("speed") {
        return;
    }
    let trips = read_trips();
    for mode in [Mode::Kept, Mode::Prewarmed, Mode::TtlOnly] {
        replay(&redis, &trips, mode).await;
    }
}

async fn speed(redis: &Redis) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let index = Arc::new(IndexAvailability::new());
    let mut random = SplitMix(7);
    let places: Vec<Point> = (0..VEHICLES).map(|_| random.place()).collect();
    let fleet: Vec<_> = (0..VEHICLES).zip(&places).map(|(n, place)| free(n, 1, *place)).collect();
    index.apply(&fleet).await.unwrap();
    let cache =
        Arc::new(Cache::new(Arc::clone(&index), CacheConfig::new(redis.url()), Arc::clone(&clock)).unwrap());
    let centers: Vec<Point> = (0..200).map(|_| random.place()).collect();
    println!(
        "{VEHICLES} vehicles, {RATE} searches/s for {SECONDS} s, radius 1,000 m, 20 results, 50 changes/s"
    );
    let alone = open_loop(index, &centers, &clock, None).await;
    print_row("index alone", &alone.values().flatten().copied().collect::<Vec<_>>());
    let warm = Arc::clone(&cache);
    let warmer = tokio::spawn(async move { warm.run().await });
    let found = open_loop(Arc::clone(&cache), &centers, &clock, Some(&places)).await;
    warmer.abort();
    print_row("cache hit", found.get(&true).map_or(&[], Vec::as_slice));
    print_row("cache miss", found.get(&false).map_or(&[], Vec::as_slice));
    println!("{:?}", cache.metrics());
}

/// Latencies from the time at which a search was due, by whether the cache had the answer.
async fn open_loop<A: Availability + 'static>(
    search: Arc<A>,
    centers: &[Point],
    clock: &Arc<dyn Clock>,
    changing: Option<&[Point]>,
) -> HashMap<bool, Vec<Duration>> {
    let start = Instant::now();
    let mut random = SplitMix(9);
    let mut tasks = Vec::new();
    for number in 0..RATE * SECONDS {
        let due = start + Duration::from_secs(1) / RATE * number;
        tokio::time::sleep_until(due.into()).await;
        if let Some(places) = changing.filter(|_| number % (RATE / 50) == 0) {
            let n = (random.unit() * f64::from(VEHICLES)) as u32;
            let change = free(n, u64::from(number) + 2, places[n as usize]);
            let search = Arc::clone(&search);
            tokio::spawn(async move { search.apply(&[change]).await });
        }
        let query = query(centers[(random.unit() * centers.len() as f64) as usize]);
        let (search, clock) = (Arc::clone(&search), Arc::clone(clock));
        tasks.push(tokio::spawn(async move {
            let nearby = search.nearest(&query, clock.now()).await.unwrap();
            (nearby.source == Source::Cache, due.elapsed())
        }));
    }
    let mut found: HashMap<bool, Vec<Duration>> = HashMap::new();
    for task in tasks {
        let (hit, took) = task.await.unwrap();
        found.entry(hit).or_default().push(took);
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
    let (mut searches, mut hits, mut booked, mut listed, mut stale, mut lost) = (0_u32, 0_u32, 0, 0, 0, 0);
    for (number, trip) in trips.iter().enumerate() {
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
        searches += 1;
        hits += u32::from(nearby.source == Source::Cache);
        listed += nearby.vehicles.len();
        stale += nearby.vehicles.iter().filter(|(found, _)| taken.contains(&found.vehicle_id)).count();
        let Some((nearest, _)) = nearby.vehicles.first() else { continue };
        if !taken.insert(nearest.vehicle_id.clone()) {
            lost += 1;
            continue;
        }
        booked += 1;
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
    let rate = f64::from(hits) / f64::from(searches) * 100.0;
    println!(
        "{:<10} hit rate {rate:>5.1} % of {searches} searches, {booked} booked; of {listed} vehicles listed {stale} were \
         taken already, {lost} riders chose one",
        format!("{mode:?}")
    );
    println!("           {:?}", cache.metrics());
}

fn query(center: Point) -> Nearest {
    Nearest { center, radius_m: 1_000.0, limit: 20, vehicle_type: None, min_charge: None, min_range_m: None }
}

fn free(n: u32, version: u64, position: Point) -> AvailabilityUpdate {
    free_id(VehicleId::new(format!("sc-{n:05}")).unwrap(), version, position)
}

fn free_id(vehicle_id: VehicleId, version: u64, position: Point) -> AvailabilityUpdate {
    let listing = Listing {
        vehicle_id,
        vehicle_type: VehicleTypeId::new("scooter").unwrap(),
        form_factor: FormFactor::ScooterStanding,
        propulsion_type: PropulsionType::Electric,
        plan_id: PlanId::new("scooter").unwrap(),
        position,
        charge: Some(Charge::from_basis_points(8_000)),
        range_m: Some(20_000),
        last_reported: Timestamp::EPOCH,
    };
    AvailabilityUpdate::Free(listing, Version(version))
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
