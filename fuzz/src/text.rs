//! Files that people write.

use std::collections::BTreeSet;
use std::path::Path;

use rideplane::config::Loaded;
use rideplane::fleet_file::{self, FleetRow, Format as FleetFormat};
use rideplane::replay::fold::Fold;
use rideplane::replay::trips::{Format, LONGEST, Row, TripReader, read_bytes};
use rideplane_core::time::Span;

/// The most characters that a message about one problem may have.
const LONGEST_MESSAGE: usize = 3_000;

/// The bytes are a trip log, in either format.
///
/// # Panics
/// When a row breaks the ranges that it is promised to keep, or is lost.
pub fn trip_rows(bytes: &[u8]) {
    for format in [Format::ChicagoTaxi, Format::Rideplane] {
        let all = read_bytes(format, "f.csv", bytes);
        let Ok(reader) = TripReader::new(format, "f.csv", bytes) else {
            assert!(all.is_err());
            continue;
        };
        let one_by_one: Vec<_> = reader.collect();
        for row in one_by_one.iter() {
            match row {
                Ok(row) => check_row(row),
                Err(error) => check_message(&error.to_string()),
            }
        }
        assert_eq!(all.is_ok(), one_by_one.iter().all(Result::is_ok));
        if let Ok(all) = all {
            assert_eq!(all.len(), one_by_one.len());
            for (at, row) in all.iter().enumerate() {
                assert_eq!(number(row), at as u64 + 1);
            }
        }
    }
}

fn number(row: &Row) -> u64 {
    match row {
        Row::Trip(trip) => trip.index,
        Row::Skipped(skipped) => skipped.row,
    }
}

fn check_row(row: &Row) {
    let Row::Trip(trip) = row else { return };
    assert!(trip.duration > Span::ZERO && trip.duration <= LONGEST, "{trip:?}");
    for place in [trip.pickup, trip.dropoff] {
        assert!(place.lat().abs() <= 90.0 && place.lon().abs() <= 180.0, "{trip:?}");
    }
    for fold in [Fold::Week, Fold::Day, Fold::None] {
        let at = fold.place(trip.started_at);
        assert_eq!(fold.place(at), at, "folded twice: {trip:?}");
    }
}

/// A message is one line on a terminal, whatever the file holds.
fn check_message(message: &str) {
    assert!(!message.is_empty() && message.chars().count() <= LONGEST_MESSAGE, "{message}");
}

/// The bytes are a fleet file.
///
/// # Panics
/// When a vehicle or key is there twice, or what was read reads differently when it is written again.
pub fn fleet_file(bytes: &[u8]) {
    let guessed = fleet_file::parse(bytes, None);
    let named = [FleetFormat::Csv, FleetFormat::GeoJson, FleetFormat::Gbfs]
        .map(|format| fleet_file::parse(bytes, Some(format)));
    assert!(named.contains(&guessed), "the guess is none of the formats");
    for read in named {
        match read {
            Ok(rows) => check_fleet(&rows),
            Err(error) => {
                assert!((1..=fleet_file::MAX_PROBLEMS).contains(&error.problems.len()));
                error.problems.iter().for_each(|problem| check_message(&problem.to_string()));
            }
        }
    }
}

fn check_fleet(rows: &[FleetRow]) {
    let ids: BTreeSet<_> = rows.iter().map(|row| &row.vehicle_id).collect();
    assert_eq!(ids.len(), rows.len());
    let keys: Vec<_> = rows.iter().filter_map(|row| row.public_key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    let mut csv = String::from(
        "vehicle_id,vehicle_type,lat,lon,form_factor,propulsion_type,plan_id,current_fuel_percent,max_range_meters,public_key\n",
    );
    for row in rows {
        csv.push_str(&line(row));
    }
    let again = fleet_file::parse(csv.as_bytes(), Some(FleetFormat::Csv));
    let again = again.unwrap_or_else(|error| panic!("{:?}: {csv}", error.problems));
    let unnumbered = |rows: &[FleetRow]| -> Vec<FleetRow> {
        rows.iter().map(|row| FleetRow { line: 0, held_back: None, ..row.clone() }).collect()
    };
    assert_eq!(unnumbered(rows), unnumbered(&again));
}

fn line(row: &FleetRow) -> String {
    let word = |value: Option<serde_json::Value>| {
        value.map_or(String::new(), |value| value.as_str().map_or(value.to_string(), ToOwned::to_owned))
    };
    let json = |value| serde_json::to_value(value).expect("a word");
    let key = row.public_key.map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    format!(
        "{},{},{},{},{},{},{},{},{},{}\n",
        row.vehicle_id,
        row.vehicle_type,
        row.position.lat(),
        row.position.lon(),
        word(row.form_factor.map(json)),
        word(row.propulsion_type.map(|value| serde_json::to_value(value).expect("a word"))),
        row.plan_id.as_ref().map_or("", |id| id.as_str()),
        row.current_fuel_percent.map_or(String::new(), |charge| charge.to_string()),
        row.max_range_meters.map_or(String::new(), |metres| metres.to_string()),
        key.unwrap_or_default(),
    )
}

/// A configuration file; after a NUL, lines of `NAME=VALUE` for the environment.
///
/// # Panics
/// When a configuration that is taken does not come back from its own print.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, env) = text.split_once('\0').unwrap_or((&text, ""));
    let env = env.lines().filter_map(|line| line.split_once('='));
    let env = env.map(|(name, value)| (format!("RIDEPLANE_{name}"), value.to_owned()));
    match Loaded::parse(Some((Path::new("r.toml"), file)), env, &[]) {
        Ok(loaded) => {
            let printed = loaded.to_string();
            let again = Loaded::parse(Some((Path::new("p.toml"), &printed)), [], &[]);
            let again = again.unwrap_or_else(|error| panic!("{error}: {printed}"));
            assert_eq!(again.config, loaded.config, "{printed}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
