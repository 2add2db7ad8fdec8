//! What a ride costs: GBFS 3.1 pricing plans, itemised fares and locked quotes.
//!
//! A [`PricingPlan`] is GBFS `system_pricing_plans.json` → `data.plans[]`, checked once when it is read, with
//! three optional fields of our own (`vat`, `minimum_fare`, `rounding`) and amounts written as exact strings. [`fare`] turns a
//! plan, a [`Usage`] and a [`Surge`] into a [`Fare`]: pure, exact, and explained by [`LineItem`]s that sum to the
//! total to the last minor unit. A [`Quote`] locks plan and surge, so that [`Quote::settle`] charges by the
//! promise the rider accepted, whatever the catalogue says by then.
//!
//! # How a fare is built
//! 1. **Unlock**: `price`, once per trip.
//! 2. **Segments** of `per_min_pricing` and `per_km_pricing`, all of which add up (GBFS). A segment charges its
//!    `rate` at `start` (inclusive) and at each further `interval` begun, up to but excluding `end`; an
//!    `interval` of 0 charges once. So a segment that starts at 30 charges at 30 minutes sharp, and one that starts
//!    at 0 charges a trip of no length at all.
//! 3. **Surge**: the minute and kilometre part times the multiplier, only for plans with `surge_pricing`.
//! 4. **Fare cap** (`fare_capping`): a trip is cut into windows of `duration` minutes from its start, each including
//!    its first instant; a window begun counts. What the unlock and the minutes charge inside a window is held
//!    to the cap's `price`. A trip meter says how far, not when, so the kilometres have no window of their own:
//!    they are added to that sum, which is then held to `price` x windows begun.
//! 5. **Reservation**: `reservation_price_flat_rate` once, or `reservation_price_per_min` per minute begun. The
//!    cap does not cover it and surge does not raise it.
//! 6. **Minimum fare**, and never less than nothing: a discount can't turn into a payout.
//! 7. **VAT**: added on top, or contained and shown.
//! 8. **One rounding** of the exact total to the minor unit. Each line item is shown rounded by the same mode;
//!    what these roundings leave over is a line item itself.
//!
//! ```
//! use rideplane_core::pricing::{PricingPlan, Surge, Usage, fare};
//! use rideplane_core::time::Span;
//! let plan: PricingPlan = serde_json::from_str(r#"{
//!     "plan_id": "city", "currency": "EUR", "price": "1.00", "is_taxable": false,
//!     "per_min_pricing": [{"start": 0, "rate": "0.23", "interval": 1}]
//! }"#)?;
//! let usage = Usage { ride: Span::from_seconds(9 * 60 + 30), distance_m: 2_400, reserved: Span::ZERO };
//! let fare = fare(&plan, &usage, Surge::NONE)?;
//! assert_eq!(fare.total.to_string(), "3.30 EUR");
//! assert_eq!(fare.line_items.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalogue;
mod exact;
mod fare;
mod plan;
mod quote;
mod spec;
mod version;

#[cfg(test)]
mod tests;

pub use catalogue::PlanCatalogue;
pub use fare::{Fare, LineItem, PricingError, Rule, Surge, Usage, fare};
pub use plan::{FareCapping, InvalidPlan, PricingPlan, Reservation, Segment, Vat};
pub use quote::Quote;
pub use spec::{Amount, FareCappingSpec, LocalizedText, PlanSpec, SegmentSpec, VatSpec};
pub use version::{InvalidPlanVersion, PlanVersion};
