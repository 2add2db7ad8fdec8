//! Fixed-point arithmetic on `i128`: every sum and product of a fare is exact, and one that does not fit is an
//! error. (`Decimal` rounds silently beyond 28 digits.)

use rust_decimal::Decimal;

use crate::money::Rounding;

/// Decimals of every price of a plan: millionths of a major unit.
pub(super) const PRICE_SCALE: u32 = 6;
/// Decimals of a surge multiplier.
pub(super) const SURGE_SCALE: u32 = 4;
/// Decimals of a VAT rate.
pub(super) const VAT_SCALE: u32 = 6;
/// Decimals of a price times a surge: the scale in which a fare is summed.
pub(super) const FARE_SCALE: u32 = PRICE_SCALE + SURGE_SCALE;
/// Decimals of a fare times a VAT rate.
pub(super) const TAXED_SCALE: u32 = FARE_SCALE + VAT_SCALE;

const POWERS: [i128; 17] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
];

/// Ten to the power of `exponent`, as far as the scales above need it.
pub(super) fn pow10(exponent: u32) -> i128 {
    POWERS.get(exponent as usize).copied().unwrap_or(i128::MAX)
}

/// `value` in units of 10^-scale; `None` when it has more decimals or does not fit.
pub(super) fn fixed(value: Decimal, scale: u32) -> Option<i128> {
    value.mantissa().checked_mul(pow10(scale.checked_sub(value.scale())?))
}

/// The decimal of `value` units of 10^-scale, without trailing zeros; `None` when it needs more than 96 bits.
pub(super) fn decimal(value: i128, scale: u32) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(value, scale).ok().map(|value| value.normalize())
}

/// `numerator / denominator` rounded to a whole number; `None` when the denominator is not positive or it does
/// not fit. The modes mean what they mean for [`Money::round`](crate::money::Money::round).
pub(super) fn round_ratio(numerator: i128, denominator: i128, mode: Rounding) -> Option<i64> {
    if denominator <= 0 {
        return None;
    }
    let quotient = numerator.checked_div(denominator)?;
    let rest = numerator.checked_rem(denominator)?.checked_abs()?;
    let twice = rest.checked_mul(2)?;
    let away = match mode {
        Rounding::Down => false,
        Rounding::Up => rest != 0,
        Rounding::HalfUp => twice >= denominator,
        Rounding::HalfEven => twice > denominator || (twice == denominator && quotient & 1 != 0),
    };
    let step = if away { numerator.signum() } else { 0 };
    i64::try_from(quotient.checked_add(step)?).ok()
}
