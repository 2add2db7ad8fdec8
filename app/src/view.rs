//! What the contract shows: plain data in its words, made from the core's states and never read back.

use rideplane_core::booking::{Booking, Status};
use rideplane_core::charge::Charge;
use rideplane_core::fleet::{FormFactor, PropulsionType};
use rideplane_core::ids::{
    BookingId, PaymentIntentId, PlanId, QuoteId, ReservationToken, UserId, VehicleId, VehicleTypeId, Version,
};
use rideplane_core::money::{Currency, Decimal, Money};
use rideplane_core::payment::PaymentStatus;
use rideplane_core::pricing::{LineItem, PlanVersion};
use rideplane_core::time::{Span, Timestamp};
use rideplane_ports::{Profile, Source, Stored};
use serde::Serialize;

/// A rate: exact, but not necessarily in whole minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateView {
    /// As text, in major units.
    pub amount: String,
    /// ISO 4217.
    pub currency: Currency,
}

/// The price of a vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PriceView {
    /// GBFS `plan_id`.
    pub plan_id: PlanId,
    /// Once a trip.
    pub unlock: RateView,
    /// Each minute, at the first segment's rate.
    pub per_minute: RateView,
    /// Each kilometre, at the first segment's rate.
    pub per_km: RateView,
    /// The multiplier now, as text.
    pub surge: String,
    /// A ride of the default duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Money>,
}

/// A free vehicle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VehicleView {
    /// GBFS `vehicle_id`.
    pub vehicle_id: VehicleId,
    /// GBFS `vehicle_type_id`.
    pub vehicle_type: VehicleTypeId,
    /// GBFS `form_factor`.
    pub form_factor: FormFactor,
    /// GBFS `propulsion_type`.
    pub propulsion_type: PropulsionType,
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// From where the rider searched, metres.
    pub distance_m: f64,
    /// From 0 to 1.
    pub current_fuel_percent: Option<Charge>,
    /// Metres.
    pub current_range_meters: Option<u32>,
    /// When the vehicle last said something.
    pub last_reported: Timestamp,
    /// Always `available` in a search.
    pub status: &'static str,
    /// Its price; the fleet's own search has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceView>,
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchView {
    /// Nearest first, ties by id.
    pub vehicles: Vec<VehicleView>,
    /// How old the answer may be.
    pub as_of: Timestamp,
    /// Where it came from.
    pub source: Source,
}

/// The price of one vehicle, in a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VehiclePriceView {
    /// Which vehicle.
    pub vehicle_id: VehicleId,
    /// Its price.
    pub price: PriceView,
}

/// A batch of prices. Vehicles that don't exist are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PricesView {
    /// In the order asked.
    pub prices: Vec<VehiclePriceView>,
    /// When they were made.
    pub as_of: Timestamp,
}

/// The promise of a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuoteView {
    /// Names it.
    pub quote_id: QuoteId,
    /// The plan's content hash.
    pub plan_version: PlanVersion,
    /// What the estimated ride costs.
    pub estimate: Money,
    /// What is held on the means of payment.
    pub hold: Money,
    /// How long it stands.
    pub expires_at: Timestamp,
    /// How the estimate comes about.
    pub line_items: Vec<LineItem>,
}

/// What the rider must do at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextActionView {
    /// Stripe's `next_action.type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Why a payment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureView {
    /// The provider's code, generic where it asks for that.
    pub reason: String,
    /// Whether another try or method may succeed.
    pub retryable: bool,
}

/// The money of a booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentView {
    /// Where it stands.
    pub status: PaymentStatus,
    /// Stripe's `pi_...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_intent_id: Option<PaymentIntentId>,
    /// For the rider's own client, to authenticate with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// What the rider must do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action: Option<NextActionView>,
    /// Ever held.
    pub authorized: Money,
    /// Charged.
    pub captured: Money,
    /// Given back after a charge.
    pub refunded: Money,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// A ride.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TripView {
    /// When the vehicle opened.
    pub started_at: Timestamp,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<i64>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<u64>,
}

/// What the ride costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptView {
    /// In all, tax included.
    pub total: Money,
    /// The tax in it.
    pub tax: Money,
    /// How it comes about; sums to the total.
    pub line_items: Vec<LineItem>,
    /// When it was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<Timestamp>,
}

/// A booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookingView {
    /// UUIDv7.
    pub booking_id: BookingId,
    /// Where it stands.
    pub status: Status,
    /// Why it ended without a ride.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<&'static str>,
    /// The vehicle.
    pub vehicle_id: VehicleId,
    /// Whose it is.
    pub user_id: UserId,
    /// The receipt of the reservation.
    pub reservation_token: ReservationToken,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the hold ends unless it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_until: Option<Timestamp>,
    /// When the rider means to start.
    pub start_time: Timestamp,
    /// The price promise.
    pub quote: QuoteView,
    /// The money.
    pub payment: PaymentView,
    /// The last instant at which the vehicle may be unlocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlock_expires_at: Option<Timestamp>,
    /// What the rider should know.
    pub warnings: Vec<&'static str>,
    /// The ride.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip: Option<TripView>,
    /// What it costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptView>,
    /// How many events it had.
    pub version: Version,
}

/// A list of bookings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BookingsView {
    /// Newest first.
    pub bookings: Vec<BookingView>,
    /// For the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<BookingId>,
}

/// A rider's profile.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ProfileView(pub Profile);

/// A vehicle as its operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorVehicleView {
    /// Which.
    pub vehicle_id: VehicleId,
    /// The operator's type.
    pub vehicle_type: VehicleTypeId,
    /// GBFS `form_factor`.
    pub form_factor: FormFactor,
    /// GBFS `propulsion_type`.
    pub propulsion_type: PropulsionType,
    /// Its pricing plan.
    pub plan_id: PlanId,
    /// Derived from rental, presence and service.
    pub status: &'static str,
    /// Degrees, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lat: Option<f64>,
    /// Degrees, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lon: Option<f64>,
    /// From 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_fuel_percent: Option<Charge>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_range_meters: Option<u32>,
    /// When it last said something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reported: Option<Timestamp>,
    /// How many events it had.
    pub version: Version,
}

impl RateView {
    /// A rate, with at least the currency's decimals.
    #[must_use]
    pub fn new(rate: Decimal, currency: Currency) -> Self {
        let mut amount = rate.normalize();
        if amount.scale() < currency.exponent() {
            amount.rescale(currency.exponent());
        }
        Self { amount: amount.to_string(), currency }
    }
}

impl BookingView {
    /// The booking as its rider sees it.
    #[must_use]
    pub fn new(stored: &Stored<Booking>) -> Self {
        let booking = &stored.state;
        let quote = &booking.quote;
        Self {
            booking_id: booking.id,
            status: booking.status(),
            status_reason: booking.status_reason().map(|reason| reason.as_str()),
            vehicle_id: booking.vehicle_id.clone(),
            user_id: booking.user_id.clone(),
            reservation_token: booking.reservation_token,
            created_at: booking.created_at,
            reserve_until: booking.reserve_until(),
            start_time: booking.start_time,
            quote: QuoteView {
                quote_id: quote.quote_id,
                plan_version: quote.plan_version(),
                estimate: quote.estimate,
                hold: quote.hold,
                expires_at: quote.expires_at,
                line_items: quote.line_items.clone(),
            },
            payment: payment(booking),
            unlock_expires_at: booking.unlock_expires_at(),
            warnings: warnings(booking),
            trip: trip(booking),
            receipt: receipt(booking),
            version: stored.version,
        }
    }
}

fn payment(booking: &Booking) -> PaymentView {
    let payment = &booking.payment;
    // A secret that can still authenticate something is shown only while there is something to authenticate.
    let is_open = !booking.status().is_terminal();
    PaymentView {
        status: payment.status(),
        payment_intent_id: payment.intent().cloned(),
        client_secret: payment.client_secret().filter(|_| is_open).map(|secret| secret.expose().to_owned()),
        next_action: payment
            .next_action()
            .map(|action| NextActionView { kind: action.kind.to_string(), url: action.url.clone() }),
        authorized: payment.authorized(),
        captured: payment.captured(),
        refunded: payment.refunded(),
        failure: payment
            .failure()
            .map(|failure| FailureView { reason: failure.reason.to_string(), retryable: failure.retryable }),
    }
}

fn warnings(booking: &Booking) -> Vec<&'static str> {
    let mut warnings = Vec::new();
    if booking.reservation.is_live() && booking.reservation.vehicle_offline_since.is_some() {
        warnings
            .push("vehicle_offline: the vehicle can't be reached at the moment; try again shortly or cancel");
    }
    let waiting = match booking.payment.status() {
        PaymentStatus::Unknown | PaymentStatus::Authorizing => true,
        PaymentStatus::None
        | PaymentStatus::RequiresAction
        | PaymentStatus::Authorized
        | PaymentStatus::Capturing
        | PaymentStatus::Captured
        | PaymentStatus::Releasing
        | PaymentStatus::Released
        | PaymentStatus::Declined
        | PaymentStatus::Expired
        | PaymentStatus::Quarantined => false,
    };
    if waiting && !booking.status().is_terminal() {
        warnings.push("payment_provider_slow: the payment provider has not answered yet; we keep asking");
    }
    if booking.payment.shortfall().is_some() {
        warnings.push("payment_shortfall: the ride cost more than was held; the rest is still to be paid");
    }
    warnings
}

fn trip(booking: &Booking) -> Option<TripView> {
    let trip = booking.trip.as_ref()?;
    let end = trip.end.as_ref();
    Some(TripView {
        started_at: trip.started_at,
        ended_at: end.map(|end| end.ended_at),
        duration_s: booking.trip_duration().map(Span::as_seconds),
        distance_m: end.map(|end| end.distance_m),
    })
}

fn receipt(booking: &Booking) -> Option<ReceiptView> {
    let end = booking.trip_end()?;
    Some(ReceiptView {
        total: end.fare.total,
        tax: end.fare.tax,
        line_items: end.fare.line_items.clone(),
        captured_at: booking.payment.captured_at(),
    })
}
