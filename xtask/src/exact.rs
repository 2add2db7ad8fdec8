//! Exact decimal amounts, written apart from the program's own money type: a check that shares the code it
//! checks proves nothing.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

const SCALE: i128 = 1_000_000_000;
const PLACES: usize = 9;

/// A decimal amount with up to nine decimal places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exact(i128);

impl Exact {
    /// Reads `12.50`, `-3`, `0`. `None` for anything else, more than nine places included.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let only_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !only_digits(whole) || !only_digits(fraction) || fraction.len() > PLACES {
            return None;
        }
        let fraction: i128 = format!("{fraction:0<PLACES$}").parse().ok()?;
        let whole: i128 = whole.parse().ok()?;
        Some(Self(sign * whole.checked_mul(SCALE)?.checked_add(fraction)?))
    }
}

impl Add for Exact {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Exact {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, magnitude) =
            if self.0 < 0 { ("-", self.0.unsigned_abs()) } else { ("", self.0.unsigned_abs()) };
        let scale = SCALE.unsigned_abs();
        let fraction = format!("{:0>PLACES$}", magnitude % scale);
        write!(out, "{sign}{}.{:0<2}", magnitude / scale, fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        Exact::parse(text).unwrap()
    }

    #[test]
    fn tenths_add_up_as_they_do_not_in_floats() {
        assert_eq!(exact("0.1") + exact("0.2"), exact("0.3"));
        assert_eq!(exact("1.10") - exact("2"), exact("-0.9"));
        assert_eq!([exact("1.5"), exact("2.25")].into_iter().sum::<Exact>(), exact("3.75"));
    }

    #[test]
    fn trailing_zeros_do_not_matter_and_the_form_is_kept_short() {
        assert_eq!(exact("12.5"), exact("12.500"));
        let shown = ["12.5", "-0.05", "3", "0.125"].map(|text| exact(text).to_string());
        assert_eq!(shown, ["12.50", "-0.05", "3.00", "0.125"]);
    }

    #[test]
    fn anything_but_a_plain_decimal_is_refused() {
        for text in ["", "-", ".5", "5.", "1e3", "1,5", "+1", "--1", "1.0000000001", "NaN", "1.2.3", " 1"] {
            assert_eq!(Exact::parse(text), None, "{text:?}");
        }
    }
}
