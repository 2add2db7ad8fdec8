//! The contract of search by PostGIS behind the cache in Redis, cold and warm, as production runs it.
#![cfg(all(feature = "postgres", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rideplane_core::time::Timestamp;
use rideplane_memory::ManualClock;
use rideplane_ports::conformance::availability;
use rideplane_ports::conformance::fixtures::at;
use rideplane_ports::{Availability, AvailabilityUpdate, Nearby, Nearest, PortError};
use rideplane_postgres::{PostgresAvailability, PostgresConfig, PostgresStore};
use rideplane_redis::{CacheConfig, CachedAvailability};
use rideplane_services::{DATABASE, Postgres, PostgresOptions, Redis};

type Cache = CachedAvailability<PostgresAvailability>;

/// Asks twice and returns the second answer, which must come from the cache.
struct Twice(Arc<Cache>);

#[async_trait]
impl Availability for Twice {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        self.0.nearest(query, now).await?;
        self.0.nearest(query, now).await
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        self.0.apply(updates).await
    }
}

struct Factory {
    postgres: Postgres,
    redis: Redis,
    store: PostgresStore,
    warm: bool,
    made: parking_lot::Mutex<Vec<Arc<Cache>>>,
}

impl Factory {
    async fn new(warm: bool) -> Self {
        let postgres = Postgres::start(&PostgresOptions::default()).unwrap();
        let redis = Redis::start(&[]).unwrap();
        let mut config: PostgresConfig = postgres.url().parse().unwrap();
        config.statement_timeout = Duration::from_secs(20);
        PostgresStore::migrate(&config).await.unwrap();
        let store = PostgresStore::open(config).await.unwrap();
        Self { postgres, redis, store, warm, made: parking_lot::Mutex::default() }
    }
}

#[async_trait]
impl availability::Factory for Factory {
    async fn fresh(&self) -> Arc<dyn Availability> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        self.postgres.psql(DATABASE, "DELETE FROM listings").unwrap();
        let mut config = CacheConfig::new(self.redis.url());
        config.prefix = format!("postgis-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // A machine that builds and tests at once is slow; here nothing may pass the cache by.
        config.timeout = Duration::from_secs(10);
        let search = Arc::new(PostgresAvailability::new(&self.store, &[]));
        let cache =
            Arc::new(CachedAvailability::new(search, config, Arc::new(ManualClock::new(at(0)))).unwrap());
        self.made.lock().push(Arc::clone(&cache));
        if self.warm { Arc::new(Twice(cache)) } else { cache }
    }
}

async fn keeps_its_contract(warm: bool) {
    let factory = Factory::new(warm).await;
    availability::run_all(&factory).await;
    let made = factory.made.lock();
    let hits: u64 = made.iter().map(|cache| cache.metrics().hits).sum();
    let failures: u64 = made.iter().map(|cache| cache.metrics().failures).sum();
    assert_eq!(failures, 0, "Redis was never passed by");
    assert!(!warm || hits > 20, "only {hits} answers came from the cache");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_cache_over_postgis_keeps_the_contract() {
    keeps_its_contract(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_cache_over_postgis_keeps_the_contract() {
    keeps_its_contract(true).await;
}
