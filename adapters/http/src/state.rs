//! What the router needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rideplane_app::App;
use rideplane_core::ids::PaymentIntentId;
use rideplane_ports::PortError;

use crate::auth::Verifier;
use crate::metrics::{MetricSource, Metrics};
use crate::webhook::WebhookSecret;

/// What the host decides about HTTP.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The largest request body, bytes.
    pub body_limit: usize,
    /// How long a request may take before it is answered 503. Must be longer than `unlock_wait`; a wait that is not is
    /// cut to what fits.
    pub request_timeout: Duration,
    /// How long `unlock` and `end-trip` wait for the vehicle's signed answer.
    pub unlock_wait: Duration,
    /// The secret of the provider's webhook. Without one every webhook is refused.
    pub webhook_secret: Option<WebhookSecret>,
}

/// What the embedded payment gateway lets a test do: play the customer who authenticates a payment.
#[async_trait]
pub trait TestGatewayControl: Send + Sync {
    /// Finishes the 3-D Secure of an intent that waits for it, with success or without.
    ///
    /// # Errors
    /// Of kind [`NotFound`](rideplane_ports::Kind::NotFound) when there is no such intent, and
    /// [`Rejected`](rideplane_ports::Kind::Rejected) or [`Conflict`](rideplane_ports::Kind::Conflict) when it does not
    /// wait for the customer.
    async fn authenticate(&self, intent: &PaymentIntentId, success: bool) -> Result<(), PortError>;
}

/// Tells `/readyz` that the host is going away, so that nobody sends it new work. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

/// Everything the router needs. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    /// The use cases.
    pub app: App,
    /// Judges tokens.
    pub verifier: Arc<Verifier>,
    /// What the host decides.
    pub settings: HttpSettings,
    /// The embedded gateway; without it `/test-gateway` answers 404.
    pub test_gateway: Option<Arc<dyn TestGatewayControl>>,
    /// Request counters, shown at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// What else `/metrics` shows.
    pub metric_sources: Vec<Arc<dyn MetricSource>>,
    /// Whether the host is going away.
    pub draining: Draining,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_limit: 65_536,
            request_timeout: Duration::from_secs(15),
            unlock_wait: Duration::from_secs(5),
            webhook_secret: None,
        }
    }
}

impl HttpSettings {
    /// How long to wait for a vehicle, so that the answer still makes it in time.
    pub(crate) fn vehicle_wait(&self) -> Duration {
        self.unlock_wait.min(self.request_timeout.saturating_sub(Duration::from_secs(1)))
    }
}

impl Draining {
    /// From now on `/readyz` answers 503.
    pub fn start(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`start`](Self::start) was called.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl HttpState {
    /// The state without a test gateway and without further metrics.
    #[must_use]
    pub fn new(app: App, verifier: Arc<Verifier>, settings: HttpSettings) -> Self {
        Self {
            app,
            verifier,
            settings,
            test_gateway: None,
            metrics: Arc::default(),
            metric_sources: Vec::new(),
            draining: Draining::default(),
        }
    }

    /// With the embedded gateway's control.
    #[must_use]
    pub fn with_test_gateway(mut self, gateway: Arc<dyn TestGatewayControl>) -> Self {
        self.test_gateway = Some(gateway);
        self
    }

    /// With more to show at `/metrics`.
    #[must_use]
    pub fn with_metrics(mut self, source: Arc<dyn MetricSource>) -> Self {
        self.metric_sources.push(source);
        self
    }
}
