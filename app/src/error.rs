//! What callers are told when something is not done, as RFC 9457 problems.

use rideplane_core::booking::{self, journey};
use rideplane_core::fleet;
use rideplane_core::time::Span;
use rideplane_ports::{CommitError, Kind, PortError, Retry};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::view::VehicleView;

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such thing here, or it belongs to somebody else")]
    NotFound,
    /// The request can't mean anything.
    #[error("{0}")]
    Invalid(String),
    /// The key was used for another request.
    #[error("this Idempotency-Key was used for a different request: take a new key for a new request")]
    IdempotencyKeyReused,
    /// The first request with the key is not answered yet.
    #[error("the first request with this Idempotency-Key is still being carried out: repeat it shortly")]
    RequestInFlight,
    /// Somebody else has the vehicle.
    #[error("vehicle {vehicle_id} is no longer available: {why}")]
    VehicleUnavailable {
        /// Which vehicle.
        vehicle_id: String,
        /// Why.
        why: String,
        /// Free vehicles near it.
        alternatives: Vec<VehicleView>,
    },
    /// The booking would start in the past or too far ahead.
    #[error("{0}")]
    StartTimeOutOfRange(String),
    /// Too many bookings.
    #[error("at most {limit} bookings in {window_s} s: wait {retry_after_s} s")]
    RateLimited {
        /// How many are allowed.
        limit: u32,
        /// In which time.
        window_s: i64,
        /// When to come back.
        retry_after_s: i64,
    },
    /// Not in this state.
    #[error("{0}")]
    WrongState(String),
    /// The card was declined.
    #[error("the payment was declined: {reason}")]
    PaymentFailed {
        /// The provider's reason, generic where the provider asks for it.
        reason: String,
        /// Whether another try, or another method, may succeed.
        retryable: bool,
    },
    /// The provider does not answer; the outcome is not known yet.
    #[error(
        "the payment provider has not answered yet; the outcome is open and is being looked up: repeat the call shortly"
    )]
    PaymentProviderUnavailable,
    /// The vehicle can't be reached.
    #[error("{0}")]
    VehicleOffline(String),
    /// The vehicle did not open.
    #[error("{0}")]
    UnlockFailed(String),
    /// The vehicle did not lock.
    #[error("{0}")]
    LockFailed(String),
    /// Not here.
    #[error("a ride may not end here: park the vehicle in an allowed zone, then end the trip again")]
    ParkingNotAllowed,
    /// Not this user.
    #[error("this needs the role operator")]
    Forbidden,
    /// The store or another part that everything needs is down, or did not say how it ended.
    #[error("{}: try again in {retry_after_s} s", not_done(source))]
    Unavailable {
        /// When to come back.
        retry_after_s: i64,
        /// The cause, for the log.
        #[source]
        source: PortError,
    },
    /// A defect of ours.
    #[error("an internal error: it is logged with the request id")]
    Internal {
        /// The cause, for the log.
        #[source]
        source: PortError,
    },
}

/// What is known of a call that a port did not answer well.
fn not_done(error: &PortError) -> &'static str {
    match error.kind() {
        Kind::OutcomeUnknown => {
            "whether this was done is not known yet; repeat the very same request, which never does it twice"
        }
        Kind::NotFound
        | Kind::Conflict
        | Kind::Unavailable
        | Kind::RateLimited
        | Kind::Rejected
        | Kind::Corrupt => "the service can't do this right now; nothing is half done",
    }
}

/// An RFC 9457 problem.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// Names the kind of problem; ends in the name of the contract.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time and what to do.
    pub detail: String,
    /// The request, for support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The members of this kind.
    #[serde(flatten)]
    pub members: Map<String, Value>,
    /// For the header `Retry-After`, seconds.
    #[serde(skip)]
    pub retry_after_s: Option<i64>,
}

/// The prefix of every problem's `type`. An identifier, not an address.
pub const PROBLEM_PREFIX: &str = "https://rideplane.dev/problems/";

impl Problem {
    /// A problem of the contract.
    #[must_use]
    pub fn new(name: &str, title: &'static str, status: u16, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{PROBLEM_PREFIX}{name}"),
            title,
            status,
            detail: detail.into(),
            request_id: None,
            members: Map::new(),
            retry_after_s: None,
        }
    }

    /// With a member of its kind.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.members.insert(name.to_owned(), value);
        self
    }

    /// With a time to come back.
    #[must_use]
    pub const fn retry_after(mut self, seconds: i64) -> Self {
        self.retry_after_s = Some(if seconds < 1 { 1 } else { seconds });
        self
    }
}

impl AppError {
    /// The problem that the caller is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let new = |name, title, status| Problem::new(name, title, status, self.to_string());
        match self {
            Self::NotFound => new("not-found", "Not found", 404),
            Self::Invalid(_) => new("invalid-request", "Invalid request", 422),
            Self::IdempotencyKeyReused => new("idempotency-key-reused", "Idempotency-Key reused", 422),
            Self::RequestInFlight => new("request-in-flight", "Request in flight", 409).retry_after(1),
            Self::VehicleUnavailable { alternatives, .. } => {
                new("vehicle-unavailable", "Vehicle no longer available", 409)
                    .with("alternatives", alternatives)
            }
            Self::StartTimeOutOfRange(_) => new("start-time-out-of-range", "Start time out of range", 422),
            Self::RateLimited { retry_after_s, .. } => {
                new("rate-limited", "Too many bookings", 429).retry_after(*retry_after_s)
            }
            Self::WrongState(_) => new("wrong-state", "Not in this state", 409),
            Self::PaymentFailed { reason, retryable } => new("payment-failed", "Payment failed", 400)
                .with("reason", reason)
                .with("retryable", retryable),
            Self::PaymentProviderUnavailable => {
                new("payment-provider-unavailable", "Payment provider unavailable", 503).retry_after(1)
            }
            Self::VehicleOffline(_) => new("vehicle-offline", "Vehicle offline", 409).retry_after(30),
            Self::UnlockFailed(_) => {
                new("unlock-failed", "Unlock failed", 503).with("retryable", true).retry_after(1)
            }
            Self::LockFailed(_) => {
                new("lock-failed", "Lock failed", 503).with("retryable", true).retry_after(1)
            }
            Self::ParkingNotAllowed => new("parking-not-allowed", "Parking not allowed", 409),
            Self::Forbidden => new("forbidden", "Forbidden", 403),
            Self::Unavailable { retry_after_s, .. } => {
                new("service-unavailable", "Service unavailable", 503).retry_after(*retry_after_s)
            }
            Self::Internal { .. } => new("internal-error", "Internal error", 500),
        }
    }
}

impl From<PortError> for AppError {
    fn from(error: PortError) -> Self {
        match error.kind() {
            Kind::Unavailable | Kind::RateLimited | Kind::OutcomeUnknown | Kind::Conflict => {
                let wait = match error.retry() {
                    Retry::After(span) => span,
                    Retry::Safe | Retry::Never => Span::from_seconds(1),
                };
                Self::Unavailable { retry_after_s: wait.as_seconds().max(1), source: error }
            }
            Kind::NotFound | Kind::Rejected | Kind::Corrupt => Self::Internal { source: error },
        }
    }
}

impl From<CommitError> for AppError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Port(error) => error.into(),
            CommitError::IdempotencyConflict => Self::RequestInFlight,
            CommitError::VersionConflict { .. } => crate::execute::contention(),
            // Every use case that sets a quota answers it itself.
            CommitError::QuotaExceeded { .. } => {
                Self::RateLimited { limit: 0, window_s: 0, retry_after_s: 1 }
            }
        }
    }
}

impl From<journey::Rejection> for AppError {
    fn from(rejection: journey::Rejection) -> Self {
        let text = rejection.to_string();
        match rejection {
            journey::Rejection::NotHeld => Self::NotFound,
            journey::Rejection::VehicleOffline { .. } => Self::VehicleOffline(text),
            journey::Rejection::OutOfService => Self::WrongState(text),
            journey::Rejection::StartTimeOutOfRange { .. } => Self::StartTimeOutOfRange(text),
            journey::Rejection::Vehicle(fleet::Rejection::Unavailable { .. }) => {
                Self::VehicleUnavailable { vehicle_id: String::new(), why: text, alternatives: Vec::new() }
            }
            journey::Rejection::Vehicle(_) => Self::WrongState(text),
            journey::Rejection::Booking(booking::Rejection::ParkingNotAllowed) => Self::ParkingNotAllowed,
            journey::Rejection::Booking(booking::Rejection::NotFound) => Self::NotFound,
            journey::Rejection::Booking(
                booking::Rejection::WrongStatus { .. }
                | booking::Rejection::CommandPending { .. }
                | booking::Rejection::Reservation(_)
                | booking::Rejection::Payment(_)
                | booking::Rejection::Command(_),
            ) => Self::WrongState(text),
            journey::Rejection::Booking(booking::Rejection::Pricing(_)) => Self::Invalid(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_outcome_is_told_as_one() {
        let told = |kind| AppError::from(PortError::new(kind, "store.commit", "")).problem();
        let (open, down) = (told(Kind::OutcomeUnknown), told(Kind::Unavailable));
        assert!(open.detail.contains("not known yet") && down.detail.contains("nothing is half done"));
        assert_eq!((open.status, open.retry_after_s), (down.status, down.retry_after_s));
    }
}
