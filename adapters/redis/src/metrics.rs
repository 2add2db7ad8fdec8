//! What the cache did.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheMetrics {
    /// Searches answered from Redis alone.
    pub hits: u64,
    /// Searches for which a cell had to be read from the inner search.
    pub misses: u64,
    /// Searches that waited for what another one in this process was reading.
    pub joined: u64,
    /// Searches that the inner search answered alone: Redis failed, was slow or left alone by the breaker, enough searches
    /// were reading cells already, or the search was wider than the cells that are read.
    pub bypassed: u64,
    /// Cells written to Redis.
    pub fills: u64,
    /// Cells that were not written, because something in them changed while they were read.
    pub stale_drops: u64,
    /// Cells removed because of a change.
    pub invalidations: u64,
    /// Round trips to Redis that failed or took too long.
    pub failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) bypassed: AtomicU64,
    pub(crate) fills: AtomicU64,
    pub(crate) stale_drops: AtomicU64,
    pub(crate) invalidations: AtomicU64,
    pub(crate) failures: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> CacheMetrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheMetrics {
            hits: read(&self.hits),
            misses: read(&self.misses),
            joined: read(&self.joined),
            bypassed: read(&self.bypassed),
            fills: read(&self.fills),
            stale_drops: read(&self.stale_drops),
            invalidations: read(&self.invalidations),
            failures: read(&self.failures),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
