//! The outermost layer: request id, log, metrics, time limit, problems.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;
use tracing::{Instrument as _, Span, info, info_span};

use crate::headers::{RequestId, X_REQUEST_ID};
use crate::problem::{self, render};
use crate::state::HttpState;

/// How requests to no route are counted and logged: never by the path that was asked for.
const UNMATCHED: &str = "unmatched";

/// Gives a request its id and its time limit, and tells what became of it.
///
/// Neither the path nor the query, a header nor the body are logged: the matched route says enough, and none of the
/// others is ours to keep.
pub(crate) async fn observe(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::from_client(request.headers())
        .unwrap_or_else(|| RequestId::from_fresh(state.app.ports().ids.fresh()));
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| UNMATCHED.into(), |path| path.as_str().to_owned());
    let method = known(request.method());
    request.extensions_mut().insert(id.clone());
    let span = info_span!("request", request_id = %id, method, route);
    let answered = bounded(request, next, state.settings.request_timeout).instrument(span.clone()).await;
    let mut response = render(answered, &id);
    let headers = response.headers_mut();
    if let Some(id) = id.to_header() {
        headers.insert(X_REQUEST_ID, id);
    }
    default(headers, CACHE_CONTROL, "no-store");
    default(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    let (status, latency) = (response.status().as_u16(), started.elapsed());
    span.in_scope(|| info!(status, latency_us = micros(latency), "answered"));
    state.metrics.count(method, &route, status, latency);
    response
}

/// A request that only reads is dropped at its time limit, or when its caller hangs up. One that changes something is
/// carried on: half of it may be durable already, and what is left is best done now rather than by a worker later.
async fn bounded(request: Request, next: Next, limit: Duration) -> Response {
    if request.method().is_safe() {
        return timeout(limit, next.run(request))
            .await
            .unwrap_or_else(|_| problem::timed_out().into_response());
    }
    let work = timeout(limit.saturating_mul(2), next.run(request)).instrument(Span::current());
    match timeout(limit, tokio::spawn(work)).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(_))) | Err(_) => problem::timed_out().into_response(),
        Ok(Err(_)) => problem::internal().into_response(),
    }
}

fn default(headers: &mut axum::http::HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)
}

/// A method is free text to whoever sends it: only known ones become labels.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
