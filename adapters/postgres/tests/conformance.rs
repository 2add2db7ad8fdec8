//! The contract of the ports, on a real server: directly, and through PgBouncer in transaction mode.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rideplane_ports::Availability;
use rideplane_ports::conformance::store::{Backend, Factory, run_all};
use rideplane_ports::conformance::{Racer, availability};
use rideplane_postgres::{PostgresAvailability, PostgresConfig, PostgresStore};
use support::{Databases, Way};

struct Stores {
    databases: Databases,
    last: Mutex<Option<(PostgresConfig, Arc<PostgresStore>)>>,
    max_batch: usize,
    writers: u32,
}

impl Stores {
    fn new(way: Way, max_batch: usize, writers: u32) -> Self {
        Self { databases: Databases::new(way), last: Mutex::default(), max_batch, writers }
    }

    /// A store with nothing in it. Making a database takes a second, so each test has one and empties it: the suite has
    /// done with a store when it asks for the next.
    async fn empty(&self) -> Arc<PostgresStore> {
        let before = self.last.lock().unwrap().take();
        let mut config = match before {
            Some((config, store)) => {
                store.close().await;
                self.databases.clear(&config).await;
                config
            }
            None => self.databases.fresh().await,
        };
        (config.max_batch, config.writers) = (self.max_batch, self.writers);
        self.open(config).await
    }

    async fn open(&self, config: PostgresConfig) -> Arc<PostgresStore> {
        let store = Arc::new(PostgresStore::open(config.clone()).await.unwrap());
        *self.last.lock().unwrap() = Some((config, Arc::clone(&store)));
        store
    }
}

#[async_trait]
impl Factory for Stores {
    async fn fresh(&self) -> Backend {
        Backend::of(self.empty().await)
    }

    async fn reopen(&self, backend: Backend) -> Option<Backend> {
        let (config, store) = self.last.lock().unwrap().take()?;
        drop(backend);
        store.close().await;
        Some(Backend::of(self.open(config).await))
    }

    async fn race(&self, racers: Vec<Racer>) {
        let running: Vec<_> = racers.into_iter().map(tokio::spawn).collect();
        for racer in running {
            racer.await.expect("a racer does not panic");
        }
    }
}

#[async_trait]
impl availability::Factory for Stores {
    async fn fresh(&self) -> Arc<dyn Availability> {
        let store = self.empty().await;
        Arc::new(PostgresAvailability::new(&store, &[]))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_its_contract() {
    run_all(&Stores::new(Way::Direct, 128, 2)).await;
}

/// Every commit in a transaction of its own, on many connections at once: the locks do all the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_its_contract_without_batches() {
    run_all(&Stores::new(Way::Direct, 1, 8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_its_contract_through_a_transaction_pooler() {
    run_all(&Stores::new(Way::Pooler, 128, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_keeps_its_contract() {
    availability::run_all(&Stores::new(Way::Direct, 128, 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_keeps_its_contract_through_a_transaction_pooler() {
    availability::run_all(&Stores::new(Way::Pooler, 128, 2)).await;
}
