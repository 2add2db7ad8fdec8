//! Request ids and idempotency keys.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rideplane_ports::IdempotencyKey;

use crate::problem::{self, Failure};

/// Names a request in its response, its problem and its log lines.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// IETF draft-ietf-httpapi-idempotency-key-header.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that a response is an earlier one again.
pub(crate) const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// IETF draft-ietf-httpapi-ratelimit-headers.
pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A request's id: the client's, where it sent one that is safe to log, else ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The client's id: once, 1 to 128 letters, digits and `- _ . :`.
    pub(crate) fn from_client(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        let text = value.to_str().ok()?;
        ((1..=128).contains(&text.len()) && text.bytes().all(safe)).then(|| Self(text.into()))
    }

    /// Our own.
    pub(crate) fn from_fresh(fresh: u128) -> Self {
        Self(format!("{fresh:032x}").into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The one `Idempotency-Key` that a request must have.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Failure> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = values.next().ok_or_else(problem::idempotency_key_missing)?;
    if values.next().is_some() {
        return Err(problem::invalid("there are several Idempotency-Key headers: send one"));
    }
    if value.is_empty() {
        return Err(problem::idempotency_key_missing());
    }
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    IdempotencyKey::new(text).map_err(|error| problem::invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_client_s_request_id_is_taken_only_when_it_is_safe_to_log() {
        let id = |values: &[&[u8]]| RequestId::from_client(&with(&X_REQUEST_ID, values));
        assert_eq!(id(&[b"a-1_2.3:Z"]).unwrap().as_str(), "a-1_2.3:Z");
        assert_eq!(id(&[&[b'a'; 128]]).unwrap().as_str().len(), 128);
        for bad in [&b""[..], b"a b", b"a\tb", b"\xff", b"mail@example.com", b"a;b", &[b'a'; 129]] {
            assert_eq!(id(&[bad]), None, "{bad:?}");
        }
        assert_eq!(id(&[b"a", b"b"]), None);
        assert_eq!(id(&[]), None);
    }

    #[test]
    fn an_idempotency_key_is_there_once_and_printable() {
        let status = |values: &[&[u8]]| match idempotency_key(&with(&IDEMPOTENCY_KEY, values)) {
            Ok(_) => 200,
            Err(failure) => failure.problem().status,
        };
        assert_eq!(status(&[b"k"]), 200);
        assert_eq!(status(&[&[b'k'; 255]]), 200);
        assert_eq!(status(&[]), 400);
        assert_eq!(status(&[b""]), 400);
        assert_eq!(status(&[&[b'k'; 256]]), 422);
        assert_eq!(status(&[b"\xe4"]), 422);
        assert_eq!(status(&[b"a", b"a"]), 422);
    }
}
