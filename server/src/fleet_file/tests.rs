use super::*;
use proptest::prelude::*;

const HEADER: &str = "vehicle_id,vehicle_type,lat,lon,form_factor,propulsion_type,plan_id,current_fuel_percent,max_range_meters,public_key";
/// The public keys of the seeds 7 and 8.
fn key(seed: u8) -> String {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
    key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn csv(rows: &str) -> Result<Vec<FleetRow>, String> {
    parse(format!("{HEADER}\n{rows}").as_bytes(), None).map_err(|error| error.to_string())
}

fn refusal(rows: &str) -> String {
    csv(rows).expect_err(rows)
}

fn feature(geometry: &str, properties: &str) -> String {
    format!(r#"{{"type":"Feature","geometry":{geometry},"properties":{properties}}}"#)
}

fn collection(features: &[String]) -> String {
    format!("{{\n\"type\":\"FeatureCollection\",\n\"features\":[\n{}\n]}}", features.join(",\n"))
}

fn geojson(geometry: &str, properties: &str) -> Result<Vec<FleetRow>, String> {
    parse(collection(&[feature(geometry, properties)]).as_bytes(), None).map_err(|error| error.to_string())
}

const POINT: &str = r#"{"type":"Point","coordinates":[8.6821,50.1109]}"#;

#[test]
fn a_full_row_and_a_short_row_are_read() {
    let full = format!("sc-1,scooter,50.1109,8.6821,scooter_standing,electric,plan-1,0.83,25000,{}", key(7));
    let rows = csv(&format!("{full}\n\"ca-2\", car ,-33.9,151,,,,,,\n")).unwrap();
    let [first, second] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((first.line, second.line), (2, 3));
    assert_eq!(first.vehicle_type.as_str(), "scooter");
    assert_eq!(first.position, LatLon::FRANKFURT);
    assert_eq!(first.form_factor, Some(FormFactor::ScooterStanding));
    assert_eq!(first.propulsion_type, Some(PropulsionType::Electric));
    assert_eq!(first.plan_id.as_ref().map(PlanId::as_str), Some("plan-1"));
    assert_eq!(first.current_fuel_percent, Some(Charge::from_basis_points(8_300)));
    assert_eq!(first.max_range_meters, Some(25_000));
    assert_eq!(first.public_key.map(|key| key[0]), u8::from_str_radix(&key(7)[..2], 16).ok());
    assert_eq!(second.position, LatLon::new(-33.9, 151.0).unwrap());
    assert_eq!((second.form_factor, second.plan_id.clone(), second.public_key), (None, None, None));
}

#[test]
fn a_gbfs_feed_is_read_as_it_is_published() {
    let feed = r#"{
  "last_updated": "2026-03-01T10:00:00Z", "ttl": 60, "version": "3.0",
  "data": { "vehicles": [
    { "vehicle_id": "sc-1", "vehicle_type_id": "scooter", "lat": 50.1109, "lon": 8.6821, "is_reserved": false,
      "is_disabled": false, "current_fuel_percent": 0.83, "current_range_meters": 20000, "pricing_plan_id": "plan-1",
      "last_reported": "2026-03-01T09:59:00Z", "rental_uris": { "web": "https://example.com" } },
    { "vehicle_id": "sc-2", "vehicle_type_id": "scooter", "lat": 50.1, "lon": 8.7, "is_reserved": true, "is_disabled": false },
    { "vehicle_id": "sc-3", "vehicle_type_id": "scooter", "lat": 50.1, "lon": 8.7, "is_reserved": true, "is_disabled": true }
  ] }
}"#;
    let mut rows = parse(feed.as_bytes(), None).unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.line, row.vehicle_id.as_str(), row.held_back)).collect();
    let (reserved, disabled) = (Some(HeldBack::Reserved), Some(HeldBack::Disabled));
    assert_eq!(told, [(4, "sc-1", None), (7, "sc-2", reserved), (8, "sc-3", disabled)]);
    let mut same = csv("sc-1,scooter,50.1109,8.6821,,,plan-1,0.83,,\n").unwrap();
    same[0].line = 4;
    assert_eq!(rows.swap_remove(0), same.swap_remove(0));

    let older = r#"{"data":{"bikes":[{"bike_id":"b-1","vehicle_type_id":"ebike","lat":1,"lon":2,"is_reserved":false,"is_disabled":false}]}}"#;
    assert_eq!(parse(older.as_bytes(), None).unwrap()[0].vehicle_id.as_str(), "b-1");
}

#[test]
fn what_is_wrong_with_a_feed_is_told_by_line() {
    let feed = |vehicles: &str| {
        let text = format!("{{\"data\":{{\"vehicles\":[\n{vehicles}\n]}}}}");
        parse(text.as_bytes(), None).unwrap_err().to_string()
    };
    assert_eq!(
        feed(r#"{"vehicle_id":"a","vehicle_type_id":"scooter","lat":91,"lon":0}"#),
        "line 2, column lat: \"91\" is not a latitude in degrees from -90 to 90"
    );
    assert_eq!(
        feed(r#"{"vehicle_id":"a","lat":1,"lon":0}"#),
        "line 2, column vehicle_type: is required and empty"
    );
    assert!(
        feed(r#"{"vehicle_id":"a","vehicle_type_id":"scooter","station_id":"s"}"#).contains("no lat and lon")
    );
    assert!(
        feed(r#"{"vehicle_id":"a","is_reserved":"no"}"#).starts_with("line 2: not a GBFS feed of vehicles")
    );
    let twice = r#"{"vehicle_id":"a","vehicle_type_id":"scooter","lat":1,"lon":0}"#;
    assert_eq!(feed(&format!("{twice},\n{twice}")), "line 3, column vehicle_id: \"a\" is already on line 2");
    assert!(feed("").contains("there is no vehicle"));
    let stations = parse(br#"{"data":{"stations":[]}}"#, None).unwrap_err().to_string();
    assert_eq!(stations, "line 1: not a GBFS feed of vehicles: missing field `vehicles`");
}

#[test]
fn geojson_says_the_same_as_csv() {
    let from_csv = csv(&format!("sc-1,scooter,50.1109,8.6821,car,hybrid,p,0.5,900,{}", key(7))).unwrap();
    let properties = format!(
        r#"{{"vehicle_id":"sc-1","vehicle_type":"scooter","form_factor":"car","propulsion_type":"hybrid",
        "plan_id":"p","current_fuel_percent":0.5,"max_range_meters":900,"public_key":"{}"}}"#,
        key(7)
    );
    let mut from_geojson = geojson(POINT, &properties).unwrap();
    assert_eq!(from_geojson[0].line, 4);
    from_geojson[0].line = 2;
    assert_eq!(from_geojson, from_csv);
    let nulls = geojson(POINT, r#"{"vehicle_id":"a","vehicle_type":"b","plan_id":null}"#).unwrap();
    assert_eq!(nulls[0].plan_id, None);
}

#[test]
fn columns_come_in_any_order_with_or_without_a_byte_order_mark() {
    let text = "\u{feff}lon,lat,vehicle_type,vehicle_id\r\n8.6821,50.1109,scooter,sc-1\r\n";
    assert_eq!(parse(text.as_bytes(), None).unwrap()[0].position, LatLon::FRANKFURT);
}

#[test]
fn broken_values_are_named_by_line_column_and_value() {
    for (row, expected) in [
        ("a b,s,1,2,,,,,,", "line 2, column vehicle_id: \"a b\" is not an id"),
        (",s,1,2,,,,,,", "line 2, column vehicle_id: is required and empty"),
        ("a,,1,2,,,,,,", "line 2, column vehicle_type: is required and empty"),
        ("a,s,91,2,,,,,,", "line 2, column lat: \"91\" is not a latitude in degrees from -90 to 90"),
        ("a,s,NaN,2,,,,,,", "line 2, column lat: \"NaN\" is not a latitude"),
        ("a,s,1,-180.1,,,,,,", "line 2, column lon: \"-180.1\" is not a longitude"),
        ("a,s,1,inf,,,,,,", "line 2, column lon: \"inf\" is not a longitude"),
        ("a,s,1,\"2,5\",,,,,,", "line 2, column lon: \"2,5\" is not a longitude"),
        ("a,s,1,2,scooter,,,,,", "column form_factor: \"scooter\" is not a GBFS form_factor: bicycle"),
        ("a,s,1,2,,steam,,,,", "column propulsion_type: \"steam\" is not a GBFS propulsion_type"),
        ("a,s,1,2,,,p/1,,,", "column plan_id: \"p/1\" is not an id"),
        ("a,s,1,2,,,,83,,", "column current_fuel_percent: \"83\" is not a fraction from 0 to 1"),
        ("a,s,1,2,,,,,-5,", "column max_range_meters: \"-5\" is not a whole number of metres"),
        ("a,s,1,2,,,,,1.5,", "column max_range_meters: \"1.5\""),
        ("a,s,1,2,,,,,,abc", "column public_key: \"abc\" is not an Ed25519 public key"),
        // The neutral element: it verifies what nobody signed.
        (&format!("a,s,1,2,,,,,,01{}", "0".repeat(62)), "column public_key: \"01"),
        ("a,s,1,2", "line 2: this row has 4 cells, the header has 10"),
        ("a,s,1,2,,,,,,,,", "line 2: this row has 12 cells"),
    ] {
        let error = refusal(row);
        assert!(error.contains(expected), "{row}\n{error}");
    }
    assert_eq!(refusal("a b,,91,999,,,,,,").lines().count(), 4, "all of a row's problems are told");
    let long = refusal(&format!("{},s,1,2,,,,,,", "x".repeat(100_000)));
    assert!(long.len() < 300, "{}", long.len());
}

#[test]
fn lines_are_counted_over_quoted_and_empty_lines() {
    let error = refusal("a,s,1,2,,,,,,\n\n\r\n\"b\n\",s,1,2,,,,,,\nc,s,91,2,,,,,,");
    assert!(error.contains("line 7, column lat"), "{error}");
    assert_eq!(csv("a,s,1,2,,,,,,\n\n\r\n\"b\n\",s,1,2,,,,,,").unwrap()[1].line, 5);
}

#[test]
fn duplicates_are_refused_with_both_lines() {
    let error = refusal("a,s,1,2,,,,,,\nb,s,1,2,,,,,,\na,s,3,4,,,,,,");
    assert_eq!(error, "line 4, column vehicle_id: \"a\" is already on line 2");
    let key = key(8);
    let upper = key.to_uppercase();
    let error = refusal(&format!("a,s,1,2,,,,,,{key}\nb,s,1,2,,,,,,{upper}"));
    let start = &key[..8];
    assert_eq!(error, format!("line 3, column public_key: \"{start}...\" is already on line 2"));
    let twin = feature(POINT, r#"{"vehicle_id":"a","vehicle_type":"s"}"#);
    let error = parse(collection(&[twin.clone(), twin]).as_bytes(), None).unwrap_err().to_string();
    assert_eq!(error, "line 5, column vehicle_id: \"a\" is already on line 4");
}

#[test]
fn headers_are_checked() {
    for (text, expected) in [
        ("", "line 1: the file is empty"),
        ("\n\n", "the file is empty"),
        ("vehicle_id,vehicle_type,lat,lon\n", "there is no vehicle in this file"),
        ("vehicle_id,vehicle_type,lat\n", "line 1: the header has no column lon"),
        ("vehicle_id,vehicle_type,lat,lon,lat\n", "line 1: the header has twice the column lat"),
        (
            "vehicle_id,vehicle_type,lat,lon,max_range\n",
            "\"max_range\" is not a column of a fleet file: they are",
        ),
        (
            "vehicle_id,vehicle_typ,lat,lon\n",
            "\"vehicle_typ\" is not a column of a fleet file: did you mean vehicle_type?",
        ),
        ("vehicle_id;vehicle_type;lat;lon\n", "is not a column of a fleet file"),
    ] {
        let error = parse(text.as_bytes(), None).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}");
    }
    let error =
        parse(b"vehicle_id,vehicle_type,lat,lon\n\xff,s,1,2\nb,s,1,2\n", None).unwrap_err().to_string();
    assert_eq!(error, "line 2: this row is not UTF-8 text");
}

#[test]
fn broken_geojson_is_named_by_line() {
    let good = r#"{"vehicle_id":"a","vehicle_type":"s"}"#;
    for (geometry, properties, expected) in [
        (r#"{"type":"Point","coordinates":[8.7,91]}"#, good, "line 4, column lat: \"91\""),
        (r#"{"type":"Point","coordinates":[null,50]}"#, good, "line 4, column lon: is required and empty"),
        (r#"{"type":"Point","coordinates":[8.7]}"#, good, "line 4: the coordinates of a Point"),
        (r#"{"type":"Point","coordinates":{"lat":1}}"#, good, "line 4: the coordinates of a Point"),
        (r#"{"type":"LineString","coordinates":[[1,2],[3,4]]}"#, good, "Feature with a Point"),
        ("null", good, "line 4: a vehicle is a Feature with a Point geometry"),
        (POINT, "null", "line 4, column vehicle_id: is required"),
        (
            POINT,
            r#"{"vehicle_id":7,"vehicle_type":["s"]}"#,
            "column vehicle_type: \"[\\\"s\\\"]\" is not an id",
        ),
        (POINT, r#"{"vehicle_id":"a","vehicle_type":"s","lat":1}"#, "\"lat\" is not a column"),
        (POINT, r#"{"vehicle_id":"a","vehicle_type":"s","colour":1}"#, "\"colour\" is not a column"),
        (
            POINT,
            r#"{"vehicle_id":"a","vehicle_type":"s","current_fuel_percent":true}"#,
            "current_fuel_percent: \"true\"",
        ),
        (POINT, "7", "line 4: not a GeoJSON fleet: invalid type"),
    ] {
        let error = geojson(geometry, properties).unwrap_err();
        assert!(error.contains(expected), "{geometry} {properties}\n{error}");
    }
    for (text, expected) in [
        ("{", "line 1: not a GeoJSON fleet: EOF"),
        ("{\n\"type\":\n1}", "line 3: not a GeoJSON fleet: invalid type"),
        (r#"{"type":"Feature","features":[]}"#, "this is a \"Feature\""),
        (r#"{"type":"FeatureCollection"}"#, "missing field `features`"),
        (r#"{"type":"FeatureCollection","features":[]}"#, "there is no vehicle"),
        ("{\n\u{e9}\n", "line 2"),
    ] {
        let error = parse(text.as_bytes(), None).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}");
    }
    assert!(parse(b"{\n\n\xff", None).unwrap_err().to_string().starts_with("line 3: the file is not UTF-8"));
    // Nested as deep as one likes: the JSON reader has a limit of its own.
    assert!(parse("{\"a\":".repeat(100_000).as_bytes(), None).is_err());
    assert!(geojson(POINT, &format!("{{\"vehicle_id\":{}", "[".repeat(100_000))).is_err());
}

#[test]
fn only_the_first_problems_are_described_and_the_rest_is_counted() {
    let error = refusal(&"a b,s,1,2,,,,,,\n".repeat(50));
    assert_eq!(error.lines().count(), MAX_PROBLEMS + 1);
    assert!(error.ends_with("and 30 more"), "{error}");
}

#[test]
fn the_gbfs_words_are_read_as_they_are_written() {
    for form in FormFactor::ALL {
        assert_eq!(vocabulary::form_factor(form.as_str()), Some(form));
        assert!(vocabulary::FORM_FACTOR_RULE.contains(form.as_str()));
    }
    for propulsion in PropulsionType::ALL {
        assert_eq!(vocabulary::propulsion_type(propulsion.as_str()), Some(propulsion));
        assert!(vocabulary::PROPULSION_TYPE_RULE.contains(propulsion.as_str()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, None);
        let _ = parse(&bytes, Some(Format::Csv));
        let _ = parse(&bytes, Some(Format::GeoJson));
    }

    #[test]
    fn any_damage_to_a_good_file_is_an_answer(at in 0_usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let full = format!("{HEADER}\nsc-1,scooter,50.1109,8.6821,car,electric,p,0.83,25000,{}\n", key(7));
        let json = collection(&[feature(POINT, r#"{"vehicle_id":"a","vehicle_type":"s"}"#)]);
        for good in [full, json] {
            let mut bytes = good.into_bytes();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            if let Ok(rows) = parse(&bytes, None) {
                prop_assert_eq!(rows.len(), 1);
            }
        }
    }

    #[test]
    fn every_position_survives_the_file(lat in -90.0..=90.0_f64, lon in -180.0..=180.0_f64) {
        let rows = csv(&format!("a,s,{lat},{lon},,,,,,")).unwrap();
        prop_assert_eq!(Some(rows[0].position), LatLon::new(lat, lon));
    }
}
