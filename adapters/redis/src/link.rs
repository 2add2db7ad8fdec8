//! One multiplexed connection to Redis, with a time-out on every round trip and a breaker around it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline};
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Breaker, BreakerState, Clock, Kind, PortError};

use crate::CacheConfig;
use crate::metrics::{Counters, add};

/// Outages in a row after which Redis is left alone.
const THRESHOLD: u32 = 3;

pub(crate) struct Link {
    client: Client,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    /// `None` until it is needed, and after a failure: what hangs is not waited for a second time.
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    counters: Arc<Counters>,
}

impl Link {
    pub(crate) fn new(
        config: &CacheConfig,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<Self, PortError> {
        // The library's own message may quote the URL and its password.
        let client = Client::open(config.url.as_str()).map_err(|_| {
            let text = "the address of the cache is not redis://[USER:PASSWORD@]HOST:PORT[/DATABASE]";
            PortError::new(Kind::Rejected, "cache.open", text)
        })?;
        let open_for = Span::from_micros(i64::try_from(config.open_for.as_micros()).unwrap_or(i64::MAX));
        Ok(Self {
            client,
            timeout: config.timeout,
            clock,
            breaker: Mutex::new(Breaker::new(THRESHOLD, open_for)),
            connection: tokio::sync::Mutex::new(None),
            counters,
        })
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.breaker.lock().state()
    }

    /// Sends the commands in one round trip. `None` when Redis is left alone, does not answer in time or fails.
    pub(crate) async fn send<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Option<T> {
        if self.breaker.lock().admit(self.clock.now()).is_err() {
            return None;
        }
        let outcome = tokio::time::timeout(self.timeout, self.attempt(pipeline)).await;
        let failure = match outcome {
            Ok(Ok(answer)) => {
                self.record(false);
                return Some(answer);
            }
            // Out of memory, a wrong type: it answers, so it is there. The connection is good.
            Ok(Err(error)) if answered(&error).is_some_and(|code| code != "LOADING") => {
                self.record(false);
                error.to_string()
            }
            Ok(Err(error)) => self.outage(error.to_string()).await,
            Err(_) => self.outage(format!("no answer within {} ms", self.timeout.as_millis())).await,
        };
        add(&self.counters.failures, 1);
        tracing::debug!(failure, "the cache is passed by");
        None
    }

    /// Whether Redis answers now: for a host that wants to tell at its start. [`Kind::Rejected`] when it answers no:
    /// a wrong password or database.
    pub(crate) async fn ping(&self) -> Result<(), PortError> {
        let mut ping = redis::pipe();
        ping.cmd("PING").ignore();
        let patience = self.timeout.max(Duration::from_secs(5));
        let failed = |kind, text: String| {
            let place = self.client.get_connection_info().addr().to_string();
            PortError::new(kind, "cache.ping", format!("Redis on {place}: {text}"))
        };
        match tokio::time::timeout(patience, self.attempt::<()>(&ping)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_refusal(&error) => {
                let text = "it refuses: check user, password and database in the cache's URL";
                Err(failed(Kind::Rejected, text.to_owned()))
            }
            Ok(Err(error)) => {
                Err(failed(Kind::Unavailable, format!("{error}; check that it runs, and host and port")))
            }
            Err(_) => Err(failed(Kind::Unavailable, format!("no answer within {} s", patience.as_secs()))),
        }
    }

    async fn attempt<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, redis::RedisError> {
        let mut connection = self.connect().await?;
        pipeline.query_async(&mut connection).await
    }

    async fn connect(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            return Ok(connection.clone());
        }
        // The time-out is the caller's, which spans both.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *slot = Some(made.clone());
        Ok(made)
    }

    async fn outage(&self, text: String) -> String {
        self.record(true);
        // Who holds the lock is connecting, and starts afresh anyway.
        if let Ok(mut slot) = self.connection.try_lock() {
            *slot = None;
        }
        text
    }

    fn record(&self, outage: bool) {
        let now: Timestamp = self.clock.now();
        let mut breaker = self.breaker.lock();
        let before = breaker.state();
        breaker.record(outage, now);
        match (before, breaker.state()) {
            (BreakerState::Closed { .. }, BreakerState::Open { .. }) => {
                tracing::warn!("Redis does not answer: searches go without the cache");
            }
            (BreakerState::HalfOpen { .. }, BreakerState::Closed { .. }) => {
                tracing::info!("Redis answers again");
            }
            (BreakerState::Closed { .. } | BreakerState::Open { .. } | BreakerState::HalfOpen { .. }, _) => {}
        }
    }
}

/// Whether Redis does not want this client: wrong credentials, or a database that it does not have.
fn is_refusal(error: &redis::RedisError) -> bool {
    matches!(error.kind(), redis::ErrorKind::AuthenticationFailed)
        || answered(error)
            .is_some_and(|code| ["NOAUTH", "WRONGPASS", "NOPERM", "ERR"].contains(&code.as_str()))
}

/// The word that an error of the server begins with. What a pipeline met names none of its own, only its parts do.
fn answered(error: &redis::RedisError) -> Option<String> {
    let own = error.code().map(str::to_owned);
    own.or_else(|| {
        let errors = error.clone().into_server_errors()?;
        errors.first().map(|(_, error)| error.code().to_owned())
    })
}
