//! Every number the rules use, in one place. All are configuration; the defaults are the product's.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// The deadlines, limits and margins of the booking journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// How long a vehicle is held for a payment.
    pub hold: Span,
    /// The longest hold, counted from creation, when it is extended once while the customer authenticates.
    pub hold_max: Span,
    /// How long a quote stands: a declined payment may be tried again until then.
    pub quote_ttl: Span,
    /// How long after confirmation (or the start time, if later) the vehicle may be unlocked.
    pub unlock_window: Span,
    /// A vehicle that has not reported for this long is offline.
    pub heartbeat_timeout: Span,
    /// A confirmed booking whose vehicle stays offline for this long expires.
    pub offline_expiry: Span,
    /// How far ahead a booking may start.
    pub start_time_max_ahead: Span,
    /// The longest life of a command to a vehicle.
    pub command_ttl: Span,
    /// A command expires at least this long before the booking's deadline.
    pub command_margin: Span,
    /// The largest difference between the vehicle's clock and ours that is counted with.
    pub clock_skew: Span,
    /// The estimate for a booking that names no duration.
    pub default_duration: Span,
    /// The longest duration a rider may estimate.
    pub max_duration: Span,
    /// How fast an estimate assumes that a vehicle goes, metres per second.
    pub estimate_speed_m_per_s: u32,
    /// The same for cars.
    pub estimate_car_speed_m_per_s: u32,
    /// The hold on the card is the estimate times this, so that a longer ride is covered.
    pub hold_headroom: Decimal,
    /// A capture is made at least this long before the provider's hold ends.
    pub capture_margin: Span,
    /// How long a provider's hold lasts when it names no end (Stripe: 7 days).
    pub capture_validity: Span,
    /// How long the process that sends a gateway call may take before another looks after it.
    pub gateway_timeout: Span,
    /// First wait before an unsettled gateway call is looked up again; doubles up to `gateway_retry_max`.
    pub gateway_retry: Span,
    /// Longest wait between two look-ups of an unsettled gateway call.
    pub gateway_retry_max: Span,
    /// New bookings a user may make within `bookings_window`.
    pub bookings_per_window: u32,
    /// The window of `bookings_per_window`.
    pub bookings_window: Span,
    /// Search radius when none is named, metres.
    pub search_radius_m: u32,
    /// Largest search radius, metres.
    pub search_radius_max_m: u32,
    /// Search results when no limit is named.
    pub search_limit: u32,
    /// Most search results.
    pub search_limit_max: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hold: Span::from_minutes(5),
            hold_max: Span::from_minutes(10),
            quote_ttl: Span::from_minutes(15),
            unlock_window: Span::from_minutes(15),
            heartbeat_timeout: Span::from_minutes(5),
            offline_expiry: Span::from_minutes(10),
            start_time_max_ahead: Span::from_minutes(15),
            command_ttl: Span::from_seconds(30),
            command_margin: Span::from_seconds(15),
            clock_skew: Span::from_seconds(15),
            default_duration: Span::from_minutes(30),
            max_duration: Span::from_minutes(24 * 60),
            estimate_speed_m_per_s: 5,
            estimate_car_speed_m_per_s: 9,
            hold_headroom: Decimal::from_parts(15, 0, 0, false, 1),
            capture_margin: Span::from_minutes(60),
            capture_validity: Span::from_minutes(7 * 24 * 60),
            gateway_timeout: Span::from_seconds(10),
            gateway_retry: Span::from_seconds(1),
            gateway_retry_max: Span::from_minutes(5),
            bookings_per_window: 10,
            bookings_window: Span::from_minutes(1),
            search_radius_m: 1_000,
            search_radius_max_m: 10_000,
            search_limit: 20,
            search_limit_max: 100,
        }
    }
}
