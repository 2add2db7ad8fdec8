//! Redis gone, slow, cut off, hanging or short of memory: searches go on without an error.

use std::sync::Arc;
use std::time::Duration;

use rideplane_ports::conformance::fixtures::{nearest, place};
use rideplane_ports::{Availability as _, BreakerState, Clock as _, Source};
use rideplane_redis::CacheConfig;
use rideplane_services::{Redis, Toxiproxy};
use serde_json::json;

use super::world::{Held, NONE, World, free, search};

fn impatient(url: &str) -> CacheConfig {
    CacheConfig { timeout: Duration::from_millis(100), ..CacheConfig::new(url) }
}

/// Three failures open the breaker; after 5 s one search tries again.
async fn searches_without_redis(world: &World) {
    for _ in 0..5 {
        assert_eq!(world.search().await, (vec![1], Source::Index));
    }
    assert!(matches!(world.cache.breaker(), BreakerState::Open { .. }), "{:?}", world.cache.breaker());
    let failures = world.cache.metrics().failures;
    assert_eq!(world.search().await, (vec![1], Source::Index));
    assert_eq!(world.cache.metrics().failures, failures, "an open breaker leaves Redis alone");
}

/// Redis is back: after the breaker's time hits come again. A busy machine may need more than one try.
async fn recovers(world: &World) {
    for _ in 0..100 {
        world.advance(6);
        world.search().await;
        if world.search().await.1 == Source::Cache {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no hit after Redis came back: {:?} {:?}", world.cache.metrics(), world.cache.breaker());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_midway_is_passed_by_and_used_again() {
    let mut redis = Redis::start(&[]).unwrap();
    let world = World::with(impatient(&redis.url()), Held::default());
    world.free(1, 1, 100.0).await;
    recovers(&world).await;
    redis.kill9().unwrap();
    searches_without_redis(&world).await;
    world.taken(1, 2).await;
    assert_eq!(world.search().await.0, NONE);
    world.free(1, 3, 100.0).await;
    redis.restart().unwrap();
    recovers(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_cut_and_half_open_connections_are_passed_by() {
    let redis = Redis::start(&[]).unwrap();
    let toxiproxy = Toxiproxy::start().unwrap();
    for (kind, attributes) in [
        ("latency", json!({ "latency": 250 })),
        ("reset_peer", json!({ "timeout": 0 })),
        ("timeout", json!({ "timeout": 0 })),
    ] {
        let proxy = toxiproxy.proxy("redis", redis.address()).unwrap();
        let mut config = impatient(&format!("redis://{}", proxy.address()));
        config.prefix = kind.to_owned();
        let world = World::with(config, Held::default());
        world.free(1, 1, 100.0).await;
        recovers(&world).await;
        proxy.add(kind, &attributes).unwrap();
        searches_without_redis(&world).await;
        proxy.remove(kind).unwrap();
        recovers(&world).await;
    }
}

/// A claim while Redis hangs; Redis still holds the old cell when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_redis_missed_is_not_undone_when_it_goes_on() {
    let redis = Redis::start(&[]).unwrap();
    let world = World::with(impatient(&redis.url()), Held::default());
    world.free(1, 1, 100.0).await;
    recovers(&world).await;
    redis.freeze(true).unwrap();
    world.taken(1, 2).await;
    assert_eq!(world.search().await.0, NONE);
    redis.freeze(false).unwrap();
    // Within the TTL, so that only the memory of the change can tell.
    world.advance(6);
    for _ in 0..3 {
        assert_eq!(world.search().await.0, NONE, "{:?}", world.cache.metrics());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_evicts_or_is_full_loses_hits_and_nothing_else() {
    for policy in ["allkeys-lru", "noeviction"] {
        let redis = Redis::start(&["--maxmemory", "1500kb", "--maxmemory-policy", policy]).unwrap();
        let mut config = CacheConfig::new(redis.url());
        config.timeout = Duration::from_secs(10);
        let world = World::with(config, Held::default());
        for n in 0..3_000 {
            world.cache.apply(&[free(n, 1, f64::from(n % 300) * 100.0)]).await.unwrap();
        }
        for round in 0..2 {
            for n in 0..100 {
                let query =
                    rideplane_ports::Nearest { center: place(f64::from(n) * 300.0), ..nearest(800.0) };
                let cached = world.cache.nearest(&query, world.clock.now()).await.unwrap();
                let inner = world.inner.nearest(&query, world.clock.now()).await.unwrap();
                assert_eq!(cached.vehicles, inner.vehicles, "{policy}, round {round}, place {n}");
            }
        }
        assert!(matches!(world.cache.breaker(), BreakerState::Closed { .. }), "{policy}: it answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_address_is_told_without_its_password() {
    let world = World::with(impatient("redis://rider:hunter2@127.0.0.1:1"), Held::default());
    let error = world.cache.ping().await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && !error.contains("hunter2"), "{error}");
    world.free(1, 1, 100.0).await;
    assert_eq!(search(&*world.cache, world.clock.now()).await, (vec![1], Source::Index));
    let clock = world.clock.clone();
    let config = CacheConfig::new("http://rider:hunter2@nowhere");
    let refused =
        rideplane_redis::CachedAvailability::new(Arc::new(Held::default()), config, clock).err().unwrap();
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
}
