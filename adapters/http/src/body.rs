//! Request bodies: read within the limit, then taken strictly.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::problem::{self, Failure};
use crate::state::HttpState;

/// A JSON body that must be there.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be absent: then it counts as `{}`.
pub(crate) struct OptionalJson<T>(pub(crate) T);

/// The body of a call that takes none: absent or `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl<T: DeserializeOwned> FromRequest<HttpState> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Failure> {
        require_json(request.headers())?;
        parse(&read(request, state).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<HttpState> for OptionalJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Failure> {
        let is_json = require_json(request.headers());
        let body = read(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        is_json?;
        parse(&body).map(Self)
    }
}

/// The whole body, unless it is larger than the limit.
pub(crate) async fn read(request: Request, state: &HttpState) -> Result<Bytes, Failure> {
    let limit = state.settings.body_limit;
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(problem::payload_too_large(limit));
    }
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            problem::payload_too_large(limit)
        } else {
            problem::malformed_json("the body could not be read to its end: send it again")
        }
    })
}

/// `application/json` or `application/...+json`, with parameters or without.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json =
        essence.strip_prefix("application/").is_some_and(|sub| sub == "json" || sub.ends_with("+json"));
    if is_json { Ok(()) } else { Err(problem::unsupported_media_type()) }
}

/// Text that is not JSON is malformed; JSON that does not fit is invalid.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // serde would also take an array for a struct, by the order of its fields: the contract has objects only.
    let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if !is_object {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|error| refusal(&error))?;
        return Err(problem::invalid("the body does not fit: it must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| refusal(&error))
}

fn refusal(error: &serde_json::Error) -> Failure {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            problem::malformed_json(format!("the body is not JSON: {error}"))
        }
        Category::Data => problem::invalid(format!("the body does not fit: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use rideplane_app::{CreateBooking, EndTrip, PutProfile};

    fn status<T: DeserializeOwned>(body: &str) -> u16 {
        parse::<T>(body.as_bytes()).map_or_else(|failure| failure.problem().status, |_| 200)
    }

    #[test]
    fn malformed_is_400_and_misfit_is_422() {
        for (body, expected) in [
            (r#"{"vehicle_id":"v"}"#, 200),
            (r#"{"vehicle_id":"v","start_time":null}"#, 200),
            ("", 400),
            ("{", 400),
            (r#"{"vehicle_id":"v"} x"#, 400),
            (r#"{"vehicle_id":'v'}"#, 400),
            ("{\"vehicle_id\":\"\u{1}\"}", 400),
            ("null", 422),
            ("{}", 422),
            (r#"["v"]"#, 422),
            (r#"["v""#, 400),
            (r#"{"vehicle_id":7}"#, 422),
            (r#"{"vehicle_id":"a b"}"#, 422),
            (r#"{"vehicle_id":"v","colour":"red"}"#, 422),
            (r#"{"vehicle_id":"v","vehicle_id":"w"}"#, 422),
            (r#"{"vehicle_id":"v","start_time":"tomorrow"}"#, 422),
            (r#"{"vehicle_id":"v","estimated_duration":1.5}"#, 422),
        ] {
            assert_eq!(status::<CreateBooking>(body), expected, "{body}");
        }
        assert_eq!(status::<EndTrip>(r#"{"lat":NaN,"lon":1}"#), 400);
        assert_eq!(status::<EndTrip>(r#"{"lat":1e999,"lon":1}"#), 400);
        assert_eq!(status::<PutProfile>(r#"{"role":"operator"}"#), 422);
        assert_eq!(status::<Nothing>("{}"), 200);
        assert_eq!(status::<Nothing>(r#"{"force":true}"#), 422);
        let deep = "[".repeat(10_000);
        assert_eq!(status::<Nothing>(&deep), 400);
        assert_eq!(status::<CreateBooking>(&format!(r#"{{"vehicle_id":{deep}}}"#)), 422);
        assert_eq!(status::<serde_json::Value>(&format!(r#"{{"vehicle_id":{deep}}}"#)), 400);
        assert!(parse::<CreateBooking>(b"\"\xff\"").is_err());
    }

    #[test]
    fn only_json_is_json() {
        let ok = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            require_json(&headers).is_ok()
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(ok(good), "{good}");
        }
        for bad in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "text/json"] {
            assert!(!ok(bad), "{bad}");
        }
        assert!(require_json(&HeaderMap::new()).is_err());
    }
}
