//! Retries with exponential backoff, for what may safely be sent again.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use rideplane_core::time::Span;

use crate::{PortError, Retry};

/// Waits. The host's runtime supplies it, so that ports know none.
#[async_trait]
pub trait Sleep: Send + Sync {
    /// Returns after about this long.
    async fn sleep(&self, span: Span);
}

/// How often and how long apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Calls in all, the first one included.
    pub attempts: u32,
    /// The wait after the first call; doubles.
    pub first: Span,
    /// The longest wait.
    pub longest: Span,
}

impl Backoff {
    /// The wait after the `failed`-th failed call (from 1), or `None` when it was the last.
    #[must_use]
    pub fn wait(&self, failed: u32) -> Option<Span> {
        if failed >= self.attempts {
            return None;
        }
        let factor = 1_i64.checked_shl(failed.saturating_sub(1).min(62)).unwrap_or(i64::MAX);
        Some(self.first.times(factor).min(self.longest))
    }
}

/// A port whose calls are repeated while its errors say that this is safe and of use. A call whose outcome is unknown
/// is never repeated here: the machine that sent it must look first.
pub struct Retried<P: ?Sized> {
    sleep: Arc<dyn Sleep>,
    backoff: Backoff,
    inner: Arc<P>,
}

impl<P: ?Sized> Retried<P> {
    /// Puts retries before a port.
    #[must_use]
    pub fn new(inner: Arc<P>, backoff: Backoff, sleep: Arc<dyn Sleep>) -> Self {
        Self { sleep, backoff, inner }
    }

    pub(crate) fn inner(&self) -> &P {
        &self.inner
    }

    pub(crate) async fn retry<T, F: Future<Output = Result<T, PortError>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T, PortError> {
        let mut failed = 0;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failed += 1;
            let wait = match (error.retry(), self.backoff.wait(failed)) {
                (Retry::Never, _) | (_, None) => return Err(error),
                (Retry::Safe, Some(wait)) => wait,
                (Retry::After(asked), Some(wait)) if asked <= self.backoff.longest => wait.max(asked),
                (Retry::After(_), Some(_)) => return Err(error),
            };
            self.sleep.sleep(wait).await;
        }
    }
}
