//! A position given by a person: checked degrees.

use core::fmt;
use core::str::FromStr;

/// A position in WGS 84 degrees, as GBFS has it: latitude -90 to 90, longitude -180 to 180, both finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatLon {
    lat: f64,
    lon: f64,
}

/// The rule for a latitude.
pub const LAT_RULE: &str = "a latitude in degrees from -90 to 90";
/// The rule for a longitude.
pub const LON_RULE: &str = "a longitude in degrees from -180 to 180";

/// A text that is not `LAT,LON`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a position is LAT,LON in degrees, such as 50.1109,8.6821: latitude -90 to 90, longitude -180 to 180"
)]
pub struct InvalidLatLon;

impl LatLon {
    /// Frankfurt am Main: where the demo fleet stands when nothing else is said.
    pub const FRANKFURT: Self = Self { lat: 50.1109, lon: 8.6821 };

    /// Checks degrees and takes them as a position; nothing when either is out of range or not a number.
    #[must_use]
    pub fn new(lat: f64, lon: f64) -> Option<Self> {
        (is_lat(lat) && is_lon(lon)).then_some(Self { lat, lon })
    }

    /// Degrees north.
    #[must_use]
    pub const fn lat(self) -> f64 {
        self.lat
    }

    /// Degrees east.
    #[must_use]
    pub const fn lon(self) -> f64 {
        self.lon
    }
}

/// Whether this is a latitude.
#[must_use]
pub fn is_lat(degrees: f64) -> bool {
    (-90.0..=90.0).contains(&degrees)
}

/// Whether this is a longitude.
#[must_use]
pub fn is_lon(degrees: f64) -> bool {
    (-180.0..=180.0).contains(&degrees)
}

impl FromStr for LatLon {
    type Err = InvalidLatLon;

    fn from_str(text: &str) -> Result<Self, InvalidLatLon> {
        let (lat, lon) = text.split_once(',').ok_or(InvalidLatLon)?;
        let degrees = |part: &str| part.trim().parse::<f64>().map_err(|_| InvalidLatLon);
        Self::new(degrees(lat)?, degrees(lon)?).ok_or(InvalidLatLon)
    }
}

impl fmt::Display for LatLon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.lat, self.lon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_checked_and_survive_being_written() {
        for good in ["50.1109,8.6821", "-90,-180", "90, 180", "0,0", "-33.9,18.4"] {
            let position: LatLon = good.parse().unwrap();
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in ["", "50", "91,0", "0,181", "NaN,0", "0,inf", "1,2,3", "a,b", "50;8"] {
            assert_eq!(bad.parse::<LatLon>(), Err(InvalidLatLon), "{bad}");
        }
    }
}
