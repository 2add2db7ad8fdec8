//! Problems of this adapter, and how every problem becomes a response.
//!
//! A failure travels inside as a response without a body that carries its [`Problem`]; [`render`] writes the body at
//! the outermost layer, the one place that knows the request's id.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rideplane_app::{AppError, Problem};

use crate::headers::RequestId;

/// The media type of RFC 9457.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A request that is not done.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Problem>);

impl Failure {
    pub(crate) fn new(name: &str, title: &'static str, status: u16, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(name, title, status, detail)))
    }

    #[cfg(test)]
    pub(crate) fn problem(&self) -> &Problem {
        &self.0
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        if let AppError::Unavailable { source, .. } | AppError::Internal { source } = &error {
            tracing::warn!(cause = %source, kind = ?source.kind(), "a port failed");
        }
        error.problem().into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem that a response carries, if it carries one, with the request's id in it.
pub(crate) fn render(mut response: Response, id: &RequestId) -> Response {
    let Some(Failure(mut problem)) = response.extensions_mut().remove::<Failure>() else {
        return response;
    };
    problem.request_id = Some(id.as_str().to_owned());
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    *response.body_mut() = Body::from(body);
    response
}

pub(crate) fn not_found() -> Failure {
    AppError::NotFound.into()
}

pub(crate) fn method_not_allowed() -> Failure {
    let detail = "this address does not take this method: the header Allow names those it takes";
    Failure::new("method-not-allowed", "Method not allowed", 405, detail)
}

pub(crate) fn payload_too_large(limit: usize) -> Failure {
    let detail = format!("the body is larger than {limit} bytes: send a smaller one");
    Failure::new("payload-too-large", "Payload too large", 413, detail)
}

pub(crate) fn unsupported_media_type() -> Failure {
    let detail = "the body must be JSON: send it with Content-Type: application/json";
    Failure::new("unsupported-media-type", "Unsupported media type", 415, detail)
}

pub(crate) fn malformed_json(detail: impl Into<String>) -> Failure {
    Failure::new("malformed-json", "Malformed JSON", 400, detail)
}

pub(crate) fn invalid(detail: impl Into<String>) -> Failure {
    Failure::new("invalid-request", "Invalid request", 422, detail)
}

/// A query parameter that can't be, named also in a member of its own.
pub(crate) fn invalid_parameter(name: &str, detail: impl Into<String>) -> Failure {
    Problem::new("invalid-request", "Invalid request", 422, detail).with("parameter", name).into()
}

pub(crate) fn unauthenticated(detail: impl Into<String>) -> Failure {
    Failure::new("unauthenticated", "Unauthenticated", 401, detail)
}

pub(crate) fn forbidden() -> Failure {
    AppError::Forbidden.into()
}

pub(crate) fn idempotency_key_missing() -> Failure {
    let detail =
        "the header Idempotency-Key is missing: send a fresh unique value, the same again on a repeat";
    Failure::new("idempotency-key-missing", "Idempotency-Key missing", 400, detail)
}

pub(crate) fn bad_signature(detail: impl Into<String>) -> Failure {
    Failure::new("bad-signature", "Bad signature", 400, detail)
}

pub(crate) fn not_ready(detail: impl Into<String>) -> Failure {
    Problem::new("service-unavailable", "Service unavailable", 503, detail).retry_after(1).into()
}

/// Says nothing of the outcome: what was begun may well be finished.
pub(crate) fn timed_out() -> Failure {
    let detail = "the request took too long and its outcome is open: repeat it, a repeat never does it twice";
    Problem::new("service-unavailable", "Service unavailable", 503, detail).retry_after(1).into()
}

pub(crate) fn internal() -> Failure {
    let detail = "an internal error: it is logged with the request id";
    Failure::new("internal-error", "Internal error", 500, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(failure: Failure) -> Response {
        render(failure.into_response(), &RequestId::from_fresh(7))
    }

    #[tokio::test]
    async fn a_problem_says_all_it_has_to() {
        let error = AppError::RateLimited { limit: 10, window_s: 60, retry_after_s: 42 };
        let response = response(error.into());
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[RETRY_AFTER], "42");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(problem["type"].as_str().unwrap().ends_with("/rate-limited"));
        assert_eq!(problem["status"], 429);
        assert_eq!(problem["request_id"], "00000000000000000000000000000007");
        assert!(problem["detail"].as_str().unwrap().contains("wait 42 s"));
    }

    #[test]
    fn only_a_401_asks_for_credentials() {
        assert_eq!(response(unauthenticated("no token")).headers()[WWW_AUTHENTICATE], "Bearer");
        assert!(response(forbidden()).headers().get(WWW_AUTHENTICATE).is_none());
    }

    #[test]
    fn a_time_out_never_claims_that_nothing_was_done() {
        let failure = timed_out();
        assert!(failure.problem().detail.contains("outcome is open"));
        assert_eq!(response(failure).headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn a_response_without_a_problem_stays_as_it_is() {
        let response = render((StatusCode::CREATED, "x").into_response(), &RequestId::from_fresh(1));
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_ne!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }
}
