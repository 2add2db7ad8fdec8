//! A pricing plan that has been checked.

use core::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};

use super::exact::{PRICE_SCALE, VAT_SCALE};
use super::spec::{Amount, FareCappingSpec, LocalizedText, PlanSpec, SegmentSpec, VatSpec};
use super::version::{Canon, PlanVersion};
use crate::ids::PlanId;
use crate::money::{Currency, Rounding};

/// A plan that can be charged by: every field is in range, so that evaluating it takes time proportional to its
/// segments. Reads and writes the shape of [`PlanSpec`]; amounts are written as exact strings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PlanSpec")]
pub struct PricingPlan {
    plan_id: PlanId,
    url: Option<String>,
    name: Vec<LocalizedText>,
    description: Vec<LocalizedText>,
    currency: Currency,
    price: Decimal,
    reservation: Option<Reservation>,
    is_taxable: bool,
    per_km_pricing: Vec<Segment>,
    per_min_pricing: Vec<Segment>,
    surge_pricing: bool,
    fare_capping: Option<FareCapping>,
    vat: Option<Vat>,
    minimum_fare: Option<Decimal>,
    rounding: Option<Rounding>,
    version: PlanVersion,
}

/// A charge by time or distance, in minutes or kilometres (GBFS `per_min_pricing[]`, `per_km_pricing[]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    start: u32,
    interval: u32,
    end: Option<u32>,
    rate: Decimal,
}

/// What the reservation before the trip costs: GBFS allows one of the two, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// `reservation_price_per_min`: for each minute begun.
    PerMinute(Decimal),
    /// `reservation_price_flat_rate`: once, if there was a reservation.
    FlatRate(Decimal),
}

/// The most that unlock, minutes and kilometres cost per window of the trip (GBFS `fare_capping`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FareCapping {
    duration_min: u32,
    price: Decimal,
}

/// Value added tax on every component of the fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vat {
    rate: Decimal,
    inclusive: bool,
}

/// Why a plan is refused: the field, its value and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pricing plan {plan_id}: {field} is {value:?}: {rule}")]
pub struct InvalidPlan {
    plan_id: PlanId,
    field: String,
    value: String,
    rule: &'static str,
}

const MAX_SEGMENTS: usize = 64;
const MAX_TEXTS: usize = 64;
const MAX_TEXT_BYTES: usize = 4_096;
const MAX_STEP: i64 = 10_000_000;
const MAX_PRICE: i64 = 1_000_000_000;
const PRICE_RULE: &str = "a decimal from 0 to 1000000000 with at most 6 decimals, such as \"0.25\"";
const RATE_RULE: &str = "a decimal from -1000000000 to 1000000000 with at most 6 decimals, such as \"-0.25\"";
const STEP_RULE: &str = "a whole number from 0 to 10000000";

impl PricingPlan {
    /// Identifier of the plan.
    #[must_use]
    pub const fn plan_id(&self) -> &PlanId {
        &self.plan_id
    }

    /// The hash of everything in the plan, made when it was read.
    #[must_use]
    pub const fn version(&self) -> PlanVersion {
        self.version
    }

    /// The plan's name, by language.
    #[must_use]
    pub fn name(&self) -> &[LocalizedText] {
        &self.name
    }

    /// The plan in words, by language.
    #[must_use]
    pub fn description(&self) -> &[LocalizedText] {
        &self.description
    }

    /// Where customers can read more.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The currency of every amount of the plan.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// What is charged once per trip (GBFS `price`), in major units.
    #[must_use]
    pub const fn unlock(&self) -> Decimal {
        self.price
    }

    /// For display: the rate per minute with which a ride begins, that is of the recurring minute segment that
    /// starts first, to six decimals; 0 if there is none.
    #[must_use]
    pub fn per_minute(&self) -> Decimal {
        first_rate(&self.per_min_pricing)
    }

    /// For display: the rate per kilometre with which a ride begins, as [`per_minute`](Self::per_minute).
    #[must_use]
    pub fn per_km(&self) -> Decimal {
        first_rate(&self.per_km_pricing)
    }

    /// The charges by time, in minutes.
    #[must_use]
    pub fn per_min_pricing(&self) -> &[Segment] {
        &self.per_min_pricing
    }

    /// The charges by distance, in kilometres.
    #[must_use]
    pub fn per_km_pricing(&self) -> &[Segment] {
        &self.per_km_pricing
    }

    /// What the reservation costs.
    #[must_use]
    pub const fn reservation(&self) -> Option<Reservation> {
        self.reservation
    }

    /// Whether tax is added to the plan's prices (GBFS). When it is and the plan names no [`vat`](Self::vat),
    /// the rate is known elsewhere and a fare is before tax.
    #[must_use]
    pub const fn is_taxable(&self) -> bool {
        self.is_taxable
    }

    /// Whether a surge applies to the minute and kilometre part.
    #[must_use]
    pub const fn surge_pricing(&self) -> bool {
        self.surge_pricing
    }

    /// The most that a trip costs per window.
    #[must_use]
    pub const fn fare_capping(&self) -> Option<FareCapping> {
        self.fare_capping
    }

    /// The value added tax.
    #[must_use]
    pub const fn vat(&self) -> Option<Vat> {
        self.vat
    }

    /// The least that a trip costs before VAT is added, in major units; 0 unless said.
    #[must_use]
    pub fn minimum_fare(&self) -> Decimal {
        self.minimum_fare.unwrap_or_default()
    }

    /// How the total becomes whole minor units.
    #[must_use]
    pub fn rounding(&self) -> Rounding {
        self.rounding.unwrap_or_default()
    }

    /// The plan as a public GBFS feed shows it: amounts as JSON numbers, without our own fields.
    #[must_use]
    pub fn to_gbfs(&self) -> PlanSpec {
        PlanSpec::from(self).into_feed()
    }

    fn hashed(mut self) -> Self {
        let mut canon = Canon::new();
        canon.field("plan_id", &self.plan_id);
        canon.field("url", self.url.as_deref().unwrap_or_default());
        for (field, texts) in [("name", &self.name), ("description", &self.description)] {
            for text in texts {
                canon.field(field, &text.language);
                canon.field(field, &text.text);
            }
        }
        canon.field("currency", self.currency);
        canon.field("price", self.price);
        canon.field("is_taxable", self.is_taxable);
        canon.field("surge_pricing", self.surge_pricing);
        match self.reservation {
            Some(Reservation::PerMinute(price)) => canon.field("reservation_price_per_min", price),
            Some(Reservation::FlatRate(price)) => canon.field("reservation_price_flat_rate", price),
            None => {}
        }
        let segments = [("per_km_pricing", &self.per_km_pricing), ("per_min_pricing", &self.per_min_pricing)];
        for (field, segments) in segments {
            for segment in segments {
                canon.field(field, segment);
            }
        }
        if let Some(cap) = self.fare_capping {
            canon.field("fare_capping", format_args!("{} per {}", cap.price, cap.duration_min));
        }
        if let Some(vat) = self.vat {
            canon.field("vat", format_args!("{} {}", vat.rate, vat.inclusive));
        }
        canon.field("minimum_fare", self.minimum_fare());
        canon.field("rounding", format_args!("{:?}", self.rounding()));
        self.version = canon.finish();
        self
    }
}

fn first_rate(segments: &[Segment]) -> Decimal {
    let recurring = segments.iter().filter(|segment| segment.interval > 0);
    let first = recurring.min_by_key(|segment| segment.start);
    let rate = first.and_then(|segment| segment.rate.checked_div(Decimal::from(segment.interval)));
    rate.unwrap_or_default().round_dp(PRICE_SCALE).normalize()
}

impl Segment {
    /// Where it starts to be charged, inclusive; minutes or kilometres.
    #[must_use]
    pub const fn start(&self) -> u32 {
        self.start
    }

    /// The step at which the rate is charged again; 0 charges it once.
    #[must_use]
    pub const fn interval(&self) -> u32 {
        self.interval
    }

    /// Where it ends to be charged, exclusive; `None` stacks on all later segments.
    #[must_use]
    pub const fn end(&self) -> Option<u32> {
        self.end
    }

    /// What is charged at each interval, in major units; negative is a discount.
    #[must_use]
    pub const fn rate(&self) -> Decimal {
        self.rate
    }

    /// How often the rate has been charged when the meter stands at `reading`, with `unit` readings to the minute
    /// or kilometre: at `start`, and at each further interval begun before `end`. By division, so that the length
    /// of a trip does not matter.
    pub(super) fn charges(&self, reading: u64, unit: u64) -> u64 {
        let start = u64::from(self.start).saturating_mul(unit);
        if reading < start {
            return 0;
        }
        let last = match self.end {
            Some(end) => reading.min(u64::from(end).saturating_mul(unit).saturating_sub(1)),
            None => reading,
        };
        let step = u64::from(self.interval).saturating_mul(unit);
        last.saturating_sub(start).checked_div(step).map_or(1, |further| further.saturating_add(1))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} every {}", self.rate, self.start, self.interval)?;
        self.end.map_or(Ok(()), |end| write!(f, " until {end}"))
    }
}

impl FareCapping {
    /// Length of a window, minutes.
    #[must_use]
    pub const fn duration_min(&self) -> u32 {
        self.duration_min
    }

    /// The most that is charged per window, in major units.
    #[must_use]
    pub const fn price(&self) -> Decimal {
        self.price
    }
}

impl Vat {
    /// As a fraction: 0.19 for 19 %.
    #[must_use]
    pub const fn rate(&self) -> Decimal {
        self.rate
    }

    /// Whether the plan's prices contain it.
    #[must_use]
    pub const fn inclusive(&self) -> bool {
        self.inclusive
    }
}

impl InvalidPlan {
    /// The field that is refused, such as `per_min_pricing[1].start`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// Checks the fields of one plan and names the one that is refused.
struct Check<'a>(&'a PlanId);

impl Check<'_> {
    fn refuse(&self, field: &str, value: impl fmt::Display, rule: &'static str) -> InvalidPlan {
        let value = value.to_string().chars().take(64).collect();
        InvalidPlan { plan_id: self.0.clone(), field: field.to_owned(), value, rule }
    }

    fn amount(&self, field: &str, amount: &Amount, signed: bool) -> Result<Decimal, InvalidPlan> {
        let most = Decimal::from(MAX_PRICE);
        let fits = |value: &Decimal| {
            value.scale() <= PRICE_SCALE && value.abs() <= most && (signed || !value.is_sign_negative())
        };
        let rule = if signed { RATE_RULE } else { PRICE_RULE };
        amount.parse().filter(fits).ok_or_else(|| self.refuse(field, amount, rule))
    }

    fn optional(&self, field: &str, amount: Option<&Amount>) -> Result<Option<Decimal>, InvalidPlan> {
        amount.map(|amount| self.amount(field, amount, false)).transpose()
    }

    fn step(&self, field: &str, value: i64) -> Result<u32, InvalidPlan> {
        let step = u32::try_from(value).ok().filter(|_| value <= MAX_STEP);
        step.ok_or_else(|| self.refuse(field, value, STEP_RULE))
    }

    fn segments(&self, field: &str, specs: &[SegmentSpec]) -> Result<Vec<Segment>, InvalidPlan> {
        if specs.len() > MAX_SEGMENTS {
            return Err(self.refuse(
                field,
                format_args!("{} segments", specs.len()),
                "at most 64 are allowed",
            ));
        }
        specs.iter().enumerate().map(|(i, spec)| self.segment(&format!("{field}[{i}]"), spec)).collect()
    }

    fn segment(&self, field: &str, spec: &SegmentSpec) -> Result<Segment, InvalidPlan> {
        let start = self.step(&format!("{field}.start"), spec.start)?;
        let interval = self.step(&format!("{field}.interval"), spec.interval)?;
        let name = format!("{field}.end");
        let end = spec.end.map(|end| self.step(&name, end)).transpose()?;
        if let Some(end) = end.filter(|end| *end <= start) {
            return Err(self.refuse(&name, end, "it must be more than start, or left out for no end"));
        }
        Ok(Segment { start, interval, end, rate: self.amount(&format!("{field}.rate"), &spec.rate, true)? })
    }

    fn texts(&self, field: &str, texts: &[LocalizedText]) -> Result<(), InvalidPlan> {
        let long = |text: &&LocalizedText| text.text.len().max(text.language.len()) > MAX_TEXT_BYTES;
        if texts.len() > MAX_TEXTS {
            return Err(self.refuse(field, format_args!("{} texts", texts.len()), "at most 64 are allowed"));
        }
        texts.iter().find(long).map_or(Ok(()), |text| {
            Err(self.refuse(field, &text.text, "a text or language has at most 4096 bytes"))
        })
    }

    fn reservation(&self, spec: &PlanSpec) -> Result<Option<Reservation>, InvalidPlan> {
        let flat = self.optional("reservation_price_flat_rate", spec.reservation_price_flat_rate.as_ref())?;
        let per_min = self.optional("reservation_price_per_min", spec.reservation_price_per_min.as_ref())?;
        match (per_min, flat) {
            (Some(_), Some(flat)) => Err(self.refuse(
                "reservation_price_flat_rate",
                flat,
                "it can't be combined with reservation_price_per_min: leave one of them out",
            )),
            (Some(price), None) => Ok(Some(Reservation::PerMinute(price))),
            (None, Some(price)) => Ok(Some(Reservation::FlatRate(price))),
            (None, None) => Ok(None),
        }
    }

    fn capping(&self, spec: &FareCappingSpec) -> Result<FareCapping, InvalidPlan> {
        let duration_min = self.step("fare_capping.duration", spec.duration)?;
        if duration_min == 0 {
            return Err(self.refuse("fare_capping.duration", 0, "a period has at least 1 minute"));
        }
        Ok(FareCapping { duration_min, price: self.amount("fare_capping.price", &spec.price, false)? })
    }

    fn vat(&self, spec: &VatSpec, is_taxable: bool) -> Result<Vat, InvalidPlan> {
        let rule = "a fraction from 0 to 1 with at most 6 decimals, such as \"0.19\" for 19 %";
        let fits =
            |rate: &Decimal| rate.scale() <= VAT_SCALE && !rate.is_sign_negative() && *rate <= Decimal::ONE;
        let rate = spec.rate.parse().filter(fits);
        let rate = rate.ok_or_else(|| self.refuse("vat.rate", &spec.rate, rule))?;
        if spec.inclusive == is_taxable {
            let rule =
                "riders read is_taxable as \"tax will be added\": it must be the opposite of vat.inclusive";
            return Err(self.refuse("is_taxable", is_taxable, rule));
        }
        Ok(Vat { rate, inclusive: spec.inclusive })
    }
}

impl TryFrom<PlanSpec> for PricingPlan {
    type Error = InvalidPlan;

    fn try_from(spec: PlanSpec) -> Result<Self, InvalidPlan> {
        let check = Check(&spec.plan_id);
        check.texts("name", &spec.name)?;
        check.texts("description", &spec.description)?;
        let url = spec.url.as_deref().filter(|url| url.len() > MAX_TEXT_BYTES);
        url.map_or(Ok(()), |url| Err(check.refuse("url", url, "at most 4096 bytes")))?;
        let unknown = |_| check.refuse("currency", &spec.currency, "an ISO 4217 code in use, such as EUR");
        let currency = spec.currency.parse().map_err(unknown)?;
        let price = check.amount("price", &spec.price, false)?;
        let reservation = check.reservation(&spec)?;
        let per_km_pricing = check.segments("per_km_pricing", &spec.per_km_pricing)?;
        let per_min_pricing = check.segments("per_min_pricing", &spec.per_min_pricing)?;
        let fare_capping = spec.fare_capping.as_ref().map(|cap| check.capping(cap)).transpose()?;
        let vat = spec.vat.as_ref().map(|vat| check.vat(vat, spec.is_taxable)).transpose()?;
        let minimum_fare = check.optional("minimum_fare", spec.minimum_fare.as_ref())?;
        let plan = Self {
            plan_id: spec.plan_id,
            url: spec.url,
            name: spec.name,
            description: spec.description,
            currency,
            price,
            reservation,
            is_taxable: spec.is_taxable,
            per_km_pricing,
            per_min_pricing,
            surge_pricing: spec.surge_pricing,
            fare_capping,
            vat,
            minimum_fare,
            rounding: spec.rounding,
            version: Canon::new().finish(),
        };
        Ok(plan.hashed())
    }
}

impl From<&PricingPlan> for PlanSpec {
    fn from(plan: &PricingPlan) -> Self {
        let (per_min, flat_rate) = match plan.reservation {
            Some(Reservation::PerMinute(price)) => (Some(price), None),
            Some(Reservation::FlatRate(price)) => (None, Some(price)),
            None => (None, None),
        };
        let segment = |segment: &Segment| SegmentSpec {
            start: segment.start.into(),
            rate: segment.rate.into(),
            interval: segment.interval.into(),
            end: segment.end.map(Into::into),
        };
        Self {
            url: plan.url.clone(),
            name: plan.name.clone(),
            reservation_price_per_min: per_min.map(Into::into),
            reservation_price_flat_rate: flat_rate.map(Into::into),
            is_taxable: plan.is_taxable,
            description: plan.description.clone(),
            per_km_pricing: plan.per_km_pricing.iter().map(segment).collect(),
            per_min_pricing: plan.per_min_pricing.iter().map(segment).collect(),
            surge_pricing: plan.surge_pricing,
            fare_capping: plan
                .fare_capping
                .map(|cap| FareCappingSpec { duration: cap.duration_min.into(), price: cap.price.into() }),
            vat: plan.vat.map(|vat| VatSpec { rate: vat.rate.into(), inclusive: vat.inclusive }),
            minimum_fare: plan.minimum_fare.map(Into::into),
            rounding: plan.rounding,
            ..Self::new(plan.plan_id.clone(), plan.currency, plan.price)
        }
    }
}

impl Serialize for PricingPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PlanSpec::from(self).serialize(serializer)
    }
}
