//! Health, metrics and the description of the contract.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::OPENAPI;
use crate::metrics::gauge;
use crate::problem::{self, Failure};
use crate::state::HttpState;

/// A page that shows `openapi.json` and loads nothing from anywhere else.
const DOCS: &str = include_str!("../docs.html");
/// Nothing but the page's own style and script, and its one request to this server.
const DOCS_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'";

pub(super) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub(super) async fn readyz(State(state): State<HttpState>) -> Result<Json<Value>, Failure> {
    if state.draining.is_on() {
        return Err(problem::not_ready("this process is going away: ask another one"));
    }
    if let Err(error) = state.app.ports().store.ping().await {
        tracing::warn!(cause = %error, "the store does not answer");
        return Err(problem::not_ready("the store does not answer"));
    }
    Ok(Json(json!({"status": "ready"})))
}

pub(super) async fn metrics(State(state): State<HttpState>) -> Response {
    let mut out = String::with_capacity(16 * 1024);
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    gauge(&mut out, "rideplane_build_info", "Which build this is.", &version, 1);
    // A store that is down must not take the other numbers with it.
    if let Ok(pending) = state.app.ports().outbox.pending_count().await {
        gauge(&mut out, "rideplane_outbox_pending", "Events not on the bus yet.", "", pending);
    }
    state.metrics.write(&mut out);
    for source in &state.metric_sources {
        source.write(&mut out);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out).into_response()
}

pub(super) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "max-age=300")], OPENAPI)
}

pub(super) async fn docs() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "max-age=300"),
        (CONTENT_SECURITY_POLICY, DOCS_POLICY),
    ];
    (headers, DOCS)
}
