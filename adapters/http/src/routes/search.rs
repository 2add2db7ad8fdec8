//! Search and prices, for everybody.

use axum::Json;
use axum::extract::State;
use rideplane_app::SearchQuery;
use rideplane_app::view::{PricesView, SearchView};
use rideplane_core::ids::VehicleId;

use crate::problem::Failure;
use crate::query::Params;
use crate::state::HttpState;

pub(super) async fn vehicles(
    State(state): State<HttpState>,
    Params(query): Params<SearchQuery>,
) -> Result<Json<SearchView>, Failure> {
    Ok(Json(state.app.search(&query).await?))
}

pub(super) async fn fleet(
    State(state): State<HttpState>,
    Params(query): Params<SearchQuery>,
) -> Result<Json<SearchView>, Failure> {
    Ok(Json(state.app.fleet_search(&query).await?))
}

pub(super) async fn prices(
    State(state): State<HttpState>,
    Params(ids): Params<Vec<VehicleId>>,
) -> Result<Json<PricesView>, Failure> {
    Ok(Json(state.app.prices(&ids).await?))
}
