use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const CHICAGO_HEADER: &str = "trip_start_timestamp,trip_seconds,trip_miles,pickup_latitude,pickup_longitude,dropoff_latitude,dropoff_longitude,company\n";
const RIDEPLANE_HEADER: &str =
    "trip_id,started_at,pickup_lat,pickup_lon,dropoff_lat,dropoff_lon,duration_s,distance_m,vehicle_type\n";

fn chicago(rows: &str) -> Result<Vec<Row>, TripError> {
    read_bytes(Format::ChicagoTaxi, "trips.csv", format!("{CHICAGO_HEADER}{rows}").as_bytes())
}

fn rideplane(rows: &str) -> Result<Vec<Row>, TripError> {
    read_bytes(Format::Rideplane, "trips.csv", format!("{RIDEPLANE_HEADER}{rows}").as_bytes())
}

fn trip(rows: Vec<Row>) -> Trip {
    match rows.into_iter().next() {
        Some(Row::Trip(trip)) => trip,
        other => panic!("a trip was expected, not {other:?}"),
    }
}

#[test]
fn the_whole_chicago_file_is_read_and_every_row_accounted_for() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/chicago-taxi-trips.csv"));
    let (mut trips, mut estimated, mut metres) = (0, 0, 0);
    let mut skipped: BTreeMap<SkipReason, u64> = BTreeMap::new();
    for row in TripReader::open(Format::ChicagoTaxi, path).unwrap() {
        match row.unwrap() {
            Row::Trip(trip) => {
                trips += 1;
                estimated += u64::from(trip.distance_source == DistanceSource::Estimated);
                metres += trip.distance_m;
            }
            Row::Skipped(row) => *skipped.entry(row.reason).or_default() += 1,
        }
    }
    // Counted with awk and Python from the file: see data/README.md.
    assert_eq!(trips, 14_077);
    assert_eq!(estimated, 3_611);
    assert_eq!(
        skipped.into_iter().collect::<Vec<_>>(),
        [
            (SkipReason::NoPickupCoordinates, 2),
            (SkipReason::NoDropoffCoordinates, 481),
            (SkipReason::NoDuration, 442)
        ]
    );
    assert_eq!(metres, 74_018_845);
}

#[test]
fn both_formats_say_the_same_trip() {
    let miles = trip(
        chicago("1380593700,1380,12.6,41.836150155,-87.648787952,41.85,-87.64,\"Cab, Inc.\"\n").unwrap(),
    );
    let metres = trip(
        rideplane("t1,2013-10-01T02:15:00Z,41.836150155,-87.648787952,41.85,-87.64,1380,20277.7,ebike\n")
            .unwrap(),
    );
    assert_eq!(miles.started_at.to_string(), "2013-10-01T02:15:00Z");
    assert_eq!(miles.distance_m, 20_278);
    assert_eq!(miles.distance_source, DistanceSource::Recorded);
    assert_eq!(metres.vehicle_type, Some(VehicleTypeId::new("ebike").unwrap()));
    assert_eq!(metres.trip_id.as_deref(), Some("t1"));
    assert_eq!(Trip { trip_id: None, vehicle_type: None, ..metres }, miles);
}

#[test]
fn a_missing_or_impossible_distance_is_estimated() {
    let ride = |miles: &str, to: &str| {
        let trip = trip(chicago(&format!("0,600,{miles},41.88,-87.63,{to},\n")).unwrap());
        (trip.distance_m, trip.distance_source)
    };
    // 0.01 degrees of latitude are 1,111.95 m; 1.3 times that.
    for none in ["0", "0.0", "", "1710.0"] {
        assert_eq!(ride(none, "41.89,-87.63"), (1_446, DistanceSource::Estimated), "{none:?}");
    }
    // 20 miles in 600 s are 193 km/h, 21 are 203.
    assert_eq!(ride("20", "41.89,-87.63"), (32_187, DistanceSource::Recorded));
    assert_eq!(ride("21", "41.89,-87.63"), (1_446, DistanceSource::Estimated));
    // A round trip that nobody measured.
    assert_eq!(ride("0", "41.88,-87.63"), (0, DistanceSource::Estimated));
}

#[test]
fn rows_that_cannot_be_ridden_are_named_by_their_first_reason() {
    let rows = chicago(
        "\
,600,1,41.8,-87.6,41.9,-87.6,
0,,1,,-87.6,,,
0,600,1,41.8,,41.9,-87.6,
0,600,1,41.8,-87.6,41.9,,
0,0,1,41.8,-87.6,41.9,-87.6,
0, ,1,41.8,-87.6,41.9,-87.6,
0,420.0,1,41.8,-87.6,41.9,-87.6,
",
    )
    .unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| match row {
            Row::Trip(trip) => (trip.index, trip.index + 1, None),
            Row::Skipped(skipped) => (skipped.row, skipped.line, Some(skipped.reason)),
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1, 2, Some(SkipReason::NoStartTime)),
            (2, 3, Some(SkipReason::NoPickupCoordinates)),
            (3, 4, Some(SkipReason::NoPickupCoordinates)),
            (4, 5, Some(SkipReason::NoDropoffCoordinates)),
            (5, 6, Some(SkipReason::NoDuration)),
            (6, 7, Some(SkipReason::NoDuration)),
            (7, 8, None),
        ]
    );
}

#[test]
fn a_broken_row_names_file_line_column_and_value() {
    let good = "0,600,1,41.8,-87.6,41.9,-87.6,\n";
    let mut said = String::new();
    for broken in [
        "0,abc,1,41.8,-87.6,41.9,-87.6,",
        "0,-5,1,41.8,-87.6,41.9,-87.6,",
        "0,2678401,1,41.8,-87.6,41.9,-87.6,",
        "0,600,1,91,-87.6,41.9,-87.6,",
        "0,600,1,41.8,-87.6,41.9,180.1,",
        "0,600,1,NaN,-87.6,41.9,-87.6,",
        "0,600,inf,41.8,-87.6,41.9,-87.6,",
        "0,600,-1,41.8,-87.6,41.9,-87.6,",
        "0,600,1e300,41.8,-87.6,41.9,-87.6,",
        "1380593700000,600,1,41.8,-87.6,41.9,-87.6,",
        "2013-10-01,600,1,41.8,-87.6,41.9,-87.6,",
        "0,600,1,41.8,-87.6,41.9",
        "\"0,600,1,41.8,-87.6,41.9,-87.6,",
        // Wrong even where the row would be skipped.
        "0,600,1,,,ninety,-87.6,",
    ] {
        // Two good rows, a blank line: the broken one is on line 5.
        let error = chicago(&format!("{good}{good}\n{broken}\n")).unwrap_err().to_string();
        assert!(error.starts_with("trips.csv line 5"), "{error}");
        said += &format!("{error}\n");
    }
    for broken in [
        "t,1380593700,41.8,-87.6,41.9,-87.6,600,100,",
        "t,2013-10-01T02:15:00,41.8,-87.6,41.9,-87.6,600,100,",
        "t,2013-10-01T02:15:00Z,41.8,-87.6,41.9,-87.6,600,far,",
        "t,2013-10-01T02:15:00Z,41.8,-87.6,41.9,-87.6,600.5,100,",
    ] {
        said += &format!("{}\n", rideplane(broken).unwrap_err());
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_wrong_header_says_what_is_missing() {
    let mut said = String::new();
    for (format, header) in [
        (Format::ChicagoTaxi, ""),
        (Format::ChicagoTaxi, "started_at,pickup_lat\n"),
        (Format::ChicagoTaxi, "trip_start_timestamp;trip_seconds;trip_miles\n"),
        (Format::ChicagoTaxi, "trip_seconds,trip_seconds\n"),
        (Format::Rideplane, "started_at,pickup_latt\n"),
        (Format::Rideplane, "started_at,colour\n"),
        (Format::Rideplane, "started_at,duration_s\n"),
    ] {
        said += &format!("{}\n", read_bytes(format, "trips.csv", header.as_bytes()).unwrap_err());
    }
    said += &format!("{}\n", TripReader::open(Format::Rideplane, Path::new("no-such-file.csv")).unwrap_err());
    insta::assert_snapshot!(said);
}

#[test]
fn line_numbers_hold_with_crlf_blank_lines_quoted_newlines_and_no_last_newline() {
    let row = "0,600,1,41.8,-87.6,41.9,-87.6,";
    let broken = "0,x,1,41.8,-87.6,41.9,-87.6,";
    let line = |rest: String| {
        let TripError::Value { line, .. } = chicago(&rest).unwrap_err() else {
            panic!("a wrong value in {rest}")
        };
        line
    };
    assert_eq!(line(format!("{row}\r\n{row}\r\n{broken}\r\n")), 4);
    assert_eq!(line(format!("{row}\r\n\r\n\r\n{broken}\r\n")), 5);
    assert_eq!(line(format!("{row}\n\n{broken}")), 4);
    assert_eq!(line(format!("{row}\"Cab\nInc.\"\n{broken}")), 4);
    assert_eq!(line(format!("{broken}\"Cab\nInc.\"\n{row}\n")), 2);
    // A byte order mark and CRLF in the header are no part of the column names.
    let text = format!("\u{feff}{}{row}\r\n", CHICAGO_HEADER.replace('\n', "\r\n"));
    assert_eq!(read_bytes(Format::ChicagoTaxi, "trips.csv", text.as_bytes()).unwrap().len(), 1);
}

#[test]
fn reading_goes_on_after_a_broken_row_and_stops_when_the_file_fails() {
    struct Cut(usize);
    impl Read for Cut {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let rows =
                format!("{CHICAGO_HEADER}0,x,1,41.8,-87.6,41.9,-87.6,\n0,600,1,41.8,-87.6,41.9,-87.6,\n");
            let left = rows.as_bytes().get(self.0..).unwrap();
            if left.is_empty() {
                return Err(std::io::Error::other("the disk is gone"));
            }
            let n = left.len().min(into.len());
            into[..n].copy_from_slice(&left[..n]);
            self.0 += n;
            Ok(n)
        }
    }
    let mut reader = TripReader::new(Format::ChicagoTaxi, "trips.csv", Cut(0)).unwrap();
    assert!(matches!(reader.next(), Some(Err(TripError::Value { line: 2, .. }))));
    assert!(matches!(reader.next(), Some(Ok(Row::Trip(_)))));
    let end = reader.next().unwrap().unwrap_err().to_string();
    assert_eq!(end, "trips.csv can't be read any further: the disk is gone");
    assert!(reader.next().is_none());
}

#[test]
fn the_great_circle_is_the_known_one() {
    let at = |lat, lon| Point::new(lat, lon).unwrap();
    // A degree of the mean sphere.
    assert!((distance_m(at(0.0, 0.0), at(0.0, 1.0)) - 111_195.08).abs() < 0.01);
    assert!((distance_m(at(10.0, 179.5), at(10.0, -179.5)) - 109_505.9).abs() < 1.0);
    assert!(Point::new(f64::NAN, 0.0).is_err() && Point::new(91.0, 0.0).is_err());
    assert!(serde_json::from_str::<Point>(r#"{"lat":91,"lon":0}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// The fuzz target in small: bytes in, an answer out.
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[-0-9a-z,.\"\r\n é]{0,120}") {
        for format in [Format::ChicagoTaxi, Format::Rideplane] {
            let header = if format == Format::ChicagoTaxi { CHICAGO_HEADER } else { RIDEPLANE_HEADER };
            let _ = read_bytes(format, "fuzz", &bytes);
            let _ = read_bytes(format, "fuzz", &[header.as_bytes(), &bytes].concat());
            let _ = read_bytes(format, "fuzz", &[header.as_bytes(), text.as_bytes()].concat());
        }
    }

    #[test]
    fn a_trip_that_is_written_is_read(
        lat in -90.0_f64..=90.0, lon in -180.0_f64..=180.0, seconds in 1_i64..2_678_400, metres in 1_u32..5_000,
        start in 0_i64..4_000_000_000, ends in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let at = Timestamp::from_unix_seconds(start);
        let text = format!("{RIDEPLANE_HEADER}x,{at},{lat},{lon},{lon:.0},{lat},{seconds},{metres},{ends}");
        let rows = read_bytes(Format::Rideplane, "t", text.as_bytes());
        prop_assume!(lon.abs() <= 90.0);
        let trip = trip(rows.unwrap());
        prop_assert_eq!((trip.started_at, trip.duration), (at, Span::from_seconds(seconds)));
        prop_assert_eq!((trip.pickup.lat(), trip.pickup.lon()), (lat, lon));
        let too_fast = f64::from(metres) / (seconds as f64) > FASTEST_KMH / 3.6;
        prop_assert_eq!(trip.distance_source == DistanceSource::Estimated, too_fast);
        if !too_fast {
            prop_assert_eq!(trip.distance_m, u64::from(metres));
        }
    }
}
