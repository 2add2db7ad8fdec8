//! The operator's calls.

use axum::Json;
use axum::extract::State;
use rideplane_app::PutVehicle;
use rideplane_app::view::{BookingView, OperatorVehicleView};
use rideplane_core::ids::{BookingId, VehicleId};

use crate::body::{self, Nothing, OptionalJson};
use crate::path::{NewPathId, PathId};
use crate::problem::Failure;
use crate::state::HttpState;

type Vehicle = Result<Json<OperatorVehicleView>, Failure>;

pub(super) async fn put_vehicle(
    State(state): State<HttpState>,
    NewPathId(id): NewPathId<VehicleId>,
    body::Json(put): body::Json<PutVehicle>,
) -> Vehicle {
    Ok(Json(state.app.put_vehicle(&id, &put).await?))
}

pub(super) async fn maintenance(
    State(state): State<HttpState>,
    PathId(id): PathId<VehicleId>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Vehicle {
    Ok(Json(state.app.enter_maintenance(&id).await?))
}

pub(super) async fn in_service(
    State(state): State<HttpState>,
    PathId(id): PathId<VehicleId>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Vehicle {
    Ok(Json(state.app.enter_service(&id).await?))
}

pub(super) async fn retire(
    State(state): State<HttpState>,
    PathId(id): PathId<VehicleId>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Vehicle {
    Ok(Json(state.app.retire(&id).await?))
}

pub(super) async fn end_trip(
    State(state): State<HttpState>,
    PathId(id): PathId<BookingId>,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Json<BookingView>, Failure> {
    Ok(Json(state.app.operator_end_trip(id).await?))
}
