//! A cache before an index in memory, a clock that is set by hand, and an inner search that can be held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rideplane_core::ids::Version;
use rideplane_core::time::{Span, Timestamp};
use rideplane_memory::{IndexAvailability, ManualClock};
use rideplane_ports::conformance::fixtures::{at, listing, nearest, place, vehicle_id};
use rideplane_ports::{
    Availability, AvailabilityUpdate, Clock as _, Listing, Nearby, Nearest, PortError, Source,
};
use rideplane_redis::{CacheConfig, CachedAvailability};
use rideplane_services::shared::{self, Service};
use tokio::sync::Semaphore;

/// An index that counts its questions and holds answers that are already made while its gate is shut.
#[derive(Default)]
pub(crate) struct Held {
    index: IndexAvailability,
    pub(crate) asked: AtomicUsize,
    gate: Option<Semaphore>,
    /// Answers that wait at the gate.
    pub(crate) waiting: AtomicUsize,
}

impl Held {
    pub(crate) fn shut() -> Self {
        Self { gate: Some(Semaphore::new(0)), ..Self::default() }
    }

    /// Lets that many answers go.
    pub(crate) fn release(&self, count: usize) {
        self.gate.as_ref().unwrap().add_permits(count);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until that many answers are made and held.
    pub(crate) async fn holds(&self, count: usize) {
        while self.waiting.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl Availability for Held {
    async fn nearest(&self, query: &Nearest, now: Timestamp) -> Result<Nearby, PortError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.index.nearest(query, now).await;
        if let Some(gate) = &self.gate {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        answer
    }

    async fn apply(&self, updates: &[AvailabilityUpdate]) -> Result<(), PortError> {
        self.index.apply(updates).await
    }
}

pub(crate) struct World {
    pub(crate) cache: Arc<CachedAvailability<Held>>,
    pub(crate) inner: Arc<Held>,
    pub(crate) clock: Arc<ManualClock>,
    config: CacheConfig,
}

impl World {
    /// On the shared Redis, with keys of its own.
    pub(crate) fn shared(inner: Held) -> Self {
        Self::on(&shared::url(Service::Redis).unwrap(), inner)
    }

    pub(crate) fn on(url: &str, inner: Held) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut config = CacheConfig::new(url);
        config.prefix = format!("test-{}-{number}", std::process::id());
        // A machine that builds and tests at once is slow; what must not be waited for has tests of its own.
        config.timeout = Duration::from_secs(10);
        Self::with(config, inner)
    }

    pub(crate) fn with(config: CacheConfig, inner: Held) -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let inner = Arc::new(inner);
        let cache = CachedAvailability::new(Arc::clone(&inner), config.clone(), clock.clone()).unwrap();
        Self { cache: Arc::new(cache), inner, clock, config }
    }

    /// Another process before the same search, on the same keys.
    pub(crate) fn other_process(&self) -> CachedAvailability<Held> {
        CachedAvailability::new(Arc::clone(&self.inner), self.config.clone(), self.clock.clone()).unwrap()
    }

    pub(crate) fn config(&self) -> CacheConfig {
        self.config.clone()
    }

    pub(crate) async fn free(&self, n: u32, version: u64, north_m: f64) {
        self.cache.apply(&[free(n, version, north_m)]).await.unwrap();
    }

    pub(crate) async fn taken(&self, n: u32, version: u64) {
        self.cache.apply(&[taken(n, version)]).await.unwrap();
    }

    /// Searches within 500 m.
    pub(crate) async fn search(&self) -> (Vec<u32>, Source) {
        search(&*self.cache, self.clock.now()).await
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.set(self.clock.now().plus(Span::from_seconds(seconds)));
    }
}

pub(crate) fn free(n: u32, version: u64, north_m: f64) -> AvailabilityUpdate {
    AvailabilityUpdate::Free(listing(n, place(north_m)), Version(version))
}

pub(crate) fn taken(n: u32, version: u64) -> AvailabilityUpdate {
    AvailabilityUpdate::Taken { vehicle_id: vehicle_id(n), version: Version(version), last_reported: None }
}

pub(crate) async fn search(cache: &dyn Availability, now: Timestamp) -> (Vec<u32>, Source) {
    let nearby = cache.nearest(&nearest(500.0), now).await.expect("a rider sees no error");
    let number = |listing: &Listing| listing.vehicle_id.as_str().trim_start_matches("sc-").parse().unwrap();
    (nearby.vehicles.iter().map(|(listing, _)| number(listing)).collect(), nearby.source)
}

/// No vehicle.
pub(crate) const NONE: [u32; 0] = [];
