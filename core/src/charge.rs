//! The state of charge of a vehicle.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// How full the battery or tank is: 0 to 1 on the wire (GBFS `current_fuel_percent`), kept in ten-thousandths
/// so that states compare exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charge(u16);

/// A number that is not a state of charge.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a charge: it goes from 0 to 1")]
pub struct InvalidCharge(f64);

impl Charge {
    /// Full.
    pub const FULL: Self = Self(10_000);
    /// Empty.
    pub const EMPTY: Self = Self(0);

    /// From a fraction, rounded to the nearest ten-thousandth.
    ///
    /// # Errors
    /// When `fraction` is not a number from 0 to 1.
    pub fn from_fraction(fraction: f64) -> Result<Self, InvalidCharge> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(InvalidCharge(fraction));
        }
        Ok(Self((fraction * 10_000.0).round() as u16))
    }

    /// From ten-thousandths; more than full counts as full.
    #[must_use]
    pub const fn from_basis_points(points: u16) -> Self {
        if points > 10_000 { Self::FULL } else { Self(points) }
    }

    /// In ten-thousandths.
    #[must_use]
    pub const fn as_basis_points(self) -> u16 {
        self.0
    }

    /// As a fraction from 0 to 1.
    #[must_use]
    pub fn as_fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_fraction())
    }
}

impl Serialize for Charge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_fraction())
    }
}

impl<'de> Deserialize<'de> for Charge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_fraction(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_a_fraction_and_survives_the_wire() {
        for points in 0..=10_000 {
            let charge = Charge::from_basis_points(points);
            let json = serde_json::to_string(&charge).unwrap();
            assert_eq!(serde_json::from_str::<Charge>(&json).unwrap(), charge);
        }
        assert_eq!(Charge::from_basis_points(10_001), Charge::FULL, "more than full is full");
        assert_eq!(Charge::from_basis_points(2_500).to_string(), "0.25");
        for bad in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            assert!(Charge::from_fraction(bad).is_err());
        }
    }
}
