//! A place on the earth and the distance between two of them.

use core::fmt;
use core::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The mean radius of the earth in metres: IUGG `R1 = (2a + b) / 3` of WGS84 (Moritz 2000, GRS80).
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A place: WGS84 latitude and longitude in decimal degrees (GBFS `lat`, `lon`).
///
/// Latitude lies in -90 to 90, longitude in -180 to 180, neither is ever NaN or -0, so equality is equality of
/// the bits. The meridians 180 and -180 are two spellings of one place: not equal as values, 0 m apart.
///
/// ```
/// use rideplane_core::geo::Point;
/// let gate = Point::new(52.516_27, 13.377_72).unwrap();
/// assert_eq!(serde_json::to_string(&gate).unwrap(), r#"{"lat":52.51627,"lon":13.37772}"#);
/// assert!(Point::new(91.0, 0.0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Point {
    lat: f64,
    lon: f64,
}

/// Two numbers that are not a place.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidPoint {
    /// The latitude is not one.
    #[error("{0} is not a latitude: it goes from -90 to 90 degrees")]
    Latitude(f64),
    /// The longitude is not one.
    #[error("{0} is not a longitude: it goes from -180 to 180 degrees")]
    Longitude(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    lat: f64,
    lon: f64,
}

impl Point {
    /// Checks latitude and longitude, both in degrees.
    ///
    /// # Errors
    /// When one of them is not a finite number or lies outside its range.
    pub fn new(lat: f64, lon: f64) -> Result<Self, InvalidPoint> {
        if !(-90.0..=90.0).contains(&lat) {
            return Err(InvalidPoint::Latitude(lat));
        }
        if !(-180.0..=180.0).contains(&lon) {
            return Err(InvalidPoint::Longitude(lon));
        }
        // -0.0 + 0.0 is 0.0: one spelling of the equator and of the prime meridian.
        Ok(Self { lat: lat + 0.0, lon: lon + 0.0 })
    }

    /// Latitude in degrees.
    #[must_use]
    pub const fn lat(self) -> f64 {
        self.lat
    }

    /// Longitude in degrees.
    #[must_use]
    pub const fn lon(self) -> f64 {
        self.lon
    }

    /// The point on the unit sphere.
    pub(super) fn unit(self) -> Unit {
        let (sin_lat, cos_lat) = sin_cos_degrees(self.lat);
        let (sin_lon, cos_lon) = sin_cos_degrees(self.lon);
        [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
    }
}

// No NaN gets past `new`, so equality is reflexive.
impl Eq for Point {}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lat.to_bits().hash(state);
        self.lon.to_bits().hash(state);
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.lat, self.lon)
    }
}

impl TryFrom<Wire> for Point {
    type Error = InvalidPoint;
    fn try_from(wire: Wire) -> Result<Self, InvalidPoint> {
        Self::new(wire.lat, wire.lon)
    }
}

impl From<Point> for Wire {
    fn from(point: Point) -> Self {
        Self { lat: point.lat, lon: point.lon }
    }
}

/// The great-circle distance in metres, on a sphere of radius [`EARTH_RADIUS_M`].
///
/// The haversine of the central angle is a quarter of the squared chord between the two unit vectors, and is
/// taken from there: `d = 2 R asin(chord / 2)`. Beyond a quarter of the globe the chord to the antipode is used
/// instead, where `asin` is well conditioned again, so the antipode itself is exact.
///
/// Rounding moves the answer by less than 10 nanometres at any distance. The sphere itself differs from the
/// geodesic on the WGS84 ellipsoid by at most 0.562 % of it: a short way north at the equator, where the
/// meridian's radius of curvature is 6 335 439 m.
///
/// Symmetric, never negative, never NaN, and 0 for one place spelled twice.
///
/// ```
/// use rideplane_core::geo::{Point, distance_m};
/// let berlin = Point::new(52.520_008, 13.404_954).unwrap();
/// let munich = Point::new(48.137_154, 11.576_124).unwrap();
/// assert_eq!(distance_m(berlin, munich).round(), 504_302.0);
/// ```
#[must_use]
pub fn distance_m(a: Point, b: Point) -> f64 {
    unit_distance_m(&a.unit(), &b.unit())
}

/// A vector of length 1 from the centre of the earth.
pub(super) type Unit = [f64; 3];

/// The squared length of the straight line between two unit vectors: 0 to 4, and rises with the distance.
pub(super) fn chord_squared(a: &Unit, b: &Unit) -> f64 {
    let ([ax, ay, az], [bx, by, bz]) = (a, b);
    let (x, y, z) = (ax - bx, ay - by, az - bz);
    x * x + y * y + z * z
}

/// The distance of two points given as unit vectors.
pub(super) fn unit_distance_m(a: &Unit, b: &Unit) -> f64 {
    let chord = chord_squared(a, b);
    near_distance_m(chord).unwrap_or_else(|| {
        let antipode = b.map(|component| -component);
        EARTH_RADIUS_M * (core::f64::consts::PI - 2.0 * half_angle(chord_squared(a, &antipode)))
    })
}

/// The distance that belongs to a squared chord, when that alone tells: up to a quarter of the globe.
pub(super) fn near_distance_m(chord_squared: f64) -> Option<f64> {
    (chord_squared <= 2.0).then(|| 2.0 * EARTH_RADIUS_M * half_angle(chord_squared))
}

/// Half the central angle: `asin(chord / 2)`.
fn half_angle(chord_squared: f64) -> f64 {
    let half_chord = 0.5 * chord_squared.sqrt();
    if chord_squared > NEAR_CHORD_SQUARED {
        return libm::asin(half_chord);
    }
    // Up to 600 km, where nearly every answer lies, six terms of the series are exact: the seventh is 10^-18.
    let z = 0.25 * chord_squared;
    let tail = 15.0 / 336.0 + z * (105.0 / 3_456.0 + z * (945.0 / 42_240.0));
    half_chord * (1.0 + z * (1.0 / 6.0 + z * (3.0 / 40.0 + z * tail)))
}

const NEAR_CHORD_SQUARED: f64 = 0.01;

/// A squared chord that no point within `radius_m` exceeds, or `None` when there is no such point at all.
///
/// A little too large on purpose (one part in 10^12): it narrows a search, and [`distance_m`] decides.
pub(super) fn chord_limit(radius_m: f64) -> Option<f64> {
    let half_angle = radius_m / (2.0 * EARTH_RADIUS_M);
    if radius_m.is_nan() || radius_m < 0.0 {
        return None;
    }
    if half_angle >= core::f64::consts::FRAC_PI_2 {
        return Some(f64::INFINITY);
    }
    let half_chord = libm::sin(half_angle);
    Some(4.0 * half_chord * half_chord * (1.0 + 1e-12))
}

/// Sine and cosine of an angle within -180 to 180 degrees.
///
/// The nearest multiple of 90 is taken off in degrees, where that is exact (Karney 2013, GeographicLib
/// `sincosd`): the poles have no longitude and the two spellings of the antimeridian are one place.
fn sin_cos_degrees(degrees: f64) -> (f64, f64) {
    let small = |rest: f64| {
        let radians = rest * (core::f64::consts::PI / 180.0);
        (libm::sin(radians), libm::cos(radians))
    };
    if degrees.abs() <= 45.0 {
        small(degrees)
    } else if degrees.abs() > 135.0 {
        let (sin, cos) = small(degrees - 180.0_f64.copysign(degrees));
        (-sin, -cos)
    } else if degrees > 0.0 {
        let (sin, cos) = small(degrees - 90.0);
        (cos, -sin)
    } else {
        let (sin, cos) = small(degrees + 90.0);
        (-cos, sin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use geo::{Distance as _, Geodesic};
    use proptest::prelude::*;

    fn at(lat: f64, lon: f64) -> Point {
        Point::new(lat, lon).unwrap()
    }

    /// Karney's algorithm on WGS84, as ported in `geographiclib-rs`.
    fn geodesic_m(a: Point, b: Point) -> f64 {
        Geodesic.distance(geo::Point::new(a.lon, a.lat), geo::Point::new(b.lon, b.lat))
    }

    const ELLIPSOID: f64 = 0.005_62;

    #[test]
    fn what_is_no_place_is_refused() {
        for (lat, lon) in [
            (90.000_000_1, 0.0),
            (-91.0, 0.0),
            (f64::NAN, 0.0),
            (f64::INFINITY, 0.0),
            (0.0, 180.000_000_1),
            (0.0, -181.0),
            (0.0, f64::NAN),
            (0.0, f64::NEG_INFINITY),
        ] {
            assert!(Point::new(lat, lon).is_err(), "{lat} {lon}");
        }
        assert_eq!(
            Point::new(95.0, 0.0).unwrap_err().to_string(),
            "95 is not a latitude: it goes from -90 to 90 degrees"
        );
        for json in [
            r#"{"lat":91,"lon":0}"#,
            r#"{"lat":1}"#,
            r#"{"lat":1,"lon":2,"alt":3}"#,
            r#"{"lat":"1","lon":2}"#,
            "[1,2,3]",
        ] {
            assert!(serde_json::from_str::<Point>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_set_knows_places_apart_and_a_log_shows_latitude_first() {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let hash = |point: Point| {
            let mut hasher = DefaultHasher::new();
            point.hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(at(0.0, -0.0)), hash(at(-0.0, 0.0)));
        assert_ne!(hash(at(50.1, 8.6)), hash(at(8.6, 50.1)));
        assert_eq!(at(50.1109, -8.68).to_string(), "50.1109,-8.68");
    }

    /// What a rider is shown must not hang on which of two formulas it came from.
    #[test]
    fn near_distances_are_those_of_the_arcsine() {
        for step in 0..2_000 {
            let chord_squared = 10_f64.powf(f64::from(step) / 100.0 - 18.0).min(NEAR_CHORD_SQUARED);
            let expected = libm::asin(0.5 * chord_squared.sqrt());
            let relative = half_angle(chord_squared) / expected - 1.0;
            assert!(relative.abs() < 5e-16, "{relative:e} at {chord_squared:e}");
        }
    }

    #[test]
    fn a_radius_is_a_chord_and_a_hair() {
        for step in 0..=1_000 {
            let half_angle = f64::from(step) / 1_000.0 * core::f64::consts::FRAC_PI_2 * 0.999_999;
            let exact = 4.0 * libm::sin(half_angle).powi(2);
            let limit = chord_limit(2.0 * EARTH_RADIUS_M * half_angle).unwrap();
            assert!(exact <= limit && limit <= exact * (1.0 + 1e-11), "{limit:e} for {exact:e}");
        }
        assert_eq!(chord_limit(2.0 * EARTH_RADIUS_M * core::f64::consts::FRAC_PI_2), Some(f64::INFINITY));
        assert_eq!(chord_limit(f64::INFINITY), Some(f64::INFINITY));
        assert_eq!([chord_limit(-1.0), chord_limit(f64::NAN)], [None, None]);
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(at(-0.0, -0.0).lat().to_bits(), 0);
        assert_eq!(at(-0.0, -0.0).lon().to_bits(), 0);
        assert_eq!(serde_json::from_str::<Point>(r#"{"lat":-0.0,"lon":0}"#).unwrap(), at(0.0, 0.0));
    }

    /// Geodesics from GeographicLib, rounded to the millimetre.
    #[test]
    fn known_pairs_of_cities() {
        for (name, a, b, geodesic) in CITIES {
            let ours = distance_m(at(a.0, a.1), at(b.0, b.1));
            assert!((ours / geodesic - 1.0).abs() <= ELLIPSOID, "{name}: {ours} for {geodesic}");
            assert!((geodesic_m(at(a.0, a.1), at(b.0, b.1)) - geodesic).abs() < 1e-3, "{name}");
        }
    }

    type Pair = (&'static str, (f64, f64), (f64, f64), f64);
    const CITIES: [Pair; 7] = [
        ("Berlin to Munich", (52.520_008, 13.404_954), (48.137_154, 11.576_124), 504_575.554),
        ("London to New York", (51.507_351, -0.127_758), (40.712_776, -74.005_974), 5_585_238.020),
        (
            "Quito to Bogota, over the equator",
            (-0.180_653, -78.467_834),
            (4.710_989, -74.072_09),
            729_042.911,
        ),
        (
            "Suva to Apia, over the antimeridian",
            (-18.124_81, 178.450_08),
            (-13.850_696, -171.751_355),
            1_150_192.401,
        ),
        ("Sydney to Santiago", (-33.868_82, 151.209_296), (-33.448_89, -70.669_265), 11_368_985.623),
        (
            "Longyearbyen to Utqiagvik, over the pole",
            (78.223_17, 15.626_72),
            (71.290_56, -156.788_61),
            3_396_981.892,
        ),
        ("two sides of a street", (48.856_613, 2.352_222), (48.856_753, 2.352_341), 17.851),
    ];

    #[test]
    fn one_place_is_no_distance_from_itself_however_it_is_spelled() {
        for (a, b) in [
            (at(90.0, 0.0), at(90.0, 123.4)),
            (at(-90.0, -180.0), at(-90.0, 45.0)),
            (at(0.0, 180.0), at(0.0, -180.0)),
            (at(12.5, 180.0), at(12.5, -180.0)),
        ] {
            assert_eq!(distance_m(a, b), 0.0, "{a} {b}");
        }
    }

    #[test]
    fn far_and_near_are_accurate() {
        let half_way = EARTH_RADIUS_M * core::f64::consts::PI;
        for (lat, lon) in [(0.0, 0.0), (90.0, 0.0), (12.0, 34.0), (-67.8, 179.9), (45.0, -45.0)] {
            let antipode = at(-lat, if lon > 0.0 { lon - 180.0 } else { lon + 180.0 });
            let off = (distance_m(at(lat, lon), antipode) - half_way).abs();
            assert!(off < 1e-8, "{lat},{lon}: {off} m");
            // A hundredth of a millimetre short of the antipode, which a plain haversine cannot tell from it.
            let step = 1e-10;
            let beside = Point::new(antipode.lat() - step * antipode.lat().signum(), antipode.lon()).unwrap();
            let short = half_way - distance_m(at(lat, lon), beside);
            let expected = (beside.lat() - antipode.lat()).abs().to_radians() * EARTH_RADIUS_M;
            assert!((short - expected).abs() < 1e-8, "{lat},{lon}: {short} m for {expected}");
        }
        let step = 1e-9_f64;
        let metres = distance_m(at(0.0, 10.0), at(step, 10.0));
        assert!((metres - step.to_radians() * EARTH_RADIUS_M).abs() < 1e-9, "{metres}");
    }

    fn any_point() -> impl Strategy<Value = Point> {
        let edges = prop::sample::select(vec![-180.0, 180.0, 0.0, 90.0, -90.0, 135.0, 45.0]);
        let lats =
            prop_oneof![4 => -90.0..=90.0_f64, 1 => prop::sample::select(vec![-90.0, 90.0, 0.0, 45.0])];
        (lats, prop_oneof![4 => -180.0..=180.0_f64, 1 => edges]).prop_map(|(lat, lon)| at(lat, lon))
    }

    proptest! {
        #[test]
        fn a_point_survives_the_wire_to_the_bit(point in any_point()) {
            let json = serde_json::to_string(&point).unwrap();
            let back: Point = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back.lat.to_bits(), point.lat.to_bits());
            prop_assert_eq!(back.lon.to_bits(), point.lon.to_bits());
        }

        #[test]
        fn the_sphere_is_close_to_the_ellipsoid(a in any_point(), b in any_point(), shrink in 0.0..1.0_f64) {
            let b = at(a.lat + (b.lat - a.lat) * shrink.powi(8), a.lon + (b.lon - a.lon) * shrink.powi(8));
            let (ours, geodesic) = (distance_m(a, b), geodesic_m(a, b));
            prop_assert!((ours - geodesic).abs() <= geodesic * ELLIPSOID + 1e-6, "{ours} for {geodesic}");
            prop_assert_eq!(ours.to_bits(), distance_m(b, a).to_bits());
            let limit = chord_limit(ours).unwrap();
            prop_assert!(chord_squared(&a.unit(), &b.unit()) <= limit);
        }
    }
}
