//! The contract of the ports, on real files.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rideplane_ports::conformance::Racer;
use rideplane_ports::conformance::store::{Backend, Factory, run_all};
use rideplane_sqlite::{Durability, SqliteConfig, SqliteStore};
use tempfile::TempDir;

struct Files {
    folder: TempDir,
    made: AtomicU32,
    last: Mutex<PathBuf>,
    cached_rows: usize,
    max_batch: usize,
}

impl Files {
    fn new(cached_rows: usize, max_batch: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, made: AtomicU32::new(0), last: Mutex::default(), cached_rows, max_batch }
    }

    async fn open(&self, path: PathBuf) -> Backend {
        let (cached_rows, max_batch) = (self.cached_rows, self.max_batch);
        let config = SqliteConfig { cached_rows, max_batch, ..SqliteConfig::new(path) }
            .with_durability(Durability::ProcessCrash);
        Backend::of(Arc::new(SqliteStore::open(config).await.unwrap()))
    }
}

#[async_trait]
impl Factory for Files {
    async fn fresh(&self) -> Backend {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("{number}.db"));
        (*self.last.lock().unwrap()).clone_from(&path);
        self.open(path).await
    }

    async fn reopen(&self, backend: Backend) -> Option<Backend> {
        let path = self.last.lock().unwrap().clone();
        drop(backend);
        Some(self.open(path).await)
    }

    async fn race(&self, racers: Vec<Racer>) {
        let running: Vec<_> = racers.into_iter().map(tokio::spawn).collect();
        for racer in running {
            racer.await.expect("a racer does not panic");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_its_contract() {
    run_all(&Files::new(16_384, 256)).await;
}

/// With next to no memory nearly every answer comes from the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_its_contract_without_memory() {
    run_all(&Files::new(1, 256)).await;
}

/// Every commit in a transaction of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_its_contract_without_batches() {
    run_all(&Files::new(16_384, 1)).await;
}
