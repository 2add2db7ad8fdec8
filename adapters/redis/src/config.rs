//! What a cache is opened with.

use std::time::Duration;

/// How a [`CachedAvailability`](crate::CachedAvailability) works. [`new`](Self::new) has the defaults.
#[derive(Clone)]
pub struct CacheConfig {
    /// `redis://[USER:PASSWORD@]HOST:PORT[/DATABASE]`. It is never printed.
    pub url: String,
    /// What the names of all keys begin with, so that two installations may share a server.
    pub prefix: String,
    /// How long a cell is served after it was read from the inner search: the bound of all staleness.
    pub ttl: Duration,
    /// How long Redis may take for one round trip, connecting included, before a search does without it.
    pub timeout: Duration,
    /// After three round trips in a row that failed or took too long, Redis is left alone for this time.
    pub open_for: Duration,
    /// Searches are answered from cells up to this radius, metres. A wider one is answered from them when enough
    /// vehicles are within it, and by the inner search otherwise.
    pub radius_m: f64,
    /// Zones that [`prewarm`](crate::CachedAvailability::prewarm) keeps warm.
    pub zones: usize,
    /// How often the host calls [`prewarm`](crate::CachedAvailability::prewarm): what would end before the next call
    /// is filled anew.
    pub prewarm_every: Duration,
    /// After this time a search counts half as demand of its zone.
    pub demand_half_life: Duration,
}

impl CacheConfig {
    /// TTL 30 s, time-out 40 ms, breaker 5 s, radius 1,500 m, the top 100 zones every 15 s by the
    /// demand of about an hour.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "rideplane".to_owned(),
            ttl: Duration::from_secs(30),
            timeout: Duration::from_millis(40),
            open_for: Duration::from_secs(5),
            radius_m: 1_500.0,
            zones: 100,
            prewarm_every: Duration::from_secs(15),
            demand_half_life: Duration::from_secs(3_600),
        }
    }
}
