//! Opening a vehicle.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use rideplane_core::ids::{BookingId, CommandId, VehicleId};
use rideplane_core::time::Timestamp;
use serde::Serialize;

use super::wait::{self, Unlocked};
use crate::body::{Nothing, OptionalJson};
use crate::guard::Caller;
use crate::path::PathId;
use crate::problem::Failure;
use crate::state::HttpState;

/// The answer to an unlock.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum UnlockView {
    /// The vehicle has opened and the trip runs.
    Unlocked { booking_id: BookingId, trip_started_at: Option<Timestamp> },
    /// The vehicle has been told and has not answered yet.
    Pending { command_id: CommandId },
}

pub(super) async fn unlock(
    State(state): State<HttpState>,
    Caller(user): Caller,
    PathId(id): PathId<VehicleId>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Response, Failure> {
    let sent = state.app.unlock(&user, &id).await?;
    let (status, view) = match wait::unlocked(&state.app, &user, sent, state.settings.vehicle_wait()).await? {
        Unlocked::Yes(booking) => {
            let trip_started_at = booking.trip.as_ref().map(|trip| trip.started_at);
            (StatusCode::OK, UnlockView::Unlocked { booking_id: booking.booking_id, trip_started_at })
        }
        Unlocked::Pending(command_id) => (StatusCode::ACCEPTED, UnlockView::Pending { command_id }),
    };
    Ok((status, Json(view)).into_response())
}
