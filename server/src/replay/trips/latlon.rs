//! A place on earth, as a trip log gives it.

use serde::{Deserialize, Serialize};

/// A point in WGS 84 degrees: latitude from -90 to 90, longitude from -180 to 180.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct LatLon {
    lat: f64,
    lon: f64,
}

/// Two numbers that are no place on earth.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{lat}, {lon} is not a place: latitude goes from -90 to 90, longitude from -180 to 180")]
pub struct InvalidLatLon {
    lat: f64,
    lon: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    lat: f64,
    lon: f64,
}

/// The mean radius of the earth in metres (IUGG R1).
const EARTH_M: f64 = 6_371_008.8;

impl LatLon {
    /// From degrees.
    ///
    /// # Errors
    /// When one of them is out of range or not a number.
    pub fn new(lat: f64, lon: f64) -> Result<Self, InvalidLatLon> {
        if (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon) {
            Ok(Self { lat, lon })
        } else {
            Err(InvalidLatLon { lat, lon })
        }
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

/// The great-circle distance in metres (haversine on the mean sphere; within 0.56 % of the ellipsoid).
#[must_use]
pub fn great_circle_m(from: LatLon, to: LatLon) -> f64 {
    let (lat_a, lat_b) = (from.lat.to_radians(), to.lat.to_radians());
    let by_lat = ((lat_b - lat_a) / 2.0).sin();
    let by_lon = ((to.lon - from.lon).to_radians() / 2.0).sin();
    let h = by_lat * by_lat + lat_a.cos() * lat_b.cos() * by_lon * by_lon;
    2.0 * EARTH_M * h.clamp(0.0, 1.0).sqrt().asin()
}

impl TryFrom<Wire> for LatLon {
    type Error = InvalidLatLon;
    fn try_from(wire: Wire) -> Result<Self, InvalidLatLon> {
        Self::new(wire.lat, wire.lon)
    }
}

impl From<LatLon> for Wire {
    fn from(point: LatLon) -> Self {
        Self { lat: point.lat, lon: point.lon }
    }
}
