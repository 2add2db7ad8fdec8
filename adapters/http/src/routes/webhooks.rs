//! What the payment provider tells.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use rideplane_app::{App, AppError};
use rideplane_core::ids::{BookingId, PaymentIntentId};
use rideplane_ports::Kind;
use serde_json::{Value, json};

use crate::body;
use crate::problem::{self, Failure};
use crate::state::HttpState;
use crate::webhook::{BadSignature, Subject, subject};

pub(super) async fn stripe(State(state): State<HttpState>, request: Request) -> Result<Json<Value>, Failure> {
    let signature = signature(request.headers());
    let body = body::read(request, &state).await?;
    let secret = state.settings.webhook_secret.as_ref().ok_or(BadSignature::NoSecret);
    secret
        .and_then(|secret| secret.verify(&signature?, &body, state.app.now()))
        .map_err(|error| problem::bad_signature(error.to_string()))?;
    let event: Value = body::parse(&body)?;
    let booking = match subject(&event) {
        Subject::Booking(booking) => Some(booking),
        Subject::Intent(intent) => booking_of(&state.app, &intent).await?,
        Subject::Other => None,
    };
    if let Some(booking) = booking {
        state.app.payment_hint(booking).await?;
    }
    Ok(Json(json!({"received": true})))
}

/// The booking of an intent. An intent that the provider does not know, or that is not ours, is none: asking again
/// would not change that.
pub(super) async fn booking_of(app: &App, intent: &PaymentIntentId) -> Result<Option<BookingId>, Failure> {
    match app.booking_of_intent(intent).await {
        Ok(booking) => Ok(booking),
        Err(AppError::Internal { source }) if source.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn signature(headers: &HeaderMap) -> Result<String, BadSignature> {
    let value = headers.get("stripe-signature").ok_or(BadSignature::Missing)?;
    value.to_str().map(str::to_owned).map_err(|_| BadSignature::Malformed)
}
