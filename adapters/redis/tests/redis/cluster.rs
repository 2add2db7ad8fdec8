//! No command names keys of two slots: a Redis that runs as a cluster refuses one that does, scripts too.

use std::time::Duration;

use rideplane_core::geo::Point;
use rideplane_core::ids::Version;
use rideplane_ports::conformance::fixtures::{listing, vehicle_id};
use rideplane_ports::{Availability as _, AvailabilityUpdate, Clock as _, Nearest, Source};
use rideplane_services::Redis;

use super::world::{Held, World};

/// Degrees of the hash tag's region, four characters of a geohash.
const REGION: (f64, f64) = (180.0 / 1_024.0, 360.0 / 1_024.0);

/// Places around the world. The first ones lie where four regions meet, two at the meridian 180.
const PLACES: [(f64, f64); 10] = [
    (0.0, 0.0),
    (REGION.0 * 284.0, REGION.1 * 24.0),
    (REGION.0 * -192.0, REGION.1 * 430.0),
    (REGION.0 * 231.0, REGION.1 * -210.0),
    (REGION.0 * -97.0, 180.0),
    (50.1109, 8.6821),
    (1.29, 103.85),
    (-54.8, -68.3),
    (69.65, 18.96),
    (-17.0, 179.9999),
];

/// A point so many metres away.
fn off(from: (f64, f64), north_m: f64, east_m: f64) -> Point {
    let lat = from.0 + north_m / 111_195.0;
    let lon = from.1 + east_m / 111_195.0 / lat.to_radians().cos();
    Point::new(lat, (lon + 540.0).rem_euclid(360.0) - 180.0).unwrap()
}

/// One node that has every slot.
async fn cluster() -> Redis {
    let redis = Redis::start(&["--cluster-enabled", "yes"]).unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    slots.exec_async(&mut connection).await.unwrap();
    for _ in 0..600 {
        if redis::cmd("SET").arg("ready").arg(1).exec_async(&mut connection).await.is_ok() {
            let two = redis::cmd("MGET").arg("{a}").arg("{b}").exec_async(&mut connection).await.unwrap_err();
            assert_eq!(two.code(), Some("CROSSSLOT"), "it refuses what a cluster refuses: {two}");
            return redis;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the cluster does not come up");
}

async fn search(world: &World, place: (f64, f64)) -> (usize, Source) {
    let query = Nearest {
        center: off(place, 0.0, 0.0),
        radius_m: 1_000.0,
        limit: 50,
        vehicle_type: None,
        min_charge: None,
        min_range_m: None,
    };
    let nearby = world.cache.nearest(&query, world.clock.now()).await.unwrap();
    (nearby.vehicles.len(), nearby.source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_keeps_to_one_slot_around_the_world() {
    let redis = cluster().await;
    let world = World::on(&redis.url(), Held::default());
    let free = |n: u32, version: u64, at: Point| AvailabilityUpdate::Free(listing(n, at), Version(version));
    for (n, place) in (0..).zip(PLACES) {
        let n = n * 10;
        let corners = [(300.0, 300.0), (300.0, -300.0), (-300.0, 300.0), (-300.0, -300.0)];
        let fleet: Vec<_> =
            (n..).zip(corners).map(|(n, (north, east))| free(n, 1, off(place, north, east))).collect();
        // One call for vehicles of four regions.
        world.cache.apply(&fleet).await.unwrap();
        assert_eq!(search(&world, place).await, (4, Source::Index), "{place:?}");
        assert_eq!(search(&world, place).await, (4, Source::Cache), "{place:?}: what was read is cached");
        world.cache.apply(&[free(n, 2, off(place, -310.0, -310.0))]).await.unwrap();
        assert_eq!(search(&world, place).await.0, 4, "{place:?}: it moved to another region");
        assert_eq!(search(&world, place).await, (4, Source::Cache));
        // Its place is known from Redis only.
        let taken = AvailabilityUpdate::Taken {
            vehicle_id: vehicle_id(n + 1),
            version: Version(2),
            last_reported: None,
        };
        world.other_process().apply(&[taken]).await.unwrap();
        assert_eq!(search(&world, place).await.0, 3, "{place:?}: a claim of another process is seen");
        assert_eq!(search(&world, place).await, (3, Source::Cache));
    }
    world.advance(29);
    assert!(world.cache.prewarm().await > 0, "zones are warmed");
    world
        .cache
        .apply(&[AvailabilityUpdate::Taken {
            vehicle_id: vehicle_id(2),
            version: Version(2),
            last_reported: None,
        }])
        .await
        .unwrap();
    assert!(world.cache.refill().await > 0, "what was hot is filled again");
    assert_eq!(search(&world, PLACES[0]).await, (2, Source::Cache));
    let metrics = world.cache.metrics();
    assert_eq!((metrics.failures, metrics.bypassed), (0, 0), "Redis refused nothing: {metrics:?}");
}
