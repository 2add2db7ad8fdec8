//! Geofencing zones: documents that people publish, and documents whose verdicts are known.

use rideplane_core::geo::{Point, Verdict, ZoneError, Zones};
use rideplane_core::ids::VehicleTypeId;
use rideplane_core::time::{Span, Timestamp};
use serde_json::{Value, json};

use crate::input::Input;

/// The most characters that a message may have.
const LONGEST_MESSAGE: usize = 1_000;
/// Whole degrees, so that what lies where can be said exactly; the antimeridian and a pole are among them.
const LONS: [i64; 11] = [-180, -179, -178, -2, -1, 0, 1, 2, 178, 179, 180];
const LATS: [i64; 9] = [-90, -89, -2, -1, 0, 1, 2, 3, 90];
const KINDS: [&str; 3] = ["bike", "car", "scooter"];
const NOON: Timestamp = Timestamp::from_unix_seconds(1_780_000_000);

/// Bytes are a `geofencing_zones.json` when they begin with a brace, and choices for one otherwise.
///
/// # Panics
/// When a verdict is another than GBFS's precedence gives, or an error does not say where it is.
pub fn geofencing_zones(bytes: &[u8]) {
    if bytes.first() == Some(&b'{') {
        if let Ok(text) = core::str::from_utf8(bytes) {
            published(text);
        }
    } else {
        known(&mut Input::new(bytes));
    }
}

fn published(text: &str) {
    let zones = match Zones::from_geojson(text) {
        Ok(zones) => zones,
        Err(error) => return told(text, &error),
    };
    let document: Value = serde_json::from_str(text).expect("it was read");
    assert_eq!(Zones::try_from(&document).as_ref(), Ok(&zones));
    let collection = document.pointer("/data/geofencing_zones").unwrap_or(&document);
    assert_eq!(collection["features"].as_array().map(Vec::len), Some(zones.len()));
    let bare = Zones::try_from(collection).expect("the collection alone is a document");
    assert_eq!(bare.len(), zones.len());
    for lon in LONS {
        let (point, kind) = (place((lon, 1)), kind(0));
        if let Some(zone) = bare.verdict(point, &kind, NOON).zone {
            assert_eq!(zones.verdict(point, &kind, NOON).zone, Some(zone));
        }
    }
}

fn told(text: &str, error: &ZoneError) {
    let message = error.to_string();
    assert!(message.chars().count() <= LONGEST_MESSAGE, "{message}");
    match error {
        ZoneError::Json(_) => assert!(serde_json::from_str::<Value>(text).is_err()),
        ZoneError::Feature { feature, field, problem } => {
            let document: Value = serde_json::from_str(text).expect("only its meaning is wrong");
            let collection = document.pointer("/data/geofencing_zones").unwrap_or(&document);
            assert!(collection["features"].get(feature).is_some(), "{message}");
            assert!(!field.is_empty() && !problem.is_empty(), "{message}");
        }
        ZoneError::Document { field, problem } => {
            assert!(!field.is_empty() && !problem.is_empty(), "{message}");
        }
    }
}

type Place = (i64, i64);

/// A closed ring on the lattice; it may cross itself.
type Ring = Vec<Place>;

struct Rule {
    kinds: Vec<usize>,
    speed: u32,
}

struct Zone {
    /// An outer ring each, and perhaps a hole.
    areas: Vec<(Ring, Option<Ring>)>,
    start: Option<i64>,
    end: Option<i64>,
    rules: Vec<Rule>,
}

fn known(input: &mut Input<'_>) {
    let zones: Vec<Zone> = (0..input.byte() % 4).map(|_| zone(input)).collect();
    let global: Vec<Rule> = (0..input.byte() % 3).map(|_| rule(input)).collect();
    let document = json!({ "data": {
        "geofencing_zones": {
            "type": "FeatureCollection",
            "features": zones.iter().map(feature).collect::<Vec<_>>(),
        },
        "global_rules": global.iter().map(rule_json).collect::<Vec<_>>(),
    }});
    let read = Zones::try_from(&document).unwrap_or_else(|error| panic!("{error}: {document}"));
    for second in [-2, -1, 0, 1, 2] {
        for (kind_of, name) in KINDS.into_iter().enumerate() {
            for at in LONS.into_iter().flat_map(|lon| LATS.map(|lat| (lon, lat))) {
                let verdict = read.verdict(place(at), &kind(kind_of), moment(second));
                assert_eq!(
                    decided(&verdict),
                    expected(&zones, &global, at, kind_of, second),
                    "{at:?}, {name}, {second} s: {document}"
                );
            }
        }
    }
}

/// Which zone decided, and by which rule: the speed names it.
fn decided(verdict: &Verdict) -> (Option<usize>, Option<u32>) {
    let speed = verdict.maximum_speed_kph;
    let allowed = (verdict.ride_start_allowed, verdict.ride_end_allowed, verdict.ride_through_allowed);
    assert_eq!(allowed, speed.map_or((true, true, true), flags));
    (verdict.zone.as_ref().map(|zone| zone.feature), speed)
}

/// GBFS, "Geofencing Rule Precedence": the first zone here and now that has a rule for the type, then the global rules.
fn expected(
    zones: &[Zone],
    global: &[Rule],
    at: Place,
    kind: usize,
    second: i64,
) -> (Option<usize>, Option<u32>) {
    let first = |rules: &[Rule]| {
        rules.iter().find(|rule| rule.kinds.is_empty() || rule.kinds.contains(&kind)).map(|rule| rule.speed)
    };
    for (number, zone) in zones.iter().enumerate() {
        let now = zone.start.is_none_or(|start| start <= second) && zone.end.is_none_or(|end| second < end);
        let here = zone
            .areas
            .iter()
            .any(|area| covers(area, at) || at.0.abs() == 180 && covers(area, (-at.0, at.1)));
        if let (true, Some(speed)) = (now && here, first(&zone.rules)) {
            return (Some(number), Some(speed));
        }
    }
    (None, first(global))
}

fn covers((outer, hole): &(Ring, Option<Ring>), at: Place) -> bool {
    let in_hole = hole.as_ref().is_some_and(|hole| !on_edge(hole, at) && turns(hole, at) != 0);
    on_edge(outer, at) || turns(outer, at) != 0 && !in_hole
}

fn edges(ring: &Ring) -> impl Iterator<Item = (Place, Place)> {
    ring.iter().copied().zip(ring.iter().copied().skip(1))
}

/// Twice the area of the triangle; positive when `c` is left of the way from `a` to `b`.
fn side(a: Place, b: Place, c: Place) -> i64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

fn on_edge(ring: &Ring, at: Place) -> bool {
    let between = |a: i64, b: i64, x: i64| a.min(b) <= x && x <= a.max(b);
    edges(ring).any(|(a, b)| side(a, b, at) == 0 && between(a.0, b.0, at.0) && between(a.1, b.1, at.1))
}

/// How often the ring goes round: what crosses the meridian north of the place, one way less the other.
fn turns(ring: &Ring, at: Place) -> i64 {
    edges(ring)
        .map(|(a, b)| match (a.0 <= at.0, b.0 <= at.0) {
            (true, false) if side(a, b, at) < 0 => -1,
            (false, true) if side(a, b, at) > 0 => 1,
            _ => 0,
        })
        .sum()
}

fn zone(input: &mut Input<'_>) -> Zone {
    let areas = (0..=input.byte() % 2).map(|_| (ring(input), input.flag().then(|| ring(input)))).collect();
    let window = input.byte();
    let start = (window & 1 != 0).then_some(-1);
    let end = (window & 2 != 0).then_some(i64::from(window >> 2 & 1));
    let rules = (0..input.byte() % 3).map(|_| rule(input)).collect();
    Zone { areas, start, end, rules }
}

fn ring(input: &mut Input<'_>) -> Ring {
    let corners = 3 + input.byte() % 4;
    let mut ring: Ring = (0..corners).map(|_| (input.pick(&LONS), input.pick(&LATS))).collect();
    ring.extend(ring.first().copied());
    ring
}

fn rule(input: &mut Input<'_>) -> Rule {
    let kinds = input.byte();
    Rule {
        kinds: (0..KINDS.len()).filter(|kind| kinds >> kind & 1 == 1).collect(),
        speed: u32::from(input.byte()),
    }
}

fn flags(speed: u32) -> (bool, bool, bool) {
    (speed & 1 == 0, speed & 2 == 0, speed & 4 == 0)
}

fn rule_json(rule: &Rule) -> Value {
    let (start, end, through) = flags(rule.speed);
    let mut json = json!({
        "ride_start_allowed": start,
        "ride_end_allowed": end,
        "ride_through_allowed": through,
        "maximum_speed_kph": rule.speed,
    });
    if !rule.kinds.is_empty() {
        json["vehicle_type_ids"] = rule.kinds.iter().map(|kind| KINDS[*kind]).collect();
    }
    json
}

fn feature(zone: &Zone) -> Value {
    let polygon = |(outer, hole): &(Ring, Option<Ring>)| {
        std::iter::once(outer).chain(hole).map(|ring| json!(ring)).collect::<Value>()
    };
    let mut properties = json!({ "rules": zone.rules.iter().map(rule_json).collect::<Vec<_>>() });
    for (name, second) in [("start", zone.start), ("end", zone.end)] {
        if let Some(second) = second {
            properties[name] = json!(moment(second).to_string());
        }
    }
    json!({
        "type": "Feature",
        "geometry": {
            "type": "MultiPolygon",
            "coordinates": zone.areas.iter().map(polygon).collect::<Vec<_>>(),
        },
        "properties": properties,
    })
}

fn place((lon, lat): Place) -> Point {
    Point::new(lat as f64, lon as f64).expect("degrees in range")
}

fn kind(number: usize) -> VehicleTypeId {
    VehicleTypeId::new(KINDS[number]).expect("an id")
}

fn moment(second: i64) -> Timestamp {
    NOON.plus(Span::from_seconds(second))
}
