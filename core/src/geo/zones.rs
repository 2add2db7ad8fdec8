//! Geofencing zones (GBFS 3.1 `geofencing_zones.json`): where a ride may start, end and pass, and how fast.

mod read;
#[cfg(test)]
mod tests;

use geo::Intersects as _;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use smol_str::SmolStr;

use super::Point;
use crate::ids::VehicleTypeId;
use crate::time::Timestamp;

/// The geofencing zones of an operator. The default has none, and then everything is allowed everywhere.
///
/// ```
/// use rideplane_core::{geo::{Point, Zones}, ids::VehicleTypeId, time::Timestamp};
/// let zones = Zones::from_geojson(r#"{
///   "type": "FeatureCollection",
///   "features": [{
///     "type": "Feature",
///     "geometry": {"type": "MultiPolygon", "coordinates": [[[[13.36,52.51],[13.38,52.51],[13.38,52.52],[13.36,52.52],[13.36,52.51]]]]},
///     "properties": {
///       "name": [{"text": "Tiergarten", "language": "de"}],
///       "rules": [{"ride_start_allowed": false, "ride_end_allowed": false, "ride_through_allowed": true, "maximum_speed_kph": 12}]
///     }
///   }]
/// }"#).unwrap();
/// let scooter = VehicleTypeId::new("scooter").unwrap();
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let verdict = zones.verdict(Point::new(52.514, 13.37).unwrap(), &scooter, now);
/// assert!(!verdict.ride_end_allowed);
/// assert_eq!(verdict.maximum_speed_kph, Some(12));
/// assert_eq!(verdict.zone.unwrap().name.unwrap(), "Tiergarten");
/// assert!(zones.verdict(Point::new(52.6, 13.37).unwrap(), &scooter, now).ride_end_allowed);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zones {
    zones: Vec<Zone>,
    global_rules: Vec<Rule>,
}

/// A document that does not hold geofencing zones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The text is not JSON.
    #[error("the geofencing zones are not JSON: {0}")]
    Json(String),
    /// A feature is wrong.
    #[error("feature {feature} (the first is 0) of the geofencing zones, {field}: {problem}")]
    Feature {
        /// Its place in `features`, counted from 0.
        feature: usize,
        /// The field within the feature, such as `properties.rules[0].ride_end_allowed`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something outside the features is wrong.
    #[error("the geofencing zones, {field}: {problem}")]
    Document {
        /// The field, such as `data.global_rules[0].ride_end_allowed`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What applies to a vehicle of one type at one place and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether a ride may start here (GBFS `ride_start_allowed`).
    pub ride_start_allowed: bool,
    /// Whether a ride may end here (GBFS `ride_end_allowed`).
    pub ride_end_allowed: bool,
    /// Whether a ride may pass here (GBFS `ride_through_allowed`).
    pub ride_through_allowed: bool,
    /// The highest speed in km/h, where one is set (GBFS `maximum_speed_kph`).
    pub maximum_speed_kph: Option<u32>,
    /// Whether a vehicle must be parked at a station here (GBFS `station_parking`).
    pub station_parking: bool,
    /// The zone that decided; `None` where a global rule or none at all did.
    pub zone: Option<ZoneRef>,
}

/// Which zone it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneRef {
    /// Its place in `features`, counted from 0.
    pub feature: usize,
    /// Its name, in the first language given.
    pub name: Option<SmolStr>,
}

#[derive(Clone, Debug, PartialEq)]
struct Zone {
    name: Option<SmolStr>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    areas: Vec<Area>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
struct Area {
    bounds: geo::Rect,
    polygon: geo::Polygon,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    /// Empty for every type.
    vehicle_types: Vec<VehicleTypeId>,
    ride_start_allowed: bool,
    ride_end_allowed: bool,
    ride_through_allowed: bool,
    maximum_speed_kph: Option<u32>,
    station_parking: bool,
}

impl Zones {
    /// Reads a GBFS 3.x `geofencing_zones.json` document, or its FeatureCollection alone.
    ///
    /// Fields that GBFS does not know are passed over, as it permits publishers to add their own. Names may be
    /// GBFS's localised lists or plain text, geometries MultiPolygons or Polygons.
    ///
    /// # Errors
    /// [`ZoneError`], naming the feature and the field, when the text is not JSON, a required field is missing
    /// or of another type, a ring is not closed or a zone ends before it starts.
    pub fn from_geojson(text: &str) -> Result<Self, ZoneError> {
        let value: Value = serde_json::from_str(text).map_err(|error| ZoneError::Json(error.to_string()))?;
        Self::try_from(&value)
    }

    /// What applies to vehicles of a type at a place and time.
    ///
    /// Precedence as in GBFS (`geofencing_zones.json`, "Geofencing Rule Precedence"): within a list the earlier
    /// rule for the type, among overlapping zones the earlier zone that has a rule for the type, and any zone
    /// before the global rules; a zone outside its `start` (inclusive) to `end` (exclusive) does not count. The
    /// boundary of a zone belongs to it. Where nothing applies, everything is allowed.
    #[must_use]
    pub fn verdict(&self, point: Point, vehicle_type: &VehicleTypeId, now: Timestamp) -> Verdict {
        let in_zone = self.zones.iter().enumerate().find_map(|(feature, zone)| {
            let rule = first_rule(&zone.rules, vehicle_type)?;
            let here = zone.is_active(now) && zone.covers(point);
            here.then(|| rule.verdict(Some(ZoneRef { feature, name: zone.name.clone() })))
        });
        in_zone
            .or_else(|| first_rule(&self.global_rules, vehicle_type).map(|rule| rule.verdict(None)))
            .unwrap_or_default()
    }

    /// How many zones there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether there is neither a zone nor a global rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty() && self.global_rules.is_empty()
    }
}

impl Default for Verdict {
    /// Everything is allowed.
    fn default() -> Self {
        Self {
            ride_start_allowed: true,
            ride_end_allowed: true,
            ride_through_allowed: true,
            maximum_speed_kph: None,
            station_parking: false,
            zone: None,
        }
    }
}

impl TryFrom<&Value> for Zones {
    type Error = ZoneError;
    /// Reads what [`Zones::from_geojson`] reads, already parsed.
    fn try_from(document: &Value) -> Result<Self, ZoneError> {
        read::document(document)
    }
}

impl<'de> Deserialize<'de> for Zones {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn first_rule<'a>(rules: &'a [Rule], vehicle_type: &VehicleTypeId) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.vehicle_types.is_empty() || rule.vehicle_types.contains(vehicle_type))
}

impl Rule {
    fn verdict(&self, zone: Option<ZoneRef>) -> Verdict {
        Verdict {
            ride_start_allowed: self.ride_start_allowed,
            ride_end_allowed: self.ride_end_allowed,
            ride_through_allowed: self.ride_through_allowed,
            maximum_speed_kph: self.maximum_speed_kph,
            station_parking: self.station_parking,
            zone,
        }
    }
}

impl Zone {
    fn is_active(&self, now: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now < end)
    }

    /// Edges are straight in degrees (RFC 7946, section 3.1.1), and a zone over the antimeridian comes cut in
    /// two there (section 3.1.9), so a point upon it belongs to both sides.
    fn covers(&self, point: Point) -> bool {
        let within = |lon: f64| {
            let place = geo::Coord { x: lon, y: point.lat() };
            self.areas.iter().any(|area| area.bounds.intersects(&place) && area.polygon.intersects(&place))
        };
        within(point.lon()) || (point.lon().abs() == 180.0 && within(-point.lon()))
    }
}
