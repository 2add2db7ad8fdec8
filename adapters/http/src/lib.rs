//! The HTTP contract over axum: routes in, use cases of [`App`](rideplane_app::App) out.
//!
//! [`endpoints`] is the one table of routes: [`router`] is built from it, and the tests hold `openapi.json` against it.
//! Every endpoint names who may call it ([`Access`]); there is no way to add one that forgets to.
//!
//! Every response has `x-request-id`. Every error is an RFC 9457 problem, also for a route that does not exist, a body
//! that is too large, a request that takes too long and a handler that panics.

pub mod auth;
mod body;
mod guard;
mod headers;
mod metrics;
mod observe;
mod path;
mod problem;
mod query;
mod routes;
mod serve;
mod state;
pub mod webhook;

use std::any::Any;
use std::collections::BTreeMap;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use tower_http::catch_panic::CatchPanicLayer;

pub use guard::Access;
pub use metrics::{MetricSource, Metrics};
pub use routes::{Endpoint, endpoints};
pub use serve::serve;
pub use state::{Draining, HttpSettings, HttpState, TestGatewayControl};
pub use webhook::WebhookSecret;

/// The description of the contract, OpenAPI 3.1, as served at `/openapi.json`.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The whole contract as a router, ready for [`serve`] or for a test's `oneshot`.
pub fn router(state: HttpState) -> Router {
    let mut paths: BTreeMap<&'static str, MethodRouter<HttpState>> = BTreeMap::new();
    for endpoint in endpoints() {
        let path = endpoint.path;
        let guarded = endpoint.guarded(&state);
        let merged = match paths.remove(path) {
            Some(others) => others.merge(guarded),
            None => guarded,
        };
        paths.insert(path, merged);
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(path, methods);
    }
    router
        .fallback(async || problem::not_found())
        .method_not_allowed_fallback(async || problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(state.settings.body_limit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}

/// The panic's own text may quote what the caller sent: it goes nowhere from here.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    problem::internal().into_response()
}
