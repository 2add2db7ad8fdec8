//! Every contract, held against the implementations in memory on several threads.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rideplane_core::time::{Span, Timestamp};
use rideplane_memory::{IndexAvailability, ManualClock, MemoryBus, MemoryStore};
use rideplane_ports::conformance::fixtures::{Journey, at};
use rideplane_ports::conformance::store::{Backend, Factory};
use rideplane_ports::conformance::{Racer, availability, events, store};
use rideplane_ports::{Availability, Breaker, EventPublisher as _, EventSource as _, Guarded};

struct Plain;

#[async_trait]
impl Factory for Plain {
    async fn fresh(&self) -> Backend {
        Backend::of(Arc::new(MemoryStore::new()))
    }

    async fn race(&self, racers: Vec<Racer>) {
        race(racers).await;
    }
}

/// The store behind a breaker that opens at the first outage: a refusal must not count as one.
struct Broken;

#[async_trait]
impl Factory for Broken {
    async fn fresh(&self) -> Backend {
        let store = Arc::new(MemoryStore::new());
        let breaker = Breaker::new(1, Span::from_seconds(60));
        let guarded = Guarded::new(Arc::clone(&store), breaker, Arc::new(ManualClock::new(Timestamp::EPOCH)));
        Backend { store: Arc::new(guarded), ..Backend::of(store) }
    }

    async fn race(&self, racers: Vec<Racer>) {
        race(racers).await;
    }
}

struct Index;

#[async_trait]
impl availability::Factory for Index {
    async fn fresh(&self) -> Arc<dyn Availability> {
        Arc::new(IndexAvailability::new())
    }
}

#[async_trait]
impl availability::Factory for Broken {
    async fn fresh(&self) -> Arc<dyn Availability> {
        let breaker = Breaker::new(1, Span::from_seconds(60));
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        Arc::new(Guarded::new(Arc::new(IndexAvailability::new()), breaker, clock))
    }
}

/// The bus that was made last, to be reopened.
#[derive(Default)]
struct InProcess(Mutex<MemoryBus>);

#[async_trait]
impl events::Factory for InProcess {
    async fn fresh(&self) -> events::Bus {
        let bus = MemoryBus::default();
        *self.0.lock() = bus.clone();
        both_ends(bus)
    }

    async fn restart(&self, _gone: events::Bus) -> events::Bus {
        both_ends(self.0.lock().reopened())
    }
}

fn both_ends(bus: MemoryBus) -> events::Bus {
    events::Bus { publisher: Arc::new(bus.clone()), source: Arc::new(bus) }
}

async fn race(racers: Vec<Racer>) {
    let tasks: Vec<_> = racers.into_iter().map(tokio::spawn).collect();
    for task in tasks {
        if let Err(error) = task.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_keeps_its_contract() {
    store::run_all(&Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_keeps_its_contract_behind_a_breaker() {
    store::run_all(&Broken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_index_keeps_its_contract() {
    availability::run_all(&Index).await;
    availability::run_all(&Broken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bus_keeps_its_contract() {
    events::run_all(&InProcess::default()).await;
}

/// What its documentation adds to the contract.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bus_forgets_what_all_have_acknowledged_and_ends_when_it_is_closed() {
    let (_, registered) = Journey::register(1, at(0));
    let event = registered.envelopes().unwrap().swap_remove(0);
    let bus = MemoryBus::new(3);
    bus.publish(&vec![event.clone(); 10]).await;
    assert_eq!(bus.len(), 3, "without a consumer the newest are kept");
    let first = bus.next("slow").await.unwrap().unwrap();
    bus.publish(&vec![event.clone(); 10]).await;
    assert_eq!((bus.len(), bus.lag("slow")), (13, 13), "a known consumer misses nothing");
    for _ in 0..13 {
        let delivery = bus.next("fast").await.unwrap().unwrap();
        bus.acknowledge("fast", &delivery).await.unwrap();
    }
    assert_eq!((bus.len(), bus.lag("fast")), (13, 0), "the slowest decides");
    bus.acknowledge("slow", &first).await.unwrap();
    assert_eq!((bus.len(), bus.lag("slow")), (12, 12));

    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.next("fast").await.unwrap() }
    });
    tokio::task::yield_now().await;
    bus.close();
    assert_eq!(waiting.await.unwrap(), None, "who waits is told");
    assert!(bus.next("slow").await.unwrap().is_some(), "what is there can still be read");
    let refused = bus.publish(&[event]).await;
    assert!(refused.count == 0 && refused.error.is_some(), "a closed bus takes nothing");
}
