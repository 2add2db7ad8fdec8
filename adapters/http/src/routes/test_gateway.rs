//! The customer of the embedded payment gateway, played by a test.

use axum::Json;
use axum::extract::State;
use rideplane_app::AppError;
use rideplane_core::ids::PaymentIntentId;
use rideplane_core::payment::PaymentStatus;
use rideplane_ports::Kind;
use serde::{Deserialize, Serialize};

use super::webhooks::booking_of;
use crate::body;
use crate::path::PathId;
use crate::problem::{self, Failure};
use crate::state::HttpState;

/// How the customer fares.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authenticate {
    success: bool,
}

/// How the payment stands afterwards.
#[derive(Serialize)]
pub(super) struct Authenticated {
    status: PaymentStatus,
}

pub(super) async fn authenticate(
    State(state): State<HttpState>,
    PathId(intent): PathId<PaymentIntentId>,
    body: Result<body::Json<Authenticate>, Failure>,
) -> Result<Json<Authenticated>, Failure> {
    let gateway = state.test_gateway.as_ref().ok_or_else(problem::not_found)?;
    let body::Json(asked) = body?;
    gateway.authenticate(&intent, asked.success).await.map_err(|error| match error.kind() {
        Kind::NotFound => AppError::NotFound,
        Kind::Rejected | Kind::Conflict => {
            AppError::WrongState(format!("payment intent {intent} does not wait for its customer"))
        }
        Kind::Unavailable | Kind::RateLimited | Kind::OutcomeUnknown | Kind::Corrupt => error.into(),
    })?;
    let booking = booking_of(&state.app, &intent).await?.ok_or_else(problem::not_found)?;
    state.app.payment_hint(booking).await?;
    let stored = state.app.ports().store.booking(&booking).await.map_err(AppError::from)?;
    let stored = stored.ok_or_else(problem::not_found)?;
    Ok(Json(Authenticated { status: stored.state.payment.status() }))
}
