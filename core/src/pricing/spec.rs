//! The GBFS shape of a pricing plan, as written and before it is checked.

use core::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::{SmolStr, format_smolstr};

use crate::ids::PlanId;
use crate::money::{Currency, Rounding};

/// One element of GBFS `system_pricing_plans.json` → `data.plans[]`, with our own optional fields at the end.
/// Nothing is checked here but the types; [`PricingPlan`](super::PricingPlan) is the checked form. A field that
/// is not listed is refused: a misspelt `fare_caping` would otherwise charge riders without the cap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSpec {
    /// Identifier of the plan.
    pub plan_id: PlanId,
    /// Where customers can read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The plan's name, by language.
    #[serde(default)]
    pub name: Vec<LocalizedText>,
    /// ISO 4217 code.
    pub currency: String,
    /// Charged once per trip, in major units. Not negative.
    pub price: Amount,
    /// Charged per minute of reservation. Not together with the flat rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_price_per_min: Option<Amount>,
    /// Charged once per reservation. Not together with the price per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_price_flat_rate: Option<Amount>,
    /// Whether tax is added to these prices.
    pub is_taxable: bool,
    /// Duration, price and conditions in words, by language.
    #[serde(default)]
    pub description: Vec<LocalizedText>,
    /// Charges by distance, in kilometres.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_km_pricing: Vec<SegmentSpec>,
    /// Charges by time, in minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_min_pricing: Vec<SegmentSpec>,
    /// Whether demand may raise the minute and kilometre part.
    #[serde(default)]
    pub surge_pricing: bool,
    /// The most that a trip costs per period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fare_capping: Option<FareCappingSpec>,
    /// Ours: the value added tax of every component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vat: Option<VatSpec>,
    /// Ours: the least that a trip costs, before VAT is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_fare: Option<Amount>,
    /// Ours: how the total becomes whole minor units; half up unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Rounding>,
}

/// A text in one language (GBFS Localized String).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalizedText {
    /// The text.
    pub text: String,
    /// IETF BCP 47 language code.
    pub language: String,
}

/// One element of `per_km_pricing` or `per_min_pricing`; kilometres or minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentSpec {
    /// Where it starts to be charged (inclusive).
    pub start: i64,
    /// Charged at each interval; negative is a discount.
    pub rate: Amount,
    /// The step at which the rate is charged again; 0 charges it once.
    pub interval: i64,
    /// Where it ends to be charged (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

/// `fare_capping` (GBFS 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FareCappingSpec {
    /// Length of a period, minutes.
    pub duration: i64,
    /// The most that is charged per period.
    pub price: Amount,
}

/// Value added tax; ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VatSpec {
    /// As a fraction: `"0.19"` for 19 %.
    pub rate: Amount,
    /// Whether the plan's prices contain it (`is_taxable` is then false) or it is added.
    pub inclusive: bool,
}

/// A price as written. Strings are exact and preferred (`"0.10"`). A JSON number has already become a binary
/// fraction when we see it, so it is read as its shortest decimal text: `0.1` means 0.1.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount(Form);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    Text(SmolStr),
    Number(f64),
}

impl PlanSpec {
    /// A plan that charges only `price` per trip, to be filled in by struct update.
    #[must_use]
    pub fn new(plan_id: PlanId, currency: Currency, price: Decimal) -> Self {
        Self {
            plan_id,
            url: None,
            name: Vec::new(),
            currency: currency.code().to_owned(),
            price: price.into(),
            reservation_price_per_min: None,
            reservation_price_flat_rate: None,
            is_taxable: false,
            description: Vec::new(),
            per_km_pricing: Vec::new(),
            per_min_pricing: Vec::new(),
            surge_pricing: false,
            fare_capping: None,
            vat: None,
            minimum_fare: None,
            rounding: None,
        }
    }

    /// The form for a public feed: amounts as JSON numbers, as the schema of `system_pricing_plans.json` wants
    /// them, and without our own fields. Its amounts have at most 15 digits, so that the numbers name them exactly.
    #[must_use]
    pub(super) fn into_feed(mut self) -> Self {
        let amounts = [&mut self.price]
            .into_iter()
            .chain(&mut self.reservation_price_per_min)
            .chain(&mut self.reservation_price_flat_rate)
            .chain(self.fare_capping.as_mut().map(|cap| &mut cap.price))
            .chain(self.per_km_pricing.iter_mut().map(|segment| &mut segment.rate))
            .chain(self.per_min_pricing.iter_mut().map(|segment| &mut segment.rate));
        for amount in amounts {
            amount.make_number();
        }
        Self { vat: None, minimum_fare: None, rounding: None, ..self }
    }
}

impl Amount {
    /// The exact value, when the text is a plain decimal: digits, at most one point between them, perhaps a minus.
    /// Neither signs in front, exponents, separators nor bare points, which other readers understand differently.
    pub(super) fn parse(&self) -> Option<Decimal> {
        let text = self.to_smolstr();
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) {
            return None;
        }
        let value = Decimal::from_str_exact(&text).ok()?.normalize();
        Some(if value.is_zero() { Decimal::ZERO } else { value })
    }

    fn make_number(&mut self) {
        if let Ok(number) = self.to_smolstr().parse() {
            self.0 = Form::Number(number);
        }
    }

    fn to_smolstr(&self) -> SmolStr {
        match &self.0 {
            Form::Text(text) => text.clone(),
            Form::Number(number) => format_smolstr!("{number}"),
        }
    }
}

impl From<Decimal> for Amount {
    fn from(value: Decimal) -> Self {
        Self(Form::Text(format_smolstr!("{value}")))
    }
}

impl From<&str> for Amount {
    fn from(text: &str) -> Self {
        Self(Form::Text(text.into()))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Text(text) => serializer.serialize_str(text),
            Form::Number(number) => serializer.serialize_f64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl serde::de::Visitor<'_> for Any {
            type Value = Amount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount as a string such as \"0.25\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
                Ok(Amount::from(text))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Decimal::from(number).into())
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Amount, E> {
                Ok(Decimal::from(number).into())
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Amount, E> {
                Ok(Amount(Form::Text(format_smolstr!("{number}"))))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
