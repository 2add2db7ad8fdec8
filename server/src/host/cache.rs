//! The cache of search in Redis, when this build has it.

#[cfg(feature = "redis")]
pub(crate) use built::Cache;
#[cfg(not(feature = "redis"))]
pub(crate) use missing::Cache;

#[cfg(feature = "redis")]
mod built {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use rideplane_http::MetricSource;
    use rideplane_ports::{Availability, Clock, Kind};
    use rideplane_redis::{CacheConfig, CachedAvailability};

    use crate::config::DatabaseUrl;

    #[derive(Clone)]
    pub(crate) struct Cache(Arc<CachedAvailability<dyn Availability>>);

    impl Cache {
        /// Puts the cache before a search. One that does not answer yet is no reason not to serve; one that refuses is:
        /// its URL is wrong.
        pub(crate) async fn open(
            search: &mut Arc<dyn Availability>,
            url: &DatabaseUrl,
            clock: Arc<dyn Clock>,
        ) -> anyhow::Result<Self> {
            let cache = CachedAvailability::new(search.clone(), CacheConfig::new(url.expose()), clock)?;
            match cache.ping().await {
                Ok(()) => {}
                Err(error) if error.kind() == Kind::Rejected => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "search goes without the cache until it answers"),
            }
            let cache = Arc::new(cache);
            *search = cache.clone();
            Ok(Self(cache))
        }

        /// Keeps what is searched often in the cache, for ever.
        pub(crate) fn run(&self) -> impl Future<Output = ()> + Send + 'static {
            let cache = self.0.clone();
            async move { cache.run().await }
        }

        /// What it did, for `/metrics`.
        pub(crate) fn metrics(&self) -> Arc<dyn MetricSource> {
            Arc::new(self.clone())
        }
    }

    impl MetricSource for Cache {
        fn write(&self, out: &mut String) {
            let counted = self.0.metrics();
            let rows = [
                ("hits", "Searches answered from the cache alone.", counted.hits),
                ("misses", "Searches for which the inner search was asked.", counted.misses),
                ("joined", "Searches that waited for what another one was reading.", counted.joined),
                ("bypassed", "Searches that went without the cache.", counted.bypassed),
                ("fills", "Cells written to the cache.", counted.fills),
                ("stale_drops", "Cells not written because they had changed meanwhile.", counted.stale_drops),
                ("invalidations", "Cells removed because of a change.", counted.invalidations),
                ("failures", "Round trips to Redis that failed or took too long.", counted.failures),
            ];
            for (name, help, value) in rows {
                // Writing to a String can't fail.
                let _ = writeln!(
                    out,
                    "# HELP rideplane_cache_{name}_total {help}\n# TYPE rideplane_cache_{name}_total counter\n\
                     rideplane_cache_{name}_total {value}"
                );
            }
        }
    }
}

#[cfg(not(feature = "redis"))]
mod missing {
    use std::future::Ready;
    use std::sync::Arc;

    use rideplane_http::MetricSource;
    use rideplane_ports::{Availability, Clock};

    use crate::config::DatabaseUrl;

    /// There is none in this build.
    pub(crate) enum Cache {}

    impl Cache {
        pub(crate) async fn open(
            _: &mut Arc<dyn Availability>,
            _: &DatabaseUrl,
            _: Arc<dyn Clock>,
        ) -> anyhow::Result<Self> {
            anyhow::bail!(
                "this build has no cache in Redis: build it with `cargo build --release --features redis`"
            )
        }

        pub(crate) fn run(&self) -> Ready<()> {
            match *self {}
        }

        pub(crate) fn metrics(&self) -> Arc<dyn MetricSource> {
            match *self {}
        }
    }
}
