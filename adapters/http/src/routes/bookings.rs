//! A rider's bookings.

use axum::extract::{Extension, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, body::Bytes};
use rideplane_app::view::{BookingView, BookingsView};
use rideplane_app::{Answer, CreateBooking, EndTrip, ListBookings};
use rideplane_core::ids::{BookingId, PaymentMethodId};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::wait;
use crate::body::{self, Nothing, OptionalJson};
use crate::guard::Caller;
use crate::headers::{self, IDEMPOTENT_REPLAYED, RATELIMIT_POLICY, RequestId};
use crate::path::PathId;
use crate::problem::{Failure, PROBLEM_JSON};
use crate::query::Params;
use crate::state::HttpState;

/// The body of `confirm-payment`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmPayment {
    /// The profile's default when absent.
    #[serde(default)]
    payment_method_id: Option<PaymentMethodId>,
}

/// The header is asked for before the body is read: without a key nothing is done, whatever the body says.
pub(super) async fn create(
    State(state): State<HttpState>,
    Caller(user): Caller,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Response {
    let create = async {
        let key = headers::idempotency_key(request.headers())?;
        body::require_json(request.headers())?;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = body::read(request, &state).await?;
        let asked: CreateBooking = body::parse(&body)?;
        let hash = hash(method.as_str(), &path, &body);
        let answer = state.app.create_booking(&user, key, hash, &asked, Some(request_id.as_str())).await?;
        Ok::<Response, Failure>(respond(answer))
    };
    let mut response = create.await.unwrap_or_else(Failure::into_response);
    let policy = &state.app.settings().policy;
    let (most, window) = (policy.bookings_per_window, policy.bookings_window.as_seconds());
    if let Ok(value) = HeaderValue::try_from(format!("\"bookings\";q={most};w={window}")) {
        response.headers_mut().insert(RATELIMIT_POLICY, value);
    }
    response
}

pub(super) async fn list(
    State(state): State<HttpState>,
    Caller(user): Caller,
    Params(list): Params<ListBookings>,
) -> Result<Json<BookingsView>, Failure> {
    Ok(Json(state.app.bookings(&user, &list).await?))
}

pub(super) async fn get(
    State(state): State<HttpState>,
    Caller(user): Caller,
    PathId(id): PathId<BookingId>,
) -> Result<Json<BookingView>, Failure> {
    Ok(Json(state.app.booking(&user, id).await?))
}

pub(super) async fn confirm_payment(
    State(state): State<HttpState>,
    Caller(user): Caller,
    PathId(id): PathId<BookingId>,
    OptionalJson(body): OptionalJson<ConfirmPayment>,
) -> Result<Json<BookingView>, Failure> {
    let paid = state.app.confirm_payment(&user, id, body.payment_method_id).await?;
    Ok(Json(paid.0))
}

pub(super) async fn cancel(
    State(state): State<HttpState>,
    Caller(user): Caller,
    PathId(id): PathId<BookingId>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Json<BookingView>, Failure> {
    Ok(Json(state.app.cancel(&user, id).await?))
}

pub(super) async fn end_trip(
    State(state): State<HttpState>,
    Caller(user): Caller,
    PathId(id): PathId<BookingId>,
    OptionalJson(asked): OptionalJson<EndTrip>,
) -> Result<Json<BookingView>, Failure> {
    let sent = state.app.end_trip(&user, id, &asked).await?;
    let wait = state.settings.vehicle_wait();
    Ok(Json(wait::ended(&state.app, &user, sent, wait).await?))
}

/// Names what was asked, byte for byte: the same key may only ever stand for the same bytes.
fn hash(method: &str, path: &str, body: &Bytes) -> [u8; 32] {
    let mut sha = Sha256::new();
    for part in [method.as_bytes(), path.as_bytes()] {
        sha.update(part);
        // Neither can hold a line feed: no two requests run into the same bytes.
        sha.update(b"\n");
    }
    sha.update(body);
    sha.finalize().into()
}

fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if status == StatusCode::OK { "application/json" } else { PROBLEM_JSON };
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if answer.replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_requests_apart() {
        let of = |method, path, body: &'static str| hash(method, path, &Bytes::from_static(body.as_bytes()));
        let one = of("POST", "/bookings", "{}");
        assert_eq!(one, of("POST", "/bookings", "{}"));
        assert_ne!(one, of("POST", "/bookings", "{ }"));
        assert_ne!(one, of("PUT", "/bookings", "{}"));
        assert_ne!(one, of("POST", "/booking", "s{}"));
    }

    #[test]
    fn an_answer_is_sent_as_it_was_kept() {
        let answer = |status, replayed| Answer { status, body: b"{}".to_vec(), replayed, booking_id: None };
        let first = respond(answer(200, false));
        assert_eq!(first.headers()[CONTENT_TYPE], "application/json");
        assert!(first.headers().get(IDEMPOTENT_REPLAYED).is_none());
        let lost = respond(answer(409, true));
        assert_eq!(
            (lost.status().as_u16(), &lost.headers()[CONTENT_TYPE]),
            (409, &HeaderValue::from_static(PROBLEM_JSON))
        );
        assert_eq!(lost.headers()[IDEMPOTENT_REPLAYED], "true");
    }
}
