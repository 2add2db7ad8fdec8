//! A circuit breaker: after repeated outages, fail at once and leave the other side alone for a while.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rideplane_core::time::{Span, Timestamp};

use crate::{Clock, Kind, PortError, Retry};

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed {
        /// Outages in a row.
        failures: u32,
    },
    /// Calls fail at once until then.
    Open {
        /// When one call may try.
        until: Timestamp,
    },
    /// One call is trying.
    HalfOpen {
        /// When another may try, should this one never answer.
        until: Timestamp,
    },
}

/// The rule: opens after `threshold` outages in a row, lets one call through after `open_for`, closes when it succeeds.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: BreakerState,
    threshold: u32,
    open_for: Span,
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(threshold: u32, open_for: Span) -> Self {
        Self { state: BreakerState::Closed { failures: 0 }, threshold, open_for }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether a call may go out at `now`; if not, how long to wait.
    ///
    /// # Errors
    /// The time until a call may try.
    pub fn admit(&mut self, now: Timestamp) -> Result<(), Span> {
        match self.state {
            BreakerState::Closed { .. } => Ok(()),
            BreakerState::Open { until } | BreakerState::HalfOpen { until } if now < until => {
                Err(until.since(now))
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => {
                self.state = BreakerState::HalfOpen { until: now.plus(self.open_for) };
                Ok(())
            }
        }
    }

    /// Takes a call's end in: was it an outage?
    pub fn record(&mut self, outage: bool, now: Timestamp) {
        self.state = match (self.state, outage) {
            (_, false) => BreakerState::Closed { failures: 0 },
            (BreakerState::Closed { failures }, true) if failures.saturating_add(1) < self.threshold => {
                BreakerState::Closed { failures: failures.saturating_add(1) }
            }
            (_, true) => BreakerState::Open { until: now.plus(self.open_for) },
        };
    }
}

/// A port behind a breaker. While it is open a call fails with [`Kind::Unavailable`] and says when to come back.
pub struct Guarded<P: ?Sized> {
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    refused: AtomicU64,
    inner: Arc<P>,
}

impl<P: ?Sized> Guarded<P> {
    /// Puts a breaker before a port.
    #[must_use]
    pub fn new(inner: Arc<P>, breaker: Breaker, clock: Arc<dyn Clock>) -> Self {
        Self { clock, breaker: Mutex::new(breaker), refused: AtomicU64::new(0), inner }
    }

    /// Where the breaker stands.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.lock().state()
    }

    /// How many calls failed at once since it was made, because the breaker was open.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn inner(&self) -> &P {
        &self.inner
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // The breaker holds no invariant that a panic elsewhere could break.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn guard<T, E: From<PortError>>(
        &self,
        operation: &'static str,
        is_outage: impl Fn(&E) -> bool,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let admitted = self.lock().admit(self.clock.now());
        if let Err(wait) = admitted {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let error = PortError::new(
                Kind::Unavailable,
                operation,
                "the circuit breaker is open after repeated outages",
            );
            return Err(error.with_retry(Retry::After(wait)).into());
        }
        let result = call.await;
        let outage = result.as_ref().err().is_some_and(is_outage);
        self.lock().record(outage, self.clock.now());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_seconds(second)
    }

    #[test]
    fn opens_after_three_outages_in_a_row_and_half_opens() {
        let mut breaker = Breaker::new(3, Span::from_seconds(10));
        for outage in [true, true, false, true, true] {
            assert_eq!(breaker.admit(at(0)), Ok(()));
            breaker.record(outage, at(0));
        }
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 2 });
        breaker.record(true, at(0));
        assert_eq!(breaker.admit(at(4)), Err(Span::from_seconds(6)));
        assert_eq!(breaker.admit(at(10)), Ok(()));
        assert!(breaker.admit(at(11)).is_err(), "one call tries at a time");
        breaker.record(true, at(12));
        assert!(breaker.admit(at(21)).is_err());
        assert_eq!(breaker.admit(at(22)), Ok(()));
        breaker.record(false, at(22));
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
    }
}
