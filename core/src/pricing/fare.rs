//! The fare of a trip, item by item. The [module](super) says in which order.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::exact::{
    FARE_SCALE, PRICE_SCALE, SURGE_SCALE, TAXED_SCALE, VAT_SCALE, decimal, fixed, pow10, round_ratio,
};
use super::plan::{FareCapping, InvalidPlan, PricingPlan, Reservation, Segment, Vat};
use crate::money::{Money, MoneyError};
use crate::time::Span;

/// What is charged for: how long the vehicle was ridden and reserved, and how far it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// From the start of the trip to its end, pauses included.
    pub ride: Span,
    /// The distance of the trip, metres.
    pub distance_m: u64,
    /// From the reservation to the start of the trip, at most the vehicle type's `default_reserve_time`.
    pub reserved: Span,
}

/// The factor of demand on the minute and kilometre part: 0 to 10, at most 4 decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Decimal", into = "Decimal")]
pub struct Surge(Decimal);

/// What a trip costs and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fare {
    /// What the rider pays; never negative.
    pub total: Money,
    /// The VAT within `total`; nothing when the plan names none.
    pub tax: Money,
    /// The reasons, in the order they were applied. Their amounts sum to `total` exactly. What comes to nothing has
    /// no item; nor has VAT that prices contain, which is in every item and shown as `tax`.
    pub line_items: Vec<LineItem>,
}

/// One reason of a fare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineItem {
    /// The rule that charged it.
    pub rule: Rule,
    /// The rule in words.
    pub description: Cow<'static, str>,
    /// How often `unit_amount` was charged: intervals, minutes, a VAT rate, a surge less one.
    pub quantity: Decimal,
    /// What was charged each time, in major units.
    pub unit_amount: Decimal,
    /// `quantity` x `unit_amount`, rounded by the plan's mode. Negative when it lowers the fare.
    pub amount: Money,
}

/// The rules of a fare, in the order they apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// GBFS `price`.
    Unlock,
    /// A segment of GBFS `per_min_pricing`.
    PerMin,
    /// A segment of GBFS `per_km_pricing`.
    PerKm,
    /// What demand adds to, or takes from, the minute and kilometre part.
    Surge,
    /// What GBFS `fare_capping` takes off.
    FareCap,
    /// GBFS `reservation_price_per_min` or `reservation_price_flat_rate`.
    Reservation,
    /// What lifts the fare to the minimum, or to nothing when discounts exceed the charges.
    MinimumFare,
    /// Value added tax on top.
    Vat,
    /// What rounding the items one by one differs from rounding their exact sum once.
    Rounding,
}

/// Why there is no fare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// A length of time that points to the past.
    #[error("{field} is {value}: a trip can't last less than nothing")]
    NegativeUsage {
        /// The field of [`Usage`].
        field: &'static str,
        /// Its value.
        value: Span,
    },
    /// A factor outside of its bounds.
    #[error("a surge of {0} is refused: it goes from 0 to 10 with at most 4 decimals")]
    SurgeOutOfRange(Decimal),
    /// A trip over more windows of `fare_capping` than are worth looking at one by one.
    #[error(
        "the ride spans {windows} periods of fare_capping, at most {MAX_WINDOWS} are charged: check its end"
    )]
    TooManyWindows {
        /// The windows that it spans.
        windows: u64,
    },
    /// An amount that can't be charged.
    #[error("the {0} is out of range: check the usage and the prices of the plan")]
    Overflow(&'static str),
    /// A plan that can't be charged by.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// Amounts that can't be combined.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Windows of `fare_capping` per trip: 11 years of one hour each.
const MAX_WINDOWS: u64 = 100_000;
const MINUTE: u64 = 60_000_000;
const KM: u64 = 1_000;

impl Surge {
    /// No surge: times one.
    pub const NONE: Self = Self(Decimal::ONE);

    /// Checks the factor.
    ///
    /// # Errors
    /// [`PricingError::SurgeOutOfRange`] unless it is from 0 to 10 with at most 4 decimals.
    pub fn new(factor: Decimal) -> Result<Self, PricingError> {
        let normal = factor.normalize();
        let fits = !normal.is_sign_negative() && normal <= Decimal::TEN && normal.scale() <= SURGE_SCALE;
        if fits { Ok(Self(normal)) } else { Err(PricingError::SurgeOutOfRange(factor)) }
    }

    /// The factor.
    #[must_use]
    pub const fn factor(self) -> Decimal {
        self.0
    }
}

impl Default for Surge {
    fn default() -> Self {
        Self::NONE
    }
}

impl TryFrom<Decimal> for Surge {
    type Error = PricingError;
    fn try_from(factor: Decimal) -> Result<Self, PricingError> {
        Self::new(factor)
    }
}

impl From<Surge> for Decimal {
    fn from(surge: Surge) -> Self {
        surge.0
    }
}

/// The fare of a trip under a plan. `surge` counts only if the plan has `surge_pricing`.
///
/// # Errors
/// When a duration is negative, an amount does not fit, or the ride spans more than 100,000 windows of
/// `fare_capping`. Never panics, and takes time by the number of segments (and windows), not by the trip's length.
pub fn fare(plan: &PricingPlan, usage: &Usage, surge: Surge) -> Result<Fare, PricingError> {
    let ride = positive("ride", usage.ride)?;
    let reserved = positive("reserved", usage.reserved)?;
    let surge = if plan.surge_pricing() { surge } else { Surge::NONE };
    let factor = within(fixed(surge.0, SURGE_SCALE), "surge")?;

    let mut bill = Bill::new(plan);
    bill.charge(Rule::Unlock, "unlocking, once per trip", 1, plan.unlock())?;
    bill.segments(Rule::PerMin, "riding time, per interval begun", plan.per_min_pricing(), (ride, MINUTE))?;
    let odometer = (usage.distance_m, KM);
    let distance =
        bill.segments(Rule::PerKm, "distance, per interval begun", plan.per_km_pricing(), odometer)?;
    bill.surge(surge, factor)?;
    if let Some(cap) = plan.fare_capping() {
        bill.cap(cap, ride, within(distance.checked_mul(factor), "distance charge")?, factor)?;
    }
    match plan.reservation() {
        Some(Reservation::PerMinute(price)) => {
            bill.charge(
                Rule::Reservation,
                "reservation, per minute begun",
                reserved.div_ceil(MINUTE),
                price,
            )?;
        }
        Some(Reservation::FlatRate(price)) => {
            bill.charge(Rule::Reservation, "reservation, flat rate", u64::from(reserved > 0), price)?;
        }
        None => {}
    }
    bill.minimum()?;
    bill.settle()
}

fn positive(field: &'static str, value: Span) -> Result<u64, PricingError> {
    u64::try_from(value.as_micros()).map_err(|_| PricingError::NegativeUsage { field, value })
}

fn within<T>(value: Option<T>, what: &'static str) -> Result<T, PricingError> {
    value.ok_or(PricingError::Overflow(what))
}

/// What a plan's price is in the scale of a fare.
fn in_fare_scale(price: Decimal) -> Result<i128, PricingError> {
    within(fixed(price, FARE_SCALE), "price")
}

/// What the minute segments have charged when the ride is at `reading`, in the scale of prices.
fn minute_charges(segments: &[Segment], reading: u64) -> Option<i128> {
    segments.iter().try_fold(0_i128, |sum, segment| {
        let charges = i128::from(segment.charges(reading, MINUTE));
        sum.checked_add(fixed(segment.rate(), PRICE_SCALE)?.checked_mul(charges)?)
    })
}

/// A fare in the making: the exact sum, in units of 10^-`FARE_SCALE`, beside the items as they will be shown.
struct Bill<'a> {
    plan: &'a PricingPlan,
    exponent: u32,
    exact: i128,
    metered: i128,
    shown: i64,
    items: Vec<LineItem>,
}

impl<'a> Bill<'a> {
    fn new(plan: &'a PricingPlan) -> Self {
        // Room for every segment and for each other rule once, so that the list never grows.
        let most = plan.per_min_pricing().len().saturating_add(plan.per_km_pricing().len()).saturating_add(4);
        let exponent = plan.currency().exponent();
        Self { plan, exponent, exact: 0, metered: 0, shown: 0, items: Vec::with_capacity(most) }
    }

    /// Rounds `value` units of 10^-scale to minor units.
    fn minor(&self, value: i128, scale: u32) -> Option<i64> {
        round_ratio(value, pow10(scale.checked_sub(self.exponent)?), self.plan.rounding())
    }

    fn show(
        &mut self,
        rule: Rule,
        description: &'static str,
        quantity: Decimal,
        unit_amount: Decimal,
        minor: i64,
    ) -> Result<(), PricingError> {
        self.shown = within(self.shown.checked_add(minor), "fare")?;
        let amount = Money::from_minor(minor, self.plan.currency());
        let description = Cow::Borrowed(description);
        self.items.push(LineItem { rule, description, quantity, unit_amount, amount });
        Ok(())
    }

    /// Adds `exact`, which is `quantity` x `unit_amount`, unless it is nothing.
    fn add(
        &mut self,
        rule: Rule,
        description: &'static str,
        quantity: Decimal,
        unit_amount: Decimal,
        exact: i128,
    ) -> Result<(), PricingError> {
        if exact == 0 {
            return Ok(());
        }
        self.exact = within(self.exact.checked_add(exact), "fare")?;
        let minor = within(self.minor(exact, FARE_SCALE), "line item")?;
        self.show(rule, description, quantity, unit_amount, minor)
    }

    fn charge(
        &mut self,
        rule: Rule,
        description: &'static str,
        quantity: u64,
        price: Decimal,
    ) -> Result<(), PricingError> {
        let exact = within(in_fare_scale(price)?.checked_mul(quantity.into()), "line item")?;
        self.add(rule, description, quantity.into(), price, exact)
    }

    /// Charges every segment for a meter at `reading`, with `unit` readings to the minute or kilometre; their sum in
    /// the scale of prices.
    fn segments(
        &mut self,
        rule: Rule,
        description: &'static str,
        segments: &[Segment],
        (reading, unit): (u64, u64),
    ) -> Result<i128, PricingError> {
        let mut sum = 0_i128;
        for segment in segments {
            let charges = segment.charges(reading, unit);
            self.charge(rule, description, charges, segment.rate())?;
            let amount = fixed(segment.rate(), PRICE_SCALE).and_then(|rate| rate.checked_mul(charges.into()));
            sum = within(amount.and_then(|amount| sum.checked_add(amount)), "charge")?;
        }
        self.metered = within(self.metered.checked_add(sum), "charge")?;
        Ok(sum)
    }

    fn surge(&mut self, surge: Surge, factor: i128) -> Result<(), PricingError> {
        let extra = factor.checked_sub(pow10(SURGE_SCALE)).and_then(|extra| self.metered.checked_mul(extra));
        let exact = within(extra, "surge")?;
        if exact == 0 {
            return Ok(());
        }
        let quantity = within(surge.0.checked_sub(Decimal::ONE), "surge")?;
        let metered = within(decimal(self.metered, PRICE_SCALE), "surge")?;
        self.add(Rule::Surge, "demand, on time and distance", quantity, metered, exact)
    }

    /// Holds what has been charged so far to the cap: unlock and minutes window by window, then the whole, with
    /// `distance` (in the scale of a fare), to the cap times the windows begun.
    fn cap(&mut self, cap: FareCapping, ride: u64, distance: i128, factor: i128) -> Result<(), PricingError> {
        let length = u64::from(cap.duration_min()).saturating_mul(MINUTE);
        let windows = ride.checked_div(length).unwrap_or(0).saturating_add(1);
        if windows > MAX_WINDOWS {
            return Err(PricingError::TooManyWindows { windows });
        }
        let limit = in_fare_scale(cap.price())?;
        let unlock = in_fare_scale(self.plan.unlock())?;
        let (mut kept, mut before) = (distance, 0_i128);
        for window in 1..=windows {
            let last = ride.min(window.saturating_mul(length).saturating_sub(1));
            let minutes = minute_charges(self.plan.per_min_pricing(), last);
            let until = minutes.and_then(|sum| sum.checked_mul(factor)?.checked_add(unlock));
            let until = within(until, "charge")?;
            let inside = within(until.checked_sub(before), "charge")?;
            kept = within(kept.checked_add(inside.min(limit)), "charge")?;
            before = until;
        }
        let kept = kept.min(within(limit.checked_mul(windows.into()), "fare cap")?);
        let excess = within(kept.checked_sub(self.exact), "fare cap")?;
        self.adjust(Rule::FareCap, "fare cap", excess)
    }

    fn minimum(&mut self) -> Result<(), PricingError> {
        let least = in_fare_scale(self.plan.minimum_fare())?;
        let missing = within(least.checked_sub(self.exact), "minimum fare")?;
        let description = if least > 0 { "minimum fare" } else { "a fare is never less than nothing" };
        self.adjust(Rule::MinimumFare, description, missing.max(0))
    }

    /// Moves the sum by `exact`, once.
    fn adjust(&mut self, rule: Rule, description: &'static str, exact: i128) -> Result<(), PricingError> {
        if exact == 0 {
            return Ok(());
        }
        let unit_amount = within(decimal(exact, FARE_SCALE), "adjustment")?;
        self.add(rule, description, Decimal::ONE, unit_amount, exact)
    }

    /// VAT, then the one rounding.
    fn settle(mut self) -> Result<Fare, PricingError> {
        let tax = match self.plan.vat() {
            Some(vat) if !vat.inclusive() => self.add_vat(vat)?,
            Some(_) | None => 0,
        };
        let exact = self.exact.checked_mul(pow10(VAT_SCALE)).and_then(|net| net.checked_add(tax));
        let total = within(exact.and_then(|exact| self.minor(exact, TAXED_SCALE)), "total")?;
        let left = within(total.checked_sub(self.shown), "rounding")?;
        let currency = self.plan.currency();
        if left != 0 {
            let amount = Money::from_minor(left, currency).amount();
            self.show(Rule::Rounding, "rounding of the total", Decimal::ONE, amount, left)?;
        }
        let tax = match self.plan.vat() {
            Some(vat) if vat.inclusive() => self.vat_within(vat, total),
            Some(_) => self.minor(tax, TAXED_SCALE),
            None => Some(0),
        };
        let tax = Money::from_minor(within(tax, "VAT")?, currency);
        Ok(Fare { total: Money::from_minor(total, currency), tax, line_items: self.items })
    }

    /// Shows the VAT on top of the sum; exactly, in units of 10^-`TAXED_SCALE`.
    fn add_vat(&mut self, vat: Vat) -> Result<i128, PricingError> {
        let tax = fixed(vat.rate(), VAT_SCALE).and_then(|rate| rate.checked_mul(self.exact));
        let tax = within(tax, "VAT")?;
        if tax != 0 {
            let net = within(decimal(self.exact, FARE_SCALE), "VAT")?;
            let minor = within(self.minor(tax, TAXED_SCALE), "VAT")?;
            self.show(Rule::Vat, "VAT", vat.rate(), net, minor)?;
        }
        Ok(tax)
    }

    /// The VAT contained in what is charged: total x rate / (1 + rate).
    fn vat_within(&self, vat: Vat, total: i64) -> Option<i64> {
        let rate = fixed(vat.rate(), VAT_SCALE)?;
        let whole = pow10(VAT_SCALE).checked_add(rate)?;
        round_ratio(i128::from(total).checked_mul(rate)?, whole, self.plan.rounding())
    }
}
