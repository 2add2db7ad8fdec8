//! Free vehicles cached in Redis, before any implementation of the `Availability` port.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rideplane_ports::{Availability, Clock};
//! use rideplane_redis::{CacheConfig, CachedAvailability};
//!
//! # async fn wire(store_search: Arc<dyn Availability>, clock: Arc<dyn Clock>) -> Result<(), rideplane_ports::PortError> {
//! let config = CacheConfig::new("redis://127.0.0.1:6379");
//! let cache = Arc::new(CachedAvailability::new(store_search, config, clock)?);
//! if let Err(error) = cache.ping().await {
//!     eprintln!("{error}; searches go without the cache until it answers");
//! }
//! let warm = Arc::clone(&cache);
//! tokio::spawn(async move { warm.run().await });
//! let availability: Arc<dyn Availability> = cache; // what the app is given
//! # Ok(())
//! # }
//! ```
//!
//! # How a search is answered
//! The geohash cells (six characters) that the search's circle touches are read in one round trip. Each key holds the
//! complete content of its cell, empty ones too: positions and flags, no prices. When all are there, the answer is
//! `source: cache`; what is missing is read from the inner search once, whoever else misses it, and the answer carries
//! the inner's source. Four searches at most read cells at once; while they do, others that miss are answered by the inner
//! search. A search wider than [`CacheConfig::radius_m`] is answered from cells when these hold as many
//! vehicles as were asked for, and by the inner search otherwise. So a cached answer equals the inner's, in order, ties, filters
//! and limit, at the time `as_of`.
//!
//! # How old an answer may be
//! - A claim, a release, an unlock, a vehicle that goes offline or moves to another cell: removed from the cache by
//!   the call that tells it, before that call returns. No fill that is under way can bring it back.
//! - A vehicle that reports a new charge or place within its cell: seen after the TTL (30 s) at the latest.
//! - A change that Redis could not be told, because it did not answer: this process remembers it and tells it later; other
//!   processes may see the old state until the TTL ends. The claim itself never asks the cache.
//!
//! # When Redis is down, slow or short of memory
//! A round trip has 40 ms. What fails or takes longer counts for a breaker, and the inner search answers alone; a rider
//! sees no error. An evicted key is a miss.
//!
//! # Keys
//! | Key | Holds |
//! |---|---|
//! | `rideplane:{u0yj}:cell:u0yjjd` | the content of a cell; the region of four characters is the hash tag |
//! | `rideplane:{u0yj}:fill:u0yjjd` | the token of the fills under way; a change removes it |
//! | `rideplane:places` | a hash: in which cell each vehicle was last cached |
//! | `rideplane:changes` | a hash: when each vehicle changed last, by the server's clock |
//!
//! Cells and tokens end by themselves; the two hashes have one field a vehicle. A sharded Redis is reached through a
//! proxy that speaks for the cluster: this crate opens one connection, and no command names two slots.

mod cache;
mod cells;
mod config;
mod demand;
mod fill;
mod flight;
mod link;
mod metrics;
mod wire;

pub use cache::CachedAvailability;
pub use config::CacheConfig;
pub use metrics::CacheMetrics;
