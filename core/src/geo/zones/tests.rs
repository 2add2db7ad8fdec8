//! The table of precedence, a proptest against the rules written down a second time, and the errors.

use core::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(lat: f64, lon: f64) -> Point {
    Point::new(lat, lon).unwrap()
}

fn kind(text: &str) -> VehicleTypeId {
    VehicleTypeId::new(text).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn square(west: f64, south: f64, east: f64, north: f64) -> Value {
    json!([[west, south], [east, south], [east, north], [west, north], [west, south]])
}

/// A zone over `[west, south, east, north]` with rules `(vehicle types, speed)`; the speed tells who decided.
fn zone(name: &str, areas: &[Value], rules: &[(&[&str], u32)]) -> Value {
    json!({
        "type": "Feature",
        "geometry": {"type": "MultiPolygon", "coordinates": areas},
        "properties": {"name": [{"text": name, "language": "en"}], "rules": rule_list(rules)},
    })
}

fn rule_list(rules: &[(&[&str], u32)]) -> Value {
    let rule = |(kinds, speed): &(&[&str], u32)| {
        let mut rule = json!({
            "ride_start_allowed": speed % 2 == 1,
            "ride_end_allowed": speed % 3 == 1,
            "ride_through_allowed": speed % 5 == 1,
            "maximum_speed_kph": speed,
        });
        if !kinds.is_empty() {
            rule["vehicle_type_ids"] = json!(kinds);
        }
        rule
    };
    rules.iter().map(rule).collect()
}

fn feed(features: &[Value], global: &[(&[&str], u32)]) -> Value {
    json!({
        "last_updated": "2026-01-31T12:00:00Z", "ttl": 60, "version": "3.1",
        "data": {
            "geofencing_zones": {"type": "FeatureCollection", "features": features},
            "global_rules": rule_list(global),
        },
    })
}

fn city() -> Zones {
    let center = square(0.0, 0.0, 4.0, 4.0);
    let hole = square(1.0, 1.0, 2.0, 2.0);
    let mut market = zone("market, mornings", &[json!([square(3.0, 3.0, 6.0, 6.0)])], &[(&[], 3)]);
    market["properties"]["start"] = json!("2026-05-01T06:00:00Z");
    market["properties"]["end"] = json!("2026-05-01T12:00:00+02:00");
    let mut closed = zone("last year", &[json!([square(0.0, 0.0, 9.0, 9.0)])], &[(&[], 4)]);
    closed["properties"]["end"] = json!("2026-01-01T00:00:00Z");
    Zones::try_from(&feed(
        &[
            closed,
            market,
            zone("no rules", &[json!([square(0.0, 0.0, 9.0, 9.0)])], &[]),
            zone("center", &[json!([center, hole])], &[(&["car", "van"], 5), (&["car"], 6), (&["bike"], 7)]),
            zone(
                "two islands",
                &[json!([square(1.0, 1.0, 3.0, 3.0)]), json!([square(-180.0, 0.0, -179.0, 1.0)])],
                &[(&["bike"], 8), (&[], 9)],
            ),
        ],
        &[(&["van"], 10), (&["scooter", "van"], 11)],
    ))
    .unwrap()
}

#[test]
fn precedence_table() {
    let zones = city();
    let mut table = String::new();
    let (early, market, noon) = ("2026-05-01T05:59:59Z", "2026-05-01T06:00:00Z", "2026-05-01T10:00:00Z");
    for (what, lat, lon) in [
        ("the center", 0.5, 0.5),
        ("a corner of the center", 0.0, 0.0),
        ("the hole, on the first island", 1.5, 1.5),
        ("the edge of the hole", 1.5, 1.0),
        ("center and island", 2.5, 2.5),
        ("center and market", 3.5, 3.5),
        ("the market", 5.0, 5.0),
        ("nowhere", 8.0, 8.0),
        ("the second island", 0.5, -179.5),
        ("the antimeridian, other spelling", 0.5, 180.0),
    ] {
        writeln!(table, "{what} ({lat}, {lon})").unwrap();
        for now in [early, market, noon] {
            write!(table, "  {now} ").unwrap();
            for vehicle in ["car", "van", "bike", "scooter"] {
                let verdict = zones.verdict(at(lat, lon), &kind(vehicle), time(now));
                let speed = verdict.maximum_speed_kph.map_or("free".into(), |kph| format!("{kph} km/h"));
                let by = match (verdict.zone, verdict.maximum_speed_kph) {
                    (Some(zone), _) => format!("{} #{}", zone.name.unwrap(), zone.feature),
                    (None, Some(_)) => "global".into(),
                    (None, None) => "nothing".into(),
                };
                write!(table, " | {vehicle}: {speed} by {by}").unwrap();
            }
            table.push('\n');
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_field_of_a_rule_reaches_the_verdict() {
    let mut feature = zone("z", &[json!([square(0.0, 0.0, 1.0, 1.0)])], &[(&[], 1)]);
    let inside = at(0.5, 0.5);
    let verdict = |feature: &Value| {
        let document = json!({"type": "FeatureCollection", "features": [feature]});
        let zones = Zones::from_geojson(&document.to_string()).unwrap();
        zones.verdict(inside, &kind("car"), Timestamp::EPOCH)
    };
    feature["properties"]["rules"] =
        json!([{"ride_start_allowed": true, "ride_end_allowed": true, "ride_through_allowed": true}]);
    let zone = Some(ZoneRef { feature: 0, name: Some("z".into()) });
    assert_eq!(verdict(&feature), Verdict { zone: zone.clone(), ..Verdict::default() });
    for (field, value, expected) in [
        ("ride_start_allowed", json!(false), Verdict { ride_start_allowed: false, ..Verdict::default() }),
        ("ride_end_allowed", json!(false), Verdict { ride_end_allowed: false, ..Verdict::default() }),
        ("ride_through_allowed", json!(false), Verdict { ride_through_allowed: false, ..Verdict::default() }),
        ("maximum_speed_kph", json!(0), Verdict { maximum_speed_kph: Some(0), ..Verdict::default() }),
        ("station_parking", json!(true), Verdict { station_parking: true, ..Verdict::default() }),
    ] {
        let mut changed = feature.clone();
        changed["properties"]["rules"][0][field] = value;
        assert_eq!(verdict(&changed), Verdict { zone: zone.clone(), ..expected }, "{field}");
    }
}

#[test]
fn no_zones_allow_everything() {
    let zones = Zones::default();
    assert!(zones.is_empty());
    assert_eq!(zones.verdict(at(1.0, 2.0), &kind("car"), Timestamp::EPOCH), Verdict::default());
    assert_eq!(Zones::from_geojson(r#"{"type":"FeatureCollection","features":[]}"#).unwrap(), zones);
}

#[test]
fn zones_are_counted_and_rules_everywhere_are_not_nothing() {
    let nowhere: Zones = serde_json::from_value(feed(&[], &[])).unwrap();
    assert_eq!((nowhere.len(), nowhere.is_empty()), (0, true));
    let everywhere: Zones = serde_json::from_value(feed(&[], &[(&["scooter"], 1)])).unwrap();
    assert_eq!((everywhere.len(), everywhere.is_empty()), (0, false));
    let squares = [0.0, 2.0].map(|west| zone("z", &[json!([square(west, 0.0, west + 1.0, 1.0)])], &[]));
    let zones: Zones = serde_json::from_value(feed(&squares, &[])).unwrap();
    assert_eq!((zones.len(), zones.is_empty()), (2, false));
}

#[test]
fn plain_names_polygons_and_unknown_fields_are_read() {
    let document = json!({
        "type": "FeatureCollection", "generator": "x",
        "features": [{
            "type": "Feature", "id": 7,
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 0, 5]]]},
            "properties": {"name": "yard", "start": null, "rules": [{
                "vehicle_type_ids": [], "ride_start_allowed": true, "ride_end_allowed": false,
                "ride_through_allowed": true, "maximum_speed_kph": null, "_note": "x"}]},
        }],
    });
    let zones: Zones = serde_json::from_value(document).unwrap();
    assert_eq!(zones.len(), 1);
    let verdict = zones.verdict(at(0.2, 0.5), &kind("car"), Timestamp::EPOCH);
    assert_eq!((verdict.ride_end_allowed, verdict.zone.unwrap().name.unwrap().as_str()), (false, "yard"));
}

#[test]
fn errors_name_the_feature_and_the_field() {
    let good = || zone("z", &[json!([square(0.0, 0.0, 1.0, 1.0)])], &[(&["car"], 1)]);
    let mut table = String::new();
    let bad: [(&str, Value); 16] = [
        ("/type", json!("Point")),
        ("/geometry", Value::Null),
        ("/geometry/type", json!("LineString")),
        ("/geometry/coordinates", json!("here")),
        ("/geometry/coordinates/0", json!([])),
        ("/geometry/coordinates/0/0/2", json!([500.0, 0.0])),
        ("/geometry/coordinates/0/0/2", json!([5.0])),
        ("/geometry/coordinates/0/0/2", json!(["5", 1])),
        ("/geometry/coordinates/0/0/4", json!([0.5, 0.5])),
        ("/geometry/coordinates/0/0", json!([[0, 0], [1, 1], [0, 0]])),
        ("/properties", json!([])),
        ("/properties/name", json!(5)),
        ("/properties/rules/0/ride_end_allowed", json!("yes")),
        ("/properties/rules/0/maximum_speed_kph", json!(-1)),
        ("/properties/rules/0/vehicle_type_ids/0", json!("no spaces please")),
        ("/properties/rules/0", json!({"ride_start_allowed": true, "ride_through_allowed": true})),
    ];
    for (pointer, value) in bad {
        let mut feature = good();
        *feature.pointer_mut(pointer).unwrap() = value;
        let error = Zones::try_from(&feed(&[good(), feature], &[])).unwrap_err();
        assert!(matches!(error, ZoneError::Feature { feature: 1, .. }), "{error:?}");
        writeln!(table, "{error}").unwrap();
    }
    for (start, end) in
        [("yesterday", "2026-01-01T00:00:00Z"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")]
    {
        let mut feature = good();
        feature["properties"]["start"] = json!(start);
        feature["properties"]["end"] = json!(end);
        writeln!(table, "{}", Zones::try_from(&feed(&[feature], &[])).unwrap_err()).unwrap();
    }
    let mut global = feed(&[], &[(&[], 1)]);
    global["data"]["global_rules"][0]["ride_start_allowed"] = Value::Null;
    for document in [global, json!({}), json!({"data": {}}), json!({"data": 1}), json!(1)] {
        writeln!(table, "{}", Zones::try_from(&document).unwrap_err()).unwrap();
    }
    writeln!(table, "{}", Zones::from_geojson("{").unwrap_err()).unwrap();
    insta::assert_snapshot!(table);
}

/// A zone as the model sees it: a box of whole degrees, an active flag, rules of (types as bits, speed).
#[derive(Clone, Debug)]
struct Plan {
    corner: (i32, i32),
    size: (i32, i32),
    active: bool,
    rules: Vec<(u8, u32)>,
}

const KINDS: [&str; 3] = ["car", "bike", "scooter"];

fn names(bits: u8) -> Vec<&'static str> {
    (0..3).filter(|bit| bits >> bit & 1 == 1).map(|bit| KINDS[bit]).collect()
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let rules = prop::collection::vec((0..8_u8, 0..99_u32), 0..4);
    let plan = ((-3..3, -3..3), (1..4, 1..4), prop::bool::weighted(0.8), rules)
        .prop_map(|(corner, size, active, rules)| Plan { corner, size, active, rules });
    prop::collection::vec(plan, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_verdict_is_that_of_the_rules(
        plans in plans(),
        global in prop::collection::vec((0..8_u8, 0..99_u32), 0..3),
        place in (-6..10_i32, -6..10_i32),
        vehicle in 0..3_usize,
    ) {
        let now = time("2026-05-01T00:00:00Z");
        let features: Vec<Value> = plans.iter().map(|plan| {
            let ((x, y), (w, h)) = (plan.corner, plan.size);
            let area = square(x.into(), y.into(), (x + w).into(), (y + h).into());
            let kinds: Vec<_> = plan.rules.iter().map(|(bits, speed)| (names(*bits), *speed)).collect();
            let rules: Vec<(&[&str], u32)> = kinds.iter().map(|(k, s)| (k.as_slice(), *s)).collect();
            let mut feature = zone("z", &[json!([area])], &rules);
            if !plan.active {
                feature["properties"]["start"] = json!("2026-05-01T00:00:00.000001Z");
            }
            feature
        }).collect();
        let kinds: Vec<_> = global.iter().map(|(bits, speed)| (names(*bits), *speed)).collect();
        let rules: Vec<(&[&str], u32)> = kinds.iter().map(|(k, s)| (k.as_slice(), *s)).collect();
        let zones = Zones::try_from(&feed(&features, &rules)).unwrap();

        // Half degrees: some places lie upon edges and corners.
        let (x, y) = place;
        let mut expected = None;
        for (index, plan) in plans.iter().enumerate().rev() {
            let ((west, south), (w, h)) = (plan.corner, plan.size);
            let inside = (2 * west..=2 * (west + w)).contains(&x) && (2 * south..=2 * (south + h)).contains(&y);
            for (bits, speed) in plan.rules.iter().rev() {
                if inside && plan.active && (*bits == 0 || bits >> vehicle & 1 == 1) {
                    expected = Some((Some(index), *speed));
                }
            }
        }
        let by_global = global.iter().find(|(bits, _)| *bits == 0 || bits >> vehicle & 1 == 1);
        let expected = expected.or(by_global.map(|(_, speed)| (None, *speed)));
        let verdict = zones.verdict(at(f64::from(y) / 2.0, f64::from(x) / 2.0), &kind(KINDS[vehicle]), now);
        let found = verdict.maximum_speed_kph.map(|speed| (verdict.zone.map(|zone| zone.feature), speed));
        prop_assert_eq!(found, expected);
    }
}
