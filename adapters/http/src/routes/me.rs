//! A rider's own data.

use axum::Json;
use axum::extract::State;
use rideplane_app::PutProfile;
use rideplane_app::view::ProfileView;

use crate::body;
use crate::guard::Caller;
use crate::problem::Failure;
use crate::state::HttpState;

pub(super) async fn get(
    State(state): State<HttpState>,
    Caller(user): Caller,
) -> Result<Json<ProfileView>, Failure> {
    Ok(Json(state.app.profile(&user).await?))
}

pub(super) async fn put(
    State(state): State<HttpState>,
    Caller(user): Caller,
    body::Json(change): body::Json<PutProfile>,
) -> Result<Json<ProfileView>, Failure> {
    Ok(Json(state.app.put_profile(&user, change).await?))
}
