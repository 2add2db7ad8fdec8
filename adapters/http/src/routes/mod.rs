//! The table of routes.

mod bookings;
mod me;
mod operator;
mod search;
mod system;
mod test_gateway;
mod vehicles;
mod wait;
mod webhooks;

use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::guard::{Access, Guard, guard};
use crate::state::HttpState;

/// One call of the contract.
pub struct Endpoint {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    takes_query: bool,
    handler: MethodRouter<HttpState>,
}

impl Endpoint {
    fn get<H: Handler<T, HttpState>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        let handler = on(MethodFilter::GET, handler);
        Self { method: "GET", path, access, takes_query: false, handler }
    }

    fn post<H: Handler<T, HttpState>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        let handler = on(MethodFilter::POST, handler);
        Self { method: "POST", path, access, takes_query: false, handler }
    }

    fn put<H: Handler<T, HttpState>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        let handler = on(MethodFilter::PUT, handler);
        Self { method: "PUT", path, access, takes_query: false, handler }
    }

    fn with_query(mut self) -> Self {
        self.takes_query = true;
        self
    }

    /// The handler behind its guard.
    pub(crate) fn guarded(self, state: &HttpState) -> MethodRouter<HttpState> {
        let guard_state = Guard { state: state.clone(), access: self.access, takes_query: self.takes_query };
        self.handler.route_layer(from_fn_with_state(guard_state, guard))
    }
}

/// Every call there is.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    use Access::{Operator, Public, Rider};
    vec![
        Endpoint::get("/vehicles/search", Public, search::vehicles).with_query(),
        Endpoint::get("/fleet/available", Public, search::fleet).with_query(),
        Endpoint::get("/pricing/batch", Public, search::prices).with_query(),
        Endpoint::post("/bookings", Rider, bookings::create),
        Endpoint::get("/bookings", Rider, bookings::list).with_query(),
        Endpoint::get("/bookings/{id}", Rider, bookings::get),
        Endpoint::post("/bookings/{id}/confirm-payment", Rider, bookings::confirm_payment),
        Endpoint::post("/bookings/{id}/cancel", Rider, bookings::cancel),
        Endpoint::post("/bookings/{id}/end-trip", Rider, bookings::end_trip),
        Endpoint::post("/vehicles/{id}/unlock", Rider, vehicles::unlock),
        Endpoint::get("/me", Rider, me::get),
        Endpoint::put("/me", Rider, me::put),
        Endpoint::put("/operator/vehicles/{id}", Operator, operator::put_vehicle),
        Endpoint::post("/operator/vehicles/{id}/maintenance", Operator, operator::maintenance),
        Endpoint::post("/operator/vehicles/{id}/in-service", Operator, operator::in_service),
        Endpoint::post("/operator/vehicles/{id}/retire", Operator, operator::retire),
        Endpoint::post("/operator/bookings/{id}/end-trip", Operator, operator::end_trip),
        Endpoint::post("/webhooks/stripe", Public, webhooks::stripe),
        Endpoint::post("/test-gateway/payment-intents/{id}/authenticate", Public, test_gateway::authenticate),
        Endpoint::get("/healthz", Public, system::healthz),
        Endpoint::get("/readyz", Public, system::readyz),
        Endpoint::get("/metrics", Public, system::metrics),
        Endpoint::get("/openapi.json", Public, system::openapi),
        Endpoint::get("/docs", Public, system::docs),
    ]
}
