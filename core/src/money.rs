//! Exact money: a currency and a decimal amount in whole minor units of it.
//!
//! A [`Money`] is always settled: its amount has exactly the currency's number of decimals
//! (ISO 4217 exponent), so that it can be charged. Rates and intermediate results are plain
//! [`Decimal`]s and become money at one named point, with the rounding mode said aloud.

use core::fmt;
use core::str::FromStr;

pub use rust_decimal::Decimal;
use rust_decimal::RoundingStrategy;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

/// An ISO 4217 currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct Currency([u8; 3]);

/// An amount that can be charged, held or paid out: exact, tagged with its currency.
/// On the wire `{"amount":"4.50","currency":"EUR"}`; the amount is a string, never a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "WireMoney")]
pub struct Money {
    #[serde(serialize_with = "as_text")]
    amount: Decimal,
    currency: Currency,
}

/// How an amount between two minor units becomes one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest; a tie goes away from zero (the usual commercial rounding).
    #[default]
    HalfUp,
    /// To the nearest; a tie goes to the even neighbour (IEEE 754, bankers').
    HalfEven,
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

/// Why an amount can't be money, or two amounts can't be combined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not an ISO 4217 code that this build knows.
    #[error("{0:?} is not an ISO 4217 currency code in use")]
    UnknownCurrency(String),
    /// The text is not a plain decimal number.
    #[error("{0:?} is not a decimal amount such as \"4.50\"")]
    NotANumber(String),
    /// The amount has more decimals than the currency's minor unit.
    #[error("{amount} has more decimals than {currency} has ({decimals}): round it first")]
    TooPrecise {
        /// The amount as given.
        amount: Decimal,
        /// Its currency.
        currency: Currency,
        /// The decimals that the currency has.
        decimals: u32,
    },
    /// Two currencies met in one operation.
    #[error("{0} and {1} can't be combined: convert one of them first")]
    CurrencyMismatch(Currency, Currency),
    /// The result does not fit.
    #[error("the amount is out of range")]
    Overflow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMoney {
    amount: String,
    currency: Currency,
}

/// ISO 4217 currencies whose minor unit is not a hundredth.
const EXPONENTS: [(&[u8; 3], u32); 23] = [
    (b"BIF", 0),
    (b"CLP", 0),
    (b"DJF", 0),
    (b"GNF", 0),
    (b"ISK", 0),
    (b"JPY", 0),
    (b"KMF", 0),
    (b"KRW", 0),
    (b"PYG", 0),
    (b"RWF", 0),
    (b"UGX", 0),
    (b"VND", 0),
    (b"VUV", 0),
    (b"XAF", 0),
    (b"XOF", 0),
    (b"XPF", 0),
    (b"BHD", 3),
    (b"IQD", 3),
    (b"JOD", 3),
    (b"KWD", 3),
    (b"LYD", 3),
    (b"OMR", 3),
    (b"TND", 3),
];

/// ISO 4217 currencies with two decimals (funds, metals and test codes left out).
const HUNDREDTHS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW";

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");
    /// The US dollar.
    pub const USD: Self = Self(*b"USD");
    /// The yen: no minor unit.
    pub const JPY: Self = Self(*b"JPY");

    /// The ISO 4217 code, three capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// The number of decimals of the minor unit (ISO 4217 exponent).
    #[must_use]
    pub fn exponent(self) -> u32 {
        EXPONENTS.iter().find(|(code, _)| **code == self.0).map_or(2, |(_, exponent)| *exponent)
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::UnknownCurrency(text.chars().take(16).collect());
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| unknown())?;
        let known = EXPONENTS.iter().any(|(known, _)| **known == code)
            || HUNDREDTHS.split(' ').any(|known| known.as_bytes() == code);
        if known { Ok(Self(code)) } else { Err(unknown()) }
    }
}

impl Rounding {
    const fn strategy(self) -> RoundingStrategy {
        match self {
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Self::HalfEven => RoundingStrategy::MidpointNearestEven,
            Self::Down => RoundingStrategy::ToZero,
            Self::Up => RoundingStrategy::AwayFromZero,
        }
    }
}

impl Money {
    /// Takes an amount that is already in whole minor units.
    ///
    /// # Errors
    /// [`MoneyError::TooPrecise`] when a part of a minor unit would be lost.
    ///
    /// ```
    /// use rideplane_core::money::{Currency, Money};
    /// assert_eq!(Money::new("4.5".parse()?, Currency::EUR)?.to_string(), "4.50 EUR");
    /// assert!(Money::new("4.505".parse()?, Currency::EUR).is_err());
    /// assert!(Money::new("4.5".parse()?, Currency::JPY).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let money = Self::round(amount, currency, Rounding::Down)?;
        if money.amount == amount {
            return Ok(money);
        }
        Err(MoneyError::TooPrecise { amount, currency, decimals: currency.exponent() })
    }

    /// Rounds an amount to the currency's minor unit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the minor units don't fit 63 bits.
    ///
    /// ```
    /// use rideplane_core::money::{Currency, Money, Rounding};
    /// let half = "2.345".parse()?;
    /// assert_eq!(Money::round(half, Currency::EUR, Rounding::HalfUp)?.to_string(), "2.35 EUR");
    /// assert_eq!(Money::round(half, Currency::EUR, Rounding::HalfEven)?.to_string(), "2.34 EUR");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn round(amount: Decimal, currency: Currency, mode: Rounding) -> Result<Self, MoneyError> {
        let mut amount = amount.round_dp_with_strategy(currency.exponent(), mode.strategy());
        amount.rescale(currency.exponent());
        if amount.is_zero() {
            amount.set_sign_positive(true);
        }
        // A rescale that does not fit stops early; an amount beyond i64 minor units can't be settled.
        let settled = amount.scale() == currency.exponent() && i64::try_from(amount.mantissa()).is_ok();
        if settled { Ok(Self { amount, currency }) } else { Err(MoneyError::Overflow) }
    }

    /// From minor units: cents of a euro, yen, fils of a dinar.
    #[must_use]
    pub fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { amount: Decimal::new(minor, currency.exponent()), currency }
    }

    /// Nothing, in this currency.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self::from_minor(0, currency)
    }

    /// In minor units.
    #[must_use]
    pub fn to_minor(self) -> i64 {
        self.amount.mantissa().to_i64().unwrap_or(i64::MAX)
    }

    /// The amount in major units.
    #[must_use]
    pub const fn amount(self) -> Decimal {
        self.amount
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.amount.is_zero()
    }

    /// Whether it is more than nothing.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.amount > Decimal::ZERO
    }

    /// The sum.
    ///
    /// # Errors
    /// On two currencies, or a result out of range.
    #[expect(clippy::should_implement_trait, reason = "a checked sum returns a Result")]
    pub fn add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let sum = self.to_minor().checked_add(other.to_minor()).ok_or(MoneyError::Overflow)?;
        Ok(Self::from_minor(sum, self.currency))
    }

    /// The difference; negative when `other` is more.
    ///
    /// # Errors
    /// On two currencies, or a result out of range.
    #[expect(clippy::should_implement_trait, reason = "a checked difference returns a Result")]
    pub fn sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let difference = self.to_minor().checked_sub(other.to_minor()).ok_or(MoneyError::Overflow)?;
        Ok(Self::from_minor(difference, self.currency))
    }

    /// The amount times a factor, rounded to minor units.
    ///
    /// # Errors
    /// When the result is out of range.
    pub fn times(self, factor: Decimal, mode: Rounding) -> Result<Self, MoneyError> {
        let product = self.amount.checked_mul(factor).ok_or(MoneyError::Overflow)?;
        Self::round(product, self.currency, mode)
    }

    /// Which is more.
    ///
    /// # Errors
    /// On two currencies.
    pub fn compare(self, other: Self) -> Result<core::cmp::Ordering, MoneyError> {
        self.same_currency(other)?;
        Ok(self.amount.cmp(&other.amount))
    }

    /// The smaller of two.
    ///
    /// # Errors
    /// On two currencies.
    pub fn min(self, other: Self) -> Result<Self, MoneyError> {
        Ok(if self.compare(other)?.is_le() { self } else { other })
    }

    /// The larger of two.
    ///
    /// # Errors
    /// On two currencies.
    pub fn max(self, other: Self) -> Result<Self, MoneyError> {
        Ok(if self.compare(other)?.is_ge() { self } else { other })
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::CurrencyMismatch(self.currency, other.currency))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<SmolStr> for Currency {
    type Error = MoneyError;
    fn try_from(text: SmolStr) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Currency> for SmolStr {
    fn from(currency: Currency) -> Self {
        Self::new(currency.code())
    }
}

impl TryFrom<WireMoney> for Money {
    type Error = MoneyError;
    fn try_from(wire: WireMoney) -> Result<Self, MoneyError> {
        let amount = wire
            .amount
            .parse()
            .map_err(|_| MoneyError::NotANumber(wire.amount.chars().take(40).collect()))?;
        Self::new(amount, wire.currency)
    }
}

fn as_text<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_currency_has_one_exponent() {
        for (code, exponent) in [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CHF", 2)] {
            assert_eq!(code.parse::<Currency>().unwrap().exponent(), exponent);
        }
        for bad in ["eur", "EU", "EURO", "XXX", "", "€"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
        for (code, _) in EXPONENTS {
            assert!(!HUNDREDTHS.contains(core::str::from_utf8(code).unwrap()));
        }
    }

    #[test]
    fn the_wire_is_a_string_and_strict() {
        let money = Money::from_minor(450, Currency::EUR);
        let json = serde_json::to_string(&money).unwrap();
        assert_eq!(json, r#"{"amount":"4.50","currency":"EUR"}"#);
        for bad in [
            r#"{"amount":4.5,"currency":"EUR"}"#,
            r#"{"amount":"4.505","currency":"EUR"}"#,
            r#"{"amount":"NaN","currency":"EUR"}"#,
            r#"{"amount":"1","currency":"EUR","x":1}"#,
            r#"{"amount":"99999999999999999999999999","currency":"EUR"}"#,
        ] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_log_shows_what_a_person_would_write() {
        let money = Money::from_minor(450, Currency::EUR);
        assert_eq!(format!("{money:?} {money} {:?}", Currency::JPY), "4.50 EUR 4.50 EUR JPY");
    }

    #[test]
    fn currencies_never_mix_and_overflow_is_an_error() {
        let (eur, usd) = (Money::from_minor(1, Currency::EUR), Money::from_minor(1, Currency::USD));
        assert_eq!(eur.add(usd), Err(MoneyError::CurrencyMismatch(Currency::EUR, Currency::USD)));
        assert_eq!(Money::from_minor(i64::MAX, Currency::EUR).add(eur), Err(MoneyError::Overflow));
        assert_eq!(Money::round(Decimal::MAX, Currency::EUR, Rounding::HalfUp), Err(MoneyError::Overflow));
    }

    proptest! {
        #[test]
        fn sums_and_the_wire_are_exact(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000) {
            for currency in [Currency::EUR, Currency::JPY, "KWD".parse().unwrap()] {
                let (x, y) = (Money::from_minor(a, currency), Money::from_minor(b, currency));
                prop_assert_eq!(x.add(y).unwrap().to_minor(), a + b);
                prop_assert_eq!(x.add(y).unwrap().sub(y).unwrap(), x);
                let json = serde_json::to_string(&x).unwrap();
                prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), x);
            }
        }

        #[test]
        fn rounding_agrees_with_integer_arithmetic(mills in -100_000_i64..100_000) {
            let exact = Decimal::new(mills, 3);
            let cents = |mode| Money::round(exact, Currency::EUR, mode).unwrap().to_minor();
            prop_assert_eq!(cents(Rounding::Down), mills / 10);
            prop_assert_eq!(cents(Rounding::Up), mills / 10 + if mills % 10 == 0 { 0 } else { mills.signum() });
            prop_assert_eq!(cents(Rounding::HalfUp), (mills.abs() + 5) / 10 * mills.signum());
        }
    }
}
