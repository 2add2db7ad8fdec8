//! Query parameters: only known ones, each once, each named when it can't be.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use rideplane_app::{ListBookings, SearchQuery};
use rideplane_core::booking::Status;
use rideplane_core::ids::VehicleId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::{self, Failure};

/// Checked query parameters.
pub(crate) struct Params<T>(pub(crate) T);

/// Query parameters as text, and what becomes of them.
pub(crate) trait FromText: Sized {
    /// The parameters as they come: unknown names and repeats are refused on the way here.
    type Text: DeserializeOwned;

    fn from_text(text: Self::Text) -> Result<Self, Failure>;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchText {
    lat: Option<String>,
    lon: Option<String>,
    #[serde(rename = "type")]
    vehicle_type: Option<String>,
    radius_m: Option<String>,
    limit: Option<String>,
    min_battery: Option<String>,
    min_range_m: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PricesText {
    vehicle_ids: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListText {
    status: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

impl<S: Sync, T: FromText> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let text = Query::<T::Text>::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let cause = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            problem::invalid(format!("the query does not fit: {cause}"))
        })?;
        T::from_text(text.0).map(Self)
    }
}

impl FromText for SearchQuery {
    type Text = SearchText;

    fn from_text(text: SearchText) -> Result<Self, Failure> {
        Ok(Self {
            lat: degrees("lat", text.lat, 90.0)?,
            lon: degrees("lon", text.lon, 180.0)?,
            vehicle_type: text.vehicle_type,
            radius_m: number("radius_m", text.radius_m)?,
            limit: parsed("limit", text.limit, "a whole number, 1 or more")?,
            min_battery: number("min_battery", text.min_battery)?,
            min_range_m: parsed("min_range_m", text.min_range_m, "a whole number of metres, 0 or more")?,
        })
    }
}

impl FromText for Vec<VehicleId> {
    type Text = PricesText;

    fn from_text(text: PricesText) -> Result<Self, Failure> {
        let name = "vehicle_ids";
        let ids = text.vehicle_ids.ok_or_else(|| missing(name))?;
        let id = |id: &str| {
            VehicleId::new(id).map_err(|error| problem::invalid_parameter(name, format!("{name}: {error}")))
        };
        ids.split(',').map(id).collect()
    }
}

impl FromText for ListBookings {
    type Text = ListText;

    fn from_text(text: ListText) -> Result<Self, Failure> {
        let status = match text.status {
            Some(status) => Some(status_of(&status)?),
            None => None,
        };
        let cursor = parsed("cursor", text.cursor, "the next_cursor of another page")?;
        let limit = parsed("limit", text.limit, "a whole number, 1 or more")?;
        Ok(Self { status, cursor, limit })
    }
}

fn status_of(text: &str) -> Result<Status, Failure> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|error| problem::invalid_parameter("status", format!("status: {error}")))
}

fn missing(name: &str) -> Failure {
    problem::invalid_parameter(name, format!("the query parameter {name} is missing"))
}

fn degrees(name: &str, text: Option<String>, most: f64) -> Result<f64, Failure> {
    let value = number(name, text)?.ok_or_else(|| missing(name))?;
    if value.abs() <= most {
        return Ok(value);
    }
    Err(problem::invalid_parameter(
        name,
        format!("{name} {value} is out of range: -{most} to {most} degrees"),
    ))
}

fn number(name: &str, text: Option<String>) -> Result<Option<f64>, Failure> {
    let value = parsed::<f64>(name, text, "a number")?;
    match value {
        Some(value) if !value.is_finite() => {
            Err(problem::invalid_parameter(name, format!("{name} is not a finite number")))
        }
        Some(_) | None => Ok(value),
    }
}

fn parsed<T: FromStr>(name: &str, text: Option<String>, rule: &str) -> Result<Option<T>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let shown: String = text.chars().take(64).collect();
    let refused = || problem::invalid_parameter(name, format!("{name} {shown:?} can't be: it is {rule}"));
    text.parse().map(Some).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn read<T: FromText>(query: &str) -> Result<T, (u16, String, Option<String>)> {
        let (mut parts, ()) = Request::builder().uri(format!("/x?{query}")).body(()).unwrap().into_parts();
        let params = Params::<T>::from_request_parts(&mut parts, &()).await;
        params.map(|params| params.0).map_err(|failure| {
            let problem = failure.problem();
            let name = problem.members.get("parameter").and_then(|name| name.as_str()).map(str::to_owned);
            (problem.status, problem.detail.clone(), name)
        })
    }

    #[tokio::test]
    async fn a_search_is_read_as_meant() {
        let query: SearchQuery =
            read("lat=-90&lon=180&type=e%2Dbike&radius_m=1e3&limit=5&min_battery=0.2&min_range_m=0")
                .await
                .unwrap();
        assert_eq!((query.lat, query.lon, query.radius_m), (-90.0, 180.0, Some(1000.0)));
        assert_eq!(query.vehicle_type.as_deref(), Some("e-bike"));
        assert_eq!((query.limit, query.min_battery, query.min_range_m), (Some(5), Some(0.2), Some(0)));
    }

    #[tokio::test]
    async fn what_can_t_be_is_named() {
        for (query, name) in [
            ("lon=8", "lat"),
            ("lat=50", "lon"),
            ("lat=91&lon=8", "lat"),
            ("lat=-90.0001&lon=8", "lat"),
            ("lat=50&lon=180.5", "lon"),
            ("lat=NaN&lon=8", "lat"),
            ("lat=50&lon=inf", "lon"),
            ("lat=1e999&lon=8", "lat"),
            ("lat=&lon=8", "lat"),
            ("lat=50&lon=8&radius_m=nan", "radius_m"),
            ("lat=50&lon=8&limit=-1", "limit"),
            ("lat=50&lon=8&limit=1.5", "limit"),
            ("lat=50&lon=8&min_battery=full", "min_battery"),
            ("lat=50&lon=8&min_range_m=99999999999", "min_range_m"),
        ] {
            let (status, detail, parameter) = read::<SearchQuery>(query).await.unwrap_err();
            assert_eq!((status, parameter.as_deref()), (422, Some(name)), "{query}: {detail}");
            assert!(detail.contains(name), "{detail}");
        }
        for (query, name) in [("lat=50&lon=8&colour=red", "colour"), ("lat=50&lat=51&lon=8", "lat")] {
            let (status, detail, _) = read::<SearchQuery>(query).await.unwrap_err();
            assert_eq!(status, 422);
            assert!(detail.contains(name), "{detail}");
        }
    }

    #[tokio::test]
    async fn lists_and_batches() {
        assert_eq!(read::<Vec<VehicleId>>("vehicle_ids=a,b").await.unwrap().len(), 2);
        for query in ["", "vehicle_ids=", "vehicle_ids=a,,b", "vehicle_ids=a%20b"] {
            assert_eq!(read::<Vec<VehicleId>>(query).await.unwrap_err().0, 422, "{query}");
        }
        let list: ListBookings = read("status=pending_payment&limit=3").await.unwrap();
        assert_eq!((list.status, list.limit), (Some(Status::PendingPayment), Some(3)));
        for (query, name) in [("status=lost", "status"), ("cursor=1", "cursor"), ("limit=x", "limit")] {
            assert_eq!(read::<ListBookings>(query).await.unwrap_err().2.as_deref(), Some(name));
        }
    }
}
